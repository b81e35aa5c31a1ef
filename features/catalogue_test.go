package features

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/shop"
	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// program is a firedrill built as users build it: under the race detector the shop would be another, much slower, system.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "firedrill")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "firedrill")
	out, err := exec.Command("go", "build", "-o", path, "github.com/firedrill-dev/firedrill/cmd/firedrill").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the shop: %w: %s", err, out)
	}
	return path, nil
})

// built is the folder of program, when a test asked for it.
var built string

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}

// drill runs features and returns the run's scenarios.
func drill(t *testing.T, o runner.Options) (*runner.Result, []*journal.History) {
	t.Helper()
	self, err := program()
	require.NoError(t, err)
	o.FS, o.Dir, o.Self = FS, t.TempDir(), self
	o.Watch = func(e journal.Event) {
		if p := e.Process; p != nil && p.What == "exited" {
			t.Logf("%s exited on its own: %s", p.Service, p.Detail)
		}
	}
	result, err := runner.Run(t.Context(), o)
	require.NoError(t, err)
	require.NotEmpty(t, result.Book.Scenarios)
	all := result.Book.Scenarios
	for range 2 {
		var names []string
		for _, h := range all {
			if disturbed(h) {
				t.Logf("run again, since this machine was too busy: %s", tell(h))
				names = append(names, regexp.QuoteMeta(h.Name))
			}
		}
		if len(names) == 0 {
			break
		}
		o.Name, o.Parallel = "^("+strings.Join(names, "|")+")$", 1
		again, err := runner.Run(t.Context(), o)
		require.NoError(t, err)
		for _, h := range again.Book.Scenarios {
			all[slices.IndexFunc(all, func(old *journal.History) bool { return old.ID == h.ID })] = h
		}
	}
	return result, all
}

// disturbed reports whether a scenario proves nothing because of this machine: its baseline was not steady, or its load was late. That is no verdict, and the
// drill is done again, as a user would.
func disturbed(h *journal.History) bool {
	return h.End != nil && h.End.Outcome == "inconclusive" && slices.ContainsFunc(h.Verdicts, late)
}

// late reports whether a check has no answer because this machine was too busy.
func late(v journal.Verdict) bool {
	return v.Outcome == "inconclusive" && (v.Kind == "baseline steady" || v.Kind == "load delivered" || strings.Contains(v.Reason, "are not meaningful: the "))
}

// tell is a scenario's verdicts, for the log.
func tell(h *journal.History) string {
	var b strings.Builder
	for _, v := range h.Verdicts {
		fmt.Fprintf(&b, "\n  %-12s %s\n               observed %s; %s", v.Outcome, v.Check, v.Observed, v.Reason)
	}
	return fmt.Sprintf("%s: %s%s", h.Name, outcome(h), b.String())
}

func outcome(h *journal.History) string {
	if h.End == nil {
		return "cut short"
	}
	return strings.TrimSpace(h.End.Outcome + " " + h.End.Reason)
}

// installed skips features whose servers are missing, unless everything must run.
func installed(t *testing.T, files ...string) {
	t.Helper()
	es, err := scenarios.Parse(scenarios.Source{FS: FS, Paths: files})
	require.NoError(t, err)
	for _, e := range es {
		for _, s := range e.System.Services {
			if s.Needs == "" {
				continue
			}
			if _, err := process.LookPath(s.Needs); err != nil {
				if os.Getenv("FIREDRILL_MUST_RUN") != "" {
					t.Fatalf("%s is not installed: %s", s.Needs, s.Install)
				}
				t.Skipf("%s is not installed: %s", s.Needs, s.Install)
			}
		}
	}
}

func TestRowsHold(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the whole catalogue")
	}
	for _, row := range Rows() {
		t.Run("row "+row.N, func(t *testing.T) {
			t.Parallel()
			installed(t, row.File)
			_, histories := drill(t, runner.Options{Paths: []string{row.File}, Parallel: 3})
			for _, h := range histories {
				t.Log(tell(h))
				assert.Equal(t, "passed", outcome(h), h.Name)
			}
		})
	}
}

func TestRowsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the whole catalogue")
	}
	for _, row := range Rows() {
		t.Run("row "+row.N+" without "+row.Without, func(t *testing.T) {
			t.Parallel()
			installed(t, row.File)
			_, histories := drill(t, runner.Options{Paths: []string{row.File}, Parallel: 3, Without: []string{row.Without}})
			for _, h := range histories {
				t.Log(tell(h))
				caught(t, row, h)
			}
		})
	}
}

// fastFailures reports whether a check of latency has no answer because most requests failed, which is what another check is there to say.
func fastFailures(v journal.Verdict) bool {
	return (v.Kind == "latency" || v.Kind == "nothing slower") && strings.Contains(v.Reason, "the latency of failures is not meaningful")
}

// caught asserts that a scenario failed for the row's reason: those checks, no other, and nothing that makes the drill worthless.
func caught(t *testing.T, row Row, h *journal.History) {
	t.Helper()
	assert.Equal(t, "failed", outcome(h), h.Name)
	var failed, unanswered []string
	for _, v := range h.Verdicts {
		switch v.Outcome {
		case "failed":
			failed = append(failed, v.Check)
		case "inconclusive":
			if late(v) {
				unanswered = append(unanswered, v.Check)
				continue
			}
			assert.True(t, fastFailures(v), "%s: inconclusive: %s: %s", h.Name, v.Check, v.Reason)
		}
	}
	for _, check := range row.CaughtBy {
		if !slices.Contains(unanswered, check) {
			assert.Contains(t, failed, check, h.Name)
		}
	}
	for _, check := range failed {
		assert.Contains(t, row.CaughtBy, check, "%s failed for another reason too", h.Name)
	}
}

func TestRowsAreTheFeatures(t *testing.T) {
	var files []string
	require.NoError(t, fs.WalkDir(FS, ".", func(name string, _ fs.DirEntry, err error) error {
		if path.Ext(name) == ".feature" {
			files = append(files, name)
		}
		return err
	}))
	var named []string
	for _, row := range Rows() {
		named = append(named, row.File)
		es, err := scenarios.Parse(scenarios.Source{FS: FS, Paths: []string{row.File}})
		require.NoError(t, err)
		for _, e := range es {
			var asked []string
			for _, c := range e.Checks {
				asked = append(asked, c.String())
			}
			assert.Subset(t, asked, row.CaughtBy, "%s does not ask what row %s is caught by", e.ID, row.N)
			if row.N == "real" {
				assert.Contains(t, e.Tags, "@real")
			} else {
				assert.Contains(t, e.Tags, "@row-"+row.N)
			}
		}
		assert.True(t, slices.ContainsFunc(shop.Protections(), func(p shop.Protection) bool { return p.Name == row.Without }), "row %s: the shop has no protection %q", row.N, row.Without)
	}
	for _, f := range Findings() {
		if !slices.Contains(named, f.File) {
			named = append(named, f.File)
		}
	}
	assert.ElementsMatch(t, files, named)
}
