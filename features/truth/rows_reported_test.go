package truth

import "time"

// touched matches reasons that say that a fault affected none of the traffic of the load.
const touched = `touched nothing|0 of 1|affected (nothing|0)|no (call|request|message|connection)|did not (meet|act)|met (nothing|no )|never met`

// reported returns drills that prove nothing and once passed.
func reported() []row {
	return []row{
		{
			name: "no call is chosen", full: true,
			steps: load("GET /dep", 40) + "When 0% of calls from \"front\" to \"back\" are delayed by 1s for 1s\n" + half,
			want:  "inconclusive|problem", reason: touched + `|0%`,
			why: "a fault on none of the calls changes nothing",
		}, {
			name:  "the link is not used by the load",
			steps: load("GET /ok", 40) + slow + half,
			want:  "inconclusive", reason: touched,
			why: "no request needs the dependency",
		}, {
			name:  "the load is none",
			steps: load("GET /dep", 0) + slow + half,
			want:  "inconclusive|problem", reason: `(?i)load|rate|request|` + touched,
			why: "nothing is asked",
		}, {
			name:  "the load stops before the crash",
			steps: load("GET /dep", 40) + "When the load stops\nAnd \"back\" crashes for 1s\n" + succeed,
			want:  "inconclusive|problem", reason: `load|` + touched,
			why: "no request meets the crash",
		}, {
			name:  "a service crashes that nothing calls",
			steps: load("GET /dep", 40) + "When \"spare\" crashes for 1s\nThen \"spare\" was affected by the fault\nAnd at least 99% of requests succeed during the fault\n",
			want:  "inconclusive|problem", reason: `spare|` + touched,
			why: "no request needs the service",
		}, {
			name:  "a hang of 1 ms",
			steps: load("GET /dep", 40) + "When \"back\" hangs for 1ms\nThen \"back\" was affected by the fault\nAnd at least 99% of requests succeed\n",
			want:  "inconclusive|problem", reason: `hang|short|` + touched,
			why: "a process that stands still for a millisecond cannot be distinguished from one that waits for the processor",
		}, {
			name:  "a fault that is shorter than the time between two requests",
			steps: load("GET /dep", 2) + "When calls from \"front\" to \"back\" are delayed by 1s for 1ms\n" + succeed,
			want:  "inconclusive|problem", reason: `short|` + touched,
			why: "no call falls into it",
		}, {
			name:  "a route that is never found, and a steady state of latency",
			steps: load("GET /status/404", 40) + steady + "When \"back\" crashes for 3s\nThen \"GET /status/404\" recovers within 2s of healing\nAnd the p95 latency stays below 400ms during the fault\n",
			want:  "inconclusive", reason: `succe|baseline`,
			why: "no request succeeds at any time",
		}, {
			name:  "all requests fail at once, and the latency is asked about",
			steps: load("GET /dep", 40) + "When \"back\" refuses connections from \"front\" for 2s\nAnd calls from \"front\" to \"back\" answer with status 500 for 3s\nThen the p95 latency stays below 400ms during the fault\nAnd no request takes longer than 500ms during the fault\n",
			want:  "inconclusive", reason: `latency.*(succe|answered as expected)|longer.*(succe|answered as expected)`,
			why: "the latency of failures says nothing of the service",
		},
		{
			name:  "effects that are null",
			steps: load("POST /orders", 40) + keyed("GET /ledger/null") + slow + once,
			want:  "inconclusive", reason: `(?i)effects|ledger`,
			why: "null is not an empty list: no ledger was read",
		}, {
			name: "effects that are text", full: true,
			steps: load("POST /orders", 40) + keyed("GET /ledger/text") + slow + once,
			want:  "inconclusive", reason: `(?i)effects|ledger`,
			why: "no ledger was read",
		}, {
			name:  "effects with another field for the key, exactly once",
			steps: load("POST /orders", 40) + keyed("GET /ledger/other-fields") + slow + once,
			want:  "inconclusive", reason: `(?i)key`,
			why: "effects without a key belong to no request",
		}, {
			name: "effects with another field for the key, none twice", full: true,
			steps: load("POST /orders", 40) + keyed("GET /ledger/other-fields") + slow + twice,
			want:  "inconclusive", reason: `(?i)key`,
			why: "effects without a key belong to no request",
		}, {
			name: "effects that are null, no phantom", full: true,
			steps: load("POST /orders", 40) + keyed("GET /ledger/null") + slow + "Then no effect appears that was never requested\nAnd no request is applied more than once\n",
			want:  "inconclusive", reason: `(?i)effects|ledger`,
			why: "null is not an empty list: no ledger was read",
		}, {
			name:  "at least none succeed",
			steps: load("GET /dep", 40) + slow + "Then at least 0% of requests succeed during the fault\n",
			want:  "problem|inconclusive", reason: `0%`,
			why: "nothing can fail this check",
		}, {
			name:  "the baseline fails",
			steps: load("GET /status/503", 40) + slow + half,
			want:  "inconclusive", reason: `(?i)baseline`,
			why: "the system did not work before the fault",
		}, {
			name:  "fallbacks of a dependency that was down from the start",
			steps: load("GET /soft", 40) + "When \"front\" and \"back\" are cut off from each other for 2s\nThen at least 90% of \"GET /soft\" responses are fallbacks during the fault\n",
			system: `
fallback: "X-Degraded: true"
services:
  front: {command: [SERVICE, -listen, "127.0.0.1:${port}", -dep, "${link:back}"], serves: [/], depends: {back: http}}
  back: {address: "127.0.0.1:1"}
clients: {depends: {front: http}}
`,
			want: "inconclusive", reason: `(?i)baseline|before|fallback`,
			why: "all pages were fallbacks before the fault",
		}, {
			name:  "no key is acknowledged during the fault",
			steps: load("POST /orders", 40) + keyed("GET /ledger") + settled + "When requests from \"clients\" to \"front\" are lost, then reset for 3s\n" + once + "And no acknowledged request is lost\n",
			want:  "inconclusive", reason: `acknowledged`,
			why: "what was acknowledged did not meet the fault",
		}, {
			name:  "a share of three requests",
			steps: loadFor("GET /dep", 1, time.Second, 3*time.Second) + "When calls from \"front\" to \"back\" are delayed by 100ms for 3s\nThen at least 99% of requests succeed during the fault\n",
			want:  "inconclusive|problem", reason: `(?i)sample|requests|few|needed`,
			why: "three requests do not distinguish 99% from 90%",
		}, {
			name:  "an idle connection is cut off",
			steps: load("GET /ok", 40) + "When \"front\" and \"back\" are cut off from each other for 1s\n" + half,
			system: `
services:
  front: {command: [SERVICE, -listen, "127.0.0.1:${port}", -dep, "${link:back}", -idle], serves: [/], depends: {back: tcp}}
  back: {command: [SERVICE, -listen, "127.0.0.1:${port}"]}
clients: {depends: {front: http}}
`,
			want: "inconclusive", reason: touched,
			why: "no request needs the connection",
		}, {
			name: "a heartbeat is all that the fault meets", front: "-heartbeat 200ms",
			steps: load("GET /ok", 40) + slow + half,
			want:  "inconclusive", reason: `(?i)heartbeat|load|traffic of its own|` + touched,
			why: "no request needs the dependency",
		}, {
			name: "heartbeats that begin with the load are all that the fault meets", front: "-heartbeat 200ms -heartbeat-after 3s",
			steps: load("GET /ok", 40) + slow + half,
			want:  "inconclusive", reason: `(?i)no more than without the load`,
			why: "no request needs the dependency, and the time before the load does not show who calls it",
		}, {
			name:  "only the time before the fault is asked about",
			steps: load("GET /dep", 40) + slow + "Then at least 99% of requests succeed before the fault\n",
			want:  "inconclusive|problem", reason: `before`,
			why: "no fault can fail this check",
		}, {
			name: "repetitions of keys, none of which was acknowledged", full: true,
			steps: load("POST /refused/404", 40) + keyed("GET /ledger") + steady + slow + "Then requests repeated with the same key get the same response\n",
			want:  "inconclusive", reason: `acknowledged|baseline`,
			why: "there is no response that could be the same",
		}, {
			name:  "the only scenario needs a program that is absent",
			steps: load("GET /dep", 40) + slow + half,
			system: `
services:
  front: {command: [SERVICE, -listen, "127.0.0.1:${port}", -dep, "${link:back}"], serves: [/], depends: {back: http}}
  back: {command: [SERVICE, -listen, "127.0.0.1:${port}"], needs: no-such-program, install: nothing installs it}
clients: {depends: {front: http}}
`,
			want: "inconclusive", reason: `no-such-program`,
			why: "nothing ran",
		}, {
			name:  "a bandwidth that is never reached",
			steps: load("GET /dep", 40) + "When traffic from \"front\" to \"back\" is limited to 1000 MB per second for 1s\n" + half,
			want:  "inconclusive", reason: touched + `|limit`,
			why: "nothing is slowed down",
		}, {
			name:  "new connections are late, and there are none",
			steps: load("GET /dep", 20) + "When new connections from \"front\" to \"back\" are accepted 2s late for 1s\n" + half,
			want:  "inconclusive", reason: touched,
			why: "the one connection was there before",
		}, {
			name: "a reset after more bytes than flow", full: true,
			steps: load("GET /dep", 40) + "When connections from \"front\" to \"back\" are reset after 100 MB for 1s\n" + half,
			want:  "inconclusive", reason: touched,
			why: "no connection carries so much",
		},
	}
}
