package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// A limit that nothing could have exceeded proves nothing. The functions in this file find such limits on the time of
// requests and on the calls that a service receives.

// limitUnreachable returns why no request could exceed a limit on its time, or "" if one could. There are two
// reasons: clients give up before the limit, or the effect of all faults is that something waits, and healing
// ended every wait before the limit. slowest is the longest time that a request took: one that is clearly longer
// than the fault waited for something else, such as a backlog.
func limitUnreachable(h *journal.History, w journal.Window, limit, slowest time.Duration) string {
	if l := h.Load; l != nil && l.Patience > 0 && limit >= l.Patience {
		return fmt.Sprintf("no request could take %s: clients give up, and none takes longer than %s", duration(limit), duration(l.Patience))
	}
	if w != journal.During && w != "" {
		return ""
	}
	if held := held(h.Faults); held > 0 && limit >= held && slowest <= held+tolerance(held) {
		return fmt.Sprintf("the fault lasted %s, and healing it ended every wait, so that no request took longer; a fault that lasts longer than %s would put this to the test", duration(held), duration(limit))
	}
	return ""
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

// Provoking is how much longer than usual something must wait for a caller to consider it lost and retry.
// Time-outs of callers within a data center are rarely shorter.
const Provoking = 100 * time.Millisecond

// Harmless lists the kinds of faults that neither make calls fail nor delay anything for long, so that callers do
// not notice them.
var Harmless = []string{"twice", "messages twice", "sliced traffic", "late close"}

// provoked reports whether anything gave callers of a service a reason to make more calls during the faults:
//
//   - a call of it failed, was given up on or waited clearly longer than usual,
//   - clients of the load got no answer or a fallback,
//   - a fault on the way to it made calls fail or held them back,
//   - a fault acted elsewhere, such as on a cache whose misses cause calls.
func provoked(h *journal.History, to string) bool {
	into := func(link string) bool { return strings.HasSuffix(link, " -> "+to) }
	if slices.ContainsFunc(h.Faults, func(in *journal.Injection) bool {
		return in.Affected > 0 && (in.On != to && !into(in.On) || provokes(in))
	}) {
		return true
	}
	usual := h.CallsTotal(journal.Before, into)
	for _, w := range []journal.Window{journal.During, journal.Between, journal.After} {
		c := h.CallsTotal(w, into)
		if c.Failed+c.GaveUp+c.Refused > 0 || journal.Quantile(c.Duration, 99) >= journal.Quantile(usual.Duration, 99)+Provoking {
			return true
		}
	}
	before := h.Total(journal.Before, "")
	since := h.Sum(func(s journal.Sample) bool { return s.Window != journal.Before && s.Window != journal.Warmup })
	return since.Sent > since.OK+since.Fallback || since.Attempts > since.Sent || (since.Fallback > 0 && before.Fallback == 0) ||
		journal.Quantile(since.Latency, 99) >= journal.Quantile(before.Latency, 99)+Provoking
}

// provokes reports whether a fault makes calls fail or held them back for long.
func provokes(in *journal.Injection) bool {
	switch {
	case slices.Contains(Harmless, in.Kind):
		return false
	case in.Delayed > 0:
		return in.DelayMax >= Provoking
	case in.Waits:
		return in.Ended-in.Live >= Provoking
	}
	return true
}

// number formats a number as sentences do: 1.5, 300, 1000000.
func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
