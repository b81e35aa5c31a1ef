package truth

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// mistakes returns drills of users that were once judged wrongly.
func mistakes() []row {
	return []row{
		{
			name:  "half of the requests fail always",
			steps: loadFor("GET /half", 20, time.Second, 2*time.Second) + "When calls from \"clients\" to \"front\" are delayed by 20ms for 2s\nThen at least 99% of requests succeed during the fault\nAnd \"GET /half\" recovers within 3s of healing\n",
			want:  "inconclusive", reason: `(?i)baseline`,
			why: "what was not well before the fault cannot be broken by it",
		}, {
			name:   "a service that starts slowly after a crash",
			steps:  loadFor("GET /ok", 40, time.Second, 2*time.Second) + "When \"web\" crashes for 2s\nThen \"GET /ok\" recovers within 2s of healing\n",
			system: "services:\n  web: {command: [SERVICE, -listen, \"127.0.0.1:${port}\", -restart-late, 6s], dir: FOLDER, serves: [/]}\n",
			want:   "failed", reason: `(?i)steady|recover`, fails: []string{`recovers within 2s`},
			why: "the outage that was asked for ends after 2s, and the service answers again 6s later",
		}, {
			name: "a service that starts slowly after a crash, and may", full: true,
			steps:  loadFor("GET /ok", 40, time.Second, 2*time.Second) + "When \"web\" crashes for 2s\nThen \"GET /ok\" recovers within 9s of healing\n",
			system: "services:\n  web: {command: [SERVICE, -listen, \"127.0.0.1:${port}\", -restart-late, 4s], dir: FOLDER, serves: [/]}\n",
			want:   "passed", why: "it answers again 4s after the outage that was asked for",
		}, {
			name:   "a service prints that it listens, and ends",
			steps:  load("GET /a", 20) + "When 1s passes\nThen at least 99% of requests succeed\n",
			system: "services:\n  web: {command: [SERVICE, -announce, listening], ready: {line: listening}, serves: [/]}\n",
			want:   "inconclusive", reason: `web.*(exit|end|status 0)`,
			why: "there is no service",
		}, {
			name:   "a service exits unexpectedly within the fault",
			steps:  load("GET /ok", 20) + "And every request carries a fresh idempotency key in the \"Idempotency-Key\" header\nWhen calls from \"clients\" to \"web\" are delayed by 20ms for 3s\nThen at least 99% of requests succeed during the fault\n",
			system: "services:\n  web: {command: [SERVICE, -listen, \"127.0.0.1:${port}\", -exit-after, 3s, -exit-status, \"7\"], serves: [/]}\nclients: {depends: {web: http}}\n",
			want:   "inconclusive", reason: `web.*(exit|end).*7`,
			why: "no fault ended it: that has to be said first",
		}, {
			name:   "a service exits in the baseline, and its sockets are closed before that",
			steps:  loadFor("GET /ok", 40, time.Second, 3*time.Second) + "When calls from \"clients\" to \"web\" are delayed by 20ms for 1s\nThen at least 99% of requests succeed during the fault\n",
			system: "services:\n  web: {command: [SERVICE, -listen, \"127.0.0.1:${port}\", -exit-after, 4500ms, -dying-for, 1500ms, -exit-status, \"7\"], serves: [/]}\nclients: {depends: {web: http}}\n",
			want:   "inconclusive", reason: `web.*exited unexpectedly.*7`,
			why: "the failures of the baseline have a cause, which has to be said",
		}, {
			name: "a service exits unexpectedly, and the load goes elsewhere", full: true, back: "-exit-after 2s -exit-status 7",
			steps: load("GET /ok", 20) + "When calls from \"clients\" to \"front\" are delayed by 20ms for 3s\nThen at least 99% of requests succeed during the fault\n",
			want:  "inconclusive", reason: `back.*(exit|end).*7`,
			why: "the system was not whole",
		}, {
			name: "the ledger is kept between two runs", runs: 2,
			steps:  load("POST /orders", 40) + keyed("GET /ledger") + settled + "When calls from \"clients\" to \"web\" are delayed by 50ms for 1s\nThen no effect appears that was never requested\nAnd every acknowledged request is applied exactly once\n",
			system: "services:\n  web: {command: [SERVICE, -listen, \"127.0.0.1:${port}\", -file, FOLDER/ledger], serves: [/]}\nclients: {depends: {web: http}}\n",
			want:   "passed", why: "what was there before does not belong to this run",
		}, {
			name: "a service that is left running is drilled by two scenarios", full: true, before: leftRunning,
			steps:  sharedShop + "Scenario: and again\n" + sharedShop,
			system: "services:\n  shop: {address: \"127.0.0.1:PORT\", serves: [/]}\nclients: {depends: {shop: http}}\n",
			want:   "passed", why: "only the keys of a scenario are its own",
		}, {
			name: "two scenarios drill a service that is left running side by side", before: leftRunning, parallel: 2,
			steps:  sharedShop + "Scenario: beside it\n" + sharedShop,
			system: "services:\n  shop: {address: \"127.0.0.1:PORT\", serves: [/]}\nclients: {depends: {shop: http}}\n",
			want:   "passed", why: "they share an address, so they run one after the other, and only the keys of a scenario are its own",
		}, {
			name: "two scenarios have one fixed port, and may run side by side", parallel: 2,
			steps:  load("GET /ok", 40) + "When calls from \"clients\" to \"web\" are delayed by 50ms for 2s\nThen at least 50% of requests succeed\nScenario: beside it\n" + load("GET /ok", 40) + "When calls from \"clients\" to \"web\" are delayed by 50ms for 2s\nThen at least 50% of requests succeed\n",
			system: "services:\n  web: {command: [SERVICE, -listen, \"127.0.0.1:${port}\"], port: PORT, serves: [/]}\nclients: {depends: {web: http}}\n",
			want:   "passed", why: "a port is one service's at a time: they run one after the other",
		}, {
			name: "a stop that the service does not follow", back: "-ignore-term", front: "-patience 300ms",
			steps: load("GET /dep", 40) + "When \"back\" is stopped gracefully for 2s\nThen at least 1% of requests succeed\n",
			want:  "inconclusive", reason: `(?i)SIGKILL|orderly|in order`,
			why: "it had to be killed, which is another fault than was asked for",
		}, {
			name: "a form answers 303, and a sentence says that this is success", front: "-status 303",
			steps: load("POST /orders", 40) + keyed("GET /ledger") + settled + "And \"POST /orders\" answers 201 or 303\nWhen calls from \"clients\" to \"front\" are delayed by 100ms for 1s\nThen at least 90% of requests succeed\nAnd every acknowledged request is applied exactly once\nAnd no acknowledged request is lost\n",
			want:  "passed", why: "303 is how a form says that the order was taken",
		}, {
			name: "a form answers 303, and no sentence says so", front: "-status 303",
			steps: load("POST /orders", 40) + keyed("GET /ledger") + "When calls from \"clients\" to \"front\" are delayed by 100ms for 1s\nThen at least 99% of requests succeed\n",
			want:  "inconclusive|problem", reason: `303`,
			why: "no request counts as a success, before the fault either: the reason names the status",
		}, {
			name: "effects are written every so often by a consumer of a queue", front: "-status 202 -late 2s", full: true,
			steps: load("POST /orders", 20) + keyed("GET /ledger") + "And effects settle within 10s\nWhen calls from \"clients\" to \"front\" are delayed by 50ms for 2s\nThen every acknowledged request is applied exactly once\nAnd no acknowledged request is lost\n",
			want:  "passed", why: "202 says that it will be done, and it is",
		}, {
			name:  "ramps are delivered, from nothing on",
			steps: "And clients give up after 5s\nAnd a steady load of 20 requests per second on \"GET /ok\"\nAnd a baseline is measured for 2s\nWhen the load changes from 20 to 0 requests per second\nAnd 1s passes\nAnd the load changes from 0 to 50 requests per second over 6s\nThen at least 99% of requests succeed\n",
			want:  "passed", why: "the service answers everything; that 150 are asked in the ramp is held by the journal", sent: [2]int{208, 214},
		}, {
			name:  "GETs are answered with a body that is cut off",
			steps: loadFor("GET /ok", 60, time.Second, 2*time.Second) + "When replies from \"front\" to \"clients\" are truncated for 2s\nThen at least 40 calls from \"clients\" to \"front\" were affected by the fault\nAnd at least 90% of requests succeed after healing\n",
			want:  "passed", why: "each answer has a body; it is cut off while the fault lasts, and whole afterwards",
		}, {
			name: "GETs are answered with a body that is damaged", full: true,
			steps: loadFor("GET /ok", 60, time.Second, 2*time.Second) + "When replies from \"front\" to \"clients\" are corrupted for 2s\nThen at least 40 calls from \"clients\" to \"front\" were affected by the fault\nAnd at least 90% of requests succeed after healing\n",
			want:  "passed", why: "each answer has a body; it is damaged while the fault lasts, and right afterwards",
		}, {
			name:  "calls without a body are cut off",
			steps: load("GET /ok", 40) + "When calls from \"clients\" to \"front\" are truncated for 2s\nThen at least 10% of requests succeed during the fault\n",
			want:  "inconclusive|problem", reason: `(?i)body|repl|` + touched,
			why: "a GET has no body that could be cut off",
		}, {
			name: "the program has few descriptors", descriptors: 40, front: "-patience 5s",
			steps: loadFor("GET /dep", 100, 5*time.Second, time.Second) + "When calls from \"front\" to \"back\" are delayed by 800ms for 2s\nThen at least 99% of requests succeed during the fault\n",
			want:  "inconclusive", reason: `(?i)descriptor|open files|ulimit`,
			why: "the program's own limit is reached, not the system's",
		}, {
			name: "another program has the service's port", before: otherProgram,
			steps:  load("GET /ok", 20) + "When calls from \"clients\" to \"web\" are delayed by 50ms for 1s\nThen at least 99% of requests succeed during the fault\n",
			system: "services:\n  web: {command: [SERVICE, -listen, \"127.0.0.1:PORT\"], port: PORT, serves: [/]}\nclients: {depends: {web: http}}\n",
			want:   "inconclusive|problem", reason: `(?i)web.*(exit|end|another|in use)|port`,
			why: "another program answers",
		}, {
			name: "another program has the port, and the service lives on without it", before: otherProgram,
			steps:  load("GET /ok", 20) + "When calls from \"clients\" to \"web\" are delayed by 50ms for 1s\nThen at least 99% of requests succeed during the fault\n",
			system: "services:\n  web: {command: [SERVICE, -exit-after, 60s], port: PORT, serves: [/]}\nclients: {depends: {web: http}}\n",
			want:   "inconclusive|problem", reason: `(?i)another|ready|listen|port`,
			why: "another program answers",
		}, {
			name: "a supervisor starts the service again at once", back: "-detach supervise",
			steps: load("GET /dep", 40) + "When \"back\" crashes for 2s\nThen at least 99% of requests succeed during the fault\n",
			want:  "inconclusive|failed|problem", reason: `(?i)back|answer|succeed`, fails: []string{`succeed during the fault`},
			why: "either the supervisor is ended too, and requests fail, or the service that answers is no crashed one",
		}, {
			name: "a child in a session of its own serves while the service hangs", back: "-detach stay",
			steps: load("GET /dep", 40) + "When \"back\" hangs for 2s\nThen at least 99% of requests succeed during the fault\n",
			want:  "inconclusive|failed|problem", reason: `(?i)back|answer|succeed`, fails: []string{`succeed during the fault`},
			why: "either the child hangs too, and requests fail, or the service that answers does not hang",
		}, {
			name: "the service leaves a child and ends", back: "-detach leave",
			steps: load("GET /dep", 40) + "When \"back\" crashes for 2s\nThen at least 99% of requests succeed during the fault\n",
			want:  "inconclusive|failed|problem", reason: `(?i)back|background|daemon|succeed`, fails: []string{`succeed during the fault`},
			why: "either the child is the service, and requests fail while it is down, or it is refused",
		}, {
			name:  "a scenario asks nothing",
			steps: load("GET /dep", 20) + slow,
			want:  "inconclusive|problem", reason: `(?i)check|Then`,
			why: "without a check nothing can fail",
		}, {
			name:  "the baseline is sick because the dependency is out of reach",
			steps: load("GET /dep", 20) + slow + half,
			system: `
services:
  front: {command: [SERVICE, -listen, "127.0.0.1:${port}", -dep, "127.0.0.1:9"], serves: [/], depends: {back: http}}
  back: {command: [SERVICE, -listen, "127.0.0.1:${port}"]}
`,
			want: "inconclusive|problem", reason: `(?i)baseline|link`,
			why: "nothing worked before",
		},
	}
}

// sharedShop is a scenario of a service that other clients use as well.
var sharedShop = load("POST /orders", 40) + keyed("GET /ledger") + settled + `When calls from "clients" to "shop" are delayed by 50ms for 1s
Then no effect appears that was never requested
And every acknowledged request is applied exactly once
`

// leftRunning starts a service that the program finds running.
func leftRunning(t *testing.T, f folder) {
	port := machine.FreePort(t)
	cmd := exec.Command(f.service, "-listen", "127.0.0.1:"+port) //nolint:gosec // the service of the rows
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}, 10*time.Second, 5*time.Millisecond)
	f.setPort(t, port)
}

// otherProgram listens on the port of the service of the row.
func otherProgram(t *testing.T, f folder) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(server.Close)
	f.setPort(t, server.URL[strings.LastIndex(server.URL, ":")+1:])
}
