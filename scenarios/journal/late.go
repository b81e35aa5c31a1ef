package journal

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Pause is a time in which the runner itself did not run: it was stopped, frozen, or without a CPU. The outcome of
// requests in flight during a pause does not reflect the system; see Sample.Paused.
type Pause struct {
	From time.Duration `json:"from"`
	To   time.Duration `json:"to"`
	Took time.Duration `json:"took"` // longer than To-From if the clock of the run stopped, too
}

// String describes the pause.
func (p Pause) String() string {
	return fmt.Sprintf("the runner was paused for %s from +%s", p.Took.Round(time.Millisecond), p.From.Round(time.Millisecond))
}

const (
	// LongPause is how long the runner may pause without affecting its measurements.
	LongPause = 100 * time.Millisecond
	// longSlip limits how late one request in a hundred may be sent. Above it, latencies, which are measured from
	// the due time, are those of the generator and not of the system.
	longSlip = 20 * time.Millisecond
	// maxCPU limits the share of all CPUs that the runner uses while users ask. Requests of users who do not think are
	// never late, so that it is not known whether their answers waited for a CPU.
	maxCPU = 0.8
)

// SlipEdges returns the upper bounds of the buckets of Sample.Slip.
func SlipEdges() []time.Duration {
	const ms = time.Millisecond
	return []time.Duration{ms / 10, ms / 5, ms / 2, ms, 2 * ms, 5 * ms, 10 * ms, longSlip, 50 * ms, LongPause, 200 * ms, 500 * ms, time.Second, 10 * time.Second, time.Minute, time.Hour}
}

// Late returns why latencies in a window may not be caused by the system alone: the generator sent requests late, or
// the runner paused. It returns "" if neither happened. Whether that can explain a verdict is another question; see
// WithoutLateness. During includes the requests in flight when a fault was injected or healed, since checks use those,
// too; see Total and CallsTotal.
func (h *History) Late(w Window) (reason string) {
	if reason := h.PauseReason(w); reason != "" {
		return reason
	}
	if p99 := Quantile(h.Slip(func(s Sample) bool { return inWindowOrEdge(s.Window, w) }), 99); p99 > longSlip {
		return fmt.Sprintf("the load generator was late: one request in a hundred was sent more than %s after it was due", longSlip)
	}
	return h.ShortOfCPU()
}

// Slip returns how late the requests of some samples were sent.
func (h *History) Slip(of func(Sample) bool) []Bucket {
	var all [][]Bucket
	for _, s := range h.Samples {
		if of(s) {
			all = append(all, s.Slip)
		}
	}
	return Merge(all...)
}

// ShortOfCPU returns why the lateness of closed loads is not known, or "" if it is.
func (h *History) ShortOfCPU() (reason string) {
	for _, l := range h.AllLoads() {
		if l.shortOfCPU() {
			return fmt.Sprintf("Firedrill used %.0f%% of this machine's CPU time, and at most %.0f%% is allowed: answers to users may have waited for it; let fewer users ask, or let them think", 100*l.CPU, 100*maxCPU)
		}
	}
	return ""
}

func (l Load) shortOfCPU() bool { return l.Shape == "closed" && l.CPU > maxCPU }

// WithoutLateness returns the history in which the latencies of some samples are as low as the lateness of their
// requests can explain. With times 1, each request may have taken less by how late it was sent. With times 2, its answer
// may also have been read that late, since both need the same CPUs. Which request was how late is not recorded: what
// remains are lower bounds of all order statistics. Where the lateness is not known, nothing remains.
func (h *History) WithoutLateness(times int64, of func(Sample) bool) *History {
	u := *h
	u.Samples = slices.Clone(h.Samples)
	unknown := map[string]bool{}
	for _, l := range h.AllLoads() {
		unknown[l.Name] = l.shortOfCPU()
	}
	for i := range u.Samples {
		if s := &u.Samples[i]; of(*s) {
			s.removeLateness(times, unknown[s.Load])
		}
	}
	return &u
}

// removeLateness lowers the latencies of a sample; see History.WithoutLateness.
func (s *Sample) removeLateness(times int64, unknown bool) {
	low := func(values []Bucket, times int64) []Bucket {
		switch {
		case unknown:
			return []Bucket{{leastLatency, Count(values)}}
		case len(s.Slip) == 0 || times == 0:
			return values
		}
		return leastValues(values, s.Slip, times)
	}
	if s.Window == AtHealing { // Good has to remain a part of Latency; see addInFlight
		bad := low(Subtract(s.Latency, s.Good), times)
		s.Good, s.Waited = low(s.Good, times), low(s.Waited, 1)
		s.Latency = Merge(s.Good, bad)
	} else {
		s.Latency = low(s.Latency, times)
	}
	s.Rejections = slices.Clone(s.Rejections)
	for i := range s.Rejections { // these are measured from when the attempt was sent
		s.Rejections[i].Took = low(s.Rejections[i].Took, times-1)
	}
	s.Slip = nil
}

// leastLatency is the lower bound of a latency that lateness can explain altogether.
const leastLatency = time.Microsecond

// leastValues returns lower bounds of the order statistics of values after delays are subtracted from them, each delay
// times as often. For any d, at most as many values as there are delays above d become shorter by more than d. The k-th
// smallest is therefore at least the (k-n)-th smallest value less d, where n is their number, for every d.
func leastValues(values, delays []Bucket, times int64) []Bucket {
	least := []Bucket{{leastLatency, Count(values)}}
	above := times * Count(delays)
	for _, d := range delays {
		above -= times * d.N
		least = higher(least, shifted(values, above, time.Duration(times)*d.Up))
	}
	return Merge(least)
}

// shifted returns the values less d, without the n largest, and n times leastLatency instead of these.
func shifted(values []Bucket, n int64, d time.Duration) []Bucket {
	left := Count(values) - n
	if left <= 0 {
		return []Bucket{{leastLatency, Count(values)}}
	}
	all := []Bucket{{leastLatency, n}}
	for _, b := range values {
		taken := min(b.N, left)
		all = append(all, Bucket{max(leastLatency, b.Up-d), taken})
		left -= taken
	}
	return all
}

// higher returns, for each rank, the larger one of two histograms with the same number of values. Both are ascending.
func higher(a, b []Bucket) []Bucket {
	var all []Bucket
	for i, j, usedA, usedB := 0, 0, int64(0), int64(0); i < len(a) && j < len(b); {
		n := min(a[i].N-usedA, b[j].N-usedB)
		if n > 0 {
			all = append(all, Bucket{max(a[i].Up, b[j].Up), n})
		}
		if usedA += n; usedA == a[i].N {
			i, usedA = i+1, 0
		}
		if usedB += n; usedB == b[j].N {
			j, usedB = j+1, 0
		}
	}
	return all
}

// PauseReason describes the first pause of the runner in a window, as defined for Late. It returns "" if there was
// none.
func (h *History) PauseReason(w Window) (reason string) {
	for _, s := range h.Samples {
		if !inWindowOrEdge(s.Window, w) {
			continue
		}
		for _, p := range h.Pauses {
			if s.From <= p.To && s.To >= p.From {
				return p.String()
			}
		}
		if s.Paused {
			return "the runner was paused while requests were in flight"
		}
	}
	return ""
}

// pauseEffect is how long before the first injection a pause may end and still influence the fault window. The
// effects of an earlier one show in the baseline, which is then not steady, or are over.
const pauseEffect = time.Second

// PauseBefore returns the first pause that may have influenced what happened in a window: one in the window, or
// one before it since the fault phase began. A pause can make services time out and open their circuit breakers,
// so that requests fail that were due long after it.
func (h *History) PauseBefore(w Window) (p Pause, ok bool) {
	baseline, _ := h.Phase("baseline")
	since := baseline.From
	if injected, _, faults := h.FaultSpan(); faults && w != Before {
		since = injected - pauseEffect
	}
	for _, p := range h.Pauses {
		if p.To >= since {
			return p, true
		}
	}
	return Pause{}, false
}

// WithPaused returns the history in which requests that overlap a pause of the runner count like all others, as far as
// they belong to some samples.
func (h *History) WithPaused(of func(Sample) bool) *History {
	u := *h
	u.Samples = slices.Clone(h.Samples)
	for i := range u.Samples {
		if of(u.Samples[i]) {
			u.Samples[i].Paused = false
		}
	}
	return &u
}

// Until returns the history with only the requests and calls of the load that had ended at t, and the answers to probes
// that had arrived. It is exact to slices: a slice that ends after t is left out. Faults, phases and all else are
// unchanged.
func (h *History) Until(t time.Duration) *History {
	u := *h
	u.Pauses, u.Samples, u.Calls, u.Seqs = nil, nil, nil, maps.Clone(h.Seqs)
	for _, p := range h.Pauses {
		if p.To < t {
			u.Pauses = append(u.Pauses, p)
		}
	}
	delete(u.Seqs, "observation")
	u.Observations = nil
	for i, o := range h.Observations {
		if o.Answered() > t {
			continue
		}
		u.Observations = append(u.Observations, o)
		if seqs := h.Seqs["observation"]; i < len(seqs) {
			u.Seqs["observation"] = append(u.Seqs["observation"], seqs[i])
		}
	}
	delete(u.Seqs, "sample")
	for i, s := range h.Samples {
		if s.To > t || s.Paused {
			continue
		}
		u.Samples = append(u.Samples, s)
		if seqs := h.Seqs["sample"]; i < len(seqs) {
			u.Seqs["sample"] = append(u.Seqs["sample"], seqs[i])
		}
	}
	delete(u.Seqs, "calls")
	for i, c := range h.Calls {
		if c.To > t {
			continue
		}
		longer := func(b Bucket) bool { return b.Up > t-c.To } // these may have ended after t
		c.Duration, c.Shared = slices.DeleteFunc(slices.Clone(c.Duration), longer), slices.DeleteFunc(slices.Clone(c.Shared), longer)
		u.Calls = append(u.Calls, c)
		if seqs := h.Seqs["calls"]; i < len(seqs) {
			u.Seqs["calls"] = append(u.Seqs["calls"], seqs[i])
		}
	}
	return &u
}
