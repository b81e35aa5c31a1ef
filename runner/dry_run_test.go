package runner

import (
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

const dryDrill = backLoad + `    When calls from "front" to "back" answer with status 500 for 10m
    And "back" refuses connections from "front"
    And 10m pass
    Then at least 99% of requests succeed
`

// A dry run ends at once, fails no request, says what it would inject, and is not a drill that passed.
func TestDryRun(t *testing.T) {
	t.Parallel()
	var injected, failed atomic.Int64
	r := runShop(t, dryDrill, func(s *shop, o *Options) {
		o.DryRun = true
		front := o.Handlers["front"]
		o.Handlers["front"] = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if rec := (&statusRecorder{ResponseWriter: w}); req.URL.Path == "/back" {
				front.ServeHTTP(rec, req)
				if rec.status == http.StatusBadGateway {
					failed.Add(1)
				}
				return
			}
			front.ServeHTTP(w, req)
		})
		o.Watch = func(e journal.Event) {
			if e.Fault != nil {
				injected.Add(1)
			}
		}
	})
	h := onlyScenario(r)
	assert.Equal(t, 0, r.ExitCode(), "%v", h.End)
	assert.Equal(t, "skipped", h.End.Outcome)
	assert.Contains(t, h.End.Reason, "dry run: nothing was injected; 2 would be")
	assert.NotEqual(t, "passed", r.Outcome)
	text, err := os.ReadFile(filepath.Join(r.Dir, "report.txt"))
	require.NoError(t, err)
	assert.Contains(t, string(text), "\nDRY RUN  1 skipped; seed ")
	assert.Empty(t, h.Verdicts)
	assert.Zero(t, injected.Load())
	assert.Zero(t, failed.Load(), "no call of the load met a fault")
	assert.Positive(t, h.Load.Sent)
	assert.Contains(t, notes(h), `would inject: calls from "front" to "back" answer with status 500 (on front -> back): undone on a second link; both passed traffic before and after`)
	assert.Contains(t, notes(h), `would inject: "back" refuses connections from "front"`)
	raw, err := os.ReadFile(filepath.Join(r.Dir, "junit.xml"))
	require.NoError(t, err)
	assert.Contains(t, string(raw), "<skipped")
}

// A dry run fails if a link does not pass traffic.
func TestDryRunOfAServiceThatIsGone(t *testing.T) {
	t.Parallel()
	r := runShop(t, `    When "back" refuses connections from "front" for 1s
    And calls from "front" to "back" are delayed by 1s for 1s
`, func(_ *shop, o *Options) {
		o.DryRun = true
		delete(o.Handlers, "back") // nothing listens at its address
	})
	assert.Equal(t, 3, r.ExitCode())
	assert.Equal(t, "inconclusive", onlyScenario(r).End.Outcome)
	assert.Contains(t, onlyScenario(r).End.Reason, `"back" itself does not answer`)
}

// statusRecorder keeps the status of an answer.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}
