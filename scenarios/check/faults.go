package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// FaultsActed passes if every fault acted on something that the load caused; for a partition, one of its links is
// enough. A crash, stop or hang did not act if another process answered in place of the service.
type FaultsActed struct{}

// Judge implements Check.
func (FaultsActed) Judge(h *journal.History) Verdict {
	const expected = "every fault acted on its target"
	v := Verdict{Outcome: Passed, Expected: expected, Evidence: seqs(h, "fault")}
	acted := 0
	var inactive []string
	for _, in := range h.CombinedFaults() {
		if in.Broken > 0 && !targetFaulty(h, in) {
			inactive = append(inactive, fmt.Sprintf("%s (%s %s failed because the dependency closed its connection while the fault held them back: the fault caused that, and not the system)", in.Sentence, Count(in.Broken), in.Unit))
			continue
		}
		if why := inactiveReason(h, in); why != "" {
			inactive = append(inactive, fmt.Sprintf("%s (%s)", in.Sentence, why))
			continue
		}
		acted++
	}
	v.Observed = fmt.Sprintf("%d of %d", acted, acted+len(inactive))
	if h.End == nil && len(h.Phases) == 0 {
		return inconclusive(expected, "", codes.Unfinished, "the scenario did not run")
	}
	if len(inactive) > 0 {
		v.Outcome = Inconclusive
		v.Doubt = codes.FaultMetNothing.Message("these faults did not act as stated: " + strings.Join(inactive, "; "))
	}
	return v
}

// targetFaulty reports whether the destination of a fault on a link was itself faulty while the fault was live. In that
// case it closed its connections for that reason.
func targetFaulty(h *journal.History, in *journal.Injection) bool {
	_, to, _ := strings.Cut(in.On, " -> ")
	return slices.ContainsFunc(h.Faults, func(o *journal.Injection) bool {
		return o.On == to && o.Injected <= max(in.Healed, in.Injected) && (o.Healed == 0 || o.Healed >= in.Injected)
	})
}

// inactiveReason returns why a fault did not act on its target, or "" if it did.
func inactiveReason(h *journal.History, in *journal.Injection) string {
	switch {
	case in.Hint != "" && in.AffectedByLoad() == 0:
		return in.Hint
	case in.Affected == 0:
		return fmt.Sprintf("it affected none of %s %s", Count(in.Seen), in.Unit)
	case in.AffectedByLoad() == 0:
		return fmt.Sprintf("it affected %s %s, no more than without the load: a heartbeat, or other traffic that the load does not cause", Count(in.Affected), in.Unit)
	case h.Load != nil && !underLoad(h, in):
		return "no request of the load was due while it was live"
	case in.Shared && !loadDidWorse(h):
		return fmt.Sprintf("it affected %s %s of a link that also carries traffic which the load does not cause, and no request of the load did worse: nothing shows that the load met it", Count(in.Affected), in.Unit)
	}
	return ""
}

// loadDidWorse reports whether any route did worse in the fault window than in the baseline.
func loadDidWorse(h *journal.History) bool {
	seen := map[string]bool{}
	for _, s := range h.Samples {
		if !seen[s.Route] && routeDidWorse(h, s.Route) {
			return true
		}
		seen[s.Route] = true
	}
	return false
}

// routeDidWorse reports whether requests of a route failed, fell back or took longer in the fault window, compared
// with the baseline. One clearly slower request is enough, since a fault may act on few. Latencies count only as far
// as a busy machine does not explain them: they must exceed those after healing, too, and do so without the lateness of
// the load generator.
func routeDidWorse(h *journal.History, route string) bool {
	h = h.WithoutLateness(2, func(s journal.Sample) bool { return dueIn(s.Window, journal.During) })
	before, during := h.Total(journal.Before, route), h.Total(journal.During, route)
	took := journal.Merge(during.Latency, during.Waits)
	usual := max(journal.Quantile(before.Latency, 100), journal.Quantile(h.Total(journal.After, route).Latency, 100))
	if before.OK == before.Sent && during.OK < during.Sent ||
		successDrop(side{Sent: during.Sent, OK: during.OK}, side{Sent: before.Sent, OK: before.OK}, normalQuantile(1-alphaSuccess)) > 0 ||
		journal.Quantile(took, 100) > 2*usual+100*time.Millisecond {
		return true
	}
	reason, _ := slower([][]journal.Bucket{before.Latency}, [][]journal.Bucket{took}, minRise)
	return reason != "" && h.PauseReason(journal.During) == ""
}

// underLoad reports whether the load ran while a fault was live: a request was due then, or was in flight at the
// injection. Slices restart at each injection and healing, so that the slices of different faults are distinct
// even if one fault follows another immediately.
func underLoad(h *journal.History, in *journal.Injection) bool {
	to := in.Ended
	if to == 0 {
		to = h.Ended
	}
	return slices.ContainsFunc(h.Samples, func(s journal.Sample) bool {
		switch s.Window {
		case journal.During, journal.AtHealing:
			return s.Sent+s.OneWay > 0 && s.From >= in.Injected && s.From < to
		case journal.AtInjection: // of the fault that was injected next
			return s.Sent+s.OneWay > 0 && s.From < in.Injected && !slices.ContainsFunc(h.Faults, func(o *journal.Injection) bool {
				return o.Injected > s.From && o.Injected < in.Injected
			})
		}
		return false
	})
}

func (FaultsActed) String() string { return "every fault acted on its target" }

// Healed passes if every injection was healed in time and without an error.
type Healed struct{}

// Judge implements Check.
func (Healed) Judge(h *journal.History) Verdict {
	const expected = "every fault was healed"
	if len(h.Phases) == 0 {
		return inconclusive(expected, "", codes.Unfinished, "the scenario did not run")
	}
	for _, in := range h.Faults {
		switch {
		case in.Healed == 0:
			return inconclusive(expected, "", codes.FaultNotHealed, "%s was never healed", in.Sentence)
		case in.Error != "":
			return inconclusive(expected, "", codes.FaultNotHealed, "healing %s: %s", in.Sentence, in.Error)
		case in.Requested > 0 && in.Ended-in.Live > in.Requested+max(in.Requested/4, time.Second):
			return inconclusive(expected, "", codes.FaultNotHealed, "%s was live for %s instead of %s: the runner could not heal it in time", in.Sentence, duration(in.Ended-in.Live), Duration(in.Requested))
		}
	}
	return Verdict{Outcome: Passed, Observed: fmt.Sprintf("%d of %d", len(h.Faults), len(h.Faults)), Expected: expected, Evidence: seqs(h, "fault")}
}

func (Healed) String() string { return "every fault was healed" }

// Kind implements Check.
func (FaultsActed) Kind() Kind {
	return implied("faults acted", "every fault met calls or connections that the load caused")
}

// Kind implements Check.
func (Healed) Kind() Kind { return implied("healed", "every fault was healed, and in time") }
