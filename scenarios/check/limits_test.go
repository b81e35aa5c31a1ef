package check

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestUntestedLimits uses histories in which a limit holds because nothing could exceed it, and similar ones in
// which something could.
func TestUntestedLimits(t *testing.T) {
	waits := func(s scenario) { s.Faults[0].Waits = true }
	during := NothingSlower{Than: 3 * time.Second, Window: journal.During}
	long := NothingSlower{Than: 5 * time.Second, Window: journal.During}
	p95 := Latency{Percentile: 95, Below: 5 * time.Second, Window: journal.During}
	late := GivesUp{"orders", "payments", 2 * time.Second}
	// leave makes clients give up after a second on n requests, and orders on one call after each of the given times.
	leave := func(s scenario, n int, after ...time.Duration) {
		s.Load.GiveUp = time.Second
		s.every(journal.During, func(x *journal.Sample) { x.GaveUp, n = n, 0 })
		for _, d := range after {
			s.addGivenUp(d)
		}
	}
	retries := CallsTimesNormal{To: "payments", Times: 1.5, Window: journal.During}
	storm := CallsPerSecond{To: "payments", PerSecond: 1_000_000, Window: journal.During}
	delayed := func(by time.Duration) func(s scenario) {
		return func(s scenario) {
			s.Faults[0].Waits, s.Faults[0].Kind, s.Faults[0].Delayed, s.Faults[0].DelayMax = true, "slow calls", 150, by
		}
	}
	for name, c := range map[string]struct {
		check Check
		bug   func(scenario)
		want  Outcome
		why   string
	}{
		"below the clients' patience":                         {during, func(s scenario) { s.Load.Patience = 4 * time.Second }, Passed, ""},
		"above the clients' patience":                         {during, func(s scenario) { s.Load.Patience = 2400 * ms }, Inconclusive, "none takes longer than 2.4s"},
		"a percentile above it":                               {p95, func(s scenario) { s.Load.Patience = 2400 * ms }, Inconclusive, "none takes longer than 2.4s"},
		"5,000 times the baseline":                            {Latency{Percentile: 95, Times: 5000, Window: journal.During}, func(s scenario) { s.Load.Patience = 10 * time.Second }, Inconclusive, "no request could take 50s"},
		"5 times the baseline":                                {Latency{Percentile: 95, Times: 5, Window: journal.During}, func(s scenario) { s.Load.Patience = 10 * time.Second }, Passed, ""},
		"a fault shorter than the limit":                      {long, waits, Inconclusive, "the fault lasted 4s"},
		"of a percentile":                                     {p95, waits, Inconclusive, "the fault lasted 4s"},
		"and of times the baseline":                           {Latency{Percentile: 95, Times: 500, Window: journal.During}, waits, Inconclusive, "longer than 5s would test the limit"},
		"a fault longer than the limit":                       {during, waits, Passed, ""},
		"after healing a limit is not about the fault's hold": {NothingSlower{Than: 5 * time.Second, Window: journal.After}, waits, Passed, ""},
		"a fault that outlasts its healing":                   {long, func(scenario) {}, Passed, ""},
		"one of two outlasts its healing": {long, func(s scenario) {
			waits(s)
			s.Faults = append(s.Faults, &journal.Injection{Fault: journal.Fault{ID: "f2", Affected: 1}, Injected: 7 * time.Second, Healed: 8 * time.Second})
		}, Passed, ""},
		"two faults in a row": {long, func(s scenario) {
			waits(s)
			s.Faults = append(s.Faults, &journal.Injection{Fault: journal.Fault{ID: "f2", Affected: 1, Waits: true}, Injected: 10 * time.Second, Healed: 12 * time.Second})
		}, Passed, ""},
		"one that waited beyond the fault":            {long, func(s scenario) { waits(s); s.second(7, journal.During, "POST /orders", 1, 4800*ms) }, Passed, ""},
		"one that failed beyond the limit":            {long, func(s scenario) { waits(s); s.second(7, journal.During, "POST /orders", 1, 9*time.Second) }, Failed, "took longer"},
		"clients that gave up ended the waits":        {late, func(s scenario) { leave(s, 3, 990*ms, 990*ms, 980*ms) }, Inconclusive, "clients of the load gave up 3 times"},
		"more waits than clients that gave up":        {late, func(s scenario) { leave(s, 1, 400*ms, 400*ms, 200*ms) }, Passed, ""},
		"no client gave up":                           {late, func(s scenario) { leave(s, 0, 400*ms) }, Passed, ""},
		"a wait that outlasted the clients":           {late, func(s scenario) { leave(s, 2, 1500*ms, 1500*ms) }, Passed, ""},
		"clients more patient than the limit":         {GivesUp{"orders", "payments", 500 * ms}, func(s scenario) { leave(s, 3, 400*ms) }, Passed, ""},
		"clients that hedge end attempts at any time": {GivesUp{"orders", "payments", 500 * ms}, func(s scenario) { leave(s, 3, 400*ms); s.Load.EndsEarly = true }, Inconclusive, "neither send second attempts nor give up on requests"},
		"more waits than attempts that hedging ended": {GivesUp{"orders", "payments", 500 * ms}, func(s scenario) { leave(s, 0, 400*ms); s.Load.EndsEarly = true }, Passed, ""},
		"a cut-off hides the calls": {late, func(s scenario) {
			s.removeCalls(journal.During)
			s.Faults[0].Kind, s.Faults[0].Unseen = "cut off", true
		}, Inconclusive, "cannot be observed"},
		"a delay too short for retries":        {retries, delayed(20 * ms), Inconclusive, "no caller had a reason to retry"},
		"a delay long enough for retries":      {retries, delayed(350 * ms), Passed, ""},
		"a late copy":                          {retries, func(s scenario) { s.Faults[0].Kind, s.Faults[0].Unnoticed = "twice", true }, Inconclusive, "no caller had a reason to retry"},
		"a fault that makes calls fail":        {retries, func(s scenario) { s.Faults[0].Kind = "answered calls" }, Passed, ""},
		"a fault elsewhere":                    {retries, func(s scenario) { delayed(20 * ms)(s); s.Faults[0].On = "orders -> cache" }, Passed, ""},
		"calls that fail by themselves":        {retries, func(s scenario) { delayed(20 * ms)(s); s.Calls[6].Failed = 3 }, Passed, ""},
		"a load that changes, without a fault": {CallsTimesNormal{To: "payments", Times: 1.5}, func(s scenario) { s.Faults = nil }, Passed, ""},
		"clients that retry": {retries, func(s scenario) {
			delayed(20 * ms)(s)
			s.every(journal.During, func(x *journal.Sample) { x.Attempts++ })
		}, Passed, ""},
		"clients that hedge": {retries, func(s scenario) {
			delayed(20 * ms)(s)
			s.Load.Hedges = 8
			s.every(journal.During, func(x *journal.Sample) { x.Attempts, x.Hedges, x.GaveUp = x.Attempts+1, 1, 1 })
			s.addGivenUp(40 * ms)
		}, Inconclusive, "no caller had a reason to retry"},
		"clients that hedge and retry": {retries, func(s scenario) {
			delayed(20 * ms)(s)
			s.Load.Hedges = 8
			s.every(journal.During, func(x *journal.Sample) { x.Attempts, x.Hedges = x.Attempts+2, 1 })
		}, Passed, ""},
		"retries without a reason":        {CallsTimesNormal{To: "payments", Times: 0.5, Window: journal.During}, delayed(20 * ms), Failed, "suspected retries"},
		"a million calls a second":        {storm, delayed(20 * ms), Inconclusive, "more than 2 times the 50 calls"},
		"as many calls as the load makes": {CallsPerSecond{To: "payments", PerSecond: 60, Window: journal.During}, delayed(20 * ms), Passed, ""},
		"a million, and calls fail":       {storm, func(s scenario) { s.Faults[0].Kind = "answered calls" }, Passed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			c.bug(s)
			v := Ask(c.check, s.History)
			require.Equal(t, c.want.String(), v.Outcome.String(), "%s %s", v.Observed, v.Reason)
			require.Contains(t, v.Reason, c.why)
		})
	}
}
