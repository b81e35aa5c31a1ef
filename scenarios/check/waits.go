package check

import (
	"math"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// inFlight returns why the requests in flight at healing leave open whether a percentile is within a limit, or ""
// if they do not. They would have taken longer than they had waited. How much longer is estimated from the
// requests that ended. If hardly any of those waited as long, nothing is known about them; if the wait is short
// compared with what others took, they are like the others.
func inFlight(t journal.Totals, percentile float64, limit time.Duration) codes.Message {
	if len(t.Waits) == 0 || censored(t.Latency, t.Waits, percentile) <= limit {
		return codes.Message{}
	}
	return codes.TooShort.Msgf("%s requests were in flight when the fault was healed and had waited for up to %s: without healing, p%v might have been above %s. A longer fault would show it",
		Count(t.InFlight), duration(journal.Quantile(t.Waits, 100)), percentile, duration(limit))
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

// limitUnreachable returns why no request could exceed a limit on its time, or "" if one could. There are two
// reasons: clients give up before the limit, or the effect of all faults is that something waits, and healing
// ended every wait before the limit. slowest is the longest time that a request took: one that is clearly longer
// than the fault waited for something else, such as a backlog.
func limitUnreachable(h *journal.History, w journal.Window, limit, slowest time.Duration) codes.Message {
	if l := h.Load; l != nil && l.Patience > 0 && limit >= l.Patience {
		return codes.NotExercised.Msgf("no request could take %s: clients give up, so that none takes longer than %s", duration(limit), duration(l.Patience))
	}
	if w != journal.During && w != "" {
		return codes.Message{}
	}
	if held := held(h.Faults); held > 0 && limit >= held && slowest <= held+tolerance(held) {
		return codes.NotExercised.Msgf("the fault lasted %s, and healing it ended every wait, so that no request took longer; a fault that lasts longer than %s would test the limit", duration(held), duration(limit))
	}
	return codes.Message{}
}

// held returns for how long the faults could make something wait, if healing ends every wait. It returns 0 if
// there are none, or if one of them can make something wait after its healing. Faults that follow each other
// immediately make one wait.
func held(faults []*journal.Injection) time.Duration {
	var longest, from, to time.Duration
	for _, in := range faults { // sorted by time of injection
		if !in.Waits {
			return 0
		}
		end := in.Healed
		if in.Ended > 0 {
			end = in.Ended
		}
		if end == 0 { // never healed
			return 0
		}
		if to == 0 || in.Injected > to+maxGap {
			from, to = in.Injected, end
		}
		to = max(to, end)
		longest = max(longest, to-from)
	}
	return longest
}

// maxGap is the longest time between two faults that counts as immediate: steps follow each other that fast.
const maxGap = 100 * time.Millisecond
