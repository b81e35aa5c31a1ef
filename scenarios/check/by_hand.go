package check

import (
	"fmt"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// NoneByHand passes if nobody injected a fault by hand. If somebody did, the scenario is not the one that was described, so
// that its measurements show nothing about it. A violated invariant still is one.
type NoneByHand struct{}

// Judge implements Check.
func (NoneByHand) Judge(h *journal.History) Verdict {
	const expected = "every fault is one of the scenario"
	if len(h.Phases) == 0 {
		return inconclusive(expected, "", codes.Unfinished, "the scenario did not run")
	}
	if all := byHand(h); len(all) > 0 {
		v := inconclusive(expected, "", codes.InjectedByHand, "faults were injected by hand: %s", strings.Join(all, "; "))
		v.Observed, v.Evidence = Count(len(all)), seqs(h, "fault")
		return v
	}
	return Verdict{Outcome: Passed, Observed: "all", Expected: expected}
}

// byHand describes the faults that were injected by hand.
func byHand(h *journal.History) (all []string) {
	for _, in := range h.CombinedFaults() {
		if in.By != "" {
			all = append(all, fmt.Sprintf("%s, by %s at +%.1fs", in.Sentence, in.By, in.Injected.Seconds()))
		}
	}
	return all
}

func (NoneByHand) String() string { return "every fault is one of the scenario" }

// Kind implements Check.
func (NoneByHand) Kind() Kind { return implied("none by hand", "nobody injected a fault by hand") }
