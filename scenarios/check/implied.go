package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Implied returns the checks that apply to every scenario: they decide whether it is valid. They are in order of
// importance: reports name the first inconclusive one as the reason.
func Implied(steady []Steady) []Check {
	return []Check{
		ServicesStayed{}, NoTrouble{}, BaselineSteady{Steady: steady}, LoadDelivered{}, FaultsActed{}, Healed{}, NotRepeated{}, AccountsAddUp{}, EffectsSettled{}, ProvesSomething{},
	}
}

// ServicesStayed passes if no service ended by itself.
type ServicesStayed struct{}

// Judge implements Check.
func (ServicesStayed) Judge(h *journal.History) Verdict {
	const expected = "every service runs until it is ended"
	if len(h.Phases) == 0 {
		return inconclusive(expected, "", "nothing happened")
	}
	v := Verdict{Outcome: Passed, Observed: fmt.Sprintf("%d changes of services, all asked for", len(h.Processes)), Expected: expected}
	for i, p := range h.Processes {
		if p.What != "exited" {
			continue
		}
		v.Evidence = append(v.Evidence, seq(h, "process", i)...)
		if v.Outcome == Passed {
			v.Outcome = Inconclusive
			v.Observed = fmt.Sprintf("%s ended at +%.1fs: %s", p.Service, p.At.Seconds(), p.Detail)
			v.Reason = fmt.Sprintf("service %q ended by itself at +%.1fs (%s): what was measured is not the system under the fault", p.Service, p.At.Seconds(), p.Detail)
			v.Details = slices.DeleteFunc(strings.Split(p.Log, "\n"), func(line string) bool { return line == "" })
		}
	}
	return v
}

func (ServicesStayed) String() string { return "no service ended by itself" }

// NoTrouble passes if the runner carried out everything and had no errors of its own.
type NoTrouble struct{}

// Judge implements Check.
func (NoTrouble) Judge(h *journal.History) Verdict {
	const expected = "no trouble of the runner's own"
	if len(h.Phases) == 0 {
		return inconclusive(expected, "", "nothing happened")
	}
	if len(h.Troubles) > 0 {
		return Verdict{Expected: expected, Observed: Count(len(h.Troubles)), Reason: h.Troubles[0], Details: h.Troubles[1:], Evidence: seqs(h, "trouble")}
	}
	return Verdict{Outcome: Passed, Observed: "none", Expected: expected}
}

func (NoTrouble) String() string { return "the runner had no trouble of its own" }

// ProvesSomething passes if at least one check would fail for a system that does nothing.
type ProvesSomething struct{}

// Judge implements Check.
func (ProvesSomething) Judge(h *journal.History) Verdict {
	const expected = "a check that a dead system would not satisfy"
	if len(h.Phases) == 0 {
		return inconclusive(expected, "", "nothing happened")
	}
	if h.Unproven != "" {
		return inconclusive(expected, "", "%s", h.Unproven)
	}
	return Verdict{Outcome: Passed, Observed: "there is one", Expected: expected}
}

func (ProvesSomething) String() string {
	return "the checks distinguish a working system from a dead one"
}

// FaultsActed passes if every fault acted on something that the load caused; for a partition, one of its links is
// enough. A crash, stop or hang did not act if another process answered in place of the service.
type FaultsActed struct{}

// Judge implements Check.
func (FaultsActed) Judge(h *journal.History) Verdict {
	const expected = "every fault met what it is about"
	v := Verdict{Outcome: Passed, Expected: expected, Evidence: seqs(h, "fault")}
	acted := 0
	var idle []string
	for _, in := range h.Wholes() {
		if in.Broken > 0 && !down(h, in) {
			idle = append(idle, fmt.Sprintf("%s (%s %s failed because the dependency closed its connection while the fault held them back: that is this fault's doing, and not the system's)", in.Sentence, Count(in.Broken), in.Unit))
			continue
		}
		if why := unmet(h, in); why != "" {
			idle = append(idle, fmt.Sprintf("%s (%s)", in.Sentence, why))
			continue
		}
		acted++
	}
	v.Observed = fmt.Sprintf("%d of %d", acted, acted+len(idle))
	if h.End == nil && len(h.Phases) == 0 {
		return inconclusive(expected, "", "nothing happened")
	}
	if len(idle) > 0 {
		v.Outcome = Inconclusive
		v.Reason = "these faults did not act as they say: " + strings.Join(idle, "; ")
	}
	return v
}

// down reports whether the destination of a fault on a link was itself faulty while the fault was live. In that
// case it closed its connections for that reason.
func down(h *journal.History, in *journal.Injection) bool {
	_, to, _ := strings.Cut(in.On, " -> ")
	return slices.ContainsFunc(h.Faults, func(o *journal.Injection) bool {
		return o.On == to && o.Injected <= max(in.Healed, in.Injected) && (o.Healed == 0 || o.Healed >= in.Injected)
	})
}

// unmet returns why a fault did not act on what it is meant for, or "" if it did.
func unmet(h *journal.History, in *journal.Injection) string {
	switch {
	case in.Hint != "" && in.Met() == 0:
		return in.Hint
	case in.Affected == 0:
		return fmt.Sprintf("it saw %s %s", Count(in.Seen), in.Unit)
	case in.Met() == 0:
		return fmt.Sprintf("it affected %s %s, no more than without the load: a heartbeat, or other traffic that the load does not cause", Count(in.Affected), in.Unit)
	case h.Load != nil && !underLoad(h, in):
		return "no request of the load was due while it was live"
	case in.Shared && !loadDidWorse(h):
		return fmt.Sprintf("it affected %s %s of a link that also carries traffic which the load does not cause, and no request of the load did worse: nothing shows that the load met it", Count(in.Affected), in.Unit)
	}
	return ""
}

// loadDidWorse reports whether any route did worse in the fault window than in the baseline.
func loadDidWorse(h *journal.History) bool {
	asked := map[string]bool{}
	for _, s := range h.Samples {
		if !asked[s.Route] && routeDidWorse(h, s.Route) {
			return true
		}
		asked[s.Route] = true
	}
	return false
}

// routeDidWorse reports whether requests of a route failed, fell back or took longer in the fault window, compared
// with the baseline. One clearly slower request is enough, since a fault may act on few.
func routeDidWorse(h *journal.History, route string) bool {
	before, during := h.Total(journal.Before, route), h.Total(journal.During, route)
	took := journal.Merge(during.Latency, during.Waits)
	if before.OK == before.Sent && during.OK < during.Sent ||
		successDrop(Side{Sent: during.Sent, OK: during.OK}, Side{Sent: before.Sent, OK: before.OK}, normalQuantile(1-alphaSuccess)) > 0 ||
		journal.Quantile(took, 100) > 2*journal.Quantile(before.Latency, 100)+100*time.Millisecond {
		return true
	}
	reason, _ := slower([][]journal.Bucket{before.Latency}, [][]journal.Bucket{took}, minRise)
	return reason != ""
}

// underLoad reports whether the load ran while a fault was live: a request was due then, or was in flight at the
// injection. Slices restart at each injection and healing, so that the slices of different faults are distinct
// even if one fault follows another immediately.
func underLoad(h *journal.History, in *journal.Injection) bool {
	to := in.Ended
	if to == 0 {
		to = h.Ended
	}
	return slices.ContainsFunc(h.Samples, func(s journal.Sample) bool {
		switch s.Window {
		case journal.During, journal.AtHealing:
			return s.Sent > 0 && s.From >= in.Injected && s.From < to
		case journal.AtInjection: // of the fault that was injected next
			return s.Sent > 0 && s.From < in.Injected && !slices.ContainsFunc(h.Faults, func(o *journal.Injection) bool {
				return o.Injected > s.From && o.Injected < in.Injected
			})
		}
		return false
	})
}

func (FaultsActed) String() string { return "every fault met what it is about" }

// Healed passes if every injection was healed in time and without an error.
type Healed struct{}

// Judge implements Check.
func (Healed) Judge(h *journal.History) Verdict {
	const expected = "every fault was healed"
	if len(h.Phases) == 0 {
		return inconclusive(expected, "", "nothing happened")
	}
	for _, in := range h.Faults {
		switch {
		case in.Healed == 0:
			return inconclusive(expected, "", "%s was never healed", in.Sentence)
		case in.Error != "":
			return inconclusive(expected, "", "healing %s: %s", in.Sentence, in.Error)
		case in.Asked > 0 && in.Ended-in.Live > in.Asked+max(in.Asked/4, time.Second):
			return inconclusive(expected, "", "%s was live for %s, and %s were asked for: the runner could not heal it in time", in.Sentence, duration(in.Ended-in.Live), Duration(in.Asked))
		}
	}
	return Verdict{Outcome: Passed, Observed: fmt.Sprintf("%d of %d", len(h.Faults), len(h.Faults)), Expected: expected, Evidence: seqs(h, "fault")}
}

func (Healed) String() string { return "every fault was healed" }

// BaselineSteady passes if the baseline is within the steady state: the declared one, with a success of at least
// 99% if none is declared, and with at most half fallbacks. In addition, nine in ten of the requests that were due
// must have been sent, and latency must not climb. If faults are injected, 20 requests are needed. The baseline is
// the phase of that name; later changes of the load do not matter. If it was too short for a request and no fault
// follows, the whole run is judged.
type BaselineSteady struct{ Steady []Steady }

// Judge implements Check. It may be called during the scenario, immediately after the baseline.
func (c BaselineSteady) Judge(h *journal.History) Verdict {
	const expected = "a steady baseline"
	phase, ok := h.Phase("baseline")
	if h.Load == nil && !ok && len(h.Phases) > 0 {
		return Verdict{Outcome: Passed, Observed: "no load, no baseline", Expected: expected}
	}
	if h.Gate != nil {
		return inconclusive(expected, journal.Before, "%s; nothing was injected", h.Gate.Reason)
	}
	b := h.Sum(func(s journal.Sample) bool { return s.Window == journal.Before && !s.Paused && s.From < phase.To })
	if b.Sent == 0 && len(h.Faults) == 0 {
		b = h.Total(journal.Before, "")
	}
	if !ok || b.Sent == 0 {
		return inconclusive(expected, journal.Before, "no request was answered before the fault")
	}
	if due := b.Sent + b.Unsent; b.Unsent*10 > due {
		return inconclusive(expected, journal.Before, "the baseline was not steady: only %s of the %s requests that were due were sent", Count(b.Sent), Count(due))
	}
	// While the load still runs, a fault is about to be injected. Two missing requests are tolerated, as in
	// LoadDelivered.
	if (len(h.Faults) > 0 || h.Load == nil) && b.Sent+2 < minRequests {
		return inconclusive(expected, journal.Before, "the baseline is too short: %s", tooFew(b, "", journal.Before, minRequests))
	}
	v := Verdict{Outcome: Passed, Expected: expected, Window: journal.Before, Evidence: first(b.Seqs)}
	if h.FallbackIsSuccess && 2*b.Fallback > b.Sent {
		return inconclusive(expected, journal.Before, "the baseline was not steady: %s of the responses were fallbacks, so that the system was degraded before any fault", observed(b.Fallback, b.Sent))
	}
	for _, s := range withSuccess(c.Steady) {
		ok, got := s.meets(h, b)
		v.Observed = strings.TrimPrefix(v.Observed+"; "+got, "; ")
		if !ok {
			return inconclusive(expected, journal.Before, "the baseline was not within the steady state: %s%s%s", got, because(b.Errors), unexpected(h))
		}
	}
	half := phase.From + (phase.To-phase.From)/2
	early := h.Sum(func(s journal.Sample) bool { return s.Window == journal.Before && s.From < half })
	late := h.Sum(func(s journal.Sample) bool { return s.Window == journal.Before && s.From >= half && s.From < phase.To })
	p, q := journal.Quantile(early.Latency, 95), journal.Quantile(late.Latency, 95)
	if early.Sent >= minRequests && late.Sent >= minRequests && q > farAbove(p) {
		return inconclusive(expected, journal.Before, "the baseline was not steady: p95 rose from %s to %s", duration(p), duration(q))
	}
	return v
}

func because(errors map[string]int) string {
	if len(errors) == 0 {
		return ""
	}
	return ": " + kinds(errors)
}

func (BaselineSteady) String() string { return "the baseline was steady" }

// AccountsAddUp passes if the counters of each relay add up. Datagrams that the kernel dropped are reported; they
// make the scenario inconclusive if effects are counted.
type AccountsAddUp struct{}

// Judge implements Check.
func (AccountsAddUp) Judge(h *journal.History) Verdict {
	const expected = "every message that a relay carried has one outcome, and what was delivered was written"
	if len(h.Phases) == 0 {
		return inconclusive(expected, "", "nothing happened")
	}
	for _, a := range h.Accounts {
		if a.Wrong != "" {
			return inconclusive(expected, "", "the relay of %s %s lost count: %s", a.Link, way(a.ToServer), a.Wrong)
		}
	}
	v := Verdict{Outcome: Passed, Observed: fmt.Sprintf("%d accounts add up", len(h.Accounts)), Expected: expected, Evidence: seqs(h, "accounts")}
	if slices.ContainsFunc(h.Losses, func(l journal.Loss) bool { return !l.Known }) {
		v.Observed += "; what the kernel drops of datagrams is not known here"
	}
	n, where := dropped(h)
	if n == 0 {
		return v
	}
	v.Observed += fmt.Sprintf("; %s datagrams lost, and not by a fault: %s", Count(n), where)
	v.Evidence = append(v.Evidence, seqs(h, "loss")...)
	if h.EffectsRead != nil {
		v.Outcome = Inconclusive
		v.Reason = fmt.Sprintf("%s datagrams were lost, and not by a fault (%s): effects may be missing that the system is not to blame for; less load, or larger buffers (net.core.rmem_max), would help", Count(n), where)
	}
	return v
}

// way describes a direction of a link.
func way(toServer bool) string {
	if toServer {
		return "to the server"
	}
	return "to the client"
}

// dropped returns how many datagrams were lost on links without a fault, and where.
func dropped(h *journal.History) (n int64, where string) {
	var all []string
	for _, l := range h.Losses {
		if l.Unattributed() == 0 {
			continue
		}
		n += l.Unattributed()
		all = append(all, fmt.Sprintf("on %s the kernel dropped %s at the link and %s at the dependency, %s could not be sent", l.Link, Count(l.AtLink), Count(l.AtServer), Count(l.Unsent)))
	}
	return n, strings.Join(all, "; ")
}

func (AccountsAddUp) String() string { return "what the relays carried adds up" }
