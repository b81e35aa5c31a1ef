package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Affected: at least AtLeast calls (or connections, or traffic) from From to To were affected by faults. With From "" it is about the service To.
type Affected struct {
	AtLeast  int64
	Unit     string // "calls", "connections", "traffic"; "" for a service
	From, To string
}

// Judge implements Check.
func (c Affected) Judge(h *journal.History) Verdict {
	on := c.To
	if c.From != "" {
		on = c.From + " -> " + c.To
	}
	expected := fmt.Sprintf("at least %s", Count(c.AtLeast))
	var affected, seen int64
	var says []string
	for _, in := range h.Faults {
		if in.On == on {
			affected += in.Affected
			seen += in.Seen
			says = append(says, in.Says)
		}
	}
	if len(says) == 0 {
		return unclear(expected, journal.During, "no fault was injected on %s", on)
	}
	v := Verdict{Observed: fmt.Sprintf("%s affected, %s seen", Count(affected), Count(seen)), Expected: expected, Window: journal.During, Evidence: seqs(h, "fault")}
	if affected < c.AtLeast {
		v.Reason = fmt.Sprintf("only %s of the %s seen were affected (%s): the drill was weaker than it says", Count(affected), Count(seen), strings.Join(says, "; "))
		return v // too little evidence is no fault of the system
	}
	v.Outcome = Passed
	return v
}

// String implements Check.
func (c Affected) String() string {
	if c.From == "" {
		return fmt.Sprintf("%q was affected by the fault", c.To)
	}
	return fmt.Sprintf("at least %d %s from %q to %q were affected by the fault", c.AtLeast, c.Unit, c.From, c.To)
}

// GivesUp: during the fault, From waits for an answer of To for at most Within, a tenth or 50 ms more, whichever is longer, and no call of the load waits
// still when that is over. It is inconclusive where every wait was short and nothing made it long: no fault touched the link or To, and From gave up on no call.
type GivesUp struct {
	From, To string
	Within   time.Duration
}

// Bound is how long a wait may last before it counts.
func (c GivesUp) Bound() time.Duration { return c.Within + tolerance(c.Within) }

// Judge implements Check.
func (c GivesUp) Judge(h *journal.History) Verdict {
	expected := "at most " + Duration(c.Within)
	link := c.From + " -> " + c.To
	sum := h.CallsTotal(journal.During, func(l string) bool { return l == link })
	open, waited := waiting(h, link)
	switch {
	case len(h.Faults) == 0:
		return unclear(expected, journal.During, "no fault was ever injected")
	case sum.Calls == 0 && open == 0:
		return unclear(expected, journal.During, "%q made no call to %q during the fault", c.From, c.To)
	}
	longest := journal.Quantile(sum.Duration, 100)
	v := Verdict{
		Observed: fmt.Sprintf("waited at most %s; gave up on %s of %s calls", duration(longest), Count(sum.GaveUp), Count(sum.Calls)),
		Expected: expected, Window: journal.During, Evidence: unique(append(slices.Clone(seqs(h, "calls")), seqs(h, "books")...)),
	}
	short := longest <= c.Bound()
	switch {
	case short && open > 0 && waited > c.Bound():
		v.Observed += fmt.Sprintf("; %s never ended", Count(open))
		return verdict(false, v, "%q waited for %s answers of %q that never came, still %s after the load had ended", c.From, Count(open), c.To, duration(waited))
	case short && open > 0:
		v.Reason = fmt.Sprintf("%s calls from %q to %q had not ended when the drill did: how long they wait is not known", Count(open), c.From, c.To)
		return v
	case short && sum.Affected == 0 && sum.GaveUp == 0 && !touched(h, link, c.To):
		v.Reason = fmt.Sprintf("no fault touched a call from %q to %q, so there was nothing to give up on", c.From, c.To)
		return v
	}
	return verdict(short, v, "%q waited %s for an answer of %q", c.From, duration(longest), c.To)
}

// waiting is how many calls of a link had not ended at the end, and for how long at least.
func waiting(h *journal.History, link string) (n int64, waited time.Duration) {
	for _, b := range h.Books {
		if b.Link == link && b.ToServer {
			n, waited = n+b.Open, b.OpenFor
		}
	}
	return n, waited
}

// touched tells whether a fault acted on one of these links and services.
func touched(h *journal.History, on ...string) bool {
	return slices.ContainsFunc(h.Faults, func(in *journal.Injection) bool { return in.Affected > 0 && slices.Contains(on, in.On) })
}

// String implements Check.
func (c GivesUp) String() string {
	return fmt.Sprintf("%q gives up on %q within %s", c.From, c.To, Duration(c.Within))
}

// CallsTimesNormal: To receives at most Times its normal calls. Normal is the baseline's calls per client request times the client requests of the window.
type CallsTimesNormal struct {
	To     string
	Times  float64
	Window journal.Window
}

// Judge implements Check.
func (c CallsTimesNormal) Judge(h *journal.History) Verdict {
	expected := fmt.Sprintf("at most %v times normal", c.Times)
	t, v, ok := requests(h, "", c.Window, expected)
	if !ok {
		return v
	}
	base := h.Total(journal.Before, "")
	normal := h.CallsTotal(journal.Before, c.link)
	got := h.CallsTotal(c.Window, c.link)
	if base.Sent == 0 || normal.Calls == 0 {
		return unclear(expected, c.Window, "%q received %s calls for %s requests in the baseline: nothing to compare with", c.To, Count(normal.Calls), Count(base.Sent))
	}
	if got.Calls == 0 {
		return unclear(expected, c.Window, "%q received no call%s: whether more were tried cannot be told", c.To, when(c.Window))
	}
	want := float64(normal.Calls) / float64(base.Sent) * float64(t.Sent)
	times := float64(got.Calls) / want
	v = Verdict{
		Observed: fmt.Sprintf("%.2f times (%s calls, normal %s)", times, Count(got.Calls), Count(int64(want+0.5))),
		Expected: expected, Window: c.Window, Evidence: seqs(h, "calls"),
	}
	return verdict(times <= c.Times, v, "%q received %.2f times its normal calls%s: suspected retries", c.To, times, when(c.Window))
}

func (c CallsTimesNormal) link(name string) bool { return strings.HasSuffix(name, " -> "+c.To) }

// String implements Check.
func (c CallsTimesNormal) String() string {
	return fmt.Sprintf("%q receives at most %v times its normal calls%s", c.To, c.Times, when(c.Window))
}

// CallsPerSecond: To receives at most PerSecond calls in any second.
type CallsPerSecond struct {
	To        string
	PerSecond float64
	Window    journal.Window
}

// Judge implements Check.
func (c CallsPerSecond) Judge(h *journal.History) Verdict {
	expected := fmt.Sprintf("at most %v calls per second", c.PerSecond)
	perSlice := map[time.Duration]float64{}
	for _, s := range h.Calls {
		if strings.HasSuffix(s.Link, " -> "+c.To) && (s.Window == c.Window || (c.Window == "" && s.Window != journal.Warmup)) {
			perSlice[s.From] += float64(s.Calls) / max((s.To-s.From).Seconds(), 1) // a slice shorter than a second is a part of one
		}
	}
	most, at := 0.0, time.Duration(0)
	for from, rate := range perSlice {
		if rate > most || (rate == most && from < at) {
			most, at = rate, from
		}
	}
	if len(perSlice) == 0 {
		return unclear(expected, c.Window, "%q received no call%s", c.To, when(c.Window))
	}
	v := Verdict{Observed: fmt.Sprintf("at most %.0f in a second", most), Expected: expected, Window: c.Window, Evidence: seqs(h, "calls")}
	return verdict(most <= c.PerSecond, v, "%q received %.0f calls in the second at +%.1fs", c.To, most, at.Seconds())
}

// String implements Check.
func (c CallsPerSecond) String() string {
	return fmt.Sprintf("%q receives at most %v calls per second%s", c.To, c.PerSecond, when(c.Window))
}
