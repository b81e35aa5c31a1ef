package check

import (
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Judge judges a scenario by the rule for verdicts in the package documentation. The implied checks decide whether
// it is valid; outcomes that an invalid scenario does not support are withheld. Both results are in the order of
// their checks.
func Judge(h *journal.History, requested, implied []Check) (answers, validity []Verdict) {
	h = h.Remembering()
	var invalid, generatorOrRelay codes.Message // the check that did not pass, with the code of its reason
	for _, c := range implied {
		v := Ask(c, h)
		validity = append(validity, v)
		if _, passes := c.(ProvesSomething); passes || v.Outcome == Passed {
			continue // a scenario that proves nothing cannot pass, but it can fail
		}
		if invalid.None() {
			invalid = v.Doubt.Wrap("%s", c)
		}
		if c.Kind().Ours && generatorOrRelay.None() {
			generatorOrRelay = v.Doubt.Wrap("%s", c)
		}
	}
	for i, c := range requested {
		k := c.Kind()
		v := Ask(c, h)
		if i < len(h.Untested) && h.Untested[i] != "" && v.Outcome == Passed {
			v = v.doubted(codes.NotExercised.Message(h.Untested[i]))
		}
		v = v.withhold(k.Invariant, invalid, generatorOrRelay)
		if hands := byHand(h); v.Outcome == Failed && len(hands) > 0 {
			v.Reason += "; beside the faults of the scenario, these were injected by hand: " + strings.Join(hands, "; ")
		}
		if slices.Contains(h.Findings, i) {
			v = v.knownToFail()
		}
		answers = append(answers, v)
	}
	return answers, validity
}

// withhold makes an outcome inconclusive that the scenario does not support. invalid is the first implied check
// that did not pass, and generatorOrRelay is the first one whose cause, the load generator or a relay, can also
// explain the violation of an invariant. Both are none if all passed.
func (v Verdict) withhold(invariant bool, invalid, generatorOrRelay codes.Message) Verdict {
	because := invalid
	if invariant && v.Outcome == Failed {
		because = generatorOrRelay
	}
	if because.None() || v.Outcome == Inconclusive {
		return v
	}
	return v.withheldFor(because.Wrap("not judged, since it is not shown that %s; it would have %s", because, v.wouldHave()))
}

// knownToFail makes the failure of a check that is known to fail a pass, and the reverse.
func (v Verdict) knownToFail() Verdict {
	v.Finding = true
	switch v.Outcome {
	case Failed:
		v.Outcome = Passed
	case Passed:
		v.Outcome, v.Reason = Failed, "it is known to fail, and it held: if what failed was mended, delete the line that says so"
	}
	return v
}
