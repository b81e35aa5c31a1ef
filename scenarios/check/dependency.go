package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Affected passes if faults affected at least AtLeast calls (or connections, or traffic) from From to To. If From
// is "", it is about the service To.
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
	var affected, seen, background int64
	var says []string
	for _, in := range h.Faults {
		if in.On == on {
			affected += in.Met()
			seen += in.Seen
			background += in.Background
			says = append(says, in.Sentence)
		}
	}
	if len(says) == 0 {
		return inconclusive(expected, journal.During, "no fault was injected on %s", on)
	}
	v := Verdict{Observed: fmt.Sprintf("%s affected, %s seen", Count(affected), Count(seen)), Expected: expected, Window: journal.During, Evidence: seqs(h, "fault")}
	if background > 0 {
		v.Observed += fmt.Sprintf("; %s more may be traffic that is there without the load", Count(background))
	}
	if affected < c.AtLeast {
		v.Reason = fmt.Sprintf("only %s of the %s seen were affected (%s): the drill was weaker than it says", Count(affected), Count(seen), strings.Join(says, "; "))
		return v // too little evidence is not a failure of the system
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

// GivesUp passes if, during the fault, From waits at most Within for an answer of To, and no call of the load
// still waits after that time. An excess of a tenth or 50 ms, whichever is more, is tolerated.
//
// It is inconclusive in these cases:
//
//   - From gave up on no call: no fault affected the link or To, no call waited clearly longer than in the
//     baseline, or each was answered in time.
//   - The fault was healed before Within had passed.
//   - The clients of the load gave up earlier and may have ended the waits.
type GivesUp struct {
	From, To string
	Within   time.Duration
}

// Bound returns how long a wait may last before it violates the check.
func (c GivesUp) Bound() time.Duration { return c.Within + tolerance(c.Within) }

// Judge implements Check.
func (c GivesUp) Judge(h *journal.History) Verdict {
	expected := "at most " + Duration(c.Within)
	link := c.From + " -> " + c.To
	sum := h.CallsTotal(journal.During, func(l string) bool { return l == link })
	open, waited := openCalls(h, link)
	switch {
	case len(h.Faults) == 0:
		return inconclusive(expected, journal.During, "no fault was ever injected")
	case sum.Calls == 0 && open == 0:
		return inconclusive(expected, journal.During, "%s", c.noCallReason(h))
	}
	longest := journal.Quantile(sum.Duration, 100)
	v := Verdict{
		Observed: fmt.Sprintf("waited at most %s; gave up on %s of %s calls", duration(longest), Count(sum.GaveUp), Count(sum.Calls)),
		Expected: expected, Window: journal.During, Evidence: unique(append(slices.Clone(seqs(h, "calls")), seqs(h, "accounts")...)),
	}
	short := longest <= c.Bound()
	switch {
	case short && open > 0 && waited > c.Bound():
		v.Observed += fmt.Sprintf("; %s never ended", Count(open))
		return verdict(false, v, "%q waited for %s answers of %q that never came, still %s after the load had ended", c.From, Count(open), c.To, duration(waited))
	case short && open > 0:
		v.Reason = fmt.Sprintf("%s calls from %q to %q had not ended when the drill did: how long they wait is not known", Count(open), c.From, c.To)
		return v
	case short:
		if v.Reason = c.untested(h, longest, sum.GaveUp); v.Reason != "" {
			return v
		}
	}
	if !short {
		if v.Reason = late(h, journal.During); v.Reason != "" {
			return v
		}
	}
	return verdict(short, v, "%q waited %s for an answer of %q", c.From, duration(longest), c.To)
}

// clearlyLonger returns what a wait must exceed to be clearly longer than usual.
func clearlyLonger(usual time.Duration) time.Duration { return 2*usual + 5*time.Millisecond }

// noCallReason returns why no call was seen.
func (c GivesUp) noCallReason(h *journal.History) string {
	link := c.From + " -> " + c.To
	for _, in := range h.Faults {
		if in.On == link && in.Affected > 0 && in.Unseen {
			return c.CannotSee(in.Sentence)
		}
	}
	return fmt.Sprintf("%q made no call to %q during the fault", c.From, c.To)
}

// CannotSee returns the reason of an inconclusive check if a fault keeps calls from reaching the link, and
// suggests other faults. says is the sentence of the fault.
func (c GivesUp) CannotSee(says string) string {
	return fmt.Sprintf("how long %q waits cannot be seen, since %s and its calls do not reach the link: use `requests from %q to %q are lost, then silence`, or `%q hangs`", c.From, says, c.From, c.To, c.To)
}

// untested returns why short waits prove nothing, or "" if they prove something.
func (c GivesUp) untested(h *journal.History, longest time.Duration, gaveUp int) string {
	link := c.From + " -> " + c.To
	usual := journal.Quantile(h.CallsTotal(journal.Before, func(l string) bool { return l == link }).Duration, 100)
	from, to, _ := h.FaultSpan()
	held := affectedAny(h, link, c.To) && !slices.ContainsFunc(h.Faults, func(in *journal.Injection) bool { return (in.On == link || in.On == c.To) && !in.Waits })
	switch {
	case held && to-from < c.Bound() && longest > clearlyLonger(usual):
		return fmt.Sprintf("the fault lasted %s, and healing it ends every wait: nothing could wait for %s", duration(to-from), Duration(c.Within))
	case gaveUp > 0:
		return c.cancelled(h, longest, gaveUp)
	case !affectedAny(h, link, c.To):
		return fmt.Sprintf("no fault touched a call from %q to %q, so there was nothing to give up on", c.From, c.To)
	case longest <= clearlyLonger(usual):
		return fmt.Sprintf("no call from %q to %q had to wait clearly longer than in the baseline (%s), so there was nothing to give up on", c.From, c.To, duration(usual))
	}
	return fmt.Sprintf("%q gave up on no call to %q: each was answered within %s, so it is not known when it would give up; a fault that makes calls wait longer than %s would show", c.From, c.To, duration(longest), Duration(c.Within))
}

// cancelled returns why the clients of the load, and not From, may have ended the waits: they give up before
// Within, and a service may cancel the calls that it makes for a client that gave up. It returns "" if a wait
// lasted longer than clients do, or if more waits than clients were given up, with a tolerance of a tenth.
func (c GivesUp) cancelled(h *journal.History, longest time.Duration, gaveUp int) string {
	l := h.Load
	if l == nil || l.GiveUp == 0 || c.Bound() < l.GiveUp || longest > l.GiveUp+tolerance(l.GiveUp) {
		return ""
	}
	left := h.Sum(func(s journal.Sample) bool {
		return s.Window == journal.AtInjection || s.Window == journal.During || s.Window == journal.AtHealing
	}).GaveUp
	if float64(left) < 0.9*float64(gaveUp) {
		return ""
	}
	return fmt.Sprintf("%s calls were given up on, and clients of the load gave up %s times, after %s each: that may have ended the waits; let clients give up later than %s", Count(gaveUp), Count(left), Duration(l.GiveUp), Duration(c.Within))
}

// openCalls returns how many calls of a link had not ended when the scenario did, and for how long they had waited
// at least.
func openCalls(h *journal.History, link string) (n int64, waited time.Duration) {
	for _, b := range h.Accounts {
		if b.Link == link && b.ToServer {
			n, waited = n+b.Open, b.OpenFor
		}
	}
	return n, waited
}

// affectedAny reports whether a fault acted on one of these links and services.
func affectedAny(h *journal.History, on ...string) bool {
	return slices.ContainsFunc(h.Faults, func(in *journal.Injection) bool { return in.Affected > 0 && slices.Contains(on, in.On) })
}

// String implements Check.
func (c GivesUp) String() string {
	return fmt.Sprintf("%q gives up on %q within %s", c.From, c.To, Duration(c.Within))
}

// CallsTimesNormal passes if To receives at most Times its normal calls; failed dials of it count as calls. Normal
// is the number of calls per client request in the baseline, multiplied by the client requests of the window.
//
// It passes only if something gave callers a reason to retry: a call failed, was given up on, or waited. More
// calls are inconclusive if the load fell and the rate of calls stayed within Times that of the baseline: services
// may make some calls at a rate of their own.
type CallsTimesNormal struct {
	To     string
	Times  float64
	Window journal.Window
}

// Judge implements Check.
func (c CallsTimesNormal) Judge(h *journal.History) Verdict {
	return requireEvidence(h, "", c.Window, c.judge(h))
}

func (c CallsTimesNormal) judge(h *journal.History) Verdict {
	expected := fmt.Sprintf("at most %s times normal", number(c.Times))
	_, v, ok := requests(h, "", c.Window, expected)
	if !ok {
		return v
	}
	t := h.Sum(func(s journal.Sample) bool { return dueIn(s.Window, c.Window) }) // requests in flight at healing make calls, too
	base := h.Total(journal.Before, "")
	normal := h.CallsTotal(journal.Before, c.link)
	got := journal.Calls{}
	for _, s := range h.Calls {
		if c.link(s.Link) && dueIn(s.Window, c.Window) {
			got.Calls += s.Calls + s.Refused
		}
	}
	normal.Calls += normal.Refused
	if base.Sent == 0 || normal.Calls == 0 {
		return inconclusive(expected, c.Window, "%q received %s calls for %s requests in the baseline: nothing to compare with", c.To, Count(normal.Calls), Count(base.Sent))
	}
	if got.Calls == 0 {
		return inconclusive(expected, c.Window, "%q received no call%s: whether more were tried cannot be told", c.To, when(c.Window))
	}
	want := float64(normal.Calls) / float64(base.Sent) * float64(t.Sent)
	times := float64(got.Calls) / want
	v = Verdict{
		Observed: fmt.Sprintf("%.2f times (%s calls, normal %s)", times, Count(got.Calls), Count(int64(want+0.5))),
		Expected: expected, Window: c.Window, Evidence: seqs(h, "calls"),
	}
	if t.Sent < minRequests || base.Sent < minRequests {
		v.Reason = fmt.Sprintf("%s requests%s and %s in the baseline say too little of how many calls they make: at least %d each are needed", Count(t.Sent), when(c.Window), Count(base.Sent), minRequests)
		return v
	}
	if times <= c.Times && c.Window != journal.Before && len(h.Faults) > 0 && !provoked(h, c.To) {
		v.Reason = unprovoked(c.To)
		return v
	}
	before, during := windowLength(h, func(w journal.Window) bool { return w == journal.Before }), windowLength(h, func(w journal.Window) bool { return dueIn(w, c.Window) })
	if steady := float64(normal.Calls) * during.Seconds() / max(before.Seconds(), 1e-3); times > c.Times && float64(got.Calls) <= c.Times*steady {
		v.Reason = fmt.Sprintf("there were fewer requests per second than in the baseline and no more calls per second than %s times those of the baseline (%.0f): services that call %q at a rate of their own, as polling does, make that many without retries", number(c.Times), steady, c.To)
		return v
	}
	return verdict(times <= c.Times, v, "%q received %.2f times its normal calls%s: suspected retries", c.To, times, when(c.Window))
}

// windowLength returns for how long requests of the load were due in some windows.
func windowLength(h *journal.History, in func(journal.Window) bool) (d time.Duration) {
	ends := map[time.Duration]time.Duration{} // ends of slices, by their start
	for _, s := range h.Samples {
		if in(s.Window) {
			ends[s.From] = max(ends[s.From], s.To)
		}
	}
	for from, to := range ends {
		d += to - from
	}
	return d
}

// dueIn reports whether samples of the window w began in the window asked.
func dueIn(w, asked journal.Window) bool {
	return w == asked || (asked == journal.During && w == journal.AtHealing) || (asked == "" && w != journal.Warmup)
}

func (c CallsTimesNormal) link(name string) bool { return strings.HasSuffix(name, " -> "+c.To) }

// String implements Check.
func (c CallsTimesNormal) String() string {
	return fmt.Sprintf("%q receives at most %s times its normal calls%s", c.To, number(c.Times), when(c.Window))
}

// CallsPerSecond passes if To receives at most PerSecond calls in any second. A call counts in the second in which
// it arrives at To, including calls that a fault held back and healing released together. A failed dial of To
// counts as a call. If nothing gave callers a reason to retry, the check does not pass with a limit of more than
// twice the calls of the busiest second.
type CallsPerSecond struct {
	To        string
	PerSecond float64
	Window    journal.Window
}

// slack limits PerSecond, in multiples of the calls of the busiest second, if nothing gave callers a reason to
// retry. A higher limit proves nothing.
const slack = 2

// busiest returns the largest number of calls that arrived in a second of some windows, and when.
func (c CallsPerSecond) busiest(h *journal.History, in func(journal.Window) bool) (most float64, at time.Duration) {
	perSlice := map[time.Duration]float64{}
	for _, s := range h.Calls {
		if strings.HasSuffix(s.Link, " -> "+c.To) && in(s.Window) {
			perSlice[s.From] += float64(s.Arrived+s.Refused) / max((s.To-s.From).Seconds(), 1) // a slice shorter than a second is part of one
		}
	}
	for from, rate := range perSlice {
		if rate > most || (rate == most && from < at) {
			most, at = rate, from
		}
	}
	return most, at
}

// unprovoked returns the reason of a check of calls if nothing gave callers a reason to retry.
func unprovoked(to string) string {
	return fmt.Sprintf("no call to %q failed, was given up on or waited %s longer than usual, so nobody had a reason to ask again", to, Duration(Provoking))
}

// Judge implements Check.
func (c CallsPerSecond) Judge(h *journal.History) Verdict {
	return requireEvidence(h, "", c.Window, c.judge(h))
}

func (c CallsPerSecond) judge(h *journal.History) Verdict {
	expected := fmt.Sprintf("at most %s calls per second", number(c.PerSecond))
	most, at := c.busiest(h, func(w journal.Window) bool { return dueIn(w, c.Window) })
	highest, _ := c.busiest(h, func(journal.Window) bool { return true })
	if most == 0 {
		return inconclusive(expected, c.Window, "%q received no call%s", c.To, when(c.Window))
	}
	v := Verdict{Observed: fmt.Sprintf("at most %.0f in a second", most), Expected: expected, Window: c.Window, Evidence: seqs(h, "calls")}
	due := h.Sum(func(s journal.Sample) bool { return dueIn(s.Window, c.Window) }).Sent
	if h.Load != nil && most <= c.PerSecond && due < minRequests {
		v.Reason = fmt.Sprintf("only %s requests of the load were due%s, so hardly a call was to be made: at least %d are needed", Count(due), when(c.Window), minRequests)
		return v
	}
	if most <= c.PerSecond && c.PerSecond > slack*highest && len(h.Faults) > 0 && !provoked(h, c.To) {
		v.Reason = fmt.Sprintf("%s, and the limit is more than %s times the %.0f calls that arrived in its busiest second", unprovoked(c.To), number(slack), highest)
		return v
	}
	return verdict(most <= c.PerSecond, v, "%q received %.0f calls in the second at +%.1fs", c.To, most, at.Seconds())
}

// String implements Check.
func (c CallsPerSecond) String() string {
	return fmt.Sprintf("%q receives at most %s calls per second%s", c.To, number(c.PerSecond), when(c.Window))
}
