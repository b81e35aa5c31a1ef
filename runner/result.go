package runner

import "github.com/firedrill-dev/firedrill/scenarios/journal"

// Result is the result of a run.
type Result struct {
	Dir     string // the run's folder
	Book    *journal.Book
	DryRun  bool   // it was a dry run, and nothing would prevent the drill
	Outcome string // the worst of all scenarios: "passed", "inconclusive", "flaky", "failed", "stopped" or "interrupted"

	// Unwritten says which reports could not be written, and why, although the journal is complete; nil if all were.
	Unwritten error
}

// ExitCode returns the exit code of the run: 0 passed, 1 failed or flaky, 3 inconclusive, 4 stopped, 130
// interrupted. A run in which nothing ran is inconclusive. So is a run with skipped scenarios that
// otherwise passed, unless Options.AllowSkipped is set. Instead of 0 it is 5 if a report could not be written.
func (r *Result) ExitCode() int {
	rehearsed := r.DryRun && r.Outcome == "inconclusive" // as is each run that judges nothing
	switch {
	case (r.Outcome == "passed" || rehearsed) && r.Unwritten != nil:
		return 5
	case rehearsed:
		return 0
	}
	switch r.Outcome {
	case "passed":
		return 0
	case "failed", "flaky":
		return 1
	case "stopped":
		return 4
	case "interrupted":
		return 130
	}
	return 3
}
