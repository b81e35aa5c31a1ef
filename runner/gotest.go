package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Test runs features as subtests of t, one for each scenario, named by its ID. A subtest fails unless
// its scenario passed; inconclusive scenarios fail, too. With -short, only scenarios tagged @smoke
// run. Five seconds before the test's deadline, a running scenario is interrupted, healed and
// reported. If Parallel is above 0, all scenarios but those tagged @serial are parallel subtests. If
// Dir is empty, it is $FIREDRILL_REPORT_DIR or, if that is unset, t.ArtifactDir(). Unless Watch is set, the
// progress of the run is written to t.Output().
func Test(t *testing.T, o Options) {
	t.Helper()
	es, err := parse(&o)
	if err != nil {
		t.Fatal(err)
	}
	TestExperiments(t, o, es...)
}

// TestExperiments is like Test but runs experiments built in Go.
func TestExperiments(t *testing.T, o Options, es ...*scenarios.Experiment) {
	t.Helper()
	kept := ""
	if o.Dir == "" {
		o.Dir = os.Getenv("FIREDRILL_REPORT_DIR")
	}
	if o.Dir == "" {
		o.Dir, kept = t.ArtifactDir(), " (go test -artifacts keeps it)"
	}
	if o.Watch == nil {
		live := reports.NewLive(t.Output(), false)
		o.Watch = live.Event
		t.Cleanup(live.Close) // runs after the cleanup below, which ends the run
	}
	r, err := begin(o, es)
	if err != nil {
		t.Fatal(err)
	}
	t.Attr("firedrill-seed", fmt.Sprint(r.seed))
	t.Cleanup(func() { // runs after all subtests, including parallel ones
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

// subtest runs one scenario and reports its outcome to t.
func (r *runState) subtest(t *testing.T, e *scenarios.Experiment, kept string) {
	ctx := t.Context()
	if deadline, ok := t.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, deadline.Add(-5*time.Second), errors.New("the test's deadline is near"))
		defer cancel()
	}
	j := r.admission.queue(jobOf(e, &r.o))
	s := r.runAttempt(ctx, t, e, j, try{number: 1})
	if again, ok := r.retryOf(ctx, s, j); ok {
		s = r.runAttempt(ctx, t, e, r.admission.queue(&job{alone: true}), again)
	}
	s.mu.Lock()
	h := s.history.Book().Scenarios[0]
	h.End = s.end
	s.mu.Unlock()
	reportOutcome(t, h, filepath.Join(r.dir, "report.html")+kept)
}

// runAttempt runs a scenario once, as soon as it is admitted. The scenario is finished even if a step
// ends the test.
func (r *runState) runAttempt(ctx context.Context, t *testing.T, e *scenarios.Experiment, j *job, number try) *session {
	t.Helper()
	if err := r.admission.wait(ctx, j); err != nil {
		t.Fatalf("%s was not run: %v", e.Name, err)
	}
	if _, aborted := r.active(); aborted != nil {
		r.admission.release(j)
		t.Fatalf("%s was not run: %v", e.Name, aborted)
	}
	s := newSession(ctx, r, e, number)
	s.begin()
	finish := sync.OnceFunc(func() {
		s.finish()
		r.admission.release(j)
	})
	t.Cleanup(finish)
	s.drive()
	finish()
	return s
}

// reportOutcome passes, fails or skips the test according to the outcome of the scenario.
func reportOutcome(t *testing.T, h *journal.History, report string) {
	t.Helper()
	outcome := check.ScenarioOutcome(h)
	t.Attr("firedrill-verdict", outcome)
	switch outcome {
	case "passed":
		return
	case "skipped":
		t.Skip(printable(h.End.Reason))
	}
	for _, line := range failures(h) {
		t.Error(printable(line) + "; report: " + report)
	}
}

// printable returns text with secrets redacted and terminal control characters escaped.
func printable(text string) string { return journal.Visible(journal.RedactText(text)) }

// failures returns one line for each verdict that did not pass, beginning with file:line of its step.
func failures(h *journal.History) []string {
	var lines []string
	position := func(at string) string {
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
		line := fmt.Sprintf("%s: %s — %s: ", position(v.Step), v.Check, v.Outcome)
		if v.Observed != "" {
			line += "observed " + v.Observed + "; "
		}
		lines = append(lines, strings.TrimSuffix(line+v.Reason, "; "))
	}
	if h.End != nil && h.End.Reason != "" {
		lines = append(lines, fmt.Sprintf("%s: %s: %s", position(""), h.End.Outcome, h.End.Reason))
	}
	return lines
}
