package scenarios

import (
	"fmt"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// faultPhrase returns the row of a fault. It adds the suffix for the duration to the pattern; make reads all other
// parameters.
func faultPhrase(name, pattern, means string, examples []string, make func(a args) Placed) Phrase {
	hold := len(parameterIn.FindAllString(pattern, -1))
	return Phrase{Name: name, Pattern: pattern + "( for {duration})", Means: means, Examples: examples, makeFault: make, build: func(r *resolver, a args) {
		placed := make(a)
		r.inject(a.at, a.duration(hold), placed)
	}}
}

func callFaultPhrases() []Phrase {
	return []Phrase{
		faultPhrase("slow calls", `{calls} from {name} to {name} are delayed by {duration}(, give or take {duration})`, "calls wait before they go on", []string{
			`calls from "orders" to "payments" are delayed by 800ms`,
			`10% of calls from "orders" to "payments" are delayed by 800ms, give or take 200ms for 30s`,
			`only "POST /charge" calls from "orders" to "payments" are delayed by 2s for 10s`,
			`from the 100th to the 200th call from "orders" to "payments" are delayed by 1 second for 30s`,
			`the first 5 "GET /orders/{id}" calls with header "Tenant: acme" from "orders" to "payments" are delayed by 2s for 10s`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.SlowCalls{By: a.duration(3), Jitter: a.jitter(3, 4), Pick: a.pick(0)})
		}),
		faultPhrase("lost requests", `{requests} from {name} to {name} are lost(, then {ending})`, "the dependency never sees them; the connection ends as said (reset)", []string{
			`10% of requests from "orders" to "payments" are lost for 30s`,
			`requests from "orders" to "payments" are lost, then silence for 30s`,
			`only requests with key "k-1" and header "Tenant: acme" from "orders" to "payments" are lost for 30s`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.LoseRequests{Then: a.ending(3), Pick: a.pick(0)})
		}),
		faultPhrase("lost replies", `{replies} from {name} to {name} are lost after the work was done(, then {ending})`, "the answer is withheld; the connection ends as said (reset)", []string{
			`10% of replies from "payments" to "orders" are lost after the work was done for 30s`,
			`every 3rd of the replies from "payments" to "orders" are lost after the work was done, then held for 30s`,
		}, func(a args) Placed {
			return between(a, 2, 1, injector.LoseReplies{Then: a.ending(3), Pick: a.pick(0)})
		}),
		faultPhrase("slow replies", `{replies} from {name} to {name} are delayed by {duration}(, give or take {duration})`, "the work is done and the answer comes later, and so does what follows it on its connection", []string{
			`replies from "payments" to "orders" are delayed by 500ms, give or take 100ms for 30s`,
			`only "GET /orders/{id}" replies from "payments" to "orders" are delayed by 2s for 10s`,
		}, func(a args) Placed {
			return between(a, 2, 1, injector.SlowReplies{By: a.duration(3), Jitter: a.jitter(3, 4), Pick: a.pick(0)})
		}),
		faultPhrase("corrupted replies", `{replies} from {name} to {name} are corrupted`, "a bit of each answer's body is changed; its length stays right", []string{
			`10% of replies from "payments" to "orders" are corrupted for 30s`,
		}, func(a args) Placed { return between(a, 2, 1, injector.CorruptReplies{Pick: a.pick(0)}) }),
		faultPhrase("truncated replies", `{replies} from {name} to {name} are truncated`, "each answer's body ends early, and its length says so", []string{
			`the first 5 "GET /price" replies from "payments" to "orders" are truncated for 30s`,
		}, func(a args) Placed { return between(a, 2, 1, injector.TruncateReplies{Pick: a.pick(0)}) }),
		faultPhrase("answered calls", `{calls} from {name} to {name} answer with status {number}( and retry after {duration})`, "calls are answered without the dependency", []string{
			`30% of calls from "orders" to "payments" answer with status 503 for 30s`,
			`calls from "orders" to "payments" answer with status 429 and retry after 2s for 30s`,
			`only calls with 10% of keys from "orders" to "payments" answer with status 500 for 30s`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.Answer{Status: a.status(3), RetryAfter: a.seconds(4), Pick: a.pick(0)})
		}),
		faultPhrase("calls answered with a code", `{calls} from {name} to {name} are answered with {text}( and retry after {duration})`, "calls get a status of gRPC's without the dependency: UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ...", []string{
			`only "/shop.Payments/Charge" calls from "orders" to "payments" are answered with "UNAVAILABLE" for 30s`,
			`30% of calls from "orders" to "payments" are answered with "RESOURCE_EXHAUSTED" and retry after 2s for 30s`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.Answer{Code: a.quoted(3), RetryAfter: a.duration(4), Pick: a.pick(0)})
		}),
		faultPhrase("corrupted calls", `{calls} from {name} to {name} are corrupted`, "a bit of each body is changed; its length stays right", []string{
			`1% of calls from "orders" to "payments" are corrupted for 30s`,
		}, func(a args) Placed { return between(a, 1, 2, injector.CorruptCalls{Pick: a.pick(0)}) }),
		faultPhrase("truncated calls", `{calls} from {name} to {name} are truncated`, "each body ends early, and its length says so", []string{
			`only "POST /charge" calls from "orders" to "payments" are truncated for 30s`,
		}, func(a args) Placed { return between(a, 1, 2, injector.TruncateCalls{Pick: a.pick(0)}) }),
		faultPhrase("twice", `{calls} from {name} to {name} are delivered twice( and the second answer is returned)(, the copy {duration} late)`, "the dependency gets the call and a copy; the first answer is returned unless the second is asked for", []string{
			`20% of calls from "orders" to "payments" are delivered twice for 30s`,
			`calls from "orders" to "payments" are delivered twice and the second answer is returned for 30s`,
			`calls from "orders" to "payments" are delivered twice, the copy 2s late for 30s`,
		}, twice),
		faultPhrase("out of order", `{calls} from {name} to {name} arrive out of order, up to {duration} late`, "a call waits until another has passed it", []string{
			`50% of calls from "orders" to "payments" arrive out of order, up to 500ms late for 30s`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.Reorder{Wait: a.duration(3), Pick: a.pick(0)})
		}),
	}
}

func twice(a args) Placed {
	return between(a, 1, 2, injector.Twice{Second: a.second(3), Late: a.duration(3), Pick: a.pick(0)})
}

func serviceFaultPhrases() []Phrase {
	return []Phrase{
		faultPhrase("crash", `{name} crashes( {number} times, {duration} apart)`, "all its processes are killed (SIGKILL); healing starts it again; repeated crashes hold for times x apart", []string{
			`"payments" crashes`,
			`"payments" crashes 3 times, 10s apart`,
			`"payments" crashes for 5s`,
		}, func(a args) Placed {
			var f injector.Crash
			if a.has(1) {
				f.Times, f.Every = int(a.count(1, 2)), a.duration(2)
			}
			return Placed{To: a.name(0), Fault: f}
		}),
		faultPhrase("stop", `{name} is stopped in order`, "it is asked to end, with the signal and the patience of its `stop` in the system file (SIGTERM, 5s); inconclusive when it had to be killed; healing starts it again", []string{`"payments" is stopped in order for 10s`},
			func(a args) Placed { return Placed{To: a.name(0), Fault: injector.Stop{}} }),
		faultPhrase("hang", `{name} hangs`, "all its processes are stopped (SIGSTOP): sockets stay open, nothing answers", []string{`"payments" hangs for 15s`},
			func(a args) Placed { return Placed{To: a.name(0), Fault: injector.Hang{}} }),
		{Name: "start again", Pattern: `{name} starts again`, Means: "ends a crash or a stop", Examples: []string{`"payments" starts again`},
			build: func(r *resolver, a args) { r.healService(a.at, a.name(0), "crash", "stop") }},
		{Name: "resume", Pattern: `{name} resumes`, Means: "ends a hang", Examples: []string{`"payments" resumes`},
			build: func(r *resolver, a args) { r.healService(a.at, a.name(0), "hang") }},
		{Name: "together", Pattern: `these faults run together( for {duration}):`, Means: "a table: fault (a kind, such as slow calls) | from | to | share | value", table: true,
			Examples: []string{`these faults run together for 30s:`, `these faults run together:`}, build: together},
		{Name: "heal", Pattern: `the fault is healed`, Means: "ends the last fault that is live", Examples: []string{`the fault is healed`},
			build: func(r *resolver, a args) { r.act(a.at, Heal{}) }},
		{Name: "heal all", Pattern: `all faults are healed`, Means: "ends every live fault, the last first", Examples: []string{`all faults are healed`},
			build: func(r *resolver, a args) { r.act(a.at, Heal{All: true}) }},
	}
}

func between(a args, from, to int, f injector.Fault) Placed {
	return Placed{From: a.name(from), To: a.name(to), Fault: f}
}

// seconds parses a duration in whole seconds, as headers require.
func (a args) seconds(i int) time.Duration {
	t := a.duration(i)
	if t%time.Second != 0 {
		a.r.addProblem(a.pos(i), fmt.Sprintf("Retry-After counts whole seconds, not %s", a.value(i)), "write 1s, 2s, ...")
	}
	return t
}

var endings = []message.Ending{message.EndReset, message.EndClosed, message.EndSilence, message.EndHeld}

func (a args) ending(i int) message.Ending {
	e := message.Ending(a.value(i))
	if a.has(i) && !slices.Contains(endings, e) {
		a.r.addProblem(a.pos(i), fmt.Sprintf("%q is no way for a connection to end", e), "write one of reset, closed, silence, held")
	}
	return e
}
