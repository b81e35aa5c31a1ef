package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Test runs features as subtests of t, one for each scenario, named by its ID. A scenario that is not passed fails its subtest, an inconclusive one too.
// With -short only those tagged @smoke run. A scenario is interrupted, healed and reported five seconds before the test's deadline. Parallel above 0
// makes scenarios parallel subtests, but for those tagged @serial. Dir is $FIREDRILL_REPORT_DIR or
// t.ArtifactDir() when it is empty.
func Test(t *testing.T, o Options) {
	t.Helper()
	es, err := parse(&o)
	if err != nil {
		t.Fatal(err)
	}
	TestExperiments(t, o, es...)
}

// TestExperiments is Test for experiments built in Go.
func TestExperiments(t *testing.T, o Options, es ...*scenarios.Experiment) {
	t.Helper()
	kept := ""
	if o.Dir == "" {
		o.Dir = os.Getenv("FIREDRILL_REPORT_DIR")
	}
	if o.Dir == "" {
		o.Dir, kept = t.ArtifactDir(), " (go test -artifacts keeps it)"
	}
	r, err := begin(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Attr("firedrill-seed", fmt.Sprint(r.seed))
	t.Cleanup(func() { // after the subtests, parallel ones too
		if _, err := r.end(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for _, e := range es {
		t.Run(e.ID, func(t *testing.T) {
			if testing.Short() && !slices.Contains(e.Tags, "@smoke") {
				t.Skip("not tagged @smoke")
			}
			if o.Parallel > 0 && !slices.Contains(e.Tags, "@serial") {
				t.Parallel()
			}
			r.subtest(t, e, kept)
		})
	}
}

// subtest runs one scenario and tells t what came of it.
func (r *running) subtest(t *testing.T, e *scenarios.Experiment, kept string) {
	ctx := t.Context()
	if deadline, ok := t.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, deadline.Add(-5*time.Second), errors.New("the test's deadline is near"))
		defer cancel()
	}
	s := newSession(ctx, r, e)
	s.begin()
	finished := false
	finish := func() {
		if !finished {
			finished = true
			s.finish()
		}
	}
	t.Cleanup(finish) // also when a step ends the test
	s.drive()
	finish()
	s.mu.Lock()
	h := s.history.Book().Scenarios[0]
	h.End = s.end
	s.mu.Unlock()
	tellTest(t, h, filepath.Join(r.dir, "report.html")+kept)
}

// tellTest turns a scenario's outcome into the test's.
func tellTest(t *testing.T, h *journal.History, report string) {
	t.Helper()
	outcome := check.Sum(h)
	t.Attr("firedrill-verdict", outcome)
	switch outcome {
	case "passed":
		return
	case "skipped":
		t.Skip(h.End.Reason)
	}
	for _, line := range Failures(h) {
		t.Error(line + "; report: " + report)
	}
}

// Failures lists what was not passed, each line beginning with file:line of the step.
func Failures(h *journal.History) []string {
	var lines []string
	place := func(at string) string {
		if at == "" {
			at = h.Name
			if h.File != "" {
				at = fmt.Sprintf("%s:%d", h.File, h.Line)
			}
		}
		return at
	}
	for _, v := range h.Verdicts {
		if v.Outcome == "passed" {
			continue
		}
		line := fmt.Sprintf("%s: %s — %s: ", place(v.Step), v.Check, v.Outcome)
		if v.Observed != "" {
			line += "observed " + v.Observed + "; "
		}
		lines = append(lines, strings.TrimSuffix(line+v.Reason, "; "))
	}
	if h.End != nil && h.End.Reason != "" {
		lines = append(lines, fmt.Sprintf("%s: %s: %s", place(""), h.End.Outcome, h.End.Reason))
	}
	return lines
}
