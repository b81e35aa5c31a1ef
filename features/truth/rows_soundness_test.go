package truth

import "time"

// soundness returns wrong systems that once passed and correct systems that once failed.
func soundness() []row {
	return []row{
		{
			name: "held calls arrive together at healing", front: "-patience 20s", alone: true,
			steps: loadFor("GET /dep", 60, 20*time.Second, time.Second) + "When calls from \"front\" to \"back\" are delayed by 30s for 4s\nThen \"back\" receives at most 100 calls per second\nAnd \"back\" receives at most 100 calls per second after healing\nAnd at least 90% of requests succeed\n",
			want:  "failed", reason: `calls`, fails: []string{`at most 100 calls per second$`, `at most 100 calls per second after healing`},
			why: "some 240 calls that were held are released in one moment",
		}, {
			name: "keys that are taken during the fault are forgotten", front: "-forget slow",
			steps: load("POST /orders", 40) + keyed("GET /ledger") + settled + "When calls from \"front\" to \"back\" are delayed by 300ms for 3s\nThen requests repeated with the same key get the same response\nAnd no request is applied more than once\nAnd a key reused with a different body is refused with status 422\n",
			want:  "failed", reason: `key`, fails: []string{`same response`, `more than once`, `key reused with a different body`},
			why: "a repetition of such a key, with whatever body, is taken as a new order",
		}, {
			name: "every order is applied again later than effects are looked at", front: "-again 60s", full: true,
			steps: load("POST /orders", 40) + keyed("GET /ledger") + "When calls from \"front\" to \"back\" are delayed by 100ms for 2s\n" + once,
			want:  "passed|inconclusive",
			why:   "the second effect comes after everything was read: this is as far as the default time of settling can see",
		}, {
			name: "every order is applied again within the time of settling", front: "-again 12s",
			steps: load("POST /orders", 40) + keyed("GET /ledger") + "And effects settle within 20s\nWhen calls from \"front\" to \"back\" are delayed by 100ms for 2s\n" + once,
			want:  "failed", reason: `more than once|twice|duplicate|surplus`, fails: []string{`exactly once`},
			why: "each order has two effects after 12s, and 20s were asked for",
		}, {
			name: "effects show three seconds after the answer", front: "-late 3s",
			steps: loadFor("POST /orders", 10, time.Second, 3*time.Second) + keyed("GET /ledger") + "And effects settle within 10s\nWhen calls from \"front\" to \"back\" are delayed by 100ms for 2s\n" + once,
			want:  "passed", why: "each order has one effect, and the feature says how long that may take",
		}, {
			name: "effects show three seconds after the answer, which no sentence says", front: "-late 3s", full: true,
			steps: loadFor("POST /orders", 10, time.Second, 3*time.Second) + keyed("GET /ledger") + "When calls from \"front\" to \"back\" are delayed by 100ms for 2s\n" + once,
			want:  "passed|inconclusive", why: "each order has one effect; without the sentence it may have been read too early",
		}, {
			name: "calls that the fault broke are made again when the load is over", front: "-delay 50ms -tries 2 -gap 1500ms -patience 200ms",
			steps: "When 20% of requests from \"front\" to \"back\" are lost, then silence\nAnd 120 requests on \"GET /async\" are sent, 2 at a time\nAnd the fault is healed\n" +
				"Then at least 99% of requests succeed\n",
			want: "passed", why: "traffic that ends after the load is work of the load, and no heartbeat",
		}, {
			name: "a service exits unexpectedly during the drill", front: "-heartbeat 200ms", back: "-exit-after 3s -exit-status 3",
			steps: load("GET /ok", 40) + "When calls from \"front\" to \"back\" are delayed by 10ms for 1s\nThen at least 99% of requests succeed\n",
			want:  "inconclusive", reason: `back.*exited unexpectedly.*status 3`,
			why: "what is measured with a part missing is not what was to be measured",
		}, {
			name: "after healing means after the last fault", full: true,
			steps: loadFor("GET /dep", 40, time.Second, 2*time.Second) + "When calls from \"front\" to \"back\" are delayed by 10ms for 1s\nAnd 8s pass\nAnd calls from \"front\" to \"back\" answer with status 500 for 1s\nThen at least 99% of requests succeed after healing\n",
			want:  "passed", why: "the second fault's failures are not after healing, and when it was healed the system was well again",
		}, {
			name: "failures between two faults are not after healing", front: "-breaker 1 -closes 2s", full: true,
			steps: loadFor("GET /dep", 40, time.Second, 2*time.Second) + "When calls from \"front\" to \"back\" answer with status 500 for 1s\nAnd 4s pass\nAnd calls from \"front\" to \"back\" are delayed by 10ms for 1s\nThen at least 99% of requests succeed after healing\n",
			want:  "passed", why: "the breaker closed before the second fault, and nothing fails after that",
		}, {
			name: "a system that fails after the last fault only", front: "-breaker 1",
			steps: loadFor("GET /dep", 40, time.Second, 2*time.Second) + "When calls from \"front\" to \"back\" are delayed by 10ms for 1s\nAnd 8s pass\nAnd calls from \"front\" to \"back\" answer with status 500 for 1s\nThen at least 90% of requests succeed after healing\n",
			want:  "failed", reason: `succe`, fails: []string{`90% of requests succeed after healing`},
			why: "the breaker opens in the second fault and never closes; the eight good seconds before do not count",
		}, {
			name:  "a route that always fails recovers",
			steps: load("GET /status/503", 40) + steady + "When \"back\" crashes for 1s\nThen \"GET /status/503\" recovers within 2s of healing\n",
			want:  "inconclusive", reason: `succe|baseline`,
			why: "nothing worked that could be lost or recovered",
		}, {
			name: "the ledger lists each effect twice", full: true, front: "-listed 2",
			steps: load("POST /orders", 40) + keyed("GET /ledger") + "When calls from \"front\" to \"back\" are delayed by 100ms for 2s\nThen no request is applied more than once\nAnd every acknowledged request is applied exactly once\n",
			want:  "passed", why: "an id that is listed twice is one effect",
		}, {
			name:  "a constant body is not another body",
			steps: "And a steady load of 40 requests per second on \"POST /orders\" with this body:\n\"\"\"\n{\"item\": \"x\"}\n\"\"\"\nAnd clients give up after 1s\nAnd a baseline is measured for 1s\n" + keyed("GET /ledger") + "When calls from \"front\" to \"back\" are delayed by 100ms for 1s\nThen a key reused with a different body is refused with status 422\n",
			want:  "passed|problem", reason: `body`,
			why: "the service refuses other bodies: either the body is varied, or a problem says that it cannot be",
		}, {
			name: "all time out before the limit of latency", front: "-patience 9s",
			steps: load("GET /dep", 40) + "When \"back\" hangs for 4s\nThen no request takes longer than 2s during the fault\nAnd the p95 latency stays below 1500ms during the fault\n",
			want:  "problem|inconclusive", reason: `give up|patience|1s|succe|as expected`,
			why: "clients give up after 1s, so nothing can take longer",
		},
	}
}
