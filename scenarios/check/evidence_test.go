package check

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func TestTooFewRequests(t *testing.T) {
	for name, c := range map[string]struct {
		check Check
		bug   func(scenario)
	}{
		"affected less than required":  {Affected{AtLeast: 200, Unit: "calls", From: "orders", To: "payments"}, func(scenario) {}},
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
			s.makeAmbiguous()
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
	v = Ask(Affected{AtLeast: 151, Unit: "calls", From: "orders", To: "payments"}, newScenario().History)
	require.Equal(t, Inconclusive, v.Outcome, "it never fails")
	require.Contains(t, v.Reason, "150")
}

// TestFewRequests requires that too few requests never pass, and fail only if chance does not explain the result.
func TestFewRequests(t *testing.T) {
	for _, c := range []struct {
		sent, bad int
		ratio     float64
		want      Outcome
	}{
		{3, 0, 0.99, Inconclusive}, {19, 0, 0.5, Inconclusive}, {20, 0, 0.99, Passed}, {3, 3, 0.99, Failed}, {3, 1, 0.99, Inconclusive},
		{10, 2, 0.99, Inconclusive}, {10, 4, 0.99, Failed}, {10, 6, 0.5, Inconclusive}, {10, 10, 0.5, Failed}, {5, 1, 1, Failed}, {20, 1, 0.99, Failed},
	} {
		s := newScenario()
		s.Samples = nil
		x := s.second(6, journal.During, "GET /a", c.sent, ms)
		x.OK, x.Ambiguous = c.sent-c.bad, c.bad
		v := Ask(Success{Ratio: c.ratio, Window: journal.During}, s.History)
		assert.Equal(t, c.want, v.Outcome, "%d of %d, %v: %s", c.bad, c.sent, c.ratio, v.Reason)
	}
}

// TestFallbacksBeforeTheFaultProveNothing uses a route that always falls back.
func TestFallbacksBeforeTheFaultProveNothing(t *testing.T) {
	all := func(x *journal.Sample) { x.OK, x.Fallback = 0, x.Sent }
	s := newScenario()
	s.every(journal.Before, all)
	s.every(journal.During, all)
	s.every(journal.After, all)
	for _, w := range []journal.Window{journal.During, journal.After, ""} {
		v := Ask(Fallback{Ratio: 0.8, Mark: Mark{Text: "X: y"}, Window: w}, s.History)
		assert.Equal(t, Inconclusive, v.Outcome)
		assert.Contains(t, v.Reason, "were fallbacks before the fault, too")
	}
	s.every(journal.Before, func(x *journal.Sample) { x.OK, x.Fallback = x.Sent, 0 })
	assert.Equal(t, Passed, Ask(Fallback{Ratio: 0.8, Mark: Mark{Text: "X: y"}, Window: journal.During}, s.History).Outcome)
}

// TestOneDefinitionOfSuccess requires that either all checks of success count fallbacks, or none.
func TestOneDefinitionOfSuccess(t *testing.T) {
	for _, fallbacks := range []bool{false, true} {
		s := newScenario()
		s.FallbackIsSuccess = fallbacks
		for _, w := range []journal.Window{journal.Before, journal.During, journal.After} {
			s.every(w, func(x *journal.Sample) { x.OK, x.Fallback = x.Sent-20, 20 })
		}
		for _, c := range []Check{
			Success{Ratio: 0.99}, BaselineSteady{}, Recovers{Route: "POST /orders", Within: 3 * time.Second, Steady: []Steady{{Measure: "success", Ratio: 0.99}}},
		} {
			require.Equal(t, fallbacks, Ask(c, s.History).Outcome == Passed, "%s, %v", c, fallbacks)
		}
	}
}

// TestRouteThatNeverWorked: the steady state covers all routes and hides a route with few requests.
func TestRouteThatNeverWorked(t *testing.T) {
	const route = "GET /dead"
	dead := func() scenario {
		s := newScenario()
		for i := 1; i < 20; i++ {
			x := s.second(i, s.Samples[i-1].Window, route, 50, ms)
			x.OK, x.Failed, x.Good, x.Errors = 0, 50, nil, map[string]int{"status 500": 50}
		}
		return s
	}
	declared := Recovers{Route: route, Within: 3 * time.Second, Steady: []Steady{{Measure: "success", Ratio: 0.5}}}
	assert.Equal(t, Inconclusive, Ask(declared, dead().History).Outcome)
	for _, c := range []Check{
		Recovers{Route: route, Within: 3 * time.Second}, NotAffected{route},
		Success{Ratio: 0.99, Route: route, Window: journal.During}, Success{Ratio: 0.99, Route: route},
	} {
		v := Ask(c, dead().History)
		assert.Equal(t, Inconclusive, v.Outcome, "%s: %s", c, v.Observed)
		assert.Contains(t, v.Reason, `before the fault only 0.0% (0 of 250) of the requests of "GET /dead" got the expected answer: status 500 (250)`, "%s", c)
	}
	assert.Equal(t, Failed, Ask(Success{Ratio: 0.99, Route: route, Window: journal.Before}, dead().History).Outcome, "that is about the baseline")
	s := dead()
	s.Faults = nil
	assert.Equal(t, Failed, Ask(Success{Ratio: 0.99, Route: route}, s.History).Outcome, "there is no fault")
}

// TestWholeRunNeedsRequestsDuringFault uses a load that decreases before the fault.
func TestWholeRunNeedsRequestsDuringFault(t *testing.T) {
	fading := func(n int) scenario {
		s := newScenario()
		s.every(journal.During, func(x *journal.Sample) { x.Sent, x.OK = n, n; slow(10 * ms)(x) })
		return s
	}
	for _, c := range []Check{Success{Ratio: 0.99}, Latency{Percentile: 95, Below: time.Second}, NothingSlower{Than: time.Second}, CallsPerSecond{To: "payments", PerSecond: 100}, CallsTimesNormal{To: "payments", Times: 2}} {
		v := Ask(c, fading(4).History)
		assert.Equal(t, Inconclusive, v.Outcome, "%s", c)
		assert.Contains(t, v.Reason, "only 16 requests met a fault, and the others do not show its effect: at least 20 are needed")
		assert.Equal(t, Passed, Ask(c, fading(5).History).Outcome, "%s", c)
	}
	s := fading(5)
	s.every(journal.Before, failing(40))
	assert.Equal(t, Failed, Ask(Success{Ratio: 0.99}, s.History).Outcome)
	s = newScenario()
	s.Faults[0].Injected, s.Faults[0].Ended = 10*time.Second, 10*time.Second+ms // the effect of a short fault shows in the following requests
	assert.Equal(t, Passed, Ask(Success{Ratio: 0.99}, s.History).Outcome)
}

// TestNoAccidentalPass uses histories in which a limit holds for the wrong reason.
func TestNoAccidentalPass(t *testing.T) {
	fallingBack := func(x *journal.Sample) { x.OK, x.Fallback = 0, x.Sent }
	for name, c := range map[string]struct {
		check Check
		bug   func(scenario)
		want  Outcome
		why   string
	}{
		"nothing to give up on": {GivesUp{"orders", "payments", time.Second}, func(s scenario) { s.Faults[0].On = "front -> recs" }, Inconclusive, "no call to give up on"},
		"a fault on the service is enough": {GivesUp{"orders", "payments", time.Second}, func(s scenario) {
			s.Faults[0].On = "payments"
			s.addGivenUp(400 * ms)
		}, Passed, ""},
		"late answers, no call given up": {GivesUp{"orders", "payments", time.Second}, func(s scenario) { s.addCalls(7, journal.During, "orders -> payments", 1, 400*ms) }, Inconclusive, "gave up on no call"},
		"a fault that made nothing wait": {GivesUp{"orders", "payments", time.Second}, func(s scenario) {}, Inconclusive, "had to wait clearly longer than in the baseline"},
		"healed before it could show": {GivesUp{"orders", "payments", 30 * time.Second}, func(s scenario) {
			s.Faults[0].Waits = true
			s.addCalls(7, journal.AtHealing, "orders -> payments", 1, 3*time.Second)
		}, Inconclusive, "no call could wait for 30s"},
		"calls of a few requests": {CallsTimesNormal{To: "payments", Times: 1.5, Window: journal.During}, func(s scenario) {
			s.every(journal.During, func(x *journal.Sample) { x.Sent = 1 })
		}, Inconclusive, "are too few to know how many calls they cause"},
		"calls at a rate of their own, and less load": {CallsTimesNormal{To: "payments", Times: 1.5, Window: journal.During}, func(s scenario) {
			s.every(journal.During, func(x *journal.Sample) { x.Sent = 20 })
		}, Inconclusive, "services that call \"payments\" at a fixed rate"},
		"hardly any calls expected":         {CallsPerSecond{To: "payments", PerSecond: 60, Window: journal.After}, func(s scenario) { s.every(journal.After, func(x *journal.Sample) { x.Sent = 1 }) }, Inconclusive, "only 10 requests of the load were due"},
		"giving up is enough":               {GivesUp{"orders", "payments", time.Second}, func(s scenario) { s.Faults[0].On = "payments -> bank"; s.Calls[6].GaveUp = 1 }, Passed, ""},
		"a long wait needs no fault":        {GivesUp{"orders", "payments", time.Second}, func(s scenario) { s.Faults[0].On = "x"; s.Calls[6].Duration[0].Up = 9 * time.Second }, Failed, "waited 9s"},
		"no calls prove nothing":            {CallsTimesNormal{To: "payments", Times: 1.5, Window: journal.During}, func(s scenario) { s.removeCalls(journal.During) }, Inconclusive, "received no call during the fault"},
		"never gives up":                    {GivesUp{"orders", "payments", time.Second}, func(s scenario) { s.open(3, 2*time.Second) }, Failed, "waited for 3 answers of \"payments\" that had not arrived"},
		"never gives up on any":             {GivesUp{"orders", "payments", time.Second}, func(s scenario) { s.removeCalls(journal.During); s.open(3, 2*time.Second) }, Failed, "that had not arrived"},
		"calls unfinished at the end":       {GivesUp{"orders", "payments", time.Second}, func(s scenario) { s.open(3, time.Second) }, Inconclusive, "had not ended at the end of the scenario"},
		"applied twice, never acknowledged": {NoneTwice{}, func(s scenario) { s.makeAmbiguous(); s.twice("k2") }, Failed, "1 applied more than once (surplus effects: 1)"},
		"steady from the third second on": {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) {
			s.Faults[0].Healed -= 4 * ms
			slow(time.Second)(&s.Samples[9])
			slow(time.Second)(&s.Samples[10])
		}, Passed, ""},
		"steady from the fourth second on": {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) {
			failing(50)(&s.Samples[10])
			failing(50)(&s.Samples[11])
		}, Failed, "it took 3s: success 0.0% (0 of 50) in the second from +12.0s (steady: at least 99.5%)"},
		"slow for the first three seconds": {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) {
			for i := 9; i < 12; i++ {
				slow(time.Second)(&s.Samples[i])
			}
		}, Failed, "it took 3s: p95 latency 1s in the second from +12.0s (steady: p95 latency below 60ms)"},
		"a stall is no rise of a percentile": {Latency{Percentile: 95, Times: 1.5, Route: "POST /orders", Window: journal.During}, func(s scenario) {
			for i := 6; i < 8; i++ {
				s.Samples[i].Latency = []journal.Bucket{{Up: 10 * ms, N: 30}, {Up: 200 * ms, N: 20}}
			}
		}, Inconclusive, "p95 was 200ms, above 15ms, but in bursts"},
		"a rise throughout is a rise": {Latency{Percentile: 95, Times: 1.5, Route: "POST /orders", Window: journal.During}, func(s scenario) { s.every(journal.During, slow(200*ms)) }, Failed, "p95 was 200ms, 20.0 times the baseline's 10ms"},
		"a rise at healing is a rise": {Latency{Percentile: 95, Times: 1.5, Route: "POST /orders", Window: journal.During}, func(s scenario) {
			s.every(journal.During, slow(200*ms))
			failing(50)(&s.Samples[8])
			s.Samples[8].Window = journal.AtHealing
		}, Failed, "p95 was 200ms, 20.0 times the baseline's 10ms"},
		"one slow second in a steady recovery": {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) { slow(time.Second)(&s.Samples[11]) }, Inconclusive, "p95 latency 1s in the second from +12.0s"},
		"one second of failures":               {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) { failing(50)(&s.Samples[13]) }, Inconclusive, "success 0.0% (0 of 50) in the second from +14.0s"},
		"one failure in a steady recovery":     {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) { failing(1)(&s.Samples[11]) }, Passed, ""},
		"a relapse": {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) {
			failing(15)(&s.Samples[15])
			failing(50)(&s.Samples[16])
			failing(35)(&s.Samples[17])
		}, Failed, "it was steady, and became unsteady again: success 70.0% (35 of 50) in the second from +16.0s"},
		"a relapse in a long time to recover": {Recovers{Route: "POST /orders", Within: 10 * time.Second}, func(s scenario) {
			failing(50)(&s.Samples[9])
			failing(50)(&s.Samples[11])
			failing(50)(&s.Samples[12])
			for i := 20; i < 26; i++ {
				s.second(i, journal.After, "POST /orders", 50, 10*ms)
			}
		}, Passed, ""},
		"steady no longer than before a relapse": {Recovers{Route: "POST /orders", Within: 10 * time.Second}, func(s scenario) {
			failing(50)(&s.Samples[17])
			failing(50)(&s.Samples[18])
			for i := 20; i < 26; i++ {
				s.second(i, journal.After, "POST /orders", 50, 10*ms)
			}
		}, Failed, "it was steady, and became unsteady again: success 0.0% (0 of 50) in the second from +18.0s"},
		"failures do not come from a late generator": {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) {
			s.every(journal.After, failing(50))
			s.every(journal.After, sendLate)
		}, Failed, "success 0.0% (0 of 50)"},
		"latencies may come from a late generator": {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) {
			s.every(journal.After, slow(120*ms))
			s.every(journal.After, sendLate)
		}, Inconclusive, "the load generator may have caused it"},
		"failures may come from a paused runner": {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) {
			s.every(journal.After, failing(50))
			s.Pauses = []journal.Pause{{From: 12 * time.Second, To: 13 * time.Second, Took: time.Second}}
		}, Inconclusive, "the runner was paused"},
		"nothing due at first":                   {Recovers{Route: "POST /orders", Within: 3 * time.Second}, func(s scenario) { s.removeSeconds(10, 14) }, Failed, "it took 4s: no request was due in the second before"},
		"seconds without a request":              {Recovers{Route: "POST /orders", Within: 3 * time.Second}, func(s scenario) { s.removeSeconds(12, 14) }, Failed, "it took 4s"},
		"fallbacks are an effect":                {NotAffected{"POST /orders"}, func(s scenario) { s.every(journal.During, fallingBack) }, Failed, "fell from 100% to 0%; 200 were fallbacks"},
		"stuck in fallbacks":                     {Recovers{Route: "POST /orders", Within: 3 * time.Second}, func(s scenario) { s.every(journal.After, fallingBack) }, Failed, "500 were fallbacks, 0 in the baseline"},
		"stuck, with a declared steady state":    {Recovers{Route: "POST /orders", Within: 3 * time.Second, Steady: []Steady{{Measure: "success", Ratio: 0.9}}}, func(s scenario) { s.every(journal.After, fallingBack) }, Failed, "500 were fallbacks"},
		"fallbacks as before":                    {Recovers{Route: "POST /orders", Within: 3 * time.Second}, func(s scenario) { s.every(journal.Before, someFallBack); s.every(journal.After, someFallBack) }, Passed, ""},
		"most probes unanswered":                 {SameResponse{}, func(s scenario) { s.unanswered(4) }, Inconclusive, "4 of 5 keys sent again got no answer"},
		"a few probes unanswered":                {SameResponse{}, func(s scenario) { s.answered(19); s.unanswered(1) }, Passed, ""},
		"no probe of the fault":                  {SameResponse{}, func(s scenario) { s.Probes[0].Window = journal.Before }, Inconclusive, "none of the 1 keys sent again was acknowledged during the fault"},
		"no probe of a crash":                    {SameResponse{}, func(s scenario) { s.Probes[0].Window = journal.Before; s.Faults[0].On = "orders" }, Passed, ""},
		"a wrong answer before the fault":        {SameResponse{}, func(s scenario) { s.Probes[0].Window, s.Probes[0].Got = journal.Before, "other" }, Failed, "1 of 1"},
		"applied again, with the same answer":    {SameResponse{}, func(s scenario) { s.Probes[0].Again = []string{"e2"} }, Failed, "1 of 1 keys sent again were applied again"},
		"applied again is more than once":        {NoneTwice{}, func(s scenario) { s.Probes[0].Again = []string{"e2"} }, Failed, "1 applied again when sent again"},
		"applied again is not exactly once":      {ExactlyOnce{}, func(s scenario) { s.Probes[0].Again = []string{""} }, Failed, "1 applied again when sent again"},
		"another body is another request":        {ExactlyOnce{}, func(s scenario) { s.Probes[1].Again = []string{"e2"} }, Passed, ""},
		"refused, and applied again":             {KeyReuseRefused{Status: 422}, func(s scenario) { s.Probes[1].Again = []string{"e2"} }, Failed, "1 of 1 keys sent again were applied again"},
		"possibly applied again":                 {SameResponse{}, func(s scenario) { s.Probes[0].Unread = "status 500" }, Inconclusive, "whether keys sent again were applied again is not known"},
		"a key that gets an error each time":     {SameResponse{}, func(s scenario) { s.answered(19); s.stuck(1) }, Inconclusive, "1 of 21 keys sent again got an error each time"},
		"keys that get an error each time":       {SameResponse{}, func(s scenario) { s.stuck(4) }, Inconclusive, "4 of 5 keys sent again got no answer: what it would have been is not known; key k9: status 500 each time"},
		"lost, or not there yet":                 {NoneLost{}, func(s scenario) { s.drop("k3"); s.EffectsRead.Doubt = "effects were still appearing" }, Inconclusive, "1 acknowledged and lost, which is not proved: effects were still appearing"},
		"no duplicates on a page":                {NoneTwice{}, func(s scenario) { s.drop("k3"); s.EffectsRead.Doubt = "it may be a page" }, Inconclusive, "not all effects are known: it may be a page"},
		"a duplicate on a page":                  {ExactlyOnce{}, func(s scenario) { s.drop("k3"); s.twice("k2"); s.EffectsRead.Doubt = "it may be a page" }, Failed, "applied more than once"},
		"an empty list proves nothing":           {NoneTwice{}, func(s scenario) { s.Effects, s.EffectsRead.Count = journal.EffectRows{}, 0 }, Inconclusive, "none of 5 acknowledged requests has an effect"},
		"an empty list loses all":                {NoneLost{}, func(s scenario) { s.Effects, s.EffectsRead.Count = journal.EffectRows{}, 0 }, Failed, "5 acknowledged and lost"},
		"a few of many are not listed":           {NoneTwice{}, func(s scenario) { s.more(100, journal.Before); s.unlistEffects(10) }, Passed, ""},
		"too many are not listed":                {NoneTwice{}, func(s scenario) { s.more(100, journal.Before); s.unlistEffects(11) }, Inconclusive, "11 of the 100 requests that were acknowledged before any fault have no effect: the list does not show all effects"},
		"too many are not listed, a phantom":     {NoPhantom{}, func(s scenario) { s.more(100, journal.Before); s.unlistEffects(11) }, Inconclusive, "the list does not show all"},
		"too many are not listed, and lost":      {NoneLost{}, func(s scenario) { s.more(100, journal.Before); s.unlistEffects(11) }, Failed, "11 acknowledged and lost"},
		"those of the fault are lost":            {NoneTwice{}, func(s scenario) { s.more(100, journal.During); s.unlistEffects(50) }, Passed, ""},
		"most are lost from the fault on":        {NoneTwice{}, func(s scenario) { s.more(100, journal.During); s.unlistEffects(60) }, Inconclusive, "only 45 of 105 acknowledged requests have an effect"},
		"nothing of this load is listed":         {NoPhantom{}, func(s scenario) { s.Effects, s.EffectsRead.Count = journal.EffectRows{}, 0 }, Inconclusive, "the list does not show the effects of this load"},
		"reads have no effects":                  {ExactlyOnce{}, func(s scenario) { s.read(300, true) }, Passed, ""},
		"reads alone":                            {ExactlyOnce{}, func(s scenario) { s.only(); s.read(300, true) }, Inconclusive, "no request was sent that changes something"},
		"a read that is applied twice":           {NoneTwice{}, func(s scenario) { s.read(1, true); s.twice("r0"); s.twice("r0") }, Failed, "1 applied more than once"},
		"a read that is applied is no phantom":   {NoPhantom{}, func(s scenario) { s.read(1, true); s.twice("r0") }, Passed, ""},
		"GETs alone, and a list without effects": {NoneLost{}, func(s scenario) { s.only(); s.OnlyReads = true; s.read(300, false) }, Inconclusive, "300 acknowledged and lost, which is not proved: all requests are of kinds that only read"},
		"GETs alone that count":                  {NoneLost{}, func(s scenario) { s.only(); s.OnlyReads = true; s.read(300, false); s.twice("r0") }, Failed, "299 acknowledged and lost"},
		"GETs alone that count, in a fault": {NoneLost{}, func(s scenario) {
			s.only()
			s.OnlyReads, s.Faults[0].Reads = true, true
			s.read(300, false)
			for i := range 300 {
				s.twice("r" + strconv.Itoa(i))
			}
		}, Passed, ""},
		"phantoms, or effects of other users": {NoPhantom{}, func(s scenario) { s.EffectsRead.Others, s.EffectsRead.Unknown = 9, 7 }, Inconclusive, "7 new effects have keys that are not of this run"},
		"effects of other runs":               {NoPhantom{}, func(s scenario) { s.EffectsRead.Others = 9 }, Passed, ""},
		"other users, and nothing is lost":    {NoneLost{}, func(s scenario) { s.EffectsRead.Others, s.EffectsRead.Unknown = 9, 7 }, Passed, ""},
		"two answers to a hedged request":     {SameResponse{}, func(s scenario) { s.hedged("a", "b") }, Failed, "1 request got two different answers to attempts with the same key at the same time; keys sent again got the same answer"},
		"one answer to a hedged request":      {SameResponse{}, func(s scenario) { s.hedged("a", "a") }, Passed, ""},
		"two answers, and no probe":           {SameResponse{}, func(s scenario) { s.hedged("a", "b"); s.Probes = nil }, Failed, "1 request got two different answers to attempts with the same key at the same time; no key could be sent again"},
		"a read with two answers":             {SameResponse{}, func(s scenario) { s.hedged("a", "b"); s.request(0, func(r *journal.Request) { r.Reads = true }) }, Passed, ""},
		"answers of two steps": {SameResponse{}, func(s scenario) {
			s.hedged("a", "b")
			s.request(0, func(r *journal.Request) { r.Attempts[1].Step = 1 })
		}, Passed, ""},
		"one answer, one attempt cancelled":   {SameResponse{}, func(s scenario) { s.hedged("", "b") }, Passed, ""},
		"one answer for all keys":             {SameResponse{}, func(s scenario) { s.sameAnswers(); s.EffectsRead = nil }, Inconclusive, "all 5 acknowledged requests got the same answer, whatever their key"},
		"one answer for all, and effects":     {SameResponse{}, func(s scenario) { s.sameAnswers() }, Passed, ""},
		"one answer for all, and another now": {SameResponse{}, func(s scenario) { s.sameAnswers(); s.Probes[0].Got = "other" }, Failed, "1 of 1"},
		"one answer for all, and the status":  {KeyReuseRefused{422}, func(s scenario) { s.sameAnswers() }, Passed, ""},
		"no key met the fault":                {ExactlyOnce{}, func(s scenario) { s.request(4, func(r *journal.Request) { r.Outcome = "ambiguous" }); s.drop("k4") }, Inconclusive, "during the fault no keyed request was acknowledged"},
		"no key met the crash": {ExactlyOnce{}, func(s scenario) {
			s.request(4, func(r *journal.Request) { r.Outcome = "ambiguous" })
			s.drop("k4")
			s.Faults[0].On = "orders"
		}, Passed, ""},
		"not known, and applied, in the fault":   {ExactlyOnce{}, func(s scenario) { s.request(4, func(r *journal.Request) { r.Outcome = "ambiguous" }) }, Passed, ""},
		"a form that answers 303":                {Success{Ratio: 0.9}, func(s scenario) { s.every(journal.During, redirect); s.every(journal.After, redirect) }, Failed, `answers with status 303 do not count as success: if they are expected, add the step: "POST /orders" answers 303`},
		"none acknowledged by a form":            {ExactlyOnce{}, func(s scenario) { s.makeAmbiguous(); s.every(journal.During, redirect) }, Inconclusive, `add the step: "POST /orders" answers 303`},
		"a wrong answer among unanswered probes": {SameResponse{}, func(s scenario) { s.unanswered(4); s.Probes[0].Got = "other" }, Failed, "1 of 1"},
		"baseline never sent":                    {BaselineSteady{}, func(s scenario) { s.every(journal.Before, func(x *journal.Sample) { x.Unsent = 10 }) }, Inconclusive, "only 250 of the 300"},
		"the slowest of too few":                 {Latency{Percentile: 100, Below: time.Second, Route: "GET /few"}, func(s scenario) { s.second(3, journal.Before, "GET /few", 19, ms) }, Inconclusive, "at least 20"},
		"no such answer":                         {fixedCheck{Verdict{Outcome: 7}}, func(scenario) {}, Inconclusive, "the undefined outcome 7"},
		"no reason":                              {fixedCheck{}, func(scenario) {}, Inconclusive, "gave no reason"},
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
