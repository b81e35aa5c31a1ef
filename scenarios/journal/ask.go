package journal

import (
	"cmp"
	"maps"
	"slices"
	"sort"
	"time"
)

// Totals is a sum of samples.
type Totals struct {
	Sent, Unsent, OK, Fallback, Refused, Failed, Ambiguous, Attempts, Wire, GaveUp int

	// For the fault window only: requests that were in flight when healing began, and succeeded after it.
	Unanswered int // had already waited much longer than any successful request needed; included in Sent, not a success
	Apart      int // all others: their outcome without healing is not known, and no other field includes them

	// Paused is the number of requests that overlap a pause of the runner. The runner may have caused their outcome, and
	// no other field includes them.
	Paused int

	// For Unanswered: the shortest and the longest wait when healing began, and how long the slowest success of these
	// routes takes otherwise.
	UnansweredFrom, UnansweredTo, Usual time.Duration

	Errors        map[string]int
	Latency, Good []Bucket
	FirstBad      time.Duration // due time of the first request that was neither OK nor Fallback; 0: none
	Seqs          []uint64

	// Waits is a histogram of how long the requests of Apart had waited when healing began: the least time they take.
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
	bad := subtract(x.Latency, x.Good)
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
			t.Apart += int(b.N)
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
	t.Seqs = append(t.Seqs, x.Seqs...)
	if t.FirstBad == 0 || (x.FirstBad != 0 && x.FirstBad < t.FirstBad) {
		t.FirstBad = x.FirstBad
	}
}

// subtract returns the values of a histogram that are not in part, which must be a subset.
func subtract(all, part []Bucket) []Bucket {
	have := map[time.Duration]int64{}
	for _, b := range part {
		have[b.Up] += b.N
	}
	var rest []Bucket
	for _, b := range all {
		if n := b.N - have[b.Up]; n > 0 {
			rest = append(rest, Bucket{b.Up, n})
		}
	}
	return rest
}

// minInFlight is how long before healing a request must be due to have met the fault with certainty.
const minInFlight = 100 * time.Millisecond

// MetFault reports whether a keyed request was due while a fault was live, and either ended then or had been in
// flight for a while when healing began. Requests that the fault held back are acknowledged after healing.
func (h *History) MetFault(r Request) bool {
	return r.Window == During || r.Window == AtHealing && slices.ContainsFunc(h.Faults, func(in *Injection) bool {
		return r.Due >= max(in.Injected, in.Live) && r.Due <= in.Ended-minInFlight
	})
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
	for i, s := range h.Samples {
		if !keep(s) {
			continue
		}
		t.Sent += s.Sent
		t.Unsent += s.Unsent
		t.OK += s.OK
		t.Fallback += s.Fallback
		t.Refused += s.Refused
		t.Failed += s.Failed
		t.Ambiguous += s.Ambiguous
		t.Attempts += s.Attempts
		t.Wire += s.Wire
		t.GaveUp += s.GaveUp
		for kind, n := range s.Errors {
			t.Errors[kind] += n
		}
		latency, good, waited = append(latency, s.Latency), append(good, s.Good), append(waited, s.Waited)
		if s.FirstBad != 0 && (t.FirstBad == 0 || s.FirstBad < t.FirstBad) {
			t.FirstBad = s.FirstBad
		}
		if seqs := h.Seqs["sample"]; i < len(seqs) {
			t.Seqs = append(t.Seqs, seqs[i])
		}
	}
	t.Latency, t.Good, t.waited = Merge(latency...), Merge(good...), Merge(waited...)
	return t
}

func inWindow(got, asked Window) bool { return got == asked || (asked == "" && got != Warmup) }

// CallsTotal sums the calls of the links selected by keep. During includes the calls in flight when a fault was
// injected or healed: how long callers wait for them is an effect of the fault.
func (h *History) CallsTotal(w Window, keep func(link string) bool) Calls {
	var sum Calls
	var all [][]Bucket
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
		all = append(all, c.Duration)
	}
	sum.Duration = Merge(all...)
	return sum
}

// FaultSpan returns the requested outage: the time from the first injection to the beginning of the last healing,
// or to the end if a fault was never healed. It does not include the time that healing takes, such as the start of
// a service. ok is false if there were no injections.
func (h *History) FaultSpan() (from, to time.Duration, ok bool) {
	for i, in := range h.Faults {
		healed := in.Healed
		switch {
		case in.Healed == 0:
			healed = h.Ended
		case in.Ended != 0:
			healed = in.Ended
		}
		if i == 0 || in.Injected < from {
			from = in.Injected
		}
		to = max(to, healed)
	}
	return from, to, len(h.Faults) > 0
}

// Met returns how many of the affected units the load caused, as far as that is known.
func (in *Injection) Met() int64 { return max(0, in.Affected-in.Background) }

// Wholes returns the faults in order of injection, with the links of a partition combined. Injected, Healed and
// the counters cover all parts, and the other fields are those of the first part.
func (h *History) Wholes() []*Injection {
	var all []*Injection
	by := map[string]*Injection{}
	for _, in := range h.Faults {
		id := Whole(in.ID)
		if id == in.ID {
			all = append(all, in)
			continue
		}
		w := by[id]
		if w == nil {
			first := *in
			by[id] = &first
			all = append(all, &first)
			continue
		}
		w.Injected = min(w.Injected, in.Injected)
		if w.Healed > 0 && in.Healed > 0 {
			w.Healed = max(w.Healed, in.Healed)
		} else {
			w.Healed = 0
		}
		w.Shared = (w.Shared || w.Met() == 0) && (in.Shared || in.Met() == 0)
		w.Seen += in.Seen
		w.Affected += in.Affected
		w.Background += in.Background
		w.Idle += in.Idle
		w.Collateral += in.Collateral
		w.Broken += in.Broken
	}
	return all
}

// Phase returns the first phase with a name.
func (h *History) Phase(name string) (Span, bool) {
	for _, p := range h.Phases {
		if p.Name == name {
			return p, true
		}
	}
	return Span{}, false
}

// Merge adds histograms.
func Merge(all ...[]Bucket) []Bucket {
	counts := map[time.Duration]int64{}
	for _, buckets := range all {
		for _, b := range buckets {
			counts[b.Up] += b.N
		}
	}
	merged := make([]Bucket, 0, len(counts))
	for up, n := range counts {
		merged = append(merged, Bucket{up, n})
	}
	slices.SortFunc(merged, func(a, b Bucket) int { return cmp.Compare(a.Up, b.Up) })
	return merged
}

// Count returns the number of values in a histogram.
func Count(buckets []Bucket) int64 {
	var n int64
	for _, b := range buckets {
		n += b.N
	}
	return n
}

// Quantile returns the smallest bucket bound at or below which at least percent of the values lie (nearest rank).
// It is 0 for an empty histogram.
func Quantile(buckets []Bucket, percent float64) time.Duration {
	total := Count(buckets)
	rank := percent / 100 * float64(total)
	var seen int64
	for _, b := range buckets {
		seen += b.N
		if float64(seen) >= rank-1e-9 {
			return b.Up
		}
	}
	return 0
}

// sortWith sorts items by time and name, and applies the same permutation to seqs.
func sortWith[T any](items []T, seqs []uint64, key func(T) (time.Duration, string)) {
	sort.Stable(parallelSlices[T]{items, seqs, key})
}

type parallelSlices[T any] struct {
	items []T
	seqs  []uint64
	key   func(T) (time.Duration, string)
}

func (t parallelSlices[T]) Len() int { return len(t.items) }
func (t parallelSlices[T]) Less(i, j int) bool {
	a, nameA := t.key(t.items[i])
	b, nameB := t.key(t.items[j])
	return a < b || (a == b && nameA < nameB)
}
func (t parallelSlices[T]) Swap(i, j int) {
	t.items[i], t.items[j] = t.items[j], t.items[i]
	if len(t.seqs) == len(t.items) {
		t.seqs[i], t.seqs[j] = t.seqs[j], t.seqs[i]
	}
}
