package check

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// minSteady is how many consecutive seconds, at least, make a recovery.
const minSteady = 5

// Recovers passes if the system meets the steady state, which includes success, from at most Within after the end
// of the requested outage until the load ends. It must hold for at least five seconds. The time that healing takes
// is included, such as the start-up of a crashed service.
//
// In a steady system, too, some requests fail or are late. Only violations that chance would rarely produce count
// (see Steady.holds), and a single disturbance is inconclusive. A recovery of fewer than 20 requests is
// inconclusive, and so is that of a route that did not meet the steady state before the fault. A system that was never
// steady, until two seconds after Within, has failed, whatever was or was not watched after that.
type Recovers struct {
	Route  string
	Within time.Duration
	Steady []Steady // the declared steady state; nil takes the baseline's
}

// Judge implements Check.
func (c Recovers) Judge(h *journal.History) Verdict {
	expected := "steady within " + Duration(c.Within)
	_, healed, ok := h.FaultSpan()
	if !ok {
		return inconclusive(expected, journal.After, codes.NoFaultInjected, "no fault was injected")
	}
	base := h.Total(journal.Before, c.Route)
	if base.Sent == 0 {
		return inconclusive(expected, journal.After, codes.TooFewRequests, "there is no baseline%s to return to", of(c.Route))
	}
	steady := steadyState(h, c.Route, c.Steady, base)
	v := c.inTime(h, healed, steady)
	if v.Outcome == Failed {
		measured := v.Reason
		if v = c.inTime(h, healed, surely(steady)); v.Outcome != Failed {
			return inconclusive(expected, journal.After, codes.Undecided, "%s; %s whether they were below the limit", measured, leftOpen)
		}
		for _, s := range steady {
			if ok, got := s.meets(h, base); !ok {
				return inconclusive(expected, journal.After, codes.BaselineUnsteady, "%s did not meet the declared steady state before the fault either: %s", strconv.Quote(c.Route), got)
			}
		}
	}
	return v
}

// inTime judges whether the conditions were met in time.
func (c Recovers) inTime(h *journal.History, healed time.Duration, steady []Steady) Verdict {
	v := Verdict{Expected: "steady within " + Duration(c.Within), Window: journal.After, Evidence: seqs(h, "sample")}
	all := slices.DeleteFunc(seconds(h, c.Route, journal.After, healed), func(s slice) bool { return s.totals.Sent == 0 })
	r := recovery(h, all, healed, c.Within, steady)
	took, notSteady := duration(r.took), fmt.Sprintf("not steady in %ds", len(all))
	tooShort := time.Duration(len(all))*time.Second < c.Within+minSteady*time.Second-time.Second/2
	switch {
	case r.found && r.sent < minRequests:
		v.Doubt = codes.TooFewRequests.Msgf("the steady seconds held only %s request%s%s: at least %d are needed", Count(r.sent), plural(r.sent), of(c.Route), minRequests)
		return v
	case r.found && r.took <= c.Within:
		v.Observed = "steady after " + took
		return verdict(true, v, "")
	case r.unclear:
		v.Observed = "not clearly steady"
		v.Doubt = codes.Undecided.Message(r.detail + ": that may be chance, or a single disturbance of a steady system; a longer baseline or another run would show it")
		return v
	case r.found:
		v.Observed = "steady after " + took
		return verdict(false, v, "it took %s: %s", took, r.detail)
	case tooShort && r.never && all[len(all)-1].from >= healed+c.Within+time.Second: // two seconds too late, whatever follows
		v.Observed = notSteady
		return verdict(false, v, "it was not steady in any of the %d seconds that were observed: %s", len(all), r.detail)
	case tooShort:
		v.Doubt = codes.TooShort.Msgf("only %d seconds were observed after healing, and %s plus %ds are needed", len(all), Duration(c.Within), minSteady)
		return v
	case r.relapsed:
		v.Observed = "unsteady again"
		return verdict(false, v, "it was steady, and became unsteady again: %s", r.detail)
	}
	v.Observed = notSteady
	base, after := h.Total(journal.Before, c.Route), h.Total(journal.After, c.Route)
	reason := fmt.Sprintf("it was not steady for the last five seconds or more: %s; after healing success was %s, p95 %s", r.detail, ratio(h.Good(after), max(1, after.Sent)), duration(journal.Quantile(after.Latency, 95)))
	if after.Fallback > 0 {
		reason += fmt.Sprintf("; %s were fallbacks, %s in the baseline", Count(after.Fallback), Count(base.Fallback))
	}
	return verdict(false, v, "%s", reason)
}

// RecoveryTime returns the time of the Recovery from the last fault, or false if none was observed.
func RecoveryTime(h *journal.History) (time.Duration, bool) {
	all := outages(h)
	if len(all) == 0 {
		return 0, false
	}
	r := recoveryOf(h, all[len(all)-1], 0)
	return r.Took, r.Outcome == Recovered
}

// recovered is the result of recovery.
type recovered struct {
	found    bool // everything is steady, starting took after healing
	took     time.Duration
	sent     int    // requests since then
	unclear  bool   // the system may have been steady in time
	relapsed bool   // it was steady for five seconds or more, and then was not
	never    bool   // each second was outside of the steady state
	detail   string // which condition was violated, how, and when
}

// recovery finds the first second from which everything is steady until the end. It finds none if an earlier
// steady period was at least as long and ended: the system may become unsteady again.
func recovery(h *journal.History, all []slice, healed, within time.Duration, steady []Steady) (r recovered) {
	counts := make([][]count, len(steady))
	for j, s := range steady {
		counts[j] = s.counts(h, all)
	}
	outside := make([]string, len(all)) // the violation in each second; "" for none
	begin, streak, longest, relapse := 0, 0, 0, 0
	problem, before := "", healed
	for i, second := range all {
		for j, s := range steady {
			if counts[j][i].significant && outside[i] == "" {
				_, got := s.meets(h, second.totals)
				outside[i] = fmt.Sprintf("%s in the second from +%.1fs (steady: %s)", got, second.from.Seconds(), s.limit())
			}
		}
		if second.from-before >= 2*time.Second { // a second or more without requests is not steady; a shorter gap is a truncated slice
			begin, streak = i, 0
			problem = fmt.Sprintf("no request was due in the second before +%.1fs", second.from.Seconds())
		}
		before = second.from
		if outside[i] == "" {
			streak++
			continue
		}
		if streak > longest {
			longest, relapse = streak, i
		}
		streak = 0
	}
	for i := begin; i < len(all); i++ {
		if outside[i] != "" {
			problem = outside[i]
			continue
		}
		if i+minSteady > len(all) {
			continue
		}
		outcome, why := meetAll(steady, counts, all, i)
		if at := slices.IndexFunc(outside[i:], func(s string) bool { return s != "" }); why != "" && at >= 0 {
			why = outside[i+at]
		}
		took := max(0, all[i].from-healed).Round(100 * time.Millisecond) // the first second begins shortly after healing: less was not measured
		if outcome == Passed && longest < max(minSteady, len(all)-i) {
			r.found, r.took = true, took
			for _, second := range all[i:] {
				r.sent += second.totals.Sent
			}
			break
		}
		if outcome == Inconclusive && took <= within && !r.unclear {
			r.unclear, r.detail = true, why
		}
		if problem == "" {
			problem = why
		}
	}
	r.relapsed = longest >= minSteady && !r.found
	r.never = len(all) > 0 && !slices.Contains(outside, "")
	switch {
	case r.unclear:
	case r.relapsed:
		r.detail = outside[relapse]
	default:
		r.detail = problem
	}
	return r
}

// meetAll reports whether the seconds from the i-th on meet every condition, and describes a violated one.
func meetAll(steady []Steady, counts [][]count, all []slice, i int) (worst Outcome, why string) {
	worst = Passed
	for j, s := range steady {
		got := s.holds(counts[j][i:])
		if got == Passed || worst == Failed || worst == got {
			continue
		}
		k, n := total(counts[j][i:])
		worst, why = got, fmt.Sprintf("%s in the %d seconds from +%.1fs (steady: %s)", s.describe(k, n), len(all)-i, all[i].from.Seconds(), s.limit())
	}
	return worst, why
}

func (c Recovers) scope() (string, journal.Window) { return c.Route, journal.After }

// String implements Check.
func (c Recovers) String() string {
	return fmt.Sprintf("%q recovers within %s of healing", c.Route, Duration(c.Within))
}

// Kind implements Check.
func (c Recovers) Kind() Kind {
	return Kind{Name: "recovers", About: AboutRecovery, ByLoad: " recovers", Means: "in time, the system is steady again and stays so while it is watched, five seconds at least; that includes success, and the time to start again counts", Timed: true, Unharmed: true, Reference: beforeTheFault,
		Needs:    Needs{Load: true, Route: c.Route, Window: journal.After, Requests: minRequests, Recovery: c.Within},
		Complete: func(s Settings) Check { c.Steady = s.Steady; return c },
		Sentences: []Sentence{{
			Pattern:  `{route} recovers within {duration} of healing`,
			Means:    "it is steady again in time, and for five seconds or more to the end",
			Examples: []string{`"POST /orders" recovers within 10s of healing`},
			Check:    func(a Args) Check { return Recovers{Route: a.Route(0), Within: a.Duration(1)} },
		}}}
}
