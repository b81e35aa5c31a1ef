package check

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// callSlice is a slice of time, of at most a second, with the calls that began on a link and the number that the
// requests due in it cause in the baseline. Failed dials of the dependency are calls, too.
type callSlice struct {
	from, to      time.Duration
	calls, normal float64
}

// callsPerRequest returns how many calls a request causes on a link in the baseline. It returns 0 and the reason if
// that is not known.
func callsPerRequest(h *journal.History, link string) (rate float64, reason string) {
	base := h.Total(journal.Before, "")
	normal := h.CallsTotal(journal.Before, func(l string) bool { return l == link })
	if base.Sent == 0 || normal.Calls+normal.Refused == 0 {
		return 0, fmt.Sprintf("there were %s calls from %s for %s requests in the baseline: nothing to compare with", Count(normal.Calls+normal.Refused), link, Count(base.Sent))
	}
	return float64(normal.Calls+normal.Refused) / float64(base.Sent), ""
}

// callSlices returns the slices of some windows that begin at since or later, in order. A slice without requests of
// the load is left out.
func callSlices(h *journal.History, link string, perRequest float64, since time.Duration, in func(journal.Window) bool) []callSlice {
	at := map[time.Duration]*callSlice{}
	for _, s := range h.Samples {
		if !in(s.Window) || s.From < since-time.Millisecond || s.Sent == 0 {
			continue
		}
		if at[s.From] == nil {
			at[s.From] = &callSlice{from: s.From}
		}
		at[s.From].to = max(at[s.From].to, s.To)
		at[s.From].normal += perRequest * float64(s.Sent)
	}
	for _, c := range h.Calls {
		if s := at[c.From]; s != nil && c.Link == link && in(c.Window) {
			s.calls += float64(c.Calls + c.Refused)
		}
	}
	all := make([]callSlice, 0, len(at))
	for _, s := range at {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b callSlice) int { return cmp.Compare(a.from, b.from) })
	return all
}

// sum adds slices.
func sum(all []callSlice) (s callSlice) {
	if len(all) == 0 {
		return s
	}
	s.from, s.to = all[0].from, all[len(all)-1].to
	for _, x := range all {
		s.calls, s.normal = s.calls+x.calls, s.normal+x.normal
	}
	return s
}

// describe describes slices: "3 calls in 8s, normal 400".
func (s callSlice) describe() string {
	return fmt.Sprintf("%.0f call%s in %s, normal %.0f", s.calls, plural(int(s.calls)), duration(s.to-s.from), s.normal)
}

// An open circuit breaker lets a few calls through to find out whether its dependency works again. In any time of
// probeTime, as many as one a second are probes, or probeShare of the normal calls if that is more.
const (
	probeTime  = 10 * time.Second
	probeShare = 0.05
)

// probing reports whether the calls of slices can be those of an open circuit breaker.
func (s callSlice) probing() bool {
	return s.calls <= max(math.Ceil((s.to-s.from).Seconds()-0.01), probeShare*s.normal)
}

// stopped returns from which slice on there are only probes until the end, and the last time in which there are more.
// Times of probeTime are judged and, of those that the end cuts short, the ones that begin with slice late or earlier.
func stopped(all []callSlice, late int) (from int, busy callSlice) {
	for i := range all {
		end := i
		for end < len(all) && all[end].to <= all[i].from+probeTime+time.Millisecond {
			end++
		}
		w := sum(all[i:end])
		if w.to < w.from+probeTime-time.Millisecond && i > late {
			break
		}
		if !w.probing() {
			from, busy = i+1, w
		}
	}
	return from, busy
}

// resumedShare is the share of the normal calls per request from which a caller has resumed.
const resumedShare = 0.8

// fell reports whether fewer calls were made than resumedShare of the normal ones, and chance alone would produce so
// few in fewer than one of a thousand cases.
func (s callSlice) fell() bool {
	least := resumedShare * s.normal
	return s.calls < least && poissonTailBelow(s.calls, least) < alphaFailed
}

// lastFall returns the last time in which the calls per request fell, and the first slice after it. Slices are judged
// together that hold about ten normal calls: fewer show nothing. It returns 0 if they never fell.
func lastFall(all []callSlice) (after int, low callSlice) {
	for i := 0; i < len(all); {
		end := i + 1
		for end < len(all) && sum(all[i:end]).normal < 10 {
			end++
		}
		if block := sum(all[i:end]); block.fell() {
			after, low = end, block
		}
		i = end
	}
	return after, low
}

// resumed returns from which slice on the calls per request are normal until the end, and the last time in which they
// are not. It returns len(all) if there is no such slice.
func resumed(all []callSlice) (from int, low callSlice) {
	from, low = lastFall(all)
	for ; from < len(all); from++ {
		rest := sum(all[from:])
		if rest.calls >= resumedShare*rest.normal {
			return from, low
		}
		low = rest
	}
	return from, low
}

// poissonTailBelow returns the probability of at most k events where mean are expected.
func poissonTailBelow(k, mean float64) (p float64) {
	if mean <= 0 {
		return 1
	}
	for i := 0.0; i <= k; i++ {
		p += math.Exp(i*math.Log(mean) - mean - logFactorial(i))
	}
	return min(1, p)
}

// separateWindows returns why a check of one outage cannot judge a scenario with several.
func separateWindows(h *journal.History) string {
	if slices.ContainsFunc(h.Samples, func(s journal.Sample) bool { return s.Window == journal.Between }) {
		return "there were faults one after the other, with a time between them: ask about each in a scenario of its own"
	}
	return ""
}

// unseenCalls returns why calls on a link cannot be observed during the faults, or "" if they can.
func unseenCalls(h *journal.History, from, to string) string {
	for _, in := range h.Faults {
		if in.On == from+" -> "+to && in.Unseen {
			return unseenStop(from, to, in.Sentence)
		}
	}
	return ""
}

func unseenStop(from, to, sentence string) string {
	return fmt.Sprintf("whether %q stops cannot be observed, since %s and its calls do not reach the link: let calls be answered with an error, or let %q hang or crash", from, sentence, to)
}
