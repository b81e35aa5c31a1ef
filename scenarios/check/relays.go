package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// AccountsAddUp passes if the counters of each relay add up. Datagrams that the kernel dropped are reported; they
// make the scenario inconclusive if effects are counted.
type AccountsAddUp struct{}

// Judge implements Check.
func (AccountsAddUp) Judge(h *journal.History) Verdict {
	const expected = "every message has one outcome, and every delivered message was written"
	if len(h.Phases) == 0 {
		return inconclusive(expected, "", codes.Unfinished, "the scenario did not run")
	}
	for _, a := range h.Accounts {
		if a.Wrong != "" {
			return inconclusive(expected, "", codes.RelayAccounting, "the counters of the relay of %s %s do not add up: %s", a.Link, way(a.ToServer), a.Wrong)
		}
	}
	v := Verdict{Outcome: Passed, Observed: fmt.Sprintf("%d accounts add up", len(h.Accounts)), Expected: expected, Evidence: seqs(h, "accounts")}
	if slices.ContainsFunc(h.Losses, func(l journal.Loss) bool { return !l.Known }) {
		v.Observed += "; how many datagrams the kernel dropped is not known on this platform"
	}
	n, where := dropped(h)
	if n == 0 {
		return v
	}
	v.Observed += fmt.Sprintf("; %s datagrams lost, but not by a fault: %s", Count(n), where)
	v.Evidence = append(v.Evidence, seqs(h, "loss")...)
	if h.EffectsRead != nil {
		v.Outcome = Inconclusive
		v.Doubt = codes.RelayAccounting.Msgf("%s datagrams were lost, but not by a fault (%s): effects may be missing for that reason; reduce the load, or enlarge the buffers (net.core.rmem_max)", Count(n), where)
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

func (AccountsAddUp) String() string { return "the counters of the relays add up" }

// Kind implements Check.
func (AccountsAddUp) Kind() Kind {
	k := implied("accounts add up", "Firedrill's relays lost no message; datagrams dropped by the kernel are reported")
	k.Ours = true
	return k
}
