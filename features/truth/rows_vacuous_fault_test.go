package truth

import "time"

// vacuousFault returns drills that prove nothing because the fault affects no traffic of the load.
func vacuousFault() []row {
	return []row{
		{
			name:  "one fault hides the other",
			steps: load("GET /dep", 40) + "When requests from \"clients\" to \"front\" are lost, then reset\nAnd 500ms pass\nAnd \"back\" crashes for 1s\nAnd all faults are healed\nThen at least 0.1% of requests succeed\nAnd at least 90% of requests succeed after healing\n",
			want:  "inconclusive|problem", reason: `back|` + touched,
			why: "no request came as far as the service that crashed",
		}, {
			name: "all pages come from a cache", front: "-cached",
			steps: load("GET /dep", 40) + "When \"back\" crashes for 2s\nThen at least 99% of requests succeed during the fault\n",
			want:  "inconclusive", reason: `back|` + touched,
			why: "the dependency was not called while it was down",
		}, {
			name:  "a rule of a key that no request has",
			steps: load("POST /orders", 40) + keyed("GET /ledger") + settled + "When only calls with key \"no-such-key\" from \"clients\" to \"front\" are delayed by 500ms for 1s\n" + once,
			want:  "inconclusive", reason: touched + `|key`,
			why: "no request carries it",
		}, {
			name: "a rule of a header that no request has", full: true,
			steps: load("GET /ok", 40) + "When only calls with header \"Tenant: acme\" from \"clients\" to \"front\" are delayed by 500ms for 1s\n" + half,
			want:  "inconclusive", reason: touched + `|header`,
			why: "no request carries it",
		}, {
			name:  "a rule of a route that the link does not carry",
			steps: load("GET /dep", 40) + "When only \"POST /charge\" calls from \"front\" to \"back\" are delayed by 500ms for 1s\n" + half,
			want:  "inconclusive", reason: `GET /work`,
			why: "the front asks for GET /work: the reason names what was seen",
		}, {
			name: "a rule that heartbeats match and the load does not", front: "-heartbeat 50ms",
			steps: load("GET /dep", 40) + "When only \"GET /ok\" calls from \"front\" to \"back\" are delayed by 200ms for 2s\n" + half,
			want:  "inconclusive", reason: `(?i)heartbeat|load|` + touched,
			why: "no request waits for them",
		}, {
			name:  "from the 1000th to the 2000th of some 40 calls",
			steps: load("GET /dep", 40) + "When from the 1000th to the 2000th call from \"front\" to \"back\" are delayed by 500ms for 1s\n" + half,
			want:  "inconclusive", reason: touched,
			why: "there are not so many",
		}, {
			name: "a share of keys that chooses none", full: true,
			steps: load("POST /orders", 10) + keyed("GET /ledger") + "When calls with 0.01% of keys from \"clients\" to \"front\" are delayed by 500ms for 1s\n" + once,
			want:  "inconclusive", reason: touched,
			why: "one key in ten thousand is none of ten",
		}, {
			name: "all but the first four of one connection", full: true,
			steps: load("GET /dep", 20) + "When all but the first 4 connections from \"front\" to \"back\" are closed after 1 KB for 1s\n" + half,
			want:  "inconclusive", reason: touched,
			why: "there is no fifth connection",
		}, {
			name: "the first connection is that of heartbeats", front: "-heartbeat 50ms",
			steps: load("GET /dep", 40) + "When the first 1 connections from \"front\" to \"back\" fall silent for 2s\n" + half,
			want:  "inconclusive", reason: `(?i)heartbeat|load|` + touched,
			why: "no request waits for it",
		}, {
			name: "connections become half-open, and there are none", front: "-no-reuse", full: true,
			steps: loadFor("GET /dep", 4, time.Second, 6*time.Second) + "When connections from \"front\" to \"back\" are half-open for 1s\nThen at least 90% of requests succeed\n",
			want:  "inconclusive", reason: `(?i)few|` + touched,
			why: "new connections go through",
		}, {
			name:  "handshakes stall where there is no TLS",
			steps: load("GET /dep", 40) + "When TLS handshakes from \"front\" to \"back\" stall for 1s\n" + half,
			want:  "inconclusive|problem", reason: `(?i)TLS|handshake|` + touched,
			why: "no connection begins with a handshake",
		}, {
			name:  "pieces that are larger than any message",
			steps: load("GET /dep", 40) + "When traffic from \"front\" to \"back\" is sliced into pieces of 1 MB for 1s\n" + half,
			want:  "inconclusive", reason: touched,
			why: "nothing is cut",
		}, {
			name:  "calls arrive out of order, one at a time",
			steps: loadFor("GET /dep", 2, 2*time.Second, 12*time.Second) + "When calls from \"front\" to \"back\" arrive out of order, up to 200ms late for 2s\nThen at least 90% of requests succeed\n",
			want:  "inconclusive", reason: `(?i)order|passed|overt|few|` + touched,
			why: "a call that is alone cannot be overtaken",
		}, {
			name:   "the second of two replicas crashes, and the load goes to the first",
			steps:  load("GET /dep", 40) + "When \"second\" crashes for 1s\nThen at least 99% of requests succeed during the fault\n",
			system: replicas, want: "inconclusive", reason: `second|` + touched,
			why: "nothing called the second",
		}, {
			name:  "another program has the port for half of the crash",
			steps: load("GET /dep", 40) + "When \"back\" crashes for 3s\nThen at least 10% of requests succeed during the fault\n",
			system: `
services:
  front: {command: [SERVICE, -listen, "127.0.0.1:${port}", -dep, "${link:back}"], serves: [/], depends: {back: http}}
  back: {command: [SERVICE, -listen, "127.0.0.1:${port}"]}
  standby: {command: [sh, -c, "echo up; sleep 1; until timeout 1.5 \"$@\"; test $? = 124; do sleep 0.7; done; exec sleep 600", sh, SERVICE, -listen, "${address:back}"], ready: {line: up}}
`,
			want: "inconclusive", reason: `(?i)in place of the service|listens on`,
			why: "requests were answered by the other program",
		}, {
			name:  "the front goes past the link",
			steps: load("GET /dep", 40) + slow + half,
			system: `
services:
  front: {command: [SERVICE, -listen, "127.0.0.1:${port}", -dep, "${address:back}"], env: {BACK: "${link:back}"}, serves: [/], depends: {back: http}}
  back: {command: [SERVICE, -listen, "127.0.0.1:${port}"]}
`,
			want: "inconclusive|problem", reason: touched,
			why: "no call takes the link",
		}, {
			name:  "no datagram is sent",
			steps: load("GET /ok", 40) + "When messages from \"front\" to \"back\" are delayed by 200ms for 1s\n" + half,
			system: `
services:
  front: {command: [SERVICE, -listen, "127.0.0.1:${port}"], env: {STATSD: "${link:back}"}, serves: [/], depends: {back: udp}}
  back: {command: [SERVICE, -announce, started, -listen, "127.0.0.1:${port}", -udp], ready: {line: started}}
`,
			want: "inconclusive", reason: touched,
			why: "there is no message on the link",
		}, {
			name:  "messages in a direction that has none",
			steps: load("GET /ok", 40) + "When messages from \"back\" to \"front\" are lost for 1s\n" + half,
			system: `
services:
  front: {command: [SERVICE, -listen, "127.0.0.1:${port}"], env: {STATSD: "${link:back}"}, serves: [/], depends: {back: udp}}
  back: {command: [SERVICE, -announce, started, -listen, "127.0.0.1:${port}", -udp], ready: {line: started}}
`,
			full: true, want: "inconclusive", reason: touched,
			why: "a collector of statistics never replies",
		}, {
			name:  "two services without a link are cut off from each other",
			steps: load("GET /dep", 40) + "When \"back\" and \"spare\" are cut off from each other for 1s\n" + half,
			want:  "problem", reason: `back.*spare|spare.*back`,
			why: "there is nothing to cut",
		}, {
			name: "a service that Firedrill did not start crashes", before: leftRunning,
			steps:  load("GET /ok", 40) + "When \"shop\" crashes for 1s\n" + half,
			system: "services:\n  shop: {address: \"127.0.0.1:PORT\", serves: [/]}\n",
			want:   "problem", reason: `shop`,
			why: "its process cannot be touched",
		}, {
			name: "pages are fallbacks at all times", front: "-degrade always",
			steps: load("GET /soft", 40) + "When \"back\" crashes for 1s\nThen at least 80% of \"GET /soft\" responses are fallbacks during the fault\n",
			want:  "inconclusive", reason: `(?i)before|baseline`,
			why: "the mark says nothing of the fault",
		}, {
			name: "the second fault is never reached by the load's only route", full: true,
			steps: load("GET /ok", 40) + "When calls from \"clients\" to \"front\" are delayed by 20ms for 1s\nAnd \"back\" hangs for 1s\nThen at least 99% of requests succeed\n",
			want:  "inconclusive", reason: `back|` + touched,
			why: "one fault acted and the other did not",
		}, {
			name: "a delay that only the last moment of the run could show", full: true,
			steps: load("GET /dep", 40) + "When the load stops\nAnd calls from \"front\" to \"back\" are delayed by 100ms for 1s\nThen at least 99% of requests succeed\n",
			want:  "inconclusive|problem", reason: `load|` + touched,
			why: "no call is made any more",
		}, {
			name:   "the service exits unexpectedly before effects are read",
			steps:  loadFor("POST /orders", 40, time.Second, time.Second) + keyed("GET /ledger") + "When calls from \"clients\" to \"web\" are delayed by 20ms for 2s\n" + lost,
			system: "services:\n  web: {command: [SERVICE, -listen, \"127.0.0.1:${port}\", -exit-after, 4s, -exit-status, \"1\"], serves: [/]}\nclients: {depends: {web: http}}\n",
			want:   "inconclusive", reason: `web`,
			why: "it exited unexpectedly: what it had applied cannot be read",
		},
	}
}

const replicas = `
services:
  front: {command: [SERVICE, -listen, "127.0.0.1:${port}", -dep, "${link:first}", -second, "${link:second}"], serves: [/], depends: {first: http, second: http}}
  first: {command: [SERVICE, -listen, "127.0.0.1:${port}"]}
  second: {command: [SERVICE, -listen, "127.0.0.1:${port}"]}
`
