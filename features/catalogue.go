// Package features is the catalogue: drills in plain English that run against the demo shop (shop/), embedded so that the program carries them.
//
// Each row holds against the shop as built, and is caught when the one protection that it is about is taken out; make catalogue runs both, and asks which
// check it was that failed. The features in real/ need a real server installed and are tagged @real.
//
// Findings are drills of real software that are known to find something: what go-redis, nginx or JetStream do with a lost reply. The tests run them
// all and ask for exactly that, and that every effect is accounted for: as many as were acknowledged, and one for each reply that was lost.
package features

import (
	"embed"
	"slices"
)

// FS holds the feature files and the system files that they name.
//
//go:embed *.feature shop/*.yaml real/*.feature real/*.yaml real/*.conf
var FS embed.FS

// Demo holds the drill that "firedrill demo" runs.
//
//go:embed shop/demo.feature shop/system.yaml
var Demo embed.FS

// Row is a claim of the catalogue, and what shows that the drill behind it can fail.
type Row struct {
	N        string // number in the catalogue, "1"; "real" for what runs against a real server beside it
	Claim    string
	File     string   // feature file in FS
	Without  string   // the protection without which it must fail
	CaughtBy []string // the checks that must fail then, as the feature states them; all others may not
}

// Rows lists all, in the catalogue's order.
func Rows() []Row {
	return slices.Concat([]Row{
		{
			N: "1", File: "isolation.feature", Without: "isolation",
			Claim:    "one comments service that grinds to a halt must not slow the pages that do not need it",
			CaughtBy: []string{`"GET /article/1" is not affected by the fault`},
		},
		{
			N: "2", File: "degradation.feature", Without: "fallbacks",
			Claim: "a front page composed from content, comments, ads and stats survives the crash of any optional part",
			CaughtBy: []string{
				`at least 99% of requests succeed during the fault`,
				`at least 90% of "GET /" responses are fallbacks, marked by header "X-Degraded: true" during the fault`,
			},
		},
		{
			N: "3", File: "key-metric.feature", Without: "fallbacks",
			Claim:    "each application has a single key metric that tells whether it does its job",
			CaughtBy: []string{`the key metric "pages_served_total" of "front" keeps at least 80% of its baseline rate during the fault`},
		},
		{
			N: "4", File: "loss.feature", Without: "retransmission",
			Claim:    "a message that gets lost is sent again until it is acknowledged",
			CaughtBy: []string{`no acknowledged request is lost`},
		},
		{
			N: "4", File: "duplication.feature", Without: "de-duplication",
			Claim:    "a message that arrives twice counts once",
			CaughtBy: []string{`no request is applied more than once`},
		},
		{
			N: "4", File: "reordering.feature", Without: "sequencing",
			Claim:    "messages that overtake each other are handled in the order in which they were sent",
			CaughtBy: []string{`effects with the same "customer" are applied in the order they were sent`},
		},
		{
			N: "5", File: "many-questions.feature", Without: "pipelining",
			Claim:    "many questions that are asked at once take one round trip, not one each",
			CaughtBy: []string{`at least 95% of requests succeed during the fault`},
		},
		{
			N: "6", File: "retransmits.feature", Without: "adaptive timeout",
			Claim:    "measured response times set the time-out, so that a late answer is not asked for twice",
			CaughtBy: []string{`"payments" receives at most 1.25 times its normal calls during the fault`},
		},
		{
			N: "6", File: "retry-storm.feature", Without: "retry budget",
			Claim:    "a dependency that fails is not asked three times as often by those who send again",
			CaughtBy: []string{`"payments" receives at most 2.2 times its normal calls during the fault`},
		},
		{
			N: "7", File: "idempotency.feature", Without: "idempotency keys",
			Claim: "what is sent again after a lost acknowledgement is recognised and done once",
			CaughtBy: []string{
				`every acknowledged request is applied exactly once`,
				`requests repeated with the same key get the same response`,
				`a key reused with a different body is refused with status 422`,
			},
		},
		{
			N: "8", File: "dead-peer.feature", Without: "liveness check",
			Claim:    "a peer that dies without a word is noticed by its silence",
			CaughtBy: []string{`at least 98% of requests succeed during the fault`},
		},
		{
			N: "8", File: "goodbye.feature", Without: "goodbye",
			Claim:    "a peer that stops says so, instead of leaving others to their time-outs",
			CaughtBy: []string{`at least 98% of requests succeed`},
		},
		{
			N: "9", File: "fan-out.feature", Without: "retransmit suppression",
			Claim:    "receivers that each miss another part do not have everything sent again to all",
			CaughtBy: []string{`"bulletin" sends at most 6 messages again for each one lost, by its metric "datagrams_resent_total"`},
		},
		{
			N: "10", File: "bounded-queue.feature", Without: "queue bound",
			Claim: "a queue has a bound, and what does not fit is refused at once",
			CaughtBy: []string{
				`the queue "waiting labels" never holds more than 16 messages`,
				`excess requests are refused within 500ms with status "503" and a Retry-After header during the fault`,
			},
		},
		{
			N: "11", File: "noisy-neighbour.feature", Without: "tenant limits",
			Claim: "a tenant that floods a service takes nothing away from the others",
			CaughtBy: []string{
				`at least 98% of requests of the "quiet" load succeed`,
				`excess requests are refused within 500ms with status "429" and a Retry-After header`,
			},
		},
		{
			N: "12", File: "failure-metrics.feature", Without: "metrics of failures",
			Claim:    "every service has the same metrics, and whatever breaks shows in them soon",
			CaughtBy: []string{`the probe "ads down" detects the fault within 1s`},
		},
		{
			N: "13", File: "flash-sale.feature", Without: "load shedding",
			Claim:    "a flash sale serves as many buyers as it can and refuses the others at once",
			CaughtBy: []string{`excess requests are refused within 500ms with status "503" and a Retry-After header during the fault`},
		},
		{
			N: "13", File: "flash-sale.feature", Without: "stock reservation",
			Claim:    "a flash sale sells no item twice",
			CaughtBy: []string{`the sum of "items" over "GET /stock" stays the same`},
		},
		{
			N: "14", File: "time-budget.feature", Without: "deadline propagation",
			Claim: "a page that many small services contribute to comes in time, with what is there by then",
			CaughtBy: []string{
				`at least 99% of requests succeed during the fault`,
				`at least 90% of "GET /customers/7" responses are fallbacks, marked by "partial: true" in the body during the fault`,
				`"points" receives at most 1.5 times its normal calls during the fault`,
			},
		},
		{
			N: "15", File: "health.feature", Without: "deep check",
			Claim:    "a shallow health check says that a service runs, a deep one that it can reach what it needs",
			CaughtBy: []string{`the health check "/readyz" of "orders" turns unhealthy within 3s of the fault`},
		},
		{
			N: "16", File: "spike-or-silence.feature", Without: "timeouts",
			Claim: "a part that is late harms a page no more than a part that is gone",
			CaughtBy: []string{
				`at least 99% of requests succeed during the fault`,
				`at least 90% of "GET /" responses are fallbacks, marked by header "X-Degraded: true" during the fault`,
				`the p95 latency stays below 1s during the fault`,
			},
		},
		{
			N: "17", File: "rolling-restart.feature", Without: "draining",
			Claim:    "the instances of a service are replaced one by one, and no request fails",
			CaughtBy: []string{`every request succeeds`},
		},
		{
			N: "18", File: "real/leader-killed.feature", Without: "failover",
			Claim:    "a cluster of etcd handles the death of its leader: another member takes over, and no acknowledged write is lost",
			CaughtBy: []string{`at least 30% of requests succeed during the fault`},
		},
		{
			N: "18", File: "real/leader-cut-off.feature", Without: "linearizable reads",
			Claim:    "a leader of etcd that is cut off from the others acknowledges nothing and answers nothing stale",
			CaughtBy: []string{`the history of "register" is linearizable`},
		},
		{
			N: "18", File: "real/standby-promoted.feature", Without: "synchronous replication",
			Claim:    "a standby of PostgreSQL that is promoted has all that its dead primary acknowledged",
			CaughtBy: []string{exactlyOnce, noneLost},
		},
		{
			N: "20", File: "alert.feature", Without: "alerting",
			Claim:    "an unhealthy dependency raises an alert, while pages are served without it",
			CaughtBy: []string{`the probe "pages lack a part" detects the fault within 3s`},
		},
		{
			N: "real", File: "real/page-cache.feature", Without: "cache bypass",
			Claim:    "pages come without their cache, a real redis-server that falls silent, is killed, and comes back",
			CaughtBy: []string{`at least 99% of requests succeed during the fault`},
		},
	}, brokerRows())
}

// Finding is a scenario against real software and what is known of it.
type Finding struct {
	File, Scenario string
	Fails          []string // the checks that are known to fail, as the scenario says too, the most telling last; none: it holds
	Effects        Account
	Slow           bool // its server takes long to start: the tests run it only if they repeat findings
}

// Account says how effects, requests and lost replies must sum up.
type Account uint8

// The accounts. Each is exact.
const (
	NoEffects Account = iota // none are read
	EachOnce                 // one effect for each request
	EachDone                 // one effect for each acknowledged request
	EachLoss                 // one effect for each acknowledged request, and one for each reply that was lost: what failed in the end or was done again
	SomeLost                 // fewer effects than acknowledged requests, none twice
	EachReset                // one effect for each acknowledged request, and one for each connection that was reset
)

// The checks that findings fail.
const (
	exactlyOnce = "every acknowledged request is applied exactly once"
	noneTwice   = "no request is applied more than once"
	noneLost    = "no acknowledged request is lost"
)

// Findings lists all, file by file.
func Findings() []Finding {
	twice := []string{exactlyOnce, noneTwice}
	redis := func(scenario string, a Account, fails ...string) Finding {
		return Finding{File: "real/redis.feature", Scenario: scenario, Fails: fails, Effects: a}
	}
	gateway := func(scenario string, fails ...string) Finding {
		return Finding{File: "real/gateways.feature", Scenario: scenario, Fails: fails, Effects: EachLoss}
	}
	nats := func(scenario string, a Account, fails ...string) Finding {
		return Finding{File: "real/nats.feature", Scenario: scenario, Fails: fails, Effects: a}
	}
	commit := func(way string, a Account, fails ...string) Finding {
		return Finding{File: "real/commit.feature", Scenario: "the acknowledgement is lost: " + way, Fails: fails, Effects: a}
	}
	rabbitmq := func(scenario string, a Account, fails ...string) Finding {
		return Finding{File: "real/rabbitmq.feature", Scenario: scenario, Fails: fails, Effects: a, Slow: true}
	}
	confirms := rabbitmq("confirms do not arrive, and the sender publishes again", EachLoss, twice...)
	confirms.Slow = false // so that the usual tests run one of them
	return slices.Concat([]Finding{
		redis("no reply is lost", EachOnce),
		redis("the reply to INCR is lost, then reset: sent again, as it is by default", EachLoss, twice...),
		redis("the reply to INCR is lost, then closed: sent again, as it is by default", EachLoss, twice...),
		redis("the reply to INCR is lost, then silence: sent again, as it is by default", EachLoss, twice...),
		redis("the reply to INCR is lost, then reset: told to send nothing again", EachLoss),
		redis("the reply to EXEC is lost, then reset: a transaction, which is not sent again", EachLoss),
		redis("the reply to SADD is lost, then reset: sent again, which makes no difference to a set", EachOnce),
		redis("the reply to SET is lost, then reset: sent again, and denied what was granted", EachOnce, exactlyOnce),
		redis("the request is lost, and sent again", EachDone),

		gateway("nginx, as it comes, POST"),
		gateway("nginx, as it comes, GET", twice...),
		gateway("nginx, as it comes, PUT", twice...),
		gateway("nginx, as it comes, DELETE", twice...),
		gateway("nginx, proxy_next_upstream non_idempotent, POST", twice...),
		gateway("nginx, proxy_next_upstream off, GET"),
		gateway("haproxy, as it comes, POST"),
		gateway("haproxy, retry-on all-retryable-errors, POST", twice...),
		gateway("haproxy, retry-on and disable-l7-retry, POST"),

		{File: "real/stale-cache.feature", Scenario: "the backends are silent; stale pages are served", Effects: NoEffects},
		{File: "real/stale-cache.feature", Scenario: "the backends are silent; stale pages are not", Fails: []string{
			`at least 50% of responses are fallbacks, marked by header "X-Degraded: true" during the fault`,
			"at least 99% of requests succeed during the fault",
		}, Effects: NoEffects},

		nats("the subscriber's connection is reset and refused", SomeLost, exactlyOnce, noneLost),
		nats("what the subscriber gets is held up", EachOnce),
		nats("the publisher hears nothing and publishes again: without an id", EachLoss, twice...),
		nats("the publisher hears nothing and publishes again: with an id", EachOnce),
		nats("the publisher hears nothing and publishes again: with an id, after it was forgotten", EachLoss, twice...),
		nats("the consumer's acknowledgement is lost", EachLoss, twice...),

		confirms,
		rabbitmq("the connection breaks, and the sender does not wait for confirms", SomeLost, exactlyOnce, noneLost),
		rabbitmq("connections break before the acknowledgement, which comes after the work", EachReset, twice...),
		rabbitmq("the connection breaks, and messages are acknowledged by being sent", SomeLost, exactlyOnce, noneLost),

		commit("the client is told that it is not known", EachLoss),
		commit("the client is told that it did not happen", EachOnce, exactlyOnce),
		commit("it is done again", EachLoss, twice...),
		commit("it is done again, where the key must be one", EachOnce),

		{File: "real/asynchronous.feature", Scenario: "the standby is promoted, and replication was asynchronous", Fails: []string{exactlyOnce, noneLost}, Effects: SomeLost},

		{File: "real/names.feature", Scenario: "five answers are lost", Fails: []string{"no request takes longer than 4s"}, Effects: NoEffects},
	}, brokerFindings())
}
