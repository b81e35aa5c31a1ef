package check

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Success passes if at least Ratio of the requests succeed, by the scenario's definition of success.
type Success struct {
	Ratio  float64
	Route  string // "" means all routes
	Window journal.Window
}

// minRequests is how many requests a check of a share or a time needs to pass.
const minRequests = 20

// Judge implements Check. With fewer than 20 requests the check cannot pass. It still fails if a system that just
// meets Ratio would have so many failures in fewer than one of a thousand samples.
func (c Success) Judge(h *journal.History) Verdict {
	return requireEvidence(h, c.Route, c.Window, c.judge(h))
}

func (c Success) judge(h *journal.History) Verdict {
	expected := "at least " + percent(c.Ratio)
	t, v, ok := requests(h, c.Route, c.Window, expected)
	if !ok {
		return v
	}
	good := h.Good(t)
	v = Verdict{Observed: observed(good, t.Sent), Expected: expected, Window: c.Window, Evidence: first(t.Seqs)}
	if t.Apart > 0 {
		v.Observed += fmt.Sprintf("; %s more were in flight when it was healed and stand apart", Count(t.Apart))
	}
	meets := float64(good) >= c.Ratio*float64(t.Sent)-1e-9
	if t.Sent < minRequests && (meets || binomialTail(t.Sent-good, t.Sent, 1-c.Ratio) > 0.001) {
		v.Reason = tooFew(t, c.Route, c.Window, minRequests)
		return v
	}
	reason := fmt.Sprintf("%s of %s requests%s did not succeed%s", Count(t.Sent-good), Count(t.Sent), of(c.Route), when(c.Window))
	reason += because(t.Errors) + waited(t)
	if !h.FallbackIsSuccess && t.Fallback > 0 {
		reason += fmt.Sprintf("; %s were fallbacks, which count as success only where a sentence says so", Count(t.Fallback))
	}
	if t.FirstBad > 0 {
		reason += fmt.Sprintf("; the first was due at +%.2fs", t.FirstBad.Seconds())
	}
	return verdict(meets, v, "%s", reason+unexpected(h))
}

// waited describes how long the requests had waited that were not answered before healing: they may have succeeded
// after it.
func waited(t journal.Totals) string {
	if t.Unanswered == 0 {
		return ""
	}
	waits := duration(t.UnansweredTo)
	if least := duration(t.UnansweredFrom); least != waits {
		waits = least + " to " + waits
	}
	return fmt.Sprintf("; those not answered before healing had waited for %s by then, while the slowest success otherwise took %s", waits, duration(t.Usual))
}

// tooFew returns the reason of a check that has too few requests.
func tooFew(t journal.Totals, route string, w journal.Window, least int) string {
	s := fmt.Sprintf("%s request%s%s%s say too little: at least %s are needed", Count(t.Sent), plural(t.Sent), of(route), when(w), Count(least))
	if t.Apart > 0 {
		s += fmt.Sprintf("; %s more were in flight when the fault was healed: a fault that lasts longer than clients wait would show what they come to", Count(t.Apart))
	}
	return s
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// binomialTail returns the probability of at least k successes in n trials that each succeed with probability p.
func binomialTail(k, n int, p float64) float64 {
	if k <= 0 {
		return 1
	}
	lgamma := func(x float64) float64 { v, _ := math.Lgamma(x); return v }
	tail := 0.0
	for i := k; i <= n; i++ {
		choose := lgamma(float64(n+1)) - lgamma(float64(i+1)) - lgamma(float64(n-i+1))
		term := math.Exp(choose + float64(i)*math.Log(max(p, 1e-300)) + float64(n-i)*math.Log(max(1-p, 1e-300)))
		if tail += term; float64(i) > p*float64(n) && term < tail*1e-12 {
			break
		}
	}
	return tail
}

// String implements Check.
func (c Success) String() string {
	return "at least " + percent(c.Ratio) + " of " + quotedRoute(c.Route) + "requests succeed" + when(c.Window)
}

func quotedRoute(route string) string {
	if route == "" {
		return ""
	}
	return strconv.Quote(route) + " "
}

// Latency passes if the percentile is below Below or, if Times is set, within Times that of the baseline. The
// latency of a request is the time until its final outcome.
type Latency struct {
	Percentile float64 // 0..100
	Route      string
	Window     journal.Window
	Below      time.Duration
	Times      float64
}

// answered is the share of requests that must be answered as expected, fallbacks included, for latencies to be
// meaningful: a system that fails immediately is fast.
const answered = 0.9

// Judge implements Check. A percentile is meaningful only if enough requests lie above it: five are required, and
// 20 in total. That makes 100 requests for p95 and 5,000 for p99.9. The check passes only if at least 90% of the
// requests were answered as expected and a request could have exceeded the limit. Requests that were in flight
// when the fault was healed count with the time that they had waited, if that alone exceeds the limit. If the
// outcome depends on how much longer they would have taken, it is inconclusive.
func (c Latency) Judge(h *journal.History) Verdict {
	return requireEvidence(h, c.Route, c.Window, c.judge(h))
}

func (c Latency) judge(h *journal.History) Verdict {
	expected := "below " + Duration(c.Below)
	if c.Times > 0 {
		expected = fmt.Sprintf("within %s times the baseline", number(c.Times))
	}
	t, v, ok := requests(h, c.Route, c.Window, expected)
	known := journal.Merge(t.Latency, t.Waits)
	if q := journal.Quantile(known, c.Percentile); c.Times == 0 && len(t.Waits) > 0 && journal.Count(known) >= int64(c.least()) && q > c.Below {
		v = Verdict{Observed: "at least " + duration(q), Expected: expected, Window: c.Window, Evidence: first(t.Seqs)}
		if v.Reason = late(h, c.Window); v.Reason != "" {
			return v
		}
		return verdict(false, v, "p%v of %s requests%s was at least %s%s: %s of them were in flight when the fault was healed, and had waited for up to %s",
			c.Percentile, Count(journal.Count(known)), of(c.Route), duration(q), when(c.Window), Count(t.Apart), duration(journal.Quantile(t.Waits, 100)))
	}
	if !ok {
		return v
	}
	if least := c.least(); t.Sent < least {
		return inconclusive(expected, c.Window, "p%v: %s", c.Percentile, tooFew(t, c.Route, c.Window, least))
	}
	got := journal.Quantile(t.Latency, c.Percentile)
	v = Verdict{Observed: duration(got), Expected: expected, Window: c.Window, Evidence: first(t.Seqs)}
	if c.Times > 0 {
		return c.againstBaseline(h, t, v)
	}
	within := got < c.Below
	if within {
		if v.Reason = cmp.Or(mostlyFailed(t, c.Route, c.Window), inFlight(t, c.Percentile, c.Below)); v.Reason != "" {
			return v
		}
		if v.Reason = limitUnreachable(h, c.Window, c.Below, journal.Quantile(t.Latency, 100)); v.Reason != "" {
			return v
		}
	}
	if v.Reason = late(h, c.Window); v.Reason != "" {
		return v
	}
	return verdict(within, v, "p%v of %s requests%s was %s%s", c.Percentile, Count(t.Sent), of(c.Route), duration(got), when(c.Window))
}

// againstBaseline compares the percentile with that of the baseline.
func (c Latency) againstBaseline(h *journal.History, t journal.Totals, v Verdict) Verdict {
	before, during := latencies(h, c.Route, journal.Before, false), latencies(h, c.Route, c.Window, false)
	lateness := h.SlipP99(journal.Before, c.Window)
	got := CompareTimes(before, addRemainder(during, t.Latency), c.Percentile, c.Times, lateness)
	if len(t.Waits) > 0 && got.Outcome != Failed {
		if atLeast := CompareTimes(before, addRemainder(latencies(h, c.Route, c.Window, true), journal.Merge(t.Latency, t.Waits)), c.Percentile, c.Times, lateness); atLeast.Outcome == Failed {
			got = atLeast
		}
	}
	if got.Outcome == Passed {
		limit := timesAllowed(journal.Quantile(journal.Merge(before...), c.Percentile), c.Times)
		if reason := cmp.Or(inFlight(t, c.Percentile, limit), coldStart(h, c.Route, c.Percentile)); reason != "" {
			got = got.inconclusive("%s", reason)
		}
	}
	v.Observed, v.Reason = got.Observed, got.Reason
	for _, reason := range []string{mostlyFailed(t, c.Route, c.Window), late(h, journal.Before), late(h, c.Window)} {
		if reason != "" && !(got.Outcome == Failed && reason == mostlyFailed(t, c.Route, c.Window)) {
			v.Reason = reason
			return v
		}
	}
	if got.Outcome == Passed {
		if v.Reason = limitUnreachable(h, c.Window, timesAllowed(journal.Quantile(journal.Merge(before...), c.Percentile), c.Times), journal.Quantile(t.Latency, 100)); v.Reason != "" {
			return v
		}
	}
	v.Outcome = got.Outcome
	return v
}

// late returns why latencies in a window are not caused by the system alone, or "" if they are.
func late(h *journal.History, w journal.Window) string {
	if reason := h.Late(w); reason != "" {
		return "latencies" + when(w) + " say nothing: " + reason
	}
	return ""
}

// mostlyFailed returns why latencies prove nothing if too few requests were answered as expected; otherwise "".
func mostlyFailed(t journal.Totals, route string, w journal.Window) string {
	if float64(t.OK+t.Fallback) >= answered*float64(t.Sent) {
		return ""
	}
	return fmt.Sprintf("only %s of the requests%s were answered as expected%s, and how fast the others failed says nothing: at least %s are needed%s",
		observed(t.OK+t.Fallback, t.Sent), of(route), when(w), percent(answered), because(t.Errors)+waited(t))
}

func (c Latency) least() int {
	if c.Percentile >= 100 { // the slowest of all: nothing lies beyond it
		return 20
	}
	return max(20, int(math.Round(5/(1-c.Percentile/100))))
}

// String implements Check.
func (c Latency) String() string {
	s := fmt.Sprintf("the p%v latency ", c.Percentile)
	if c.Route != "" {
		s += "of " + quotedRoute(c.Route)
	}
	if c.Times > 0 {
		return s + fmt.Sprintf("stays within %s times the baseline", number(c.Times)) + when(c.Window)
	}
	return s + "stays below " + Duration(c.Below) + when(c.Window)
}

// Fallback passes if at least Ratio of the responses are fallbacks. It is inconclusive if a fault was injected and
// more than half of Ratio were fallbacks before it.
type Fallback struct {
	Ratio  float64
	Route  string
	Header string // "X-Degraded: true"
	Window journal.Window
}

// Judge implements Check.
func (c Fallback) Judge(h *journal.History) Verdict {
	return requireEvidence(h, c.Route, c.Window, c.judge(h))
}

func (c Fallback) judge(h *journal.History) Verdict {
	expected := "at least " + percent(c.Ratio) + " fallbacks"
	t, v, ok := requests(h, c.Route, c.Window, expected)
	if !ok {
		return v
	}
	v = Verdict{Observed: observed(t.Fallback, t.Sent), Expected: expected, Window: c.Window, Evidence: first(t.Seqs)}
	if t.Sent < minRequests {
		v.Reason = tooFew(t, c.Route, c.Window, minRequests)
		return v
	}
	if c.Window != journal.Before && len(h.Faults) > 0 {
		if b := h.Total(journal.Before, c.Route); float64(b.Fallback) > c.Ratio/2*float64(b.Sent) {
			v.Reason = fmt.Sprintf("%s of the responses%s were fallbacks before the fault, too: later ones prove nothing", observed(b.Fallback, b.Sent), of(c.Route))
			return v
		}
	}
	reason := fmt.Sprintf("only %s of %s responses%s carried %q", Count(t.Fallback), Count(t.Sent), of(c.Route), c.Header)
	if len(t.Errors) > 0 {
		reason += "; others failed: " + kinds(t.Errors)
	}
	return verdict(float64(t.Fallback) >= c.Ratio*float64(t.Sent)-1e-9, v, "%s", reason)
}

// String implements Check.
func (c Fallback) String() string {
	return fmt.Sprintf("at least %s of %sresponses are fallbacks, marked by header %q%s", percent(c.Ratio), quotedRoute(c.Route), c.Header, when(c.Window))
}

// NotAffected passes if the route does no worse during the fault than in the baseline, according to Compare. A
// fallback does not count as success here: a client that gets one is affected.
type NotAffected struct{ Route string }

// Judge implements Check.
func (c NotAffected) Judge(h *journal.History) Verdict {
	return requireEvidence(h, c.Route, journal.During, c.judge(h))
}

func (c NotAffected) judge(h *journal.History) Verdict {
	const expected = "success within 0.5 points and latency within a tenth (or 5ms) of the baseline"
	t, v, ok := requests(h, c.Route, journal.During, expected)
	if !ok {
		return v
	}
	v = Verdict{Expected: expected, Window: journal.During, Evidence: first(t.Seqs)}
	before, during := c.side(h, journal.Before, false), c.side(h, journal.During, false)
	if t.Sent < minRequests || before.Sent < minRequests {
		v.Reason = fmt.Sprintf("%s requests before and %s during the fault are too few to compare: at least %d each are needed", Count(before.Sent), Count(t.Sent), minRequests)
		return v
	}
	lateness := h.SlipP99(journal.Before, journal.During)
	got := Compare(before, during, lateness)
	if len(t.Waits) > 0 && got.Outcome != Failed {
		if atLeast := Compare(before, c.side(h, journal.During, true), lateness); atLeast.Outcome == Failed || got.Outcome == Passed {
			got = atLeast
		}
	}
	if got.Outcome == Passed {
		limit := steadyLimit(journal.Quantile(journal.Merge(before.Latency...), 95))
		if reason := cmp.Or(inFlight(t, 95, limit), coldStart(h, c.Route, 95)); reason != "" {
			got = got.inconclusive("%s", reason)
		}
	}
	v.Outcome, v.Observed, v.Reason = got.Outcome, got.Observed, got.Reason
	reason := late(h, journal.Before)
	if reason == "" {
		reason = late(h, journal.During)
	}
	if reason != "" && !(got.Outcome == Failed && float64(during.OK)/float64(during.Sent) < float64(before.OK)/float64(before.Sent)-minDrop) {
		v.Outcome, v.Reason = Inconclusive, reason
	}
	if v.Outcome == Failed {
		v.Reason = fmt.Sprintf("%q: %s%s", c.Route, v.Reason, because(t.Errors)+waited(t))
		if t.Fallback > 0 {
			v.Reason += fmt.Sprintf("; %s were fallbacks", Count(t.Fallback))
		}
	}
	return v
}

// side returns the side of a comparison for a window; see latencies.
func (c NotAffected) side(h *journal.History, w journal.Window, waits bool) Side {
	t := h.Total(w, c.Route)
	return Side{Sent: t.Sent, OK: t.OK, Latency: latencies(h, c.Route, w, waits)}
}

// latencies returns the latencies of a window and a route, one histogram for each slice of time; an empty route
// means all routes. If waits is set, requests in flight at healing are included with the time that they had
// waited.
func latencies(h *journal.History, route string, w journal.Window, waits bool) (all [][]journal.Bucket) {
	at := map[time.Duration]int{}
	for _, x := range h.Samples {
		if x.Paused || x.Window == journal.Warmup || route != "" && x.Route != route {
			continue
		}
		latency := x.Latency
		if waits && x.Window == journal.AtHealing {
			latency = x.Waited
		} else if w != "" && x.Window != w {
			continue
		}
		if i, ok := at[x.From]; ok { // late results belong to the same slice: as a slice of their own they would look like a stall
			all[i] = journal.Merge(all[i], latency)
			continue
		}
		at[x.From] = len(all)
		all = append(all, latency)
	}
	return all
}

// addRemainder adds to the last slice the values of the whole window that no slice has: of the requests in flight
// at healing, those that count (see journal.History.Total).
func addRemainder(all [][]journal.Bucket, whole []journal.Bucket) [][]journal.Bucket {
	have := map[time.Duration]int64{}
	for _, b := range journal.Merge(all...) {
		have[b.Up] = b.N
	}
	var rest []journal.Bucket
	for _, b := range whole {
		if n := b.N - have[b.Up]; n > 0 {
			rest = append(rest, journal.Bucket{Up: b.Up, N: n})
		}
	}
	if len(all) == 0 {
		return [][]journal.Bucket{rest}
	}
	last := len(all) - 1
	return append(slices.Clone(all[:last]), journal.Merge(all[last], rest))
}

// String implements Check.
func (c NotAffected) String() string {
	return fmt.Sprintf("%q is not affected by the fault", c.Route)
}

// NothingSlower passes if no request takes longer than Than, including its retries. An excess of up to a tenth or
// 50 ms, whichever is more, is ignored. The check passes only if at least 90% of the requests were answered as
// expected and a request could have taken longer.
type NothingSlower struct {
	Than   time.Duration
	Route  string
	Window journal.Window
}

// Bound returns how long a request may take before it violates the check.
func (c NothingSlower) Bound() time.Duration { return c.Than + tolerance(c.Than) }

// Judge implements Check.
func (c NothingSlower) Judge(h *journal.History) Verdict {
	return requireEvidence(h, c.Route, c.Window, c.judge(h))
}

func (c NothingSlower) judge(h *journal.History) Verdict {
	expected := "none above " + Duration(c.Than)
	t, v, ok := requests(h, c.Route, c.Window, expected)
	all := journal.Merge(t.Latency, t.Waits) // requests in flight at healing took at least as long as they had waited by then
	slowest := journal.Quantile(all, 100)
	var over int64
	for _, b := range all {
		if b.Up > c.Bound() {
			over += b.N
		}
	}
	if !ok && over == 0 {
		return v
	}
	v = Verdict{Observed: "slowest " + duration(slowest), Expected: expected, Window: c.Window, Evidence: first(t.Seqs)}
	if over == 0 {
		if t.Sent < minRequests {
			v.Reason = tooFew(t, c.Route, c.Window, minRequests)
			return v
		}
		if v.Reason = mostlyFailed(t, c.Route, c.Window); v.Reason != "" {
			return v
		}
		if v.Reason = limitUnreachable(h, c.Window, c.Bound(), slowest); v.Reason != "" {
			return v
		}
	} else if v.Reason = late(h, c.Window); v.Reason != "" {
		return v
	}
	return verdict(over == 0, v, "%s of %s requests%s took longer, the slowest %s", Count(over), Count(journal.Count(all)), of(c.Route), duration(slowest))
}

// String implements Check.
func (c NothingSlower) String() string {
	return fmt.Sprintf("no %srequest takes longer than %s%s", quotedRoute(c.Route), Duration(c.Than), when(c.Window))
}
