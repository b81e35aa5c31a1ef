package check

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// violations has, for each kind of check, a check that otherwise passes and a change of the history that violates
// it.
var violations = map[string]struct {
	check Check
	bug   func(scenario)
	why   string // part of the reason
}{
	"agree": {Agree{Sources: [2]string{"orders table", "billing"}, Within: 30 * time.Second}, func(s scenario) {
		s.Agreements[0].Since, s.Agreements[0].Listed[1], s.Agreements[0].Differ = 0, 4, 1
		s.Agreements[0].Differs = []journal.Difference{{Key: "k2", Count: [2]int{1, 0}}}
	}, "1 of 5 keys differ 30s after healing: key k2: orders table has 1 effect, and billing lacks it"},
	"calls per second":   {CallsPerSecond{To: "payments", PerSecond: 60, Window: journal.After}, func(s scenario) { s.addCalls(12, journal.After, "front -> payments", 30, ms) }, "80 calls in the second at +12.0s"},
	"calls times normal": {CallsTimesNormal{To: "payments", Times: 1.5, Window: journal.During}, func(s scenario) { s.addCalls(7, journal.During, "orders -> payments", 200, ms) }, "2.00 times its normal calls"},
	"conserved":          {Conserved{SumOf{Field: "balance", Route: "GET /accounts"}}, func(s scenario) { s.Sums[0].After = "1000.11" }, "changed by +0.01"},
	"error budget":       {ErrorBudget{Spend: 0.05, Days: 1, Objective: 0.999}, func(s scenario) { s.every(journal.After, failing(30)) }, "300 of 950 requests failed: timeout (300)"},
	"exactly once":       {ExactlyOnce{}, func(s scenario) { s.twice("k2") }, "1 applied more than once (surplus effects: 1)"},
	"fast as control": {FastAsControl{Of: "orders", Control: "orders-control", Percentile: 95, Times: 1.2}, func(s scenario) {
		s.ofCopy("orders", journal.During, slow(100*ms))
	}, `p95 to "orders" was 100ms, 10.0 times that of "orders-control", 10ms`},
	"succeeds as control": {SucceedsAsControl{Of: "orders", Control: "orders-control", Points: 5}, func(s scenario) {
		s.ofCopy("orders", journal.During, failing(15))
	}, `requests to "orders" succeeded 30 points less often than to "orders-control": timeout (60)`},
	"failure kinds": {FailureKinds{Kinds: []FailureLimit{{"status 503", 0.05}, {"timed out", 0.01}}, Window: journal.During}, func(s scenario) {
		s.every(journal.During, failing(5))
	}, `20 of 200 requests during the fault failed as "timed out", above 1%`},
	"fallback": {Fallback{Ratio: 0.8, Route: "POST /orders", Mark: Mark{Text: "X-Degraded: true"}, Window: journal.During}, func(s scenario) {
		s.every(journal.During, func(x *journal.Sample) { x.Fallback, x.Ambiguous = 10, 40 })
	}, "only 40 of 200"},
	"gives up": {GivesUp{From: "orders", To: "payments", Within: time.Second}, func(s scenario) { s.addCalls(7, journal.During, "orders -> payments", 1, 3*time.Second) }, "waited 3s"},
	"in order": {InOrder{Group: "customer_id"}, func(s scenario) { s.place(map[int]int{1: 3, 2: 2}) }, "1 of 4 effects"},
	"detects": {Detects{Probe: "alert firing", Within: time.Second}, func(s scenario) {
		s.observe("alert firing", func(at time.Duration, o *journal.Observation) { o.Yes = at > 8*time.Second })
	}, `the probe "alert firing" answered no at +7.0s, 1s after the fault's first effect`},
	"keeps its rate": {KeepsRate{Metric: "orders_placed_total", Of: "orders", Ratio: 0.9}, func(s scenario) {
		s.observe(keyMetric, func(at time.Duration, o *journal.Observation) {
			o.Value = valueOf(50*min(at, 6*time.Second).Seconds() + 40*max(0, at-6*time.Second).Seconds())
		})
	}, `the key metric "orders_placed_total" of "orders" increased at 40.0 per second, and at 50.0 before the fault`},
	"key reuse refused":  {KeyReuseRefused{Status: 422}, func(s scenario) { s.Probes[1].Got = "201" }, "1 of 1 keys"},
	"linearizable":       {Linearizable{Register: "greeting"}, func(s scenario) { s.Operations[9].Value = "3" }, "1 of 12 reads returned a stale value"},
	"linearizable queue": {LinearizableQueue{Queue: "jobs"}, func(s scenario) { s.onJobs(false, 5).Value = "4" }, `in 13 takes: "4" was taken 2 times`},
	"linearizable set":   {LinearizableSet{Set: "members"}, func(s scenario) { s.onMembers(3).Value = journal.InSet }, `1 contradiction to a set, in 18 looks: a look found "0" between +7.005s and +7.005s, added between +7.001s and +7.001s, although a removal of "0" was acknowledged between +7.004s and +7.004s`},
	"latency":            {Latency{Percentile: 95, Below: 400 * ms, Window: journal.During}, func(s scenario) { s.every(journal.During, slow(800*ms)) }, "p95 of 200 requests was 800ms during the fault"},
	"mutual exclusion":   {MutualExclusion{Lock: "leader", Source: "lock log"}, func(s scenario) { s.Locks[0].Events[5].At += 30 * ms }, `1 times, the lock "leader" was acquired while another one held it: "worker-1" from +6.300s to +6.390s, while "worker-0" from +6.200s to +6.320s held it`},
	"no phantom": {NoPhantom{}, func(s scenario) {
		s.Effects.Add(journal.Effect{Key: "ghost", ID: "o-9"})
		s.EffectsRead.Count++
	}, "1 never requested"},
	"none lost":       {NoneLost{}, func(s scenario) { s.drop("k3") }, "1 acknowledged and lost"},
	"none twice":      {NoneTwice{}, func(s scenario) { s.twice("k4") }, "1 applied more than once (surplus effects: 1)"},
	"not affected":    {NotAffected{Route: "POST /orders"}, func(s scenario) { s.every(journal.During, failing(10)) }, "fell from 100% to 80%"},
	"nothing slower":  {NothingSlower{Than: 2 * time.Second}, func(s scenario) { s.Samples[8].Latency[0].Up = 5 * time.Second }, "the slowest 5s"},
	"one answer":      {OneAnswer{Status: 409}, func(s scenario) { s.addPair("p9", 201, 422) }, "1 of 7 pairs got different answers"},
	"one effect":      {OneEffect{}, func(s scenario) { s.Pairs[2].Effects = []string{"o-1", "o-2"} }, "1 of 6 keys"},
	"recovers":        {Recovers{Route: "POST /orders", Within: 3 * time.Second}, func(s scenario) { s.every(journal.After, slow(900*ms)) }, "it was not steady for the last five seconds or more"},
	"refuses excess":  {RefusesExcess{Statuses: []int{429, 503}, Within: 50 * ms, Window: journal.During}, func(s scenario) { s.every(journal.During, failing(5)) }, "20 of 60 requests without success during the fault were not refused as stated: status 429 (40), timeout (20)"},
	"resumes calling": {ResumesCalling{From: "orders", To: "payments", Within: 3 * time.Second}, func(s scenario) { s.stopCalls(10, 20) }, `"orders" did not call "payments" as before: 0 calls in 1s, normal 50 from +19.0s`},
	"stops calling":   {StopsCalling{From: "orders", To: "payments", Within: time.Second}, func(s scenario) { s.addCalls(8, journal.During, "orders -> payments", 30, ms) }, `"orders" did not stop calling "payments": 30 calls in 3s, normal 150 from +7.0s`},
	"same response":   {SameResponse{}, func(s scenario) { s.Probes[0].Got = "other" }, "1 of 1 keys"},
	"sends again": {SendsAgain{Of: "orders", Most: 6, Metric: "datagrams_resent_total"}, func(s scenario) {
		s.observe(resent, func(at time.Duration, o *journal.Observation) {
			o.Value = valueOf(200 * max(0, at-6*time.Second).Seconds())
		})
	}, `"orders" sent 2,700 messages again although 150 were lost`},
	"success": {Success{Ratio: 0.99, Window: journal.During}, func(s scenario) { s.every(journal.During, failing(5)) }, "20 of 200 requests did not succeed during the fault: timeout (20)"},
	"queue bounded": {QueueBounded{Queue: "outbox", Most: 1000}, func(s scenario) {
		s.observe("outbox", func(at time.Duration, o *journal.Observation) { o.Value = valueOf(at.Seconds() * 100) })
	}, `the queue "outbox" held 1900 messages at +19.0s`},
	"stays healthy": {StaysHealthy{Path: "/livez", Of: "orders"}, func(s scenario) {
		s.observe(livez, func(at time.Duration, o *journal.Observation) {
			if o.Yes = at < 7*time.Second; !o.Yes {
				o.Unanswered = "connection refused"
			}
		})
	}, `the health check "/livez" of "orders" was unhealthy, the first time connection refused at +7.0s`},
	"turns healthy": {TurnsHealthy{Path: "/readyz", Of: "orders", Within: 5 * time.Second}, func(s scenario) {
		s.observe(readyz, func(at time.Duration, o *journal.Observation) { o.Yes = at < 7*time.Second || at == 12*time.Second })
	}, "was unhealthy 5s after healing, after it had turned healthy: no at +15.0s"},
	"turns unhealthy": {TurnsUnhealthy{Path: "/readyz", Of: "orders", Within: 3 * time.Second}, func(s scenario) {
		s.observe(readyz, func(at time.Duration, o *journal.Observation) { o.Yes, o.Detail = true, "status 200" })
	}, `the health check "/readyz" of "orders" answered status 200 at +9.0s, 3s after the fault's first effect`},
}

// sound has, for kinds of checks that do not pass on every valid run, a change of it with which they do.
var sound = map[string]func(scenario){
	"fallback":            func(s scenario) { s.every(journal.During, func(x *journal.Sample) { x.OK, x.Fallback = 0, 50 }) },
	"gives up":            func(s scenario) { s.addGivenUp(400 * ms) },
	"fast as control":     func(s scenario) { s.split() },
	"succeeds as control": func(s scenario) { s.split() },
	"refuses excess":      func(s scenario) { s.every(journal.During, rejecting(429, 10, 20*ms)) },
	"resumes calling":     func(s scenario) { s.stopCalls(7, 10) },
	"sends again":         func(s scenario) { s.Faults[0].Kind = "lost messages" },
	"stops calling":       func(s scenario) { s.stopCalls(7, 10) },
}

// soundFor returns a valid run on which the check of a kind passes.
func soundFor(kind string) scenario {
	s := newScenario()
	if change := sound[kind]; change != nil {
		change(s)
	}
	return s
}

// TestKinds is the conformance test of the table. It covers new rows automatically and requires an entry in
// violations for each.
func TestKinds(t *testing.T) {
	names := map[string]bool{}
	last := Kind{}
	for _, k := range kindsByName() {
		t.Run(k.Name, func(t *testing.T) {
			require.False(t, names[k.Name], "twice in the table")
			names[k.Name] = true
			require.True(t, last.Implied != k.Implied || last.Name < k.Name, "not sorted")
			last = k
			require.NotEmpty(t, k.Means)
			require.Equal(t, k.Name, KindOf(k.Value))
			require.Equal(t, k.Implied, k.Example == "")

			v := Ask(k.Value, &journal.History{})
			require.Equal(t, Inconclusive, v.Outcome, "of an empty history")
			require.NotEmpty(t, v.Reason)

			h := newScenario()
			first := Ask(k.Value, h.History)
			require.Equal(t, first, Ask(k.Value, h.History), "not pure")
			require.Equal(t, newScenario().History, h.History, "it changed the history")
			if k.Implied {
				require.Equal(t, Passed, first.Outcome, first.Reason)
				return
			}
			if k.Name == "affected" { // it cannot fail; see TestAffectedPasses
				return
			}
			p, ok := violations[k.Name]
			require.True(t, ok, "plant a bug that this check catches")
			require.Equal(t, k.Name, KindOf(p.check))
			sound := soundFor(k.Name)
			v = Ask(p.check, sound.History)
			require.Equal(t, Passed, v.Outcome, v.Reason)
			require.NotEmpty(t, v.Observed)
			require.NotEmpty(t, v.Evidence)
			p.bug(sound)
			v = Ask(p.check, sound.History)
			require.Equal(t, Failed, v.Outcome)
			require.Contains(t, v.Reason, p.why)
		})
	}
}

func TestSentences(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range kindsByName() {
		s := k.Value.String()
		require.NotEmpty(t, s)
		require.False(t, seen[s], "%q twice", s)
		seen[s] = true
		require.False(t, strings.HasSuffix(s, " "))
		require.Equal(t, reflect.TypeOf(k.Value).Kind(), reflect.Struct)
	}
	require.Equal(t, `the p95 latency of "GET /a" stays within 1.5 times the baseline during the fault`, Latency{Percentile: 95, Route: "GET /a", Times: 1.5, Window: journal.During}.String())
	require.Equal(t, `at least 99.9% of "GET /a" requests succeed`, Success{Ratio: 0.999, Route: "GET /a"}.String())
}

var update = flag.Bool("update", false, "write the golden files anew")

// TestVerdictTexts compares the texts of each check with a golden file: without facts, for a valid run, and for a
// violation.
func TestVerdictTexts(t *testing.T) {
	var b strings.Builder
	describe := func(as string, v Verdict) {
		fmt.Fprintf(&b, "  %s: %s\n    observed %q, expected %q%s\n", as, v.Outcome, v.Observed, v.Expected, when(v.Window))
		for _, line := range append([]string{v.Reason}, v.Details...) {
			if line != "" {
				fmt.Fprintf(&b, "    %s\n", line)
			}
		}
	}
	for _, k := range kindsByName() {
		p, planted := violations[k.Name]
		if !planted {
			p.check, p.bug = k.Value, func(scenario) {}
		}
		fmt.Fprintf(&b, "%s: %s\n", k.Name, p.check)
		describe("empty", Ask(p.check, &journal.History{}))
		s := soundFor(k.Name)
		describe("sound", Ask(p.check, s.History))
		if planted {
			p.bug(s)
			describe("bug", Ask(p.check, s.History))
		}
	}
	golden := filepath.Join("testdata", "verdicts.golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}

func TestNumberFormat(t *testing.T) {
	require.Contains(t, CallsPerSecond{To: "a", PerSecond: 1_000_000}.String(), "at most 1000000 calls")
	require.Contains(t, CallsTimesNormal{To: "a", Times: 1.5}.String(), "at most 1.5 times")
}
