package journal

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// Totals sums samples.
type Totals struct {
	Sent, Unsent, OK, Fallback, Refused, Failed, Ambiguous, Attempts, Wire int
	Errors                                                                 map[string]int
	Latency, Good                                                          []Bucket
	Span                                                                   time.Duration // sum of the slices' lengths, each slice counted once
	Seqs                                                                   []uint64
}

// Total sums the samples of a window and a route; the empty window means all but the warm-up, the empty route means all routes.
func (h *History) Total(w Window, route string) Totals {
	return h.Sum(func(s Sample) bool { return inWindow(s.Window, w) && (route == "" || s.Route == route) })
}

// Sum sums the samples that keep picks.
func (h *History) Sum(keep func(Sample) bool) Totals {
	t := Totals{Errors: map[string]int{}}
	var latency, good [][]Bucket
	slices := map[time.Duration]time.Duration{}
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
		for kind, n := range s.Errors {
			t.Errors[kind] += n
		}
		latency, good = append(latency, s.Latency), append(good, s.Good)
		slices[s.From] = s.To - s.From
		if seqs := h.Seqs["sample"]; i < len(seqs) {
			t.Seqs = append(t.Seqs, seqs[i])
		}
	}
	for _, d := range slices {
		t.Span += d
	}
	t.Latency, t.Good = Merge(latency...), Merge(good...)
	return t
}

func inWindow(got, asked Window) bool { return got == asked || (asked == "" && got != Warmup) }

// CallsTotal sums calls of the links that keep picks, in a window as in Total.
func (h *History) CallsTotal(w Window, keep func(link string) bool) Calls {
	var sum Calls
	var all [][]Bucket
	for _, c := range h.Calls {
		if !inWindow(c.Window, w) || !keep(c.Link) {
			continue
		}
		sum.Calls += c.Calls
		sum.Affected += c.Affected
		sum.GaveUp += c.GaveUp
		all = append(all, c.Duration)
	}
	sum.Duration = Merge(all...)
	return sum
}

// FaultSpan is the time from the first injection to the last heal (or the end, where one was never healed); ok is false without injections.
func (h *History) FaultSpan() (from, to time.Duration, ok bool) {
	for i, in := range h.Faults {
		healed := in.Healed
		if healed == 0 {
			healed = h.Ended
		}
		if i == 0 || in.Injected < from {
			from = in.Injected
		}
		to = max(to, healed)
	}
	return from, to, len(h.Faults) > 0
}

// Wholes lists the faults in order of injection, the links of a partition put together: Injected, Healed, Seen and Affected are of all parts, the rest is the
// first one's.
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
		w.Seen += in.Seen
		w.Affected += in.Affected
	}
	return all
}

// Phase finds the first phase of a name.
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

// Count is the number of values in a histogram.
func Count(buckets []Bucket) int64 {
	var n int64
	for _, b := range buckets {
		n += b.N
	}
	return n
}

// Quantile is the smallest bucket bound below which at least percent of the values lie (nearest rank); 0 for an empty histogram.
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

// sortWith sorts items by time and name, and seqs along with them.
func sortWith[T any](items []T, seqs []uint64, key func(T) (time.Duration, string)) {
	sort.Stable(together[T]{items, seqs, key})
}

type together[T any] struct {
	items []T
	seqs  []uint64
	key   func(T) (time.Duration, string)
}

func (t together[T]) Len() int { return len(t.items) }
func (t together[T]) Less(i, j int) bool {
	a, nameA := t.key(t.items[i])
	b, nameB := t.key(t.items[j])
	return a < b || (a == b && nameA < nameB)
}
func (t together[T]) Swap(i, j int) {
	t.items[i], t.items[j] = t.items[j], t.items[i]
	if len(t.seqs) == len(t.items) {
		t.seqs[i], t.seqs[j] = t.seqs[j], t.seqs[i]
	}
}
