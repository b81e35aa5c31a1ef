package scenarios

import (
	"slices"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// noFinding is what a cell of an outline says where its row holds.
const noFinding = "nothing"

// finding is a statement that a check is known to fail.
type finding struct {
	at    source.Pos
	check string // as the scenario states it
}

// KnownToFail states that a check of the scenario is known to fail. The scenario passes as long as it does, and fails
// once it no longer does. The text "nothing" has no effect, for rows of an outline in which everything holds.
func (r *Resolver) KnownToFail(at source.Pos, check string) {
	r.stage = checking
	if check != noFinding {
		r.findings = append(r.findings, finding{at, check})
	}
}

// finishFindings determines which checks are known to fail.
func (r *Resolver) finishFindings() {
	for _, f := range r.findings {
		i := slices.IndexFunc(r.Checks, func(c Check) bool { return f.check == c.Step.Text || f.check == c.String() })
		switch {
		case i < 0:
			var known []string
			for _, c := range r.Checks {
				known = append(known, c.Step.Text)
			}
			r.addMissing(f.at, codes.UnknownName.Msgf("%q is not a check of this scenario", f.check), source.DidYouMean(f.check, known, "checks"))
		case r.Checks[i].KnownToFail:
			r.AddProblem(f.at, codes.Duplicate.Msgf("that %q fails was said before", f.check), "say it once")
		default:
			r.Checks[i].KnownToFail = true
		}
	}
}

// Findings returns the indices of the checks that are known to fail.
func (e *Experiment) Findings() (all []int) {
	for i, c := range e.Checks {
		if c.KnownToFail {
			all = append(all, i)
		}
	}
	return all
}
