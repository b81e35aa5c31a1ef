package check

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestImpliedChecksDetectInvalidRuns makes a run invalid in every way.
func TestImpliedChecksDetectInvalidRuns(t *testing.T) {
	for name, c := range map[string]struct {
		check Check
		bug   func(scenario)
		why   string
	}{
		"a partition affected nothing": {FaultsActed{}, func(s scenario) {
			for _, id := range []string{"fault-9.1", "fault-9.2"} {
				s.Faults = append(s.Faults, &journal.Injection{Fault: journal.Fault{ID: id, Sentence: "they are cut off", Hint: "all was quiet"}})
			}
		}, "they are cut off (all was quiet)"},
		"a fault affected nothing": {FaultsActed{}, func(s scenario) { s.Faults[0].Affected = 0; s.Faults[0].Hint = "no call was made" }, "calls are slow (no call was made)"},
		"only a heartbeat":         {FaultsActed{}, func(s scenario) { s.Faults[0].Background = s.Faults[0].Affected }, "it affected 150 calls, no more than without the load"},
		"no load while it was live": {FaultsActed{}, func(s scenario) {
			s.Samples = slices.DeleteFunc(s.Samples, func(x journal.Sample) bool { return x.Window == journal.During })
		}, "no request of the load was due while it was live"},
		"the gate was closed":     {BaselineSteady{}, func(s scenario) { s.Gate = &journal.Gate{Reason: "half of it failed"} }, "half of it failed; nothing was injected"},
		"latency without success": {BaselineSteady{Steady: []Steady{{Measure: "p95 latency", Limit: time.Second}}}, func(s scenario) { s.every(journal.Before, failing(50)) }, "success 0.0%"},
		"timed out":               {InTime{}, func(s scenario) { s.TimedOut = &journal.TimedOut{Reason: "it took longer than 2m"} }, "it took longer than 2m"},
		"trouble":                 {NoTrouble{}, func(s scenario) { s.Troubles = []string{"the disk is full", "and more"} }, "the disk is full"},
		"a service exited": {ServicesStayed{}, func(s scenario) {
			s.Processes = []journal.TimedProcess{{At: 7 * time.Second, Process: journal.Process{Service: "db", What: "exited", Detail: "exit status 7", Log: "out of memory"}}}
		}, `service "db" exited unexpectedly at +7.0s (exit status 7)`},
		"nothing is proved":           {ProvesSomething{}, func(s scenario) { s.Unproven = "no check" }, "no check"},
		"never healed":                {Healed{}, func(s scenario) { s.Faults[0].Healed = 0 }, "never healed"},
		"healed with an error":        {Healed{}, func(s scenario) { s.Faults[0].Error = "port taken" }, "port taken"},
		"baseline failing":            {BaselineSteady{}, func(s scenario) { s.every(journal.Before, failing(5)) }, "not within the steady state: success 90.0%"},
		"baseline climbing":           {BaselineSteady{}, func(s scenario) { slow(500 * ms)(&s.Samples[4]); slow(500 * ms)(&s.Samples[3]) }, "p95 rose"},
		"declared steady state unmet": {BaselineSteady{Steady: []Steady{{Measure: "p95 latency", Limit: 5 * ms}}}, func(scenario) {}, "p95 latency 10ms"},
		"no baseline":                 {BaselineSteady{}, func(s scenario) { s.Samples = s.Samples[5:] }, "no request was answered"},
		"load unsent":                 {LoadDelivered{}, func(s scenario) { s.Load.Unsent, s.Load.Requested = 100, 1050 }, "100 requests of the load were not sent: this machine did not keep up"},
		"load saturated":              {LoadDelivered{}, func(s scenario) { s.Load.Unsent, s.Load.Requested, s.Load.Workers = 100, 1050, 100 }, "saturated"},
		"load never due":              {LoadDelivered{}, func(s scenario) { s.Load.Requested = 1200 }, "250 requests of the load were not sent: they were never due"},
		"more than requested":         {LoadDelivered{}, func(s scenario) { s.Load.Requested = 900 }, "50 more requests were sent than the steps request"},
		"load late":                   {LoadDelivered{}, func(s scenario) { s.Load.SlipP99 = 201 * ms }, "one request in a hundred was sent at least 201ms late"},
		"runner paused": {LoadDelivered{}, func(s scenario) {
			s.Load.SlipP99, s.Pauses = 8*time.Second, []journal.Pause{{From: time.Second, Took: ms}, {From: 5 * time.Second, Took: 8 * time.Second}}
		}, "the runner was paused for 8s from +5s: one request in a hundred"},
		"errors of the generator": {LoadDelivered{}, func(s scenario) {
			s.Load.GeneratorErrors = map[string]int{"too many open files (this process may open 40: raise ulimit -n)": 3}
		}, "3 requests: too many open files (this process may open 40: raise ulimit -n)"},
		"short of CPU":                {LoadDelivered{}, func(s scenario) { s.Load.SlipP99, s.Load.CPU = 51*ms, 0.81 }, "Firedrill used 81% of this machine's, and one request in a hundred was sent at least 51ms late"},
		"long garbage collection":     {LoadDelivered{}, func(s scenario) { s.Load.GCPause = 201 * ms }, "garbage collector paused it for up to 201ms"},
		"a user who stops":            {LoadDelivered{}, func(s scenario) { s.Load.Shape, s.Load.Requested, s.Load.KeptAsking = "closed", 950, 0.89 }, "one of them waited for answers or thought in only 89% of the time"},
		"counted and not sent":        {LoadDelivered{}, func(s scenario) { s.Load.Shape, s.Load.Requested, s.Load.Unsent = "counted", 1000, 50 }, "50 requests of the load were not sent"},
		"load broken":                 {LoadDelivered{}, func(s scenario) { s.Load.Error = "boom" }, "boom"},
		"load never ended":            {LoadDelivered{}, func(s scenario) { s.Load = nil }, "did not finish"},
		"repeated by the generator":   {NotRepeated{}, func(s scenario) { s.Load.Wire++ }, "the load generator repeated 1 request by itself"},
		"by hand":                     {NoneByHand{}, func(s scenario) { s.Faults[0].By = "ann" }, "by ann"},
		"accounts":                    {AccountsAddUp{}, func(s scenario) { s.Accounts[0].Wrong = "9 were delivered" }, "do not add up"},
		"lost by the kernel":          {AccountsAddUp{}, kernelLoss, "on orders -> metrics the kernel dropped 3 at the link and 2 at the dependency, 1 could not be sent"},
		"none lost, or by the kernel": {NoneLost{}, func(s scenario) { kernelLoss(s); s.drop("k3") }, "1 acknowledged and lost, which may be because 6 datagrams were lost"},
		"a baseline of 303":           {BaselineSteady{}, func(s scenario) { s.every(journal.Before, redirect) }, `add the step: "POST /orders" answers 303`},
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
	require.Len(t, Implied(nil), 12)
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
	require.Contains(t, v.Observed, "6 datagrams lost, but not by a fault")
	s.Losses = []journal.Loss{{Link: "orders -> metrics"}}
	require.Contains(t, Ask(AccountsAddUp{}, s.History).Observed, "not known on this platform")
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

// TestSharedLinkNeedsWorseLoad: on a link with traffic that the load does not cause, only worse requests of the
// load show that they met the fault.
func TestSharedLinkNeedsWorseLoad(t *testing.T) {
	shared := func(change func(*journal.Sample)) scenario {
		s := newScenario()
		s.Faults[0].Shared = true
		s.every(journal.Before, slow(10*ms))
		s.every(journal.During, change)
		return s
	}
	v := Ask(FaultsActed{}, shared(slow(10*ms)).History)
	assert.Equal(t, Inconclusive, v.Outcome)
	assert.Contains(t, v.Reason, "nothing shows that the load met it")
	assert.Equal(t, Passed, Ask(FaultsActed{}, shared(slow(400*ms)).History).Outcome, "slower")
	assert.Equal(t, Passed, Ask(FaultsActed{}, shared(failing(1)).History).Outcome, "one failed that none did before")

	slowest := func(took time.Duration) func(*journal.Sample) {
		return func(x *journal.Sample) {
			x.Latency[0].N--
			x.Latency = append(x.Latency, journal.Bucket{Up: took, N: 1})
		}
	}
	one := shared(slowest(300 * ms))
	assert.Equal(t, Passed, Ask(FaultsActed{}, one.History).Outcome, "one was slower")
	one.every(journal.After, slowest(250*ms))
	assert.Equal(t, Inconclusive, Ask(FaultsActed{}, one.History).Outcome, "others were as slow without the fault")
	late := shared(slowest(300 * ms))
	late.every(journal.During, func(x *journal.Sample) { x.Slip = []journal.Bucket{{Up: 200 * ms, N: 50}} })
	assert.Equal(t, Inconclusive, Ask(FaultsActed{}, late.History).Outcome, "the load generator was as late")
}

// TestLoadOfEarlierFault: the load ends with the first fault, and another fault follows immediately.
func TestLoadOfEarlierFault(t *testing.T) {
	s := newScenario()
	s.Faults[0].Ended = 8 * time.Second
	second := *s.Faults[0]
	second.ID, second.Sentence, second.Injected, second.Ended = "f2", "calls fail", 8*time.Second+ms, 10*time.Second
	s.Faults = append(s.Faults, &second)
	require.Equal(t, Passed, Ask(FaultsActed{}, s.History).Outcome)
	s.removeSeconds(8, 20)
	v := Ask(FaultsActed{}, s.History)
	require.Equal(t, Inconclusive, v.Outcome)
	require.Contains(t, v.Reason, "calls fail (no request of the load was due while it was live)")
	require.NotContains(t, v.Reason, "calls are slow")

	s.second(9, journal.AtInjection, "POST /orders", 1, time.Second)
	s.Samples[len(s.Samples)-1].From = 5500 * ms
	require.Contains(t, Ask(FaultsActed{}, s.History).Reason, "calls fail", "it was in flight when the first was injected")
	s.Faults[1].Injected = 9 * time.Second
	s.Samples[len(s.Samples)-1].From = 8500 * ms
	require.Equal(t, Passed, Ask(FaultsActed{}, s.History).Outcome, "one in flight met it")
}
