package check

import (
	"fmt"
	"math"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// inFlight returns why the requests in flight at healing leave open whether a percentile is within a limit, or ""
// if they do not. They would have taken longer than they had waited. How much longer is estimated from the
// requests that ended. If hardly any of those waited as long, nothing is known about them; if the wait is short
// compared with what others took, they are like the others.
func inFlight(t journal.Totals, percentile float64, limit time.Duration) string {
	if len(t.Waits) == 0 || censored(t.Latency, t.Waits, percentile) <= limit {
		return ""
	}
	return fmt.Sprintf("%s requests were in flight when the fault was healed and had waited for up to %s: without healing, p%v might have been above %s. A longer fault would show it",
		Count(t.Apart), duration(journal.Quantile(t.Waits, 100)), percentile, duration(limit))
}

// censored returns a percentile of times of which some are only known to be longer than their waits, by the
// Kaplan-Meier estimate (Journal of the American Statistical Association 53, 1958). It returns the longest
// duration if too many waited longer than any that ended.
func censored(ended, waits []journal.Bucket, percentile float64) time.Duration {
	both := pair(ended, waits)
	longer, left := 1.0, both.m+both.n // the share that takes longer than Up, and how many are known to have taken at least that long
	for _, r := range both.rows {
		longer *= 1 - r.a/left
		left -= r.a + r.b
		if r.a > 0 && longer <= 1-percentile/100+1e-9 {
			return r.up
		}
	}
	return math.MaxInt64
}

// coldStart returns why a percentile of the baseline does not describe the system when the fault was injected: it
// was much lower at the end of the baseline, as after a cold start, and would hide a slowdown during the fault. It
// returns "" if it was not, or if the difference may be chance. BaselineSteady judges the opposite, a system that
// became slower.
func coldStart(h *journal.History, route string, percentile float64) string {
	from, _ := h.Phase("baseline")
	to, _, _ := h.FaultSpan()
	part := func(begin, end time.Duration) []journal.Bucket {
		return h.Sum(func(s journal.Sample) bool {
			return s.Window == journal.Before && !s.Paused && (route == "" || s.Route == route) && s.From >= begin && s.From < end
		}).Latency
	}
	all := journal.Quantile(part(0, to), percentile)
	for _, last := range []time.Duration{2, 4} {
		begin := to - (to-from.From)/last
		early, late := part(0, begin), part(begin, to)
		m, n := journal.Count(early), journal.Count(late)
		if m < minRequests || n < minRequests {
			continue
		}
		end := journal.Quantile(late, percentile)
		slow := func(part []journal.Bucket) (n float64) {
			for _, b := range part {
				if b.Up > farAbove(end) {
					n += float64(b.N)
				}
			}
			return n
		}
		if all > farAbove(end) && hypergeometricTail(slow(early), slow(early)+slow(late), float64(m), float64(m+n)) <= alphaColdStart {
			return fmt.Sprintf("the baseline was not steady: its p%v%s was %s, and %s at its end, so that the fault met a faster system than it is compared with. A longer baseline, or a wait before it, would help",
				percentile, of(route), duration(all), duration(end))
		}
	}
	return ""
}

// alphaColdStart is the significance level of coldStart.
const alphaColdStart = 0.001

// farAbove returns what the percentile of one part of the baseline must exceed to differ from that of another
// part, d. Smaller differences are caused by caches and compilers.
func farAbove(d time.Duration) time.Duration { return 2*d + 50*time.Millisecond }
