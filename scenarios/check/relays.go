package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// AccountsAddUp passes if the counters of each relay add up. Datagrams that the kernel dropped are reported; they
// make the scenario inconclusive if effects are counted.
type AccountsAddUp struct{}

// Judge implements Check.
func (AccountsAddUp) Judge(h *journal.History) Verdict {
	const expected = "every message that a relay carried has one outcome, and what was delivered was written"
	if len(h.Phases) == 0 {
		return inconclusive(expected, "", "nothing happened")
	}
	for _, a := range h.Accounts {
		if a.Wrong != "" {
			return inconclusive(expected, "", "the relay of %s %s lost count: %s", a.Link, way(a.ToServer), a.Wrong)
		}
	}
	v := Verdict{Outcome: Passed, Observed: fmt.Sprintf("%d accounts add up", len(h.Accounts)), Expected: expected, Evidence: seqs(h, "accounts")}
	if slices.ContainsFunc(h.Losses, func(l journal.Loss) bool { return !l.Known }) {
		v.Observed += "; what the kernel drops of datagrams is not known here"
	}
	n, where := dropped(h)
	if n == 0 {
		return v
	}
	v.Observed += fmt.Sprintf("; %s datagrams lost, and not by a fault: %s", Count(n), where)
	v.Evidence = append(v.Evidence, seqs(h, "loss")...)
	if h.EffectsRead != nil {
		v.Outcome = Inconclusive
		v.Reason = fmt.Sprintf("%s datagrams were lost, and not by a fault (%s): effects may be missing that the system is not to blame for; less load, or larger buffers (net.core.rmem_max), would help", Count(n), where)
	}
	return v
}

// way describes a direction of a link.
func way(toServer bool) string {
	if toServer {
		return "to the server"
	}
	return "to the client"
}

// dropped returns how many datagrams were lost on links without a fault, and where.
func dropped(h *journal.History) (n int64, where string) {
	var all []string
	for _, l := range h.Losses {
		if l.Unattributed() == 0 {
			continue
		}
		n += l.Unattributed()
		all = append(all, fmt.Sprintf("on %s the kernel dropped %s at the link and %s at the dependency, %s could not be sent", l.Link, Count(l.AtLink), Count(l.AtServer), Count(l.Unsent)))
	}
	return n, strings.Join(all, "; ")
}

func (AccountsAddUp) String() string { return "what the relays carried adds up" }
