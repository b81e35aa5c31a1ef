package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// The outcomes of a Recovery.
const (
	Recovered    = "recovered"     // steady until the end of what was watched, for five complete seconds at least
	NotRecovered = "not recovered" // within what was watched
	NotKnown     = "not known"     // too little was watched, or what was seen may be chance
)

// Recovery states whether, and after what time, a system was steady again when a fault had been healed. It is judged from
// all requests together by the steady state of the baseline, as Recovers does for a route, and is no verdict.
type Recovery struct {
	Fault   string        `json:"fault"`            // its sentence
	Outcome string        `json:"outcome"`          // Recovered, NotRecovered or NotKnown
	Took    time.Duration `json:"took"`             // if it recovered: from Since to the first steady second
	Since   time.Duration `json:"since"`            // when healing of the last of the faults that were live together began
	Watched int           `json:"watched"`          // complete seconds with requests after Since, until the next fault
	Reason  string        `json:"reason,omitempty"` // why it did not recover, or why that is not known
	Shared  bool          `json:"shared,omitempty"` // other faults were live together with it
	Steady  string        `json:"steady,omitempty"` // the steady state; "" without a baseline
}

// outage is the time in which faults were live without a pause.
type outage struct {
	from, to time.Duration // to is when the last healing began
	faults   int
}

// outages returns the outages in order of time.
func outages(h *journal.History) (all []outage) {
	for _, in := range h.CombinedFaults() {
		to := h.Ended
		if in.Healed > 0 {
			to = cmp.Or(in.Ended, in.Healed)
		}
		all = append(all, outage{in.Injected, to, 1})
	}
	slices.SortStableFunc(all, func(a, b outage) int { return cmp.Compare(a.from, b.from) })
	var merged []outage
	for _, o := range all {
		if n := len(merged); n > 0 && o.from <= merged[n-1].to {
			last := &merged[n-1]
			last.to, last.faults = max(last.to, o.to), last.faults+1
			continue
		}
		merged = append(merged, o)
	}
	return merged
}

// Recoveries returns the recovery from each fault, in the order in which they were injected. Faults that were live together
// have one recovery, since it is not known from which of them the system recovers.
func Recoveries(h *journal.History) (all []Recovery) {
	outages := outages(h)
	of := make([]Recovery, len(outages))
	for i, o := range outages {
		next := time.Duration(0)
		if i+1 < len(outages) {
			next = outages[i+1].from
		}
		of[i] = recoveryOf(h, o, next)
	}
	for _, in := range h.CombinedFaults() {
		i := slices.IndexFunc(outages, func(o outage) bool { return o.from <= in.Injected && in.Injected <= o.to })
		r := of[i]
		r.Fault = in.Sentence
		if in.Healed == 0 {
			r.Outcome, r.Took, r.Reason = NotKnown, 0, "the fault was never healed"
		}
		all = append(all, r)
	}
	return all
}

// recoveryOf judges the recovery from an outage. next is when the next one begins, or 0.
func recoveryOf(h *journal.History, o outage, next time.Duration) Recovery {
	out := Recovery{Outcome: NotKnown, Since: o.to, Shared: o.faults > 1}
	base := h.Total(journal.Before, "")
	if base.Sent == 0 {
		out.Reason = "no request was due before the fault: there is no baseline to return to"
		return out
	}
	steady := steadyState(h, "", nil, base)
	out.Steady = describeSteady(steady)
	w, until := journal.After, "the end of the load"
	if next > 0 {
		w, until = journal.Between, "the next fault"
	}
	all := slices.DeleteFunc(seconds(h, "", w, o.to), func(s slice) bool {
		return s.totals.Sent == 0 || next > 0 && s.from+time.Second > next+time.Millisecond
	})
	out.Watched = len(all)
	r := recovery(h, all, o.to, time.Hour, steady)
	switch {
	case r.unclear:
		out.Reason = r.detail + ": that may be chance, or a single disturbance of a steady system"
	case r.found && r.sent < minRequests:
		out.Reason = fmt.Sprintf("the steady seconds held only %s request%s: at least %d are needed", Count(r.sent), plural(r.sent), minRequests)
	case r.found:
		out.Outcome, out.Took = Recovered, r.took
	case len(all) < minSteady:
		out.Reason = fmt.Sprintf("%d complete second%s with requests %s watched before %s, and at least %d are needed", len(all), plural(len(all)), map[bool]string{true: "was", false: "were"}[len(all) == 1], until, minSteady)
	default:
		out.Outcome, out.Reason = NotRecovered, r.detail
	}
	return out
}

func describeSteady(steady []Steady) string {
	var parts []string
	for _, s := range steady {
		text := s.limit()
		if !s.latency() {
			text = s.Measure + " " + text
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}
