package check

import (
	"fmt"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// EffectsSettled passes if effects, where checks need them, were read completely and had settled.
type EffectsSettled struct{}

// Judge implements Check.
func (EffectsSettled) Judge(h *journal.History) Verdict {
	const expected = "all effects are listed when they are judged"
	read := h.EffectsRead
	v := Verdict{Expected: expected, Evidence: seqs(h, "effects")}
	switch {
	case len(h.Phases) == 0:
		return inconclusive(expected, "", codes.Unfinished, "the scenario did not run")
	case read == nil:
		v.Observed = "no effects were read"
	case read.Error != "":
		return inconclusive(expected, "", codes.EffectsUnknown, "effects listed by %s cannot be judged: %s", read.Source, read.Error)
	case read.Doubt != "":
		return inconclusive(expected, "", codes.EffectsUnknown, "not all effects are known: %s", read.Doubt)
	default:
		v.Observed = fmt.Sprintf("%s effects", Count(read.Count))
	}
	return verdict(true, v, "")
}

// String implements Check.
func (EffectsSettled) String() string { return "effects have settled" }

// Kind implements Check.
func (EffectsSettled) Kind() Kind {
	return implied("effects settled", "effects, where they are asked about, were read whole, and had settled")
}
