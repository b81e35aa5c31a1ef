package journal

import (
	"maps"
	"slices"
	"time"
)

// Totals is a sum of samples.
type Totals struct {
	Sent, OneWay, Unsent, OK, Fallback, Refused, Failed, Ambiguous, Attempts, Hedges, GaveUp int

	// For the fault window only: requests that were in flight when healing began, and succeeded after it.
	Unanswered int // had already waited much longer than any successful request needed; included in Sent, not a success
	InFlight   int // all others: their outcome without healing is not known, and no other field includes them

	// Paused is the number of requests that overlap a pause of the runner. The runner may have caused their outcome, and
	// no other field includes them.
	Paused int

	// For Unanswered: the shortest and the longest wait when healing began, and how long the slowest success of these
	// routes takes otherwise.
	UnansweredFrom, UnansweredTo, Usual time.Duration

	Errors        map[string]int
	Latency, Good []Bucket
	FirstBad      time.Duration // due time of the first request that was neither OK nor Fallback; 0: none
	Rejections    []Rejection   // by status, ascending
	Seqs          []uint64

	// Waits is a histogram of how long the requests of InFlight had waited when healing began: the least time they take.
	Waits []Bucket

	waited []Bucket
}

// UnansweredAtHealing is the kind of error of the requests in Totals.Unanswered.
const UnansweredAtHealing = "not answered before healing"

// Total sums the samples of a window and a route. The empty window means all but the warm-up, the empty route
// means all routes.
//
// During covers the requests that were due while a fault was live, in their state when healing began. Those that
// had ended count with their outcome, and so do those that failed later. Those that were still in flight and were
// answered later prove nothing, since healing may have helped them. They count as unanswered if they had waited
// three times as long as the slowest success of their route, and a second more (see slowestSuccess). Otherwise
// they are counted separately, like the requests in flight when the fault was injected.
func (h *History) Total(w Window, route string) Totals {
	of := func(s Sample) bool { return !s.Paused && (route == "" || s.Route == route) }
	t := h.Sum(func(s Sample) bool { return of(s) && inWindow(s.Window, w) })
	if w == During {
		for _, r := range h.routes(AtHealing) {
			usual, known := h.slowestSuccess(r)
			t.addInFlight(h.Sum(func(s Sample) bool { return of(s) && s.Route == r && s.Window == AtHealing }), usual, known)
		}
	}
	for _, s := range h.Samples {
		if s.Paused && (route == "" || s.Route == route) && (inWindow(s.Window, w) || w == During && s.Window == AtHealing) {
			t.Paused += s.Sent
		}
	}
	return t
}

// minSuccesses is how many successes are needed to know how long one may take.
const minSuccesses = 20

// routes returns the routes that have samples in a window, sorted.
func (h *History) routes(w Window) []string {
	routes := map[string]bool{}
	for _, s := range h.Samples {
		if s.Window == w {
			routes[s.Route] = true
		}
	}
	return slices.Sorted(maps.Keys(routes))
}

// slowestSuccess returns how long the slowest success of a route takes, in the baseline and during the faults;
// known is false if there are fewer than 20. Successes that outlast the baseline are in neither window. For those
// in flight at the first injection, the time that they had waited by then is included. The time after it is not,
// since the fault may have delayed them.
func (h *History) slowestSuccess(route string) (slowest time.Duration, known bool) {
	of := func(s Sample) bool { return s.Route == route && !s.Paused }
	good := h.Sum(func(s Sample) bool { return of(s) && (s.Window == Before || s.Window == During) }).Good
	slowest = Quantile(good, 100)
	injected, _, _ := h.FaultSpan()
	for _, s := range h.Samples {
		if of(s) && s.Window == AtInjection && len(s.Good) > 0 {
			slowest = max(slowest, injected-s.To) // it was due before s.To
		}
	}
	return slowest, Count(good) >= minSuccesses
}

// addInFlight adds the requests of a route that were in flight when healing began. usual is how long the slowest
// success of the route takes, if that is known.
func (t *Totals) addInFlight(x Totals, usual time.Duration, known bool) {
	if x.Sent == 0 {
		return
	}
	most := time.Duration(1<<63 - 1)
	if known {
		most = 3*usual + time.Second
	}
	bad := Subtract(x.Latency, x.Good)
	t.Sent += x.Refused + x.Failed + x.Ambiguous
	t.Refused, t.Failed, t.Ambiguous = t.Refused+x.Refused, t.Failed+x.Failed, t.Ambiguous+x.Ambiguous
	for kind, n := range x.Errors {
		t.Errors[kind] += n
	}
	var late []Bucket
	for _, b := range x.waited {
		if b.Up > most {
			late = append(late, b)
		} else {
			t.InFlight += int(b.N)
			t.Waits = append(t.Waits, b)
		}
	}
	if n := int(Count(late)); n > 0 {
		if t.Unanswered == 0 || late[0].Up < t.UnansweredFrom {
			t.UnansweredFrom = late[0].Up
		}
		t.UnansweredTo, t.Usual = max(t.UnansweredTo, late[len(late)-1].Up), max(t.Usual, usual)
		t.Unanswered += n
		t.Sent += n
		t.Errors[UnansweredAtHealing] += n
	}
	t.Latency = Merge(t.Latency, bad, late)
	t.Rejections = mergeRejections(t.Rejections, x.Rejections)
	t.Seqs = append(t.Seqs, x.Seqs...)
	if t.FirstBad == 0 || (x.FirstBad != 0 && x.FirstBad < t.FirstBad) {
		t.FirstBad = x.FirstBad
	}
}

// Good returns how many of the requests succeeded, by the scenario's definition: those that got the expected
// answer, and fallbacks if they are defined as successes.
func (h *History) Good(t Totals) int {
	if h.FallbackIsSuccess {
		return t.OK + t.Fallback
	}
	return t.OK
}

// Sum sums the samples selected by keep.
func (h *History) Sum(keep func(Sample) bool) Totals {
	t := Totals{Errors: map[string]int{}}
	var latency, good, waited [][]Bucket
	var rejections [][]Rejection
	for i, s := range h.Samples {
		if !keep(s) {
			continue
		}
		t.Sent += s.Sent
		t.OneWay += s.OneWay
		t.Unsent += s.Unsent
		t.OK += s.OK
		t.Fallback += s.Fallback
		t.Refused += s.Refused
		t.Failed += s.Failed
		t.Ambiguous += s.Ambiguous
		t.Attempts += s.Attempts
		t.Hedges += s.Hedges
		t.GaveUp += s.GaveUp
		for kind, n := range s.Errors {
			t.Errors[kind] += n
		}
		latency, good, waited = append(latency, s.Latency), append(good, s.Good), append(waited, s.Waited)
		rejections = append(rejections, s.Rejections)
		if s.FirstBad != 0 && (t.FirstBad == 0 || s.FirstBad < t.FirstBad) {
			t.FirstBad = s.FirstBad
		}
		if seqs := h.Seqs["sample"]; i < len(seqs) {
			t.Seqs = append(t.Seqs, seqs[i])
		}
	}
	t.Latency, t.Good, t.waited = Merge(latency...), Merge(good...), Merge(waited...)
	t.Rejections = mergeRejections(rejections...)
	return t
}

// mergeRejections adds the rejections of several samples.
func mergeRejections(all ...[]Rejection) []Rejection {
	sums := map[int]Rejection{}
	for _, r := range slices.Concat(all...) {
		sum := sums[r.Status]
		sums[r.Status] = Rejection{Status: r.Status, RetryAfter: sum.RetryAfter + r.RetryAfter, Took: Merge(sum.Took, r.Took)}
	}
	var merged []Rejection
	for _, status := range slices.Sorted(maps.Keys(sums)) {
		merged = append(merged, sums[status])
	}
	return merged
}

// CallsTotal sums the calls of the links selected by keep. During includes the calls in flight when a fault was
// injected or healed: how long callers wait for them is an effect of the fault.
func (h *History) CallsTotal(w Window, keep func(link string) bool) Calls {
	var sum Calls
	var all, shared [][]Bucket
	for _, c := range h.Calls {
		if !keep(c.Link) || !(inWindow(c.Window, w) || w == During && (c.Window == AtInjection || c.Window == AtHealing)) {
			continue
		}
		sum.Calls += c.Calls
		sum.Affected += c.Affected
		sum.GaveUp += c.GaveUp
		sum.Failed += c.Failed
		sum.Arrived += c.Arrived
		sum.Refused += c.Refused
		all, shared = append(all, c.Duration), append(shared, c.Shared)
	}
	sum.Duration, sum.Shared = Merge(all...), Merge(shared...)
	return sum
}
