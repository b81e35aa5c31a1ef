package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// loadCheck is a check of how the load fared under a fault. scope returns what it is about; an empty route means all
// routes.
type loadCheck interface {
	Check
	scope() (route string, w journal.Window)
}

// requireEvidence makes a verdict about a fault inconclusive that the requests do not support:
//
//   - The route, or the load with a name, hardly worked before the fault. The steady state covers all of them together,
//     which may hide that one does not work.
//   - A check of the whole run passed, but too few requests met a fault. Those before and after it outnumber them.
func requireEvidence(c loadCheck, h *journal.History, v Verdict) Verdict {
	route, w := c.scope()
	if len(h.Faults) == 0 || w == journal.Before || v.Outcome == Inconclusive {
		return v
	}
	doubt := codes.BaselineUnsteady.Message(failedBefore(h, route))
	if met := metFault(h, route); doubt.None() && w == "" && v.Outcome == Passed && h.Load != nil && met < minRequests {
		doubt = codes.TooFewRequests.Msgf("only %s request%s%s met a fault, and the others do not show its effect: at least %d are needed", Count(met), plural(met), of(route), minRequests)
	}
	if doubt.None() {
		return v
	}
	return v.doubted(doubt)
}

// failedBefore returns why later results of a route cannot be compared with its baseline, or "" if most of its
// baseline got the expected answer. Fallbacks do not count: a route that fell back before the fault shows nothing
// about it.
func failedBefore(h *journal.History, route string) string {
	if route == "" && len(h.LoadNames) != 1 {
		return "" // see BaselineSteady
	}
	b := h.Total(journal.Before, route)
	if 2*b.OK >= b.Sent {
		return ""
	}
	reason := fmt.Sprintf("before the fault only %s of the requests%s got the expected answer", ratio(b.OK, b.Sent), of(route))
	if b.Fallback > 0 {
		reason += fmt.Sprintf(", and %s a fallback", Count(b.Fallback))
	}
	return reason + because(b.Errors) + ": later results do not show the effect of the fault" + unexpected(h)
}

// minExposure is the least time after its injection in which requests count as having met a fault. A fault that
// resets connections ends at once.
const minExposure = time.Second

// metFault counts the requests that were due or in flight while a fault was live, or due up to minExposure after its
// injection.
func metFault(h *journal.History, route string) int {
	return h.Sum(func(s journal.Sample) bool {
		return !s.Paused && (route == "" || s.Route == route) && (s.Window == journal.AtInjection || slices.ContainsFunc(h.Faults, func(in *journal.Injection) bool {
			to := max(cmp.Or(in.Ended, in.Healed, h.Ended), in.Injected+minExposure)
			return s.From >= in.Injected && s.From < to
		}))
	}).Sent
}
