package truth

import (
	"syscall"
	"time"
)

// vacuousLoad returns drills that prove nothing because of the load, or because of the checks on it.
func vacuousLoad() []row {
	return []row{
		{
			name:  "the load goes to another service than the fault",
			steps: load("GET /spare/ok", 40) + "When calls from \"clients\" to \"front\" are delayed by 100ms for 1s\n" + half,
			want:  "inconclusive", reason: touched,
			why: "no request takes the link",
		}, {
			name:  "every request is refused with 429",
			steps: load("POST /refused/429", 40) + keyed("GET /ledger") + steady + "When calls from \"clients\" to \"front\" are delayed by 50ms for 1s\n" + twice + "And no effect appears that was never requested\n",
			want:  "inconclusive", reason: `(?i)baseline|acknowledged|succe`,
			why: "nothing was ever applied that could be applied twice",
		}, {
			name: "every request is redirected", full: true,
			steps: load("GET /moved", 40) + "When calls from \"clients\" to \"front\" are delayed by 50ms for 1s\n" + half,
			want:  "inconclusive", reason: `302`,
			why: "no request gets an answer that is expected; the reason names the status",
		}, {
			name: "the service warms up during the baseline", front: "-warm-up 2s",
			steps: loadFor("GET /dep", 40, time.Second, 2*time.Second) + slow + half,
			want:  "inconclusive", reason: `(?i)baseline`,
			why: "the state before the fault was not steady",
		}, {
			name:  "a route of which hardly a request is made",
			steps: "And a steady load of 40 requests per second with this mix:\n| route | share |\n| GET /dep | 99% |\n| GET /other | 1% |\nAnd clients give up after 1s\nAnd a baseline is measured for 1s\n" + slow + "Then at least 99% of \"GET /other\" requests succeed during the fault\n",
			want:  "inconclusive|problem", reason: `(?i)request|sample|few|needed`,
			why: "one request or none says nothing of 99%",
		}, {
			name:  "a percentile that so few requests do not have",
			steps: load("GET /dep", 40) + slow + "Then the p99.9 latency stays below 900ms during the fault\n",
			want:  "inconclusive|problem", reason: `(?i)p99.9|few|needed|meaningful`,
			why: "the p99.9 of 40 requests is their slowest",
		}, {
			name:  "a baseline of one request",
			steps: loadFor("GET /dep", 10, time.Second, 100*time.Millisecond) + "When calls from \"front\" to \"back\" are delayed by 20ms for 2s\nThen \"GET /dep\" is not affected by the fault\n",
			want:  "inconclusive|problem", reason: `(?i)baseline|few|needed|sample`,
			why: "there is nothing to compare with",
		}, {
			name:  "not affected, by five requests a side",
			steps: loadFor("GET /ok", 5, time.Second, time.Second) + "When calls from \"clients\" to \"front\" are delayed by 20ms for 1s\nThen \"GET /ok\" is not affected by the fault\n",
			want:  "inconclusive|problem", reason: `(?i)few|needed|sample|request|baseline`,
			why: "so few prove no difference",
		}, {
			name:  "not affected, and broken all the time",
			steps: load("GET /status/500", 40) + steady + "When calls from \"clients\" to \"front\" are delayed by 20ms for 2s\nThen \"GET /status/500\" is not affected by the fault\n",
			want:  "inconclusive", reason: `(?i)baseline|succe`,
			why: "what never worked is as broken as it was",
		}, {
			name: "recovery of a route that is asked once in two seconds", full: true,
			steps: loadFor("GET /dep", 0.5, time.Second, 4*time.Second) + "When \"back\" crashes for 3s\nThen \"GET /dep\" recovers within 2s of healing\n",
			want:  "inconclusive|problem", reason: `(?i)request|few|sample|needed|baseline|` + touched,
			why: "most seconds hold no request, so they cannot be steady",
		}, {
			name: "a limit of latency beyond the clients' patience, by comparison", back: "-delay 40ms",
			steps: load("GET /dep", 80) + "When \"back\" hangs for 4s\nThen the p95 latency stays within 100 times the baseline during the fault\n",
			want:  "inconclusive|problem", reason: `(?i)give up|patience|1s|succe|as expected`,
			why: "a hundred times the baseline is 4s, and clients give up after 1s",
		}, {
			name:  "a caller may wait for longer than the fault lasts",
			steps: load("GET /dep", 40) + "When \"back\" hangs for 2s\nThen \"front\" gives up on \"back\" within 30s\nAnd at least 90% of requests succeed after healing\n",
			want:  "inconclusive|problem", reason: `30s|short|2s`,
			why: "no caller can have waited for 30s",
		}, {
			name:  "a caller that had nothing to wait for",
			steps: load("GET /dep", 40) + "When calls from \"front\" to \"back\" answer with status 500 for 2s\nThen \"front\" gives up on \"back\" within 1s\nAnd at least 90% of requests succeed after healing\n",
			want:  "inconclusive|problem", reason: `(?i)gives up.*(answer|wait|slow|gave up)`,
			why: "every answer came at once, so it never had to give up",
		}, {
			name:  "calls per second of the time after healing, when the load has stopped",
			steps: load("GET /dep", 40) + "When calls from \"front\" to \"back\" are delayed by 100ms for 1s\nAnd the load stops\nThen \"back\" receives at most 100 calls per second after healing\nAnd at least 50% of requests succeed during the fault\n",
			want:  "inconclusive|problem", reason: `(?i)no call|no request|load|0 calls|few`,
			why: "no call was made any more",
		}, {
			name:  "the fault is healed before the load is worth the name",
			steps: "And a steady load of 0.2 requests per second on \"GET /dep\"\nAnd clients give up after 1s\nAnd a baseline is measured for 1s\nWhen calls from \"front\" to \"back\" are delayed by 100ms for 1s\nAnd the load changes from 0.2 to 40 requests per second\nAnd 2s pass\n" + succeed,
			want:  "inconclusive|problem", reason: `(?i)few|needed|baseline|` + touched,
			why: "no request met the fault",
		}, {
			name: "the load is more than the program may have under way", full: true, alone: true, front: "-patience 20s", back: "-delay 4s",
			steps: loadFor("GET /dep", 600, 20*time.Second, 7*time.Second) + "When calls from \"front\" to \"back\" are delayed by 100ms for 4s\nThen at least 50% of requests succeed\n",
			want:  "inconclusive", reason: `(?i)deliver|sent|late|workers`,
			why: "what was to be asked was not asked",
		}, {
			name:  "a key is reused by requests that have no body",
			steps: load("GET /ok", 40) + "And every request carries a fresh idempotency key in the \"Idempotency-Key\" header\nWhen calls from \"clients\" to \"front\" are delayed by 50ms for 1s\nThen a key reused with a different body is refused with status 422\n",
			want:  "inconclusive|problem", reason: `(?i)body`,
			why: "no body is no other body",
		}, {
			name:  "calls per second are all that is asked about",
			steps: load("GET /dep", 40) + slow + "Then \"back\" receives at most 100 calls per second\n",
			want:  "inconclusive|problem", reason: `(?i)dead|client|check|no check`,
			why: "a system that is down satisfies it as well",
		}, {
			name:  "a steady state that nothing can leave",
			steps: load("GET /dep", 40) + "And the steady state is:\n| measure | condition |\n| success | at least 0% |\n" + slow + half,
			want:  "problem|inconclusive", reason: `0%`,
			why: "a system that is down is within it",
		}, {
			name:  "a rule that stops the run and cannot act",
			steps: "And the run stops at once if fewer than 0% of requests succeed for 1s\n" + load("GET /dep", 40) + slow + half,
			want:  "problem|inconclusive", reason: `0%`,
			why: "there are not fewer than none",
		}, {
			name: "the program stands still during the fault", beside: freeze,
			steps: load("GET /dep", 40) + "When calls from \"front\" to \"back\" are delayed by 20ms for 3s\nThen the p95 latency stays below 300ms during the fault\nAnd at least 99% of requests succeed during the fault\n",
			want:  "inconclusive", reason: `(?i)stood still|paus|late|frozen|froze|stopped`,
			why: "requests were late because of the program, not because of the system",
		}, {
			name:  "one scenario passes and the other needs a program that is absent",
			steps: loadFor("GET /dep", 50, time.Second, 2*time.Second) + "When calls from \"front\" to \"back\" are delayed by 100ms for 2s\n" + half,
			files: map[string]string{"absent.yaml": "services:\n  web: {command: [SERVICE, -listen, \"127.0.0.1:${port}\"], needs: no-such-program, install: nothing installs it}\n", "b.feature": absent},
			paths: []string{"a.feature", "b.feature"},
			want:  "inconclusive", reason: `no-such-program|skipped`,
			why: "part of what was to be shown was not",
		},
	}
}

const absent = `Feature: absent
  Scenario: needs a program
    Given the system described in "absent.yaml"
    And a steady load of 20 requests per second on "GET /ok"
    When 1s passes
    Then at least 99% of requests succeed
`

// freeze stops the program while a fault is live, and continues it later.
func freeze(pid int, begun func() bool) {
	if !begun() {
		return
	}
	time.Sleep(700 * time.Millisecond)
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	time.Sleep(1500 * time.Millisecond)
	_ = syscall.Kill(pid, syscall.SIGCONT)
}
