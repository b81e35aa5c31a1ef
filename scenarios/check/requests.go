package check

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Success: at least Ratio of the requests succeed.
type Success struct {
	Ratio     float64
	Route     string // "" means all routes
	Window    journal.Window
	Fallbacks bool // fallbacks are successes
}

// Judge implements Check.
func (c Success) Judge(h *journal.History) Verdict {
	expected := "at least " + percent(c.Ratio)
	t, v, ok := requests(h, c.Route, c.Window, expected)
	if !ok {
		return v
	}
	good := t.OK
	if c.Fallbacks {
		good += t.Fallback
	}
	v = Verdict{Observed: observed(good, t.Sent), Expected: expected, Window: c.Window, Evidence: first(t.Seqs)}
	reason := fmt.Sprintf("%s of %s requests%s did not succeed%s", Count(t.Sent-good), Count(t.Sent), of(c.Route), when(c.Window))
	if len(t.Errors) > 0 {
		reason += ": " + kinds(t.Errors)
	}
	if !c.Fallbacks && t.Fallback > 0 {
		reason += fmt.Sprintf("; %s were fallbacks, which count as success only where a sentence says so", Count(t.Fallback))
	}
	if at, ok := firstBad(h, c); ok {
		reason += fmt.Sprintf("; first at +%.1fs", at.Seconds())
	}
	return verdict(float64(good) >= c.Ratio*float64(t.Sent)-1e-9, v, "%s", reason)
}

func firstBad(h *journal.History, c Success) (time.Duration, bool) {
	for _, s := range h.Samples {
		good := s.OK
		if c.Fallbacks {
			good += s.Fallback
		}
		if (c.Route == "" || s.Route == c.Route) && (s.Window == c.Window || (c.Window == "" && s.Window != journal.Warmup)) && good < s.Sent {
			return s.From, true
		}
	}
	return 0, false
}

// String implements Check.
func (c Success) String() string {
	return "at least " + percent(c.Ratio) + " of " + routed(c.Route) + "requests succeed" + when(c.Window)
}

func routed(route string) string {
	if route == "" {
		return ""
	}
	return strconv.Quote(route) + " "
}

// Latency: the percentile stays below Below or, with Times, within Times the baseline's. Every request counts with the time until its final outcome.
type Latency struct {
	Percentile float64 // 0..100
	Route      string
	Window     journal.Window
	Below      time.Duration
	Times      float64
}

// Judge implements Check. A percentile means something when requests lie beyond it: five are asked for (100 in all for p95, 5,000 for p99.9), and 20 in all.
func (c Latency) Judge(h *journal.History) Verdict {
	expected := "below " + Duration(c.Below)
	if c.Times > 0 {
		expected = fmt.Sprintf("within %v times the baseline", c.Times)
	}
	t, v, ok := requests(h, c.Route, c.Window, expected)
	if !ok {
		return v
	}
	if least := c.least(); t.Sent < least {
		return unclear(expected, c.Window, "p%v of %s requests means nothing: at least %d are needed", c.Percentile, Count(t.Sent), least)
	}
	got := journal.Quantile(t.Latency, c.Percentile)
	v = Verdict{Observed: duration(got), Expected: expected, Window: c.Window, Evidence: first(t.Seqs)}
	limit := c.Below
	if c.Times > 0 {
		b := h.Total(journal.Before, c.Route)
		if b.Sent < c.least() {
			return unclear(expected, c.Window, "the baseline has only %s requests, at least %d are needed", Count(b.Sent), c.least())
		}
		base := journal.Quantile(b.Latency, c.Percentile)
		limit = time.Duration(c.Times * float64(base))
		v.Observed += ", baseline " + duration(base)
	}
	return verdict(got < limit || (c.Times > 0 && got == limit), v, "p%v of %s requests%s was %s%s", c.Percentile, Count(t.Sent), of(c.Route), duration(got), when(c.Window))
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
		s += "of " + routed(c.Route)
	}
	if c.Times > 0 {
		return s + fmt.Sprintf("stays within %v times the baseline", c.Times) + when(c.Window)
	}
	return s + "stays below " + Duration(c.Below) + when(c.Window)
}

// Fallback: at least Ratio of the responses are fallbacks.
type Fallback struct {
	Ratio  float64
	Route  string
	Header string // "X-Degraded: true"
	Window journal.Window
}

// Judge implements Check.
func (c Fallback) Judge(h *journal.History) Verdict {
	expected := "at least " + percent(c.Ratio) + " fallbacks"
	t, v, ok := requests(h, c.Route, c.Window, expected)
	if !ok {
		return v
	}
	v = Verdict{Observed: observed(t.Fallback, t.Sent), Expected: expected, Window: c.Window, Evidence: first(t.Seqs)}
	reason := fmt.Sprintf("only %s of %s responses%s carried %q", Count(t.Fallback), Count(t.Sent), of(c.Route), c.Header)
	if len(t.Errors) > 0 {
		reason += "; others failed: " + kinds(t.Errors)
	}
	return verdict(float64(t.Fallback) >= c.Ratio*float64(t.Sent)-1e-9, v, "%s", reason)
}

// String implements Check.
func (c Fallback) String() string {
	return fmt.Sprintf("at least %s of %sresponses are fallbacks, marked by header %q%s", percent(c.Ratio), routed(c.Route), c.Header, when(c.Window))
}

// NotAffected: during the fault, success is within half a point of the baseline's, and p95 within 1.2 times of it or 50 ms above
// it, whichever is more: below that, a busy machine alone makes the difference. A fallback is no success here: whoever gets one is affected.
type NotAffected struct{ Route string }

// Judge implements Check.
func (c NotAffected) Judge(h *journal.History) Verdict {
	const expected = "success within 0.5 points and p95 within 1.2 times (or 50ms) of the baseline"
	t, v, ok := requests(h, c.Route, journal.During, expected)
	if !ok {
		return v
	}
	b := h.Total(journal.Before, c.Route)
	if b.Sent < 20 || t.Sent < 20 {
		return unclear(expected, journal.During, "%s requests before and %s during the fault are too few to compare: at least 20 each are needed", Count(b.Sent), Count(t.Sent))
	}
	was, is := float64(b.OK)/float64(b.Sent), float64(t.OK)/float64(t.Sent)
	p, q := journal.Quantile(b.Latency, 95), journal.Quantile(t.Latency, 95)
	v = Verdict{
		Observed: fmt.Sprintf("success %s, baseline %s; p95 %s, baseline %s", percent(round(is, 4)), percent(round(was, 4)), duration(q), duration(p)),
		Expected: expected, Window: journal.During, Evidence: first(t.Seqs),
	}
	if is < was-0.005 {
		reason := fmt.Sprintf("success of %q fell from %s to %s%s", c.Route, percent(round(was, 4)), percent(round(is, 4)), because(t.Errors))
		if t.Fallback > 0 {
			reason += fmt.Sprintf("; %s were fallbacks", Count(t.Fallback))
		}
		return verdict(false, v, "%s", reason)
	}
	return verdict(q <= steadyLimit(p), v, "p95 of %q rose from %s to %s", c.Route, duration(p), duration(q))
}

// String implements Check.
func (c NotAffected) String() string {
	return fmt.Sprintf("%q is not affected by the fault", c.Route)
}

// NothingSlower: no request takes longer than Than, its repetitions included. A tenth or 50 ms above, whichever is more, is not counted.
type NothingSlower struct {
	Than   time.Duration
	Route  string
	Window journal.Window
}

// Judge implements Check.
func (c NothingSlower) Judge(h *journal.History) Verdict {
	expected := "none above " + Duration(c.Than)
	t, v, ok := requests(h, c.Route, c.Window, expected)
	if !ok {
		return v
	}
	slowest := journal.Quantile(t.Latency, 100)
	var over int64
	for _, b := range t.Latency {
		if b.Up > c.Than+tolerance(c.Than) {
			over += b.N
		}
	}
	v = Verdict{Observed: "slowest " + duration(slowest), Expected: expected, Window: c.Window, Evidence: first(t.Seqs)}
	return verdict(over == 0, v, "%s of %s requests%s took longer, the slowest %s", Count(over), Count(t.Sent), of(c.Route), duration(slowest))
}

// String implements Check.
func (c NothingSlower) String() string {
	return fmt.Sprintf("no %srequest takes longer than %s%s", routed(c.Route), Duration(c.Than), when(c.Window))
}
