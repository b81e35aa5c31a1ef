package check

import (
	"fmt"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Judge judges a scenario by the rule for verdicts in the package documentation. The implied checks decide whether
// it is valid; outcomes that an invalid scenario does not support are withheld. Both results are in the order of
// their checks.
func Judge(h *journal.History, requested, implied []Check) (answers, validity []Verdict) {
	h = h.Remembering()
	var invalid, generatorOrRelay string
	for _, c := range implied {
		v := Ask(c, h)
		validity = append(validity, v)
		if _, passes := c.(ProvesSomething); passes || v.Outcome == Passed {
			continue // a scenario that proves nothing cannot pass, but it can fail
		}
		if invalid == "" {
			invalid = c.String()
		}
		if c.Kind().Ours && generatorOrRelay == "" {
			generatorOrRelay = c.String()
		}
	}
	for i, c := range requested {
		k := c.Kind()
		v := Ask(c, h)
		if !k.Invariant {
			v = v.allowForPauses(c, h)
		}
		if i < len(h.Untested) && h.Untested[i] != "" && v.Outcome == Passed {
			v.Outcome, v.Reason = Inconclusive, h.Untested[i]
		}
		answers = append(answers, v.withhold(k.Invariant, invalid, generatorOrRelay))
	}
	return answers, validity
}

// allowForPauses makes the failure of a measured check inconclusive if a pause of the runner may have caused it: a
// pause in its window, or one before it since the fault phase began. The check still fails if the requests that
// ended before the pause show the failure. A check that counts each request does not pass either if it would fail
// with the requests that overlap a pause: it cannot be known whose fault their outcome is.
func (v Verdict) allowForPauses(c Check, h *journal.History) Verdict {
	if v.Outcome == Passed && c.Kind().CountsEach {
		if with := Ask(c, h.WithPaused()); with.Outcome == Failed {
			v.Withheld, v.Outcome = v.Outcome.String(), Inconclusive
			v.Reason = "it passes without the requests that overlap a pause of the runner, but with them: " + with.Reason
		}
		return v
	}
	if v.Outcome != Failed {
		return v
	}
	p, ok := h.PauseBefore(v.Window)
	if !ok {
		return v
	}
	before := Ask(c, h.Until(p.From))
	switch {
	case before.Outcome == Failed && before.Observed == v.Observed:
		return v // the pause began after the end of the window
	case before.Outcome == Failed:
		before.Reason += fmt.Sprintf("; judged up to +%.1fs, since %s", p.From.Seconds(), p)
		return before
	}
	v.Withheld, v.Outcome = v.Outcome.String(), Inconclusive
	v.Reason = fmt.Sprintf("not judged, since %s, which may have caused the failure; it would have failed: %s", p, v.Reason)
	return v
}

// withhold makes an outcome inconclusive that the scenario does not support. invalid is the first implied check
// that did not pass, and generatorOrRelay is the first one whose cause, the load generator or a relay, can also
// explain the violation of an invariant. Both are "" if there is none.
func (v Verdict) withhold(invariant bool, invalid, generatorOrRelay string) Verdict {
	because := invalid
	if invariant && v.Outcome == Failed {
		because = generatorOrRelay
	}
	if because == "" || v.Outcome == Inconclusive {
		return v
	}
	v.Withheld, v.Outcome = v.Outcome.String(), Inconclusive
	would := "passed"
	if v.Withheld == Failed.String() {
		would = "failed: " + v.Reason
	}
	v.Reason = fmt.Sprintf("not judged, since it is not shown that %s; it would have %s", because, would)
	return v
}
