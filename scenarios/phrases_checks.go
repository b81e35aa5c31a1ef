package scenarios

import (
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

func timePhrases() []Phrase {
	return []Phrase{
		{Name: "wait", Pattern: `{duration} pass(es)`, Means: "the load goes on, faults stay", Examples: []string{`30s pass`},
			build: func(r *resolver, a args) { r.act(a.at, Wait{For: a.Duration(0)}) }},
		{Name: "confirm", Pattern: `the facilitator confirms {text}`, Means: "asked at the terminal; noted where there is none", Examples: []string{`the facilitator confirms "dashboards are open"`},
			build: func(r *resolver, a args) { r.act(a.at, Confirm{What: a.Text(0)}) }},
	}
}

// checkPhrase returns the row of a check.
func checkPhrase(name, pattern, means string, examples []string, make func(a args) check.Check) Phrase {
	return Phrase{Name: name, Pattern: pattern, Means: means, Examples: examples, build: func(_ *resolver, a args) { a.r.check(a.at, make(a)) }}
}

func degradationPhrases() []Phrase {
	return []Phrase{
		checkPhrase("affected", `at least {number} {unit} from {name} to {name} were affected by the fault`, "the drill was as strong as it says; inconclusive otherwise",
			[]string{`at least 100 calls from "orders" to "payments" were affected by the fault`},
			func(a args) check.Check {
				return check.Affected{AtLeast: a.Count(0, 1), Unit: a.Value(1), From: a.Name(2), To: a.Name(3)}
			}),
		checkPhrase("service affected", `{name} was affected by the fault`, "a fault on the service itself acted; inconclusive otherwise",
			[]string{`"payments" was affected by the fault`},
			func(a args) check.Check { return check.Affected{AtLeast: 1, To: a.Name(0)} }),
		checkPhrase("success", `at least {percent} of requests succeed( {when})`, "the expected status came (any 2xx); fallbacks count only where a sentence or the system says so",
			[]string{`at least 99% of requests succeed during the fault`, `at least 99.9% of requests succeed`},
			func(a args) check.Check { return check.Success{Ratio: a.PositiveRatio(0), Window: a.Window(1)} }),
		checkPhrase("success of a route", `at least {percent} of {route} requests succeed( {when})`, "the same, of one route",
			[]string{`at least 99.9% of "GET /catalog" requests succeed after healing`},
			func(a args) check.Check {
				return check.Success{Ratio: a.PositiveRatio(0), Route: a.Route(1), Window: a.Window(2)}
			}),
		checkPhrase("latency", `the {percentile} latency( of {route}) stays below {duration}( {when})`, "from when a request was due to its final answer",
			[]string{`the p95 latency stays below 400ms during the fault`, `the p99.9 latency of "GET /catalog" stays below 1s`},
			func(a args) check.Check {
				return check.Latency{Percentile: a.Percentile(0), Route: a.Route(1), Below: a.Duration(2), Window: a.Window(3)}
			}),
		checkPhrase("latency against the baseline", `the {percentile} latency( of {route}) stays within {number} times the baseline( {when})`, "the same, relative to the baseline of this run",
			[]string{`the p95 latency of "GET /catalog" stays within 1.5 times the baseline during the fault`},
			func(a args) check.Check {
				return check.Latency{Percentile: a.Percentile(0), Route: a.Route(1), Times: a.Times(2), Window: a.Window(3)}
			}),
		checkPhrase("fallback", `at least {percent} of( {route}) responses are fallbacks(, marked by header {text})( {when})`, "degraded answers that say so; the system file may name the header once",
			[]string{`at least 80% of "GET /recs" responses are fallbacks, marked by header "X-Degraded: true" during the fault`, `at least 80% of responses are fallbacks during the fault`},
			func(a args) check.Check {
				return check.Fallback{Ratio: a.PositiveRatio(0), Route: a.Route(1), Header: a.Header(2), Window: a.Window(3)}
			}),
		checkPhrase("not affected", `{route} is not affected by the fault`, "no worse than in the baseline: success within 0.5 points, latency within a tenth or 5ms, as a statistical test decides",
			[]string{`"GET /catalog" is not affected by the fault`},
			func(a args) check.Check { return check.NotAffected{Route: a.Route(0)} }),
		checkPhrase("nothing slower", `no( {route}) request takes longer than {duration}( {when})`, "retries included",
			[]string{`no request takes longer than 2s`, `no "GET /catalog" request takes longer than 500ms during the fault`},
			func(a args) check.Check {
				return check.NothingSlower{Route: a.Route(0), Than: a.Duration(1), Window: a.Window(2)}
			}),
		checkPhrase("gives up", `{name} gives up on {name} within {duration}`, "the longest wait of one for the other's answer",
			[]string{`"orders" gives up on "payments" within 1s`},
			func(a args) check.Check {
				return check.GivesUp{From: a.Name(0), To: a.Name(1), Within: a.Duration(2)}
			}),
		checkPhrase("recovers", `{route} recovers within {duration} of healing`, "it is steady again in time, and for five seconds or more to the end",
			[]string{`"POST /orders" recovers within 10s of healing`},
			func(a args) check.Check { return check.Recovers{Route: a.Route(0), Within: a.Duration(1)} }),
		checkPhrase("calls times normal", `{name} receives at most {number} times its normal calls( {when})`, "normal: the baseline's calls per client request",
			[]string{`"payments" receives at most 1.5 times its normal calls during the fault`},
			func(a args) check.Check {
				return check.CallsTimesNormal{To: a.Name(0), Times: a.Times(1), Window: a.Window(2)}
			}),
		checkPhrase("calls per second", `{name} receives at most {number} calls per second( {when})`, "the most in any second",
			[]string{`"payments" receives at most 300 calls per second after healing`},
			func(a args) check.Check {
				return check.CallsPerSecond{To: a.Name(0), PerSecond: a.Number(1), Window: a.Window(2)}
			}),
	}
}

func idempotencyPhrases() []Phrase {
	plain := func(name, sentence, means string, c check.Check) Phrase {
		return checkPhrase(name, sentence, means, []string{sentence}, func(args) check.Check { return c })
	}
	return []Phrase{
		{Name: "effects", Pattern: `applied effects are read from {route}`, Means: `before the load and after healing: a JSON array of objects with "key" and, optionally, "id"; only keys of this scenario are judged`,
			Examples: []string{`applied effects are read from "GET /ledger"`},
			build:    func(r *resolver, a args) { r.effects(a.at, a.Route(0)) }},
		{Name: "settle", Pattern: `effects settle within {duration}`, Means: "how long after the load effects may still appear: until then they are awaited, and duplicates looked for; 10s when not said",
			Examples: []string{`effects settle within 30s`},
			build:    func(r *resolver, a args) { r.settles(a.at, a.Duration(0)) }},
		plain("exactly once", `every acknowledged request is applied exactly once`, "refused ones never, ambiguous ones (time-out, broken connection, status 503) at most once", check.ExactlyOnce{}),
		plain("none lost", `no acknowledged request is lost`, "each has an effect", check.NoneLost{}),
		plain("none twice", `no request is applied more than once`, "no key has two effects", check.NoneTwice{}),
		plain("no phantom", `no effect appears that was never requested`, "each new effect's key was sent", check.NoPhantom{}),
		plain("same response", `requests repeated with the same key get the same response`, "acknowledged keys are sent again after healing, those of the fault first; each gets the same body, and a status that acknowledges (a 201 may be replayed as 200), and where effects are read it is not applied again", check.SameResponse{}),
		checkPhrase("key reuse refused", `a key reused with a different body is refused with status {number}`, "the same with another {{n}} in the body, which has to hold one",
			[]string{`a key reused with a different body is refused with status 422`},
			func(a args) check.Check { return check.KeyReuseRefused{Status: a.Status(0)} }),
	}
}
