package check

import (
	"fmt"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Kind implements Check.
func (c Affected) Kind() Kind {
	return Kind{Name: "affected", Means: "the drill was as strong as it says; inconclusive otherwise", Idle: true,
		Needs: Needs{Window: journal.During, From: c.From, To: c.To, Unit: c.Unit, Fault: true},
		Sentences: []Sentence{{
			Pattern:  `at least {number} {unit} from {name} to {name} were affected by the fault`,
			Means:    "the drill was as strong as it says; inconclusive otherwise",
			Examples: []string{`at least 100 calls from "orders" to "payments" were affected by the fault`},
			Check: func(a Args) Check {
				return Affected{AtLeast: a.Count(0, 1), Unit: a.Value(1), From: a.Name(2), To: a.Name(3)}
			},
		}, {
			Name:     "service affected",
			Pattern:  `{name} was affected by the fault`,
			Means:    "a fault on the service itself acted; inconclusive otherwise",
			Examples: []string{`"payments" was affected by the fault`},
			Check:    func(a Args) Check { return Affected{AtLeast: 1, To: a.Name(0)} },
		}}}
}

// Kind implements Check.
func (c Success) Kind() Kind {
	return Kind{Name: "success", Means: "share of requests that got the expected answer", Unharmed: true,
		Needs: Needs{Load: true, Route: c.Route, Window: c.Window, Requests: minRequests},
		Sentences: []Sentence{{
			Pattern:  `at least {percent} of requests succeed( {when})`,
			Means:    "the expected status came (any 2xx); fallbacks count only where a sentence or the system says so",
			Examples: []string{`at least 99% of requests succeed during the fault`, `at least 99.9% of requests succeed`},
			Check:    func(a Args) Check { return Success{Ratio: a.PositiveRatio(0), Window: a.Window(1)} },
		}, {
			Name:     "success of a route",
			Pattern:  `at least {percent} of {route} requests succeed( {when})`,
			Means:    "the same, of one route",
			Examples: []string{`at least 99.9% of "GET /catalog" requests succeed after healing`},
			Check:    func(a Args) Check { return Success{Ratio: a.PositiveRatio(0), Route: a.Route(1), Window: a.Window(2)} },
		}}}
}

// Kind implements Check.
func (c Latency) Kind() Kind {
	return Kind{Name: "latency", Means: "a percentile, absolute or against the baseline", Timed: true, Unharmed: true,
		Needs: Needs{Load: true, Baseline: c.Times > 0, Route: c.Route, Window: c.Window, Requests: c.least(), Limit: c.Below},
		Sentences: []Sentence{{
			Pattern:  `the {percentile} latency( of {route}) stays below {duration}( {when})`,
			Means:    "from when a request was due to its final answer",
			Examples: []string{`the p95 latency stays below 400ms during the fault`, `the p99.9 latency of "GET /catalog" stays below 1s`},
			Check: func(a Args) Check {
				return Latency{Percentile: a.Percentile(0), Route: a.Route(1), Below: a.Duration(2), Window: a.Window(3)}
			},
		}, {
			Name:     "latency against the baseline",
			Pattern:  `the {percentile} latency( of {route}) stays within {number} times the baseline( {when})`,
			Means:    "the same, relative to the baseline of this run",
			Examples: []string{`the p95 latency of "GET /catalog" stays within 1.5 times the baseline during the fault`},
			Check: func(a Args) Check {
				return Latency{Percentile: a.Percentile(0), Route: a.Route(1), Times: a.Times(2), Window: a.Window(3)}
			},
		}}}
}

// Kind implements Check.
func (c Fallback) Kind() Kind {
	return Kind{Name: "fallback", Means: "share of responses that carry the mark; inconclusive where they did in the baseline",
		Needs:    Needs{Load: true, Route: c.Route, Window: c.Window, Requests: minRequests, Fallback: true, Header: c.Header},
		Complete: func(s Settings) Check { c.Header = s.Header; return c },
		Sentences: []Sentence{{
			Pattern: `at least {percent} of( {route}) responses are fallbacks(, marked by header {text})( {when})`,
			Means:   "degraded answers that say so; the system file may name the header once",
			Examples: []string{
				`at least 80% of "GET /recs" responses are fallbacks, marked by header "X-Degraded: true" during the fault`,
				`at least 80% of responses are fallbacks during the fault`,
			},
			Check: func(a Args) Check {
				return Fallback{Ratio: a.PositiveRatio(0), Route: a.Route(1), Header: a.Header(2), Window: a.Window(3)}
			},
		}}}
}

// Kind implements Check.
func (c NotAffected) Kind() Kind {
	return Kind{Name: "not affected", Means: "success and latency of a route are no worse than in the baseline, by statistical tests", Timed: true, Unharmed: true,
		Needs: Needs{Load: true, Baseline: true, Route: c.Route, Window: journal.During, Requests: minRequests},
		Sentences: []Sentence{{
			Pattern:  `{route} is not affected by the fault`,
			Means:    "no worse than in the baseline: success within 0.5 points, latency within a tenth or 5ms, as a statistical test decides",
			Examples: []string{`"GET /catalog" is not affected by the fault`},
			Check:    func(a Args) Check { return NotAffected{Route: a.Route(0)} },
		}}}
}

// Kind implements Check.
func (c NothingSlower) Kind() Kind {
	return Kind{Name: "nothing slower", Means: "the slowest request, its repetitions included", Timed: true, Unharmed: true,
		Needs: Needs{Load: true, Route: c.Route, Window: c.Window, Requests: minRequests, Limit: c.Bound()},
		Sentences: []Sentence{{
			Pattern:  `no( {route}) request takes longer than {duration}( {when})`,
			Means:    "retries included",
			Examples: []string{`no request takes longer than 2s`, `no "GET /catalog" request takes longer than 500ms during the fault`},
			Check:    func(a Args) Check { return NothingSlower{Route: a.Route(0), Than: a.Duration(1), Window: a.Window(2)} },
		}}}
}

// Kind implements Check.
func (c GivesUp) Kind() Kind {
	return Kind{Name: "gives up", Means: "the longest wait for a dependency's answer; inconclusive where no call was given up on", Idle: true, Timed: true,
		Needs:    Needs{Window: journal.During, From: c.From, To: c.To, Unit: "calls"},
		Untested: c.notGivenUp,
		Sentences: []Sentence{{
			Pattern:  `{name} gives up on {name} within {duration}`,
			Means:    "the longest wait of one for the other's answer",
			Examples: []string{`"orders" gives up on "payments" within 1s`},
			Check:    func(a Args) Check { return GivesUp{From: a.Name(0), To: a.Name(1), Within: a.Duration(2)} },
		}}}
}

// notGivenUp returns why From has to give up on no call, or why that would not be seen.
func (c GivesUp) notGivenUp(d Drill) string {
	var latest time.Duration
	on, late, unseen := 0, 0, 0
	says := ""
	for _, f := range d.Faults {
		if f.On != c.From+" -> "+c.To && f.On != c.To {
			continue
		}
		on++
		if f.Delay > 0 {
			late, latest = late+1, max(latest, f.Delay)
		}
		if f.Unseen {
			unseen, says = unseen+1, f.Says
		}
	}
	switch {
	case on == 0:
		return ""
	case unseen == on:
		return c.CannotSee(says)
	case late == on && latest <= c.Within:
		return fmt.Sprintf("the fault makes no call wait for longer than %s, so nothing has to be given up on; use a longer delay", Duration(latest))
	case d.Held > 0 && d.Held < c.Bound():
		return fmt.Sprintf("the fault lasts %s, and healing it ends every wait, so that nothing waits longer; let it last longer than %s", Duration(d.Held), Duration(c.Bound()))
	case c.Bound() >= d.GiveUp:
		return fmt.Sprintf("clients of the load give up after %s, which may end the waits of %q; let clients give up later than %s", Duration(d.GiveUp), c.From, Duration(c.Within))
	}
	return ""
}

// Kind implements Check.
func (c Recovers) Kind() Kind {
	return Kind{Name: "recovers", Means: "in time, the system is steady again and stays so while it is watched, five seconds at least; that includes success, and the time to start again counts", Timed: true, Unharmed: true,
		Needs:    Needs{Load: true, Route: c.Route, Window: journal.After, Requests: minRequests, Recovery: c.Within},
		Complete: func(s Settings) Check { c.Steady = s.Steady; return c },
		Sentences: []Sentence{{
			Pattern:  `{route} recovers within {duration} of healing`,
			Means:    "it is steady again in time, and for five seconds or more to the end",
			Examples: []string{`"POST /orders" recovers within 10s of healing`},
			Check:    func(a Args) Check { return Recovers{Route: a.Route(0), Within: a.Duration(1)} },
		}}}
}

// Kind implements Check.
func (c CallsTimesNormal) Kind() Kind {
	return Kind{Name: "calls times normal", Means: "calls per client request, against the baseline; inconclusive where nothing gave callers a reason to ask again", Idle: true,
		Needs:    Needs{Load: true, Baseline: true, Window: c.Window, To: c.To, Unit: "calls", Requests: minRequests},
		Untested: c.unprovoked,
		Sentences: []Sentence{{
			Pattern:  `{name} receives at most {number} times its normal calls( {when})`,
			Means:    "normal: the baseline's calls per client request",
			Examples: []string{`"payments" receives at most 1.5 times its normal calls during the fault`},
			Check:    func(a Args) Check { return CallsTimesNormal{To: a.Name(0), Times: a.Times(1), Window: a.Window(2)} },
		}}}
}

// unprovoked returns why the faults give callers no reason to retry.
func (c CallsTimesNormal) unprovoked(d Drill) string {
	if c.Window == journal.Before || len(d.Faults) == 0 {
		return ""
	}
	for _, f := range d.Faults {
		if f.To != c.To || (f.Delay == 0 || f.Delay >= Provoking) && !slices.Contains(Harmless, f.Kind) {
			return ""
		}
	}
	return fmt.Sprintf("no fault makes a call fail, or wait for %s, so nobody has a reason to ask again; let calls fail, or delay them for longer", Duration(Provoking))
}

// Kind implements Check.
func (c CallsPerSecond) Kind() Kind {
	return Kind{Name: "calls per second", Means: "the most calls that arrive in any second, those released together by healing too", Idle: true,
		Needs: Needs{Window: c.Window, To: c.To, Unit: "calls"},
		Sentences: []Sentence{{
			Pattern:  `{name} receives at most {number} calls per second( {when})`,
			Means:    "the most in any second",
			Examples: []string{`"payments" receives at most 300 calls per second after healing`},
			Check:    func(a Args) Check { return CallsPerSecond{To: a.Name(0), PerSecond: a.Number(1), Window: a.Window(2)} },
		}}}
}

// fixed returns the only sentence of a check without parameters.
func fixed(c Check, means string) []Sentence {
	return []Sentence{{Pattern: c.String(), Means: means, Examples: []string{c.String()}, Check: func(Args) Check { return c }}}
}

// Kind implements Check.
func (c ExactlyOnce) Kind() Kind {
	return Kind{Name: "exactly once", Means: "one effect per acknowledged key, none per refused, at most one per ambiguous", Invariant: true,
		Needs:     Needs{Load: true, Key: true, Effects: true, AllEffects: true},
		Sentences: fixed(c, "refused ones never, ambiguous ones (time-out, broken connection, status 503) at most once")}
}

// Kind implements Check.
func (c NoneLost) Kind() Kind {
	return Kind{Name: "none lost", Means: "every acknowledged key has an effect", Invariant: true,
		Needs:     Needs{Load: true, Key: true, Effects: true},
		Sentences: fixed(c, "each has an effect")}
}

// Kind implements Check.
func (c NoneTwice) Kind() Kind {
	return Kind{Name: "none twice", Means: "no key has two effects", Invariant: true,
		Needs:     Needs{Load: true, Key: true, Effects: true, AllEffects: true},
		Sentences: fixed(c, "no key has two effects")}
}

// Kind implements Check.
func (c NoPhantom) Kind() Kind {
	return Kind{Name: "no phantom", Means: "every effect has a request", Invariant: true,
		Needs:     Needs{Load: true, Key: true, Effects: true, AllEffects: true, WholeSystem: true},
		Sentences: fixed(c, "each new effect's key was sent")}
}

// Kind implements Check.
func (c SameResponse) Kind() Kind {
	return Kind{Name: "same response", Means: "acknowledged keys are sent again with the same body", Invariant: true,
		Needs: Needs{Load: true, Key: true, Probe: SameBody},
		Sentences: fixed(c, "acknowledged keys are sent again after healing, those of the fault first; each gets the same body, and a status that acknowledges (a 201 may be replayed as 200), "+
			"and where effects are read it is not applied again")}
}

// Kind implements Check.
func (c KeyReuseRefused) Kind() Kind {
	return Kind{Name: "key reuse refused", Means: "acknowledged keys are sent again with another body", Invariant: true,
		Needs: Needs{Load: true, Key: true, Probe: OtherBody, Status: c.Status},
		Sentences: []Sentence{{
			Pattern:  `a key reused with a different body is refused with status {number}`,
			Means:    "the same with another {{n}} in the body, which has to hold one",
			Examples: []string{`a key reused with a different body is refused with status 422`},
			Check:    func(a Args) Check { return KeyReuseRefused{Status: a.Status(0)} },
		}}}
}

// implied returns the kind of an implied check.
func implied(name, means string) Kind { return Kind{Name: name, Means: means, Implied: true} }

// Kind implements Check.
func (AccountsAddUp) Kind() Kind {
	k := implied("accounts add up", "our relays lost no message; what the kernel lost of datagrams is reported")
	k.Ours = true
	return k
}

// Kind implements Check.
func (BaselineSteady) Kind() Kind {
	k := implied("baseline steady", "20 requests or more before the fault, and success, rate and latency even and within the steady state (success of at least 99%)")
	k.Needs.Requests = minRequests
	return k
}

// Kind implements Check.
func (EffectsSettled) Kind() Kind {
	return implied("effects settled", "effects, where they are asked about, were read whole, and had settled")
}

// Kind implements Check.
func (FaultsActed) Kind() Kind {
	return implied("faults acted", "every fault met calls or connections that the load caused")
}

// Kind implements Check.
func (Healed) Kind() Kind { return implied("healed", "every fault was healed, and in time") }

// Kind implements Check.
func (LoadDelivered) Kind() Kind {
	return implied("load delivered", "as many requests were sent as the steps ask for, and on time")
}

// Kind implements Check.
func (NoTrouble) Kind() Kind { return implied("no trouble", "the runner itself had no trouble") }

// Kind implements Check.
func (NotRepeated) Kind() Kind {
	k := implied("not repeated", "the wire saw what the client policy asked for")
	k.Ours = true
	return k
}

// Kind implements Check.
func (ProvesSomething) Kind() Kind {
	return implied("proves something", "a system that does nothing would not satisfy the checks")
}

// Kind implements Check.
func (ServicesStayed) Kind() Kind { return implied("services stayed", "no service ended by itself") }
