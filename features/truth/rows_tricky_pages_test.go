package truth

import "time"

// pageLoad returns a load with enough requests for shares and percentiles in a window of two seconds.
func pageLoad(route string) string { return loadFor(route, 60, time.Second, 2*time.Second) }

// twoRoutes is a load of two routes, one of which needs the dependency.
const twoRoutes = `And a steady load of 80 requests per second with this mix:
| route    | share |
| GET /dep | 50%   |
| GET /ok  | 50%   |
And clients give up after 2s
And a baseline is measured for 3s
`

// trickyPages returns drills of services that serve pages, correctly or with a mistake that is easy to
// misjudge.
func trickyPages() []row {
	return []row{
		{
			name: "answers become slower with each failure, and stay so", front: "-leak 20ms",
			steps: pageLoad("GET /dep") + "When calls from \"front\" to \"back\" answer with status 500 for 1s\nThen the p95 latency stays below 200ms after healing\n",
			want:  "failed|inconclusive", reason: `(?i)latency|p95|succe`, fails: []string{`p95 latency`},
			why: "some sixty failures cost each later answer 1.2s, which is beyond the clients' patience too",
		}, {
			name: "answers become a little slower with each failure, and stay so", front: "-leak 5ms", alone: true, full: true,
			steps: pageLoad("GET /dep") + "When calls from \"front\" to \"back\" answer with status 500 for 1s\nThen the p95 latency stays below 150ms after healing\n",
			want:  "failed", reason: `(?i)latency|p95`, fails: []string{`p95 latency`},
			why: "some sixty failures cost each later answer 300ms, and all succeed",
		}, {
			name: "failed calls are repeated without an end, and arrive together", front: "-backlog -patience 300ms",
			steps: pageLoad("GET /dep") + "When \"back\" refuses connections from \"front\" for 2s\nThen \"back\" receives at most 100 calls per second after healing\n",
			want:  "failed", reason: `(?i)calls`, fails: []string{`at most 100 calls per second after healing`},
			why: "some 120 calls that failed come back at once, beside 60 a second",
		}, {
			name: "failed calls are not repeated", front: "-patience 300ms",
			steps: pageLoad("GET /dep") + "When \"back\" refuses connections from \"front\" for 2s\nThen \"back\" receives at most 150 calls per second after healing\nAnd \"GET /dep\" recovers within 3s of healing\n",
			want:  "passed", why: "sixty calls a second, before and after",
		}, {
			name: "a call is tried four times", front: "-tries 4",
			steps: pageLoad("GET /dep") + "When calls from \"front\" to \"back\" answer with status 500 for 2s\nThen \"back\" receives at most 1.5 times its normal calls during the fault\n",
			want:  "failed", reason: `(?i)calls|times`, fails: []string{`1.5 times its normal calls`},
			why: "four calls a request, where one is normal",
		}, {
			name: "a refused call is tried four times", front: "-tries 4 -no-reuse", full: true,
			steps: pageLoad("GET /dep") + "When \"back\" refuses connections from \"front\" for 2s\nThen \"back\" receives at most 1.5 times its normal calls during the fault\n",
			want:  "failed|inconclusive", reason: `(?i)calls|times|refused|dial`, fails: []string{`1.5 times its normal calls`},
			why: "four dials a request, where one is normal: a dial that is refused is a call of the caller",
		}, {
			name: "a breaker never closes", front: "-breaker 3",
			steps: pageLoad("GET /dep") + "When calls from \"front\" to \"back\" answer with status 500 for 1s\nThen \"GET /dep\" recovers within 3s of healing\n",
			want:  "failed", reason: `(?i)steady|recover`, fails: []string{`recovers within 3s`},
			why: "nothing is asked of the dependency any more",
		}, {
			name: "a breaker closes after a second", full: true, front: "-breaker 3 -closes 1s",
			steps: pageLoad("GET /dep") + "When calls from \"front\" to \"back\" answer with status 500 for 1s\nThen \"GET /dep\" recovers within 3s of healing\n",
			want:  "passed", why: "one call goes through after a second, and succeeds",
		}, {
			name: "fallbacks never end", front: "-degrade sticky",
			steps: pageLoad("GET /soft") + "When calls from \"front\" to \"back\" answer with status 500 for 1s\nThen at least 99% of requests succeed after healing\n",
			want:  "failed", reason: `(?i)fallback|succe`, fails: []string{`succeed after healing`},
			why: "nothing says that a fallback is a success, and every page is one",
		}, {
			name:  "fallbacks end with the fault",
			steps: pageLoad("GET /soft") + "When calls from \"front\" to \"back\" answer with status 500 for 2s\nThen at least 90% of \"GET /soft\" responses are fallbacks during the fault\nAnd at least 99% of requests succeed\n",
			want:  "passed", why: "each page without the dependency is marked, and a sentence makes fallbacks count",
		}, {
			name: "stale pages are served in place of the dependency", front: "-stale -patience 100ms", alone: true,
			steps: pageLoad("GET /dep") + "When \"back\" hangs for 2s\nThen at least 99% of requests succeed during the fault\nAnd the p95 latency stays below 400ms during the fault\n",
			want:  "passed", why: "each request tries the dependency for 100ms and is served",
		}, {
			name: "one pool for all pages", front: "-pool 4",
			steps: twoRoutes + "When \"back\" hangs for 3s\nThen \"GET /ok\" is not affected by the fault\n",
			want:  "failed|inconclusive", reason: `(?i)GET /ok|succe|affected`, fails: []string{`is not affected`},
			why: "pages that need nothing wait for those that wait for the dependency",
		}, {
			name: "pages that need nothing have room of their own", front: "-pool 4 -bulkhead", alone: true,
			steps: twoRoutes + "When \"back\" hangs for 3s\nThen at least 99% of \"GET /ok\" requests succeed during the fault\nAnd the p95 latency of \"GET /ok\" stays below 300ms during the fault\n",
			want:  "passed", why: "only pages that need the dependency wait for it",
		}, {
			name: "a page is not affected, by a thousand requests", front: "-pool 4 -bulkhead -patience 300ms", alone: true, full: true,
			steps: "And a steady load of 250 requests per second with this mix:\n| route | share |\n| GET /dep | 10% |\n| GET /ok | 90% |\nAnd clients give up after 2s\nAnd a baseline is measured for 6s\nWhen \"back\" hangs for 6s\nThen \"GET /ok\" is not affected by the fault\n",
			want:  "passed", why: "it needs nothing, and has room of its own",
		}, {
			name: "a caller waits five times as long as it should", front: "-patience 5s",
			steps: loadFor("GET /dep", 20, 8*time.Second, 2*time.Second) + "When \"back\" hangs for 3s\nThen \"front\" gives up on \"back\" within 1s\nAnd at least 90% of requests succeed after healing\n",
			want:  "failed", reason: `(?i)waited|wait|longest`, fails: []string{`gives up`},
			why: "calls wait for as long as the hang lasts",
		}, {
			name: "a caller gives up in time", front: "-patience 500ms",
			steps: loadFor("GET /dep", 20, 8*time.Second, 2*time.Second) + "When \"back\" hangs for 3s\nThen \"front\" gives up on \"back\" within 1s\nAnd at least 20 calls from \"front\" to \"back\" were affected by the fault\n",
			want:  "problem", reason: `front.*back|no fault`, full: true,
			why: "the fault is on the service and not on the link: the problem is reported before the run",
		}, {
			name: "a caller gives up in time on a dependency that hangs", front: "-patience 500ms",
			steps: loadFor("GET /dep", 20, 8*time.Second, 2*time.Second) + "When \"back\" hangs for 3s\nThen \"front\" gives up on \"back\" within 1s\nAnd at least 90% of requests succeed after healing\n",
			want:  "passed", why: "each call ends after 500ms",
		}, {
			name:  "a page that does not wait for its call",
			steps: pageLoad("GET /async") + "When calls from \"front\" to \"back\" are delayed by 500ms for 2s\nThen at least 99% of requests succeed during the fault\nAnd at least 40 calls from \"front\" to \"back\" were affected by the fault\n",
			want:  "passed", why: "the load causes the calls, they are late, and no page waits for them",
		}, {
			name:   "the second replica takes over",
			steps:  loadFor("GET /dep", 60, time.Second, 2*time.Second) + "When \"first\" crashes for 2s\nThen at least 99% of requests succeed during the fault\n",
			system: replicas, want: "passed", why: "a call that the first refuses is answered by the second",
		}, {
			name:  "recovery where nothing broke",
			steps: pageLoad("GET /dep") + "When calls from \"front\" to \"back\" are delayed by 20ms for 1s\nThen \"GET /dep\" recovers within 2s of healing\nAnd at least 99% of requests succeed\n",
			want:  "passed", why: "the fault acted, and the system bore it",
		}, {
			name:  "a rule that stops the run acts when its time is over",
			steps: "And the run stops at once if fewer than 50% of requests succeed for 1s\n" + pageLoad("GET /dep") + "When calls from \"front\" to \"back\" answer with status 500 for 6s\n" + half,
			want:  "stopped", reason: `(?i)50%`,
			why: "all requests fail for longer than a second",
		}, {
			name:  "a rule that stops the run does not act before its time",
			steps: "And the run stops at once if fewer than 50% of requests succeed for 4s\n" + pageLoad("GET /dep") + "When calls from \"front\" to \"back\" answer with status 500 for 2s\nThen \"GET /dep\" recovers within 2s of healing\n",
			want:  "passed", why: "requests fail for two seconds, and the rule wants four",
		}, {
			name:  "replies that cannot be read, and a caller that notices",
			steps: pageLoad("GET /dep") + "When replies from \"back\" to \"front\" are truncated for 2s\nThen at least 40 calls from \"front\" to \"back\" were affected by the fault\nAnd at least 90% of requests succeed after healing\n",
			want:  "passed", full: true, why: "the answers are cut off while the fault lasts, and whole afterwards",
		},
	}
}
