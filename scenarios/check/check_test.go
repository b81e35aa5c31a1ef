package check

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

const ms = time.Millisecond

// scenario is a history under construction: requests of a load, faults, calls, effects.
type scenario struct{ *journal.History }

// newScenario returns a valid run: 5 s of baseline, a fault of 4 s and 10 s of recovery, at 50 requests per
// second, each answered in 10 ms.
func newScenario() scenario {
	s := scenario{&journal.History{Begin: journal.Begin{ID: "a", Name: "a"}, Ended: 20 * time.Second, Seqs: map[string][]uint64{}}}
	s.Phases = []journal.Span{{Name: "setup", To: time.Second}, {Name: "baseline", From: time.Second, To: 6 * time.Second}, {Name: "fault", From: 6 * time.Second, To: 10 * time.Second}, {Name: "recovery", From: 10 * time.Second, To: 20 * time.Second}, {Name: "done", From: 20 * time.Second, To: 20 * time.Second}}
	s.Faults = []*journal.Injection{{Fault: journal.Fault{ID: "f1", Stage: "healed", Says: "calls are slow", On: "orders -> payments", Unit: "calls", Seen: 200, Affected: 150}, Injected: 6 * time.Second, Healed: 10 * time.Second}}
	s.Seqs["fault"] = []uint64{7}
	for i := 1; i < 20; i++ {
		w := journal.Before
		if i >= 6 {
			w = journal.During
		}
		if i >= 10 {
			w = journal.After
		}
		s.second(i, w, "POST /orders", 50, 10*ms)
		s.addCalls(i, w, "orders -> payments", 50, 5*ms)
	}
	s.Load = &journal.Load{Asked: 950.4, Intended: 950, Sent: 950, Attempts: 950, Wire: 950, Workers: 3, Bound: 100}
	s.Seqs["load"] = []uint64{99}
	for i := range 5 {
		s.addRequest(fmt.Sprint("k", i), "acknowledged", 1)
	}
	s.Requests[4].Window = journal.During
	s.EffectsRead = &journal.Effects{Source: "GET /ledger", Count: len(s.Effects)}
	s.Seqs["effects"] = []uint64{400}
	for _, kind := range []string{"same key, same body", "same key, other body"} {
		p := journal.Probe{Kind: kind, Key: "k1", Window: journal.During, Want: "422", Got: "422", Status: 422}
		s.Probes = append(s.Probes, p)
		s.Seqs["probe"] = append(s.Seqs["probe"], uint64(500+len(s.Probes)))
	}
	s.Accounts = []journal.Accounts{{Link: "orders -> payments", Received: 10, Delivered: 9, Written: 9, Dropped: 1}}
	s.End = &journal.End{}
	return s
}

func (s scenario) second(i int, w journal.Window, route string, n int, took time.Duration) *journal.Sample {
	b := []journal.Bucket{{Up: took, N: int64(n)}}
	s.Samples = append(s.Samples, journal.Sample{From: time.Duration(i) * time.Second, To: time.Duration(i+1) * time.Second, Window: w, Route: route, Sent: n, OK: n, Attempts: n, Wire: n, Errors: map[string]int{}, Latency: b, Good: b})
	s.Seqs["sample"] = append(s.Seqs["sample"], uint64(100+len(s.Samples)))
	return &s.Samples[len(s.Samples)-1]
}

func (s scenario) addCalls(i int, w journal.Window, link string, n int, took time.Duration) {
	s.Calls = append(s.Calls, journal.Calls{From: time.Duration(i) * time.Second, To: time.Duration(i+1) * time.Second, Window: w, Link: link, Calls: n, Arrived: n, Duration: []journal.Bucket{{Up: took, N: int64(n)}}})
	s.Seqs["calls"] = append(s.Seqs["calls"], uint64(300+len(s.Calls)))
}

// addGivenUp adds a call to payments that orders gave up on during the fault.
func (s scenario) addGivenUp(after time.Duration) {
	s.addCalls(7, journal.During, "orders -> payments", 1, after)
	s.Calls[len(s.Calls)-1].GaveUp = 1
}

func (s scenario) addRequest(key, outcome string, effects int) {
	s.Requests = append(s.Requests, journal.Request{Key: key, Route: "POST /orders", Outcome: outcome, Digest: "answer to " + key, Attempts: []journal.Attempt{{At: time.Second, Status: 201}}})
	s.Seqs["request"] = append(s.Seqs["request"], 1)
	for i := range effects {
		s.Effects = append(s.Effects, journal.Effect{Key: key, ID: fmt.Sprintf("o-%s-%d", key, i)})
		s.Seqs["effect"] = append(s.Seqs["effect"], 1)
	}
}

// every changes the samples of a window.
func (s scenario) every(w journal.Window, change func(*journal.Sample)) {
	for i := range s.Samples {
		if s.Samples[i].Window == w {
			change(&s.Samples[i])
		}
	}
}

func slow(took time.Duration) func(*journal.Sample) {
	return func(x *journal.Sample) {
		x.Latency = []journal.Bucket{{Up: took, N: int64(x.Sent)}}
		x.Good = x.Latency
	}
}

func failing(n int) func(*journal.Sample) {
	return func(x *journal.Sample) {
		x.OK -= n
		x.Ambiguous += n
		x.Errors["timeout"] += n
	}
}

// violations has, for each kind of check, a check that otherwise passes and a change of the history that violates
// it.
var violations = map[string]struct {
	check Check
	bug   func(scenario)
	why   string // part of the reason
}{
	"calls per second":   {CallsPerSecond{To: "payments", PerSecond: 60, Window: journal.After}, func(s scenario) { s.addCalls(12, journal.After, "front -> payments", 30, ms) }, "80 calls in the second at +12.0s"},
	"calls times normal": {CallsTimesNormal{To: "payments", Times: 1.5, Window: journal.During}, func(s scenario) { s.addCalls(7, journal.During, "orders -> payments", 200, ms) }, "2.00 times its normal calls"},
	"exactly once":       {ExactlyOnce{}, func(s scenario) { s.twice("k2") }, "1 applied more than once (surplus effects: 1)"},
	"fallback": {Fallback{Ratio: 0.8, Route: "POST /orders", Header: "X-Degraded: true", Window: journal.During}, func(s scenario) {
		s.every(journal.During, func(x *journal.Sample) { x.Fallback, x.Ambiguous = 10, 40 })
	}, "only 40 of 200"},
	"gives up":          {GivesUp{From: "orders", To: "payments", Within: time.Second}, func(s scenario) { s.addCalls(7, journal.During, "orders -> payments", 1, 3*time.Second) }, "waited 3s"},
	"key reuse refused": {KeyReuseRefused{Status: 422}, func(s scenario) { s.Probes[1].Got = "201" }, "1 of 1 keys"},
	"latency":           {Latency{Percentile: 95, Below: 400 * ms, Window: journal.During}, func(s scenario) { s.every(journal.During, slow(800*ms)) }, "p95 of 200 requests was 800ms during the fault"},
	"no phantom": {NoPhantom{}, func(s scenario) {
		s.Effects = append(s.Effects, journal.Effect{Key: "ghost", ID: "o-9"})
		s.EffectsRead.Count++
	}, "1 never requested"},
	"none lost":      {NoneLost{}, func(s scenario) { s.drop("k3") }, "1 acknowledged and lost"},
	"none twice":     {NoneTwice{}, func(s scenario) { s.twice("k4") }, "1 applied more than once (surplus effects: 1)"},
	"not affected":   {NotAffected{Route: "POST /orders"}, func(s scenario) { s.every(journal.During, failing(10)) }, "fell from 100% to 80%"},
	"nothing slower": {NothingSlower{Than: 2 * time.Second}, func(s scenario) { s.Samples[8].Latency[0].Up = 5 * time.Second }, "the slowest 5s"},
	"recovers":       {Recovers{Route: "POST /orders", Within: 3 * time.Second}, func(s scenario) { s.every(journal.After, slow(900*ms)) }, "no five seconds in a row"},
	"same response":  {SameResponse{}, func(s scenario) { s.Probes[0].Got = "other" }, "1 of 1 keys"},
	"success":        {Success{Ratio: 0.99, Window: journal.During}, func(s scenario) { s.every(journal.During, failing(5)) }, "20 of 200 requests did not succeed during the fault: timeout (20)"},
}

func (s scenario) twice(key string) {
	s.Effects = append(s.Effects, journal.Effect{Key: key, ID: "o-again"})
	s.EffectsRead.Count++
}

func (s scenario) drop(key string) {
	for i, e := range s.Effects {
		if e.Key == key {
			s.Effects = append(s.Effects[:i], s.Effects[i+1:]...)
			s.EffectsRead.Count--
			return
		}
	}
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
			sound := newScenario()
			if k.Name == "fallback" {
				sound.every(journal.During, func(x *journal.Sample) { x.OK, x.Fallback = 0, 50 })
			}
			if k.Name == "gives up" {
				sound.addGivenUp(400 * ms)
			}
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

// TestImpliedChecksDetectInvalidRuns makes a run invalid in every way.
func TestImpliedChecksDetectInvalidRuns(t *testing.T) {
	for name, c := range map[string]struct {
		check Check
		bug   func(scenario)
		why   string
	}{
		"a partition affected nothing": {FaultsActed{}, func(s scenario) {
			for _, id := range []string{"fault-9.1", "fault-9.2"} {
				s.Faults = append(s.Faults, &journal.Injection{Fault: journal.Fault{ID: id, Says: "they are cut off", Hint: "all was quiet"}})
			}
		}, "they are cut off (all was quiet)"},
		"a fault affected nothing": {FaultsActed{}, func(s scenario) { s.Faults[0].Affected = 0; s.Faults[0].Hint = "no call was made" }, "calls are slow (no call was made)"},
		"only a heartbeat":         {FaultsActed{}, func(s scenario) { s.Faults[0].Background = s.Faults[0].Affected }, "it affected 150 calls, no more than without the load"},
		"no load while it was live": {FaultsActed{}, func(s scenario) {
			s.Samples = slices.DeleteFunc(s.Samples, func(x journal.Sample) bool { return x.Window == journal.During })
		}, "no request of the load was due while it was live"},
		"the gate was closed":     {BaselineSteady{}, func(s scenario) { s.Gate = &journal.Gate{Reason: "half of it failed"} }, "half of it failed; nothing was injected"},
		"latency without success": {BaselineSteady{Steady: []Steady{{Measure: "p95 latency", Limit: time.Second}}}, func(s scenario) { s.every(journal.Before, failing(50)) }, "success 0.0%"},
		"trouble":                 {NoTrouble{}, func(s scenario) { s.Troubles = []string{"the disk is full", "and more"} }, "the disk is full"},
		"a service ended": {ServicesStayed{}, func(s scenario) {
			s.Processes = []journal.TimedProcess{{At: 7 * time.Second, Process: journal.Process{Service: "db", What: "exited", Detail: "exit status 7", Log: "out of memory"}}}
		}, `service "db" ended by itself at +7.0s (exit status 7)`},
		"nothing is proved":           {ProvesSomething{}, func(s scenario) { s.Unproven = "no check" }, "no check"},
		"never healed":                {Healed{}, func(s scenario) { s.Faults[0].Healed = 0 }, "never healed"},
		"healed with an error":        {Healed{}, func(s scenario) { s.Faults[0].Error = "port taken" }, "port taken"},
		"baseline failing":            {BaselineSteady{}, func(s scenario) { s.every(journal.Before, failing(5)) }, "not within the steady state: success 90.0%"},
		"baseline climbing":           {BaselineSteady{}, func(s scenario) { slow(500 * ms)(&s.Samples[4]); slow(500 * ms)(&s.Samples[3]) }, "p95 rose"},
		"declared steady state unmet": {BaselineSteady{Steady: []Steady{{Measure: "p95 latency", Limit: 5 * ms}}}, func(scenario) {}, "p95 latency 10ms"},
		"no baseline":                 {BaselineSteady{}, func(s scenario) { s.Samples = s.Samples[5:] }, "no request was answered"},
		"load unsent":                 {LoadDelivered{}, func(s scenario) { s.Load.Unsent, s.Load.Asked = 100, 1050 }, "100 requests were asked for and not sent: this machine did not keep up"},
		"load saturated":              {LoadDelivered{}, func(s scenario) { s.Load.Unsent, s.Load.Asked, s.Load.Workers = 100, 1050, 100 }, "saturated"},
		"load never due":              {LoadDelivered{}, func(s scenario) { s.Load.Asked = 1200 }, "250 requests were asked for and not sent: the schedule did not make them due"},
		"more than asked":             {LoadDelivered{}, func(s scenario) { s.Load.Asked = 900 }, "50 requests were sent that no step asks for"},
		"load late":                   {LoadDelivered{}, func(s scenario) { s.Load.SlipP99 = 201 * ms }, "one request in a hundred was sent 201ms late"},
		"runner paused": {LoadDelivered{}, func(s scenario) {
			s.Load.SlipP99, s.Pauses = 8*time.Second, []journal.Pause{{From: time.Second, Took: ms}, {From: 5 * time.Second, Took: 8 * time.Second}}
		}, "the runner itself stood still for 8s from +5s on: one request in a hundred"},
		"errors of the generator": {LoadDelivered{}, func(s scenario) {
			s.Load.Own = map[string]int{"too many open files (this process may open 40: raise ulimit -n)": 3}
		}, "3 requests: too many open files (this process may open 40: raise ulimit -n)"},
		"load broken":                 {LoadDelivered{}, func(s scenario) { s.Load.Error = "boom" }, "boom"},
		"load never ended":            {LoadDelivered{}, func(s scenario) { s.Load = nil }, "did not finish"},
		"repeated by the generator":   {NotRepeated{}, func(s scenario) { s.Load.Wire++ }, "1 requests went out that no policy asks for"},
		"accounts":                    {AccountsAddUp{}, func(s scenario) { s.Accounts[0].Wrong = "9 were delivered" }, "lost count"},
		"lost by the kernel":          {AccountsAddUp{}, kernelLoss, "on orders -> metrics the kernel dropped 3 at the link and 2 at the dependency, 1 could not be sent"},
		"none lost, or by the kernel": {NoneLost{}, func(s scenario) { kernelLoss(s); s.drop("k3") }, "1 acknowledged and lost, which may be because 6 datagrams were lost"},
		"a baseline of 303":           {BaselineSteady{}, func(s scenario) { s.every(journal.Before, redirect) }, `say "POST /orders" answers 303`},
		"effects unread":              {EffectsSettled{}, func(s scenario) { s.EffectsRead.Error = "status 500" }, "effects listed by GET /ledger cannot be judged: status 500"},
		"effects unsettled":           {EffectsSettled{}, func(s scenario) { s.EffectsRead.Doubt = "they were still appearing" }, "not all effects are known: they were still appearing"},
		"still held":                  {AccountsAddUp{}, func(s scenario) { s.Accounts[0].Wrong = "1 of 10 messages have no outcome" }, "1 of 10 messages have no outcome"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			c.bug(s)
			v := Ask(c.check, s.History)
			require.Equal(t, Inconclusive, v.Outcome)
			require.Contains(t, v.Reason, c.why)
		})
	}
	require.Len(t, Implied(nil), 10)
}

func kernelLoss(s scenario) {
	s.Losses = []journal.Loss{{Link: "orders -> billing", Known: true}, {Link: "orders -> metrics", Known: true, AtLink: 3, AtServer: 2, Unsent: 1, Elsewhere: 9}}
}

// Datagrams lost by the kernel do not excuse duplicates. They are only reported if no effects are counted.
func TestKernelLossDoesNotExcuseDuplicates(t *testing.T) {
	s := newScenario()
	kernelLoss(s)
	require.Equal(t, Passed, Ask(NoneLost{}, s.History).Outcome)
	s.twice("k2")
	s.drop("k3")
	require.Equal(t, Failed, Ask(NoneTwice{}, s.History).Outcome)
	require.Equal(t, Failed, Ask(ExactlyOnce{}, s.History).Outcome)
	s.EffectsRead = nil
	v := Ask(AccountsAddUp{}, s.History)
	require.Equal(t, Passed, v.Outcome)
	require.Contains(t, v.Observed, "6 datagrams lost, and not by a fault")
	s.Losses = []journal.Loss{{Link: "orders -> metrics"}}
	require.Contains(t, Ask(AccountsAddUp{}, s.History).Observed, "not known here")
}

func TestTooFewRequests(t *testing.T) {
	for name, c := range map[string]struct {
		check Check
		bug   func(scenario)
	}{
		"affected less than asked":     {Affected{AtLeast: 200, Unit: "calls", From: "orders", To: "payments"}, func(scenario) {}},
		"affected elsewhere":           {Affected{AtLeast: 1, Unit: "calls", From: "front", To: "payments"}, func(scenario) {}},
		"percentile of few":            {Latency{Percentile: 99.9, Below: ms, Window: journal.During}, func(scenario) {}},
		"no fault":                     {Success{Ratio: 1, Window: journal.During}, func(s scenario) { s.Faults = nil }},
		"unknown route":                {Success{Ratio: 1, Route: "GET /nowhere"}, func(scenario) {}},
		"no call to give up":           {GivesUp{From: "front", To: "payments", Within: time.Second}, func(scenario) {}},
		"no normal calls":              {CallsTimesNormal{To: "ads", Times: 2, Window: journal.During}, func(scenario) {}},
		"recovery watched too briefly": {Recovers{Route: "POST /orders", Within: 30 * time.Second}, func(s scenario) { s.every(journal.After, slow(time.Second)) }},
		"effects unreadable":           {ExactlyOnce{}, func(s scenario) { s.EffectsRead.Error = "connection refused" }},
		"effects missing":              {NoneLost{}, func(s scenario) { s.EffectsRead.Count++ }},
		"nothing acknowledged": {NoneTwice{}, func(s scenario) {
			for i := range s.Requests {
				s.Requests[i].Outcome = "ambiguous"
			}
		}},
		"no probe": {SameResponse{}, func(s scenario) { s.Probes = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			c.bug(s)
			v := Ask(c.check, s.History)
			require.Equal(t, Inconclusive, v.Outcome, v.Observed)
			require.NotEmpty(t, v.Reason)
		})
	}
}

func TestAffectedPasses(t *testing.T) {
	v := Ask(Affected{AtLeast: 100, Unit: "calls", From: "orders", To: "payments"}, newScenario().History)
	require.Equal(t, Passed, v.Outcome, v.Reason)
	require.Equal(t, "150 affected, 200 seen", v.Observed)
}

type broken struct{}

func (broken) Judge(*journal.History) Verdict { panic("boom") }
func (broken) String() string                 { return "broken" }
func (broken) Kind() Kind                     { return Kind{} }

func TestPanicIsInconclusive(t *testing.T) {
	v := Ask(broken{}, newScenario().History)
	require.Equal(t, Inconclusive, v.Outcome)
	require.Contains(t, v.Reason, "boom")
}

func TestSum(t *testing.T) {
	verdicts := func(outcomes ...string) (all []journal.Verdict) {
		for _, o := range outcomes {
			all = append(all, journal.Verdict{Kind: "success", Outcome: o})
		}
		return all
	}
	for _, c := range []struct {
		end      *journal.End
		verdicts []journal.Verdict
		want     string
	}{
		{&journal.End{}, verdicts("passed"), "passed"},
		{&journal.End{}, verdicts("passed", "inconclusive"), "inconclusive"},
		{&journal.End{}, verdicts("inconclusive", "failed"), "failed"},
		{&journal.End{}, verdicts("passed", "nonsense"), "inconclusive"},
		{&journal.End{}, nil, "inconclusive"},
		{&journal.End{}, []journal.Verdict{{Kind: "healed", Outcome: "passed"}}, "inconclusive"},
		{nil, verdicts("passed"), "inconclusive"},
		{&journal.End{Outcome: "inconclusive"}, verdicts("passed"), "inconclusive"},
		{&journal.End{Outcome: "stopped"}, verdicts("failed"), "stopped"},
		{&journal.End{Outcome: "interrupted"}, verdicts("passed"), "interrupted"},
		{&journal.End{Outcome: "skipped"}, nil, "skipped"},
	} {
		require.Equal(t, c.want, Sum(&journal.History{End: c.end, Verdicts: c.verdicts}))
	}
}

// TestLedgerMatchesBruteForce compares the ledger checks with the truth table applied key by key, on random small
// histories.
func TestLedgerMatchesBruteForce(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	outcomes := []string{"acknowledged", "refused", "ambiguous"}
	for range 20_000 {
		s := scenario{&journal.History{Seqs: map[string][]uint64{}}}
		var lost, twice, refused, phantom, acked int
		for i := range 1 + random.IntN(6) {
			outcome, effects := outcomes[random.IntN(3)], random.IntN(3)
			s.addRequest(fmt.Sprint("k", i), outcome, effects)
			if outcome == "acknowledged" {
				acked++
				if effects == 0 {
					lost++
				}
			}
			if effects > 1 {
				twice++
			}
			if outcome == "refused" && effects > 0 {
				refused++
			}
		}
		if random.IntN(4) == 0 {
			s.Effects = append(s.Effects, journal.Effect{Key: "ghost"})
			phantom++
		}
		s.EffectsRead = &journal.Effects{Count: len(s.Effects)}
		want := func(bad int) Outcome {
			switch {
			case bad > 0:
				return Failed
			case acked == 0, acked-lost < lost: // too few effects are listed
				return Inconclusive
			}
			return Passed
		}
		require.Equal(t, want(lost+twice+refused), Ask(ExactlyOnce{}, s.History).Outcome)
		require.Equal(t, want(lost), Ask(NoneLost{}, s.History).Outcome)
		require.Equal(t, want(twice), Ask(NoneTwice{}, s.History).Outcome)
		require.Equal(t, want(phantom), Ask(NoPhantom{}, s.History).Outcome)
	}
}

func TestDuplicateDetails(t *testing.T) {
	s := newScenario()
	s.twice("k2")
	v := Ask(ExactlyOnce{}, s.History)
	require.Equal(t, []string{"key k2: 2 effects (o-k2-0, o-again); attempts: +1.00s status 201"}, v.Details)
}

func TestSentences(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Kinds() {
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

func TestPartitionActsOnOneLink(t *testing.T) {
	s := newScenario()
	for i, id := range []string{"fault-9.1", "fault-9.2", "fault-9.3"} {
		s.Faults = append(s.Faults, &journal.Injection{Fault: journal.Fault{ID: id, Affected: int64(i % 2)}})
	}
	v := Ask(FaultsActed{}, s.History)
	require.Equal(t, Passed, v.Outcome, v.Reason)
	require.Equal(t, "2 of 2", v.Observed)
}
