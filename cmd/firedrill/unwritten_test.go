package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// A report that cannot be written is not taken for a failure of the system, nor for a run that is complete: journal, terminal
// and reports say that the run passed, and the exit code that something is missing. The verdict of a run that did not pass
// counts more.
func TestReportThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	for row, c := range []struct {
		check, outcome string
		code           int
	}{
		{"at least 50% of requests succeed", "passed", unwritten},
		{"the p50 latency stays below 1ms during the fault", "failed", 1},
	} {
		feature := strings.Replace(byHand, "25s", "1s", 1)
		feature = strings.Replace(feature, "at least 50% of requests succeed", c.check, 1)
		var p *program
		var folder, page string
		var code int
		for range 1 + machine.Repeats { // a busy machine makes a run inconclusive
			p, _ = untilInjected(t, func() *program { return startDrill(t, feature, "") })
			var err error
			folder, err = filepath.EvalSymlinks(filepath.Join(p.runs, "latest"))
			require.NoError(t, err)
			page = filepath.Join(folder, "report.html")
			require.NoError(t, os.MkdirAll(filepath.Join(page, "no file"), 0o700))
			if code = p.code(t); code != inconclusive {
				break
			}
		}
		require.Equal(t, c.code, code, p.output())
		assert.Contains(t, p.out.String(), strings.ToUpper(c.outcome), row)
		assert.NotContains(t, p.out.String(), "report: ")
		assert.Contains(t, p.errOut.String(), `the outcome is "`+c.outcome+`", as its journal says, but reports are missing (make room, and render them: firedrill report `)
		assert.Contains(t, p.errOut.String(), "write report.html: rename "+page+".part "+page+": ")
		p.until(t, `"end":\{"outcome":"`+c.outcome+`"`)
		assert.FileExists(t, filepath.Join(folder, "junit.xml"), "the others are written")

		var said string
		code, said = firedrill(t, "report", folder)
		assert.Equal(t, unwritten, code)
		assert.Contains(t, said, strings.ToUpper(c.outcome))
		assert.Contains(t, said, "write report.html: rename ")
		require.NoError(t, os.RemoveAll(page))
		code, said = firedrill(t, "report", folder)
		require.Zero(t, code, said)
		assert.FileExists(t, page)
	}
}
