package check

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestNoAccidentalPass uses histories in which a limit holds for the wrong reason.
func TestNoAccidentalPass(t *testing.T) {
	fallingBack := func(x *journal.Sample) { x.OK, x.Fallback = 0, x.Sent }
	for name, c := range map[string]struct {
		check Check
		bug   func(scenario)
		want  Outcome
		why   string
	}{
		"nothing to give up on": {GivesUp{"orders", "payments", time.Second}, func(s scenario) { s.Faults[0].On = "front -> recs" }, Inconclusive, "nothing to give up on"},
		"a fault on the service is enough": {GivesUp{"orders", "payments", time.Second}, func(s scenario) {
			s.Faults[0].On = "payments"
			s.addGivenUp(400 * ms)
		}, Passed, ""},
		"late answers, no call given up": {GivesUp{"orders", "payments", time.Second}, func(s scenario) { s.addCalls(7, journal.During, "orders -> payments", 1, 400*ms) }, Inconclusive, "gave up on no call"},
		"a fault that made nothing wait": {GivesUp{"orders", "payments", time.Second}, func(s scenario) {}, Inconclusive, "had to wait clearly longer than in the baseline"},
		"healed before it could show": {GivesUp{"orders", "payments", 30 * time.Second}, func(s scenario) {
			s.Faults[0].Waits = true
			s.addCalls(7, journal.AtHealing, "orders -> payments", 1, 3*time.Second)
		}, Inconclusive, "nothing could wait for 30s"},
		"calls of a few requests": {CallsTimesNormal{To: "payments", Times: 1.5, Window: journal.During}, func(s scenario) {
			s.every(journal.During, func(x *journal.Sample) { x.Sent = 1 })
		}, Inconclusive, "say too little of how many calls they make"},
		"calls at a rate of their own, and less load": {CallsTimesNormal{To: "payments", Times: 1.5, Window: journal.During}, func(s scenario) {
			s.every(journal.During, func(x *journal.Sample) { x.Sent = 20 })
		}, Inconclusive, "services that call \"payments\" at a rate of their own"},
		"hardly any calls expected":         {CallsPerSecond{To: "payments", PerSecond: 60, Window: journal.After}, func(s scenario) { s.every(journal.After, func(x *journal.Sample) { x.Sent = 1 }) }, Inconclusive, "only 10 requests of the load were due"},
		"giving up is enough":               {GivesUp{"orders", "payments", time.Second}, func(s scenario) { s.Faults[0].On = "payments -> bank"; s.Calls[6].GaveUp = 1 }, Passed, ""},
		"a long wait needs no fault":        {GivesUp{"orders", "payments", time.Second}, func(s scenario) { s.Faults[0].On = "x"; s.Calls[6].Duration[0].Up = 9 * time.Second }, Failed, "waited 9s"},
		"no calls prove nothing":            {CallsTimesNormal{To: "payments", Times: 1.5, Window: journal.During}, func(s scenario) { s.removeCalls(journal.During) }, Inconclusive, "received no call during the fault"},
		"never gives up":                    {GivesUp{"orders", "payments", time.Second}, func(s scenario) { s.open(3, 2*time.Second) }, Failed, "waited for 3 answers of \"payments\" that never came"},
		"never gives up on any":             {GivesUp{"orders", "payments", time.Second}, func(s scenario) { s.removeCalls(journal.During); s.open(3, 2*time.Second) }, Failed, "that never came"},
		"calls unfinished at the end":       {GivesUp{"orders", "payments", time.Second}, func(s scenario) { s.open(3, time.Second) }, Inconclusive, "had not ended when the drill did"},
		"applied twice, never acknowledged": {NoneTwice{}, func(s scenario) { s.makeAmbiguous(); s.twice("k2") }, Failed, "1 applied more than once (surplus effects: 1)"},
		"steady from the third second on": {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) {
			s.Faults[0].Healed -= 4 * ms
			slow(time.Second)(&s.Samples[9])
			slow(time.Second)(&s.Samples[10])
		}, Passed, ""},
		"steady from the fourth second on": {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) {
			failing(50)(&s.Samples[10])
			failing(50)(&s.Samples[11])
		}, Failed, "it took 3s: success 0.0% (0 of 50) in the second from +12.0s on, and at least 99.5% is steady"},
		"slow for the first three seconds": {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) {
			for i := 9; i < 12; i++ {
				slow(time.Second)(&s.Samples[i])
			}
		}, Failed, "it took 3s: p95 latency 1s in the second from +12.0s on, and p95 latency below 60ms is steady"},
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
		"one slow second in a steady recovery": {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) { slow(time.Second)(&s.Samples[11]) }, Inconclusive, "p95 latency 1s in the second from +12.0s on"},
		"one second of failures":               {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) { failing(50)(&s.Samples[13]) }, Inconclusive, "success 0.0% (0 of 50) in the second from +14.0s on"},
		"one failure in a steady recovery":     {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) { failing(1)(&s.Samples[11]) }, Passed, ""},
		"a relapse": {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) {
			failing(15)(&s.Samples[15])
			failing(50)(&s.Samples[16])
			failing(35)(&s.Samples[17])
		}, Failed, "it was steady, and then was not: success 70.0% (35 of 50) in the second from +16.0s on"},
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
		}, Failed, "it was steady, and then was not: success 0.0% (0 of 50) in the second from +18.0s on"},
		"failures do not come from a late generator": {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) {
			s.every(journal.After, failing(50))
			s.every(journal.After, sendLate)
		}, Failed, "success 0.0% (0 of 50)"},
		"latencies may come from a late generator": {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) {
			s.every(journal.After, slow(time.Second))
			s.every(journal.After, sendLate)
		}, Inconclusive, "the load generator was late"},
		"failures may come from a paused runner": {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s scenario) {
			s.every(journal.After, failing(50))
			s.Pauses = []journal.Pause{{From: 12 * time.Second, To: 13 * time.Second, Took: time.Second}}
		}, Inconclusive, "the runner itself stood still"},
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
		"keys that get an error each time":       {SameResponse{}, func(s scenario) { s.stuck(4) }, Inconclusive, "4 of 5 keys sent again got no answer: what they would have got is not known; key k9: status 500 each time"},
		"lost, or not there yet":                 {NoneLost{}, func(s scenario) { s.drop("k3"); s.EffectsRead.Doubt = "effects were still appearing" }, Inconclusive, "1 acknowledged and lost, which is not proved: effects were still appearing"},
		"no duplicates on a page":                {NoneTwice{}, func(s scenario) { s.drop("k3"); s.EffectsRead.Doubt = "it may be a page" }, Inconclusive, "not all effects are known: it may be a page"},
		"a duplicate on a page":                  {ExactlyOnce{}, func(s scenario) { s.drop("k3"); s.twice("k2"); s.EffectsRead.Doubt = "it may be a page" }, Failed, "applied more than once"},
		"an empty list proves nothing":           {NoneTwice{}, func(s scenario) { s.Effects, s.EffectsRead.Count = nil, 0 }, Inconclusive, "none of 5 acknowledged requests has an effect"},
		"an empty list loses all":                {NoneLost{}, func(s scenario) { s.Effects, s.EffectsRead.Count = nil, 0 }, Failed, "5 acknowledged and lost"},
		"a few of many are not listed":           {NoneTwice{}, func(s scenario) { s.more(100, journal.Before); s.unlistEffects(10) }, Passed, ""},
		"too many are not listed":                {NoneTwice{}, func(s scenario) { s.more(100, journal.Before); s.unlistEffects(11) }, Inconclusive, "11 of the 100 requests that were acknowledged before any fault have no effect: the list does not show all that is applied"},
		"too many are not listed, a phantom":     {NoPhantom{}, func(s scenario) { s.more(100, journal.Before); s.unlistEffects(11) }, Inconclusive, "the list does not show all"},
		"too many are not listed, and lost":      {NoneLost{}, func(s scenario) { s.more(100, journal.Before); s.unlistEffects(11) }, Failed, "11 acknowledged and lost"},
		"those of the fault are lost":            {NoneTwice{}, func(s scenario) { s.more(100, journal.During); s.unlistEffects(50) }, Passed, ""},
		"most are lost from the fault on":        {NoneTwice{}, func(s scenario) { s.more(100, journal.During); s.unlistEffects(60) }, Inconclusive, "only 45 of 105 acknowledged requests have an effect"},
		"nothing of this load is listed":         {NoPhantom{}, func(s scenario) { s.Effects, s.EffectsRead.Count = nil, 0 }, Inconclusive, "the list does not show what this load does"},
		"reads have no effects":                  {ExactlyOnce{}, func(s scenario) { s.read(300, true) }, Passed, ""},
		"reads alone":                            {ExactlyOnce{}, func(s scenario) { s.only(); s.read(300, true) }, Inconclusive, "no request was sent that changes something"},
		"a read that is applied twice":           {NoneTwice{}, func(s scenario) { s.read(1, true); s.twice("r0"); s.twice("r0") }, Failed, "1 applied more than once"},
		"a read that is applied is no phantom":   {NoPhantom{}, func(s scenario) { s.read(1, true); s.twice("r0") }, Passed, ""},
		"GETs alone, and a list without effects": {NoneLost{}, func(s scenario) { s.only(); s.read(300, false) }, Inconclusive, "300 acknowledged and lost, which is not proved: all requests are GETs"},
		"GETs alone that count":                  {NoneLost{}, func(s scenario) { s.only(); s.read(300, false); s.twice("r0") }, Failed, "299 acknowledged and lost"},
		"phantoms, or effects of other users":    {NoPhantom{}, func(s scenario) { s.EffectsRead.Others, s.EffectsRead.Unknown = 9, 7 }, Inconclusive, "7 new effects have keys that are not of this run"},
		"effects of other runs":                  {NoPhantom{}, func(s scenario) { s.EffectsRead.Others = 9 }, Passed, ""},
		"other users, and nothing is lost":       {NoneLost{}, func(s scenario) { s.EffectsRead.Others, s.EffectsRead.Unknown = 9, 7 }, Passed, ""},
		"one answer for all keys":                {SameResponse{}, func(s scenario) { s.sameAnswers(); s.EffectsRead = nil }, Inconclusive, "all 5 acknowledged requests got the same answer, whatever their key"},
		"one answer for all, and effects":        {SameResponse{}, func(s scenario) { s.sameAnswers() }, Passed, ""},
		"one answer for all, and another now":    {SameResponse{}, func(s scenario) { s.sameAnswers(); s.Probes[0].Got = "other" }, Failed, "1 of 1"},
		"one answer for all, and the status":     {KeyReuseRefused{422}, func(s scenario) { s.sameAnswers() }, Passed, ""},
		"no key met the fault":                   {ExactlyOnce{}, func(s scenario) { s.Requests[4].Outcome = "ambiguous"; s.drop("k4") }, Inconclusive, "during the fault no keyed request was acknowledged"},
		"no key met the crash":                   {ExactlyOnce{}, func(s scenario) { s.Requests[4].Outcome = "ambiguous"; s.drop("k4"); s.Faults[0].On = "orders" }, Passed, ""},
		"not known, and applied, in the fault":   {ExactlyOnce{}, func(s scenario) { s.Requests[4].Outcome = "ambiguous" }, Passed, ""},
		"a form that answers 303":                {Success{Ratio: 0.9}, func(s scenario) { s.every(journal.During, redirect); s.every(journal.After, redirect) }, Failed, `303 answers do not count as success: say "POST /orders" answers 303`},
		"none acknowledged by a form":            {ExactlyOnce{}, func(s scenario) { s.makeAmbiguous(); s.every(journal.During, redirect) }, Inconclusive, `say "POST /orders" answers 303`},
		"a wrong answer among unanswered probes": {SameResponse{}, func(s scenario) { s.unanswered(4); s.Probes[0].Got = "other" }, Failed, "1 of 1"},
		"baseline never sent":                    {BaselineSteady{}, func(s scenario) { s.every(journal.Before, func(x *journal.Sample) { x.Unsent = 10 }) }, Inconclusive, "only 250 of the 300"},
		"the slowest of too few":                 {Latency{Percentile: 100, Below: time.Second, Route: "GET /few"}, func(s scenario) { s.second(3, journal.Before, "GET /few", 19, ms) }, Inconclusive, "at least 20"},
		"no such answer":                         {fixedCheck{Verdict{Outcome: 7}}, func(scenario) {}, Inconclusive, "it answered 7"},
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

// TestLoadOfEarlierFault: the load ends with the first fault, and another fault follows immediately.
func TestLoadOfEarlierFault(t *testing.T) {
	s := newScenario()
	s.Faults[0].Ended = 8 * time.Second
	second := *s.Faults[0]
	second.ID, second.Says, second.Injected, second.Ended = "f2", "calls fail", 8*time.Second+ms, 10*time.Second
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

// more adds acknowledged requests to a window, each with an effect.
func (s scenario) more(n int, w journal.Window) {
	for i := range n {
		s.addRequest(fmt.Sprint("m", i), "acknowledged", 1)
		s.Requests[len(s.Requests)-1].Window = w
	}
	s.EffectsRead.Count = len(s.Effects)
}

// unlistEffects removes the last n effects from the list.
func (s scenario) unlistEffects(n int) {
	s.Effects = s.Effects[:len(s.Effects)-n]
	s.EffectsRead.Count = len(s.Effects)
}

// read adds GET requests. reads reports whether the load has other requests, so that these are not expected to
// have effects.
func (s scenario) read(n int, reads bool) {
	for i := range n {
		s.addRequest(fmt.Sprint("r", i), "acknowledged", 0)
		r := &s.Requests[len(s.Requests)-1]
		r.Route, r.Reads, r.Window = "GET /orders", reads, journal.During
	}
}

// only removes all requests and effects.
func (s scenario) only() {
	s.Requests, s.Effects, s.EffectsRead.Count = nil, nil, 0
}

func (s scenario) sameAnswers() {
	for i := range s.Requests {
		s.Requests[i].Digest = "ok"
	}
}

// redirect turns each success into an unexpected answer.
func redirect(x *journal.Sample) {
	x.Ambiguous, x.OK, x.Errors = x.OK, 0, map[string]int{"status 303": x.OK}
}

func sendLate(x *journal.Sample) {
	x.Slip = []journal.Bucket{{Up: 50 * ms, N: int64(x.Sent)}}
}

// removeCalls removes the calls of a window.
func (s scenario) removeCalls(w journal.Window) {
	s.Calls = slices.DeleteFunc(s.Calls, func(c journal.Calls) bool { return c.Window == w })
}

// open adds calls to payments that do not end.
func (s scenario) open(n int64, waited time.Duration) {
	s.Accounts = append(s.Accounts, journal.Accounts{Link: "orders -> payments", ToServer: true, Open: n, OpenFor: waited})
}

func (s scenario) makeAmbiguous() {
	for i := range s.Requests {
		s.Requests[i].Outcome = "ambiguous"
	}
}

// removeSeconds removes the requests of some seconds.
func (s scenario) removeSeconds(from, to int) {
	s.Samples = slices.DeleteFunc(s.Samples, func(x journal.Sample) bool {
		at := int(x.From / time.Second)
		return at >= from && at < to
	})
}

// fixedCheck is a check with a fixed verdict.
type fixedCheck struct{ v Verdict }

func (o fixedCheck) Judge(*journal.History) Verdict { return o.v }
func (fixedCheck) String() string                   { return "odd" }
func (fixedCheck) Kind() Kind                       { return Kind{} }

func someFallBack(x *journal.Sample) { x.OK, x.Fallback = x.Sent-5, 5 }

func (s scenario) unanswered(n int) {
	for range n {
		s.Probes = append(s.Probes, journal.Probe{Kind: "same key, same body", Error: "timeout"})
	}
}

func (s scenario) stuck(n int) {
	for range n {
		s.Probes = append(s.Probes, journal.Probe{Kind: "same key, same body", Key: "k9", Status: 500, Error: "status 500"})
	}
}

func (s scenario) answered(n int) {
	for range n {
		s.Probes = append(s.Probes, s.Probes[0])
	}
}

// TestLedgerThroughTheJournal mutates the journal of a valid run, reads it back, and applies the ledger checks.
// Each mutation must be detected, with its key and the events behind it.
func TestLedgerThroughTheJournal(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		n := 2 + random.IntN(30)
		hit := random.IntN(n)
		key := fmt.Sprint("k", hit)
		for name, c := range map[string]struct {
			checks []Check
			mutate func([]journal.Effect) []journal.Effect
			key    string
		}{
			"drop": {[]Check{ExactlyOnce{}, NoneLost{}}, func(e []journal.Effect) []journal.Effect { return append(e[:hit:hit], e[hit+1:]...) }, key},
			"twice": {[]Check{ExactlyOnce{}, NoneTwice{}}, func(e []journal.Effect) []journal.Effect {
				return append(e, journal.Effect{Key: key, ID: "again"})
			}, key},
			"phantom": {[]Check{NoPhantom{}}, func(e []journal.Effect) []journal.Effect { return append(e, journal.Effect{Key: "ghost"}) }, "ghost"},
		} {
			var effects []journal.Effect
			for i := range n {
				effects = append(effects, journal.Effect{Key: fmt.Sprint("k", i), ID: fmt.Sprint("o", i)})
			}
			sound, _ := recorded(t, n, effects)
			for _, k := range c.checks {
				require.Equal(t, Passed, Ask(k, sound).Outcome)
			}
			h, keys := recorded(t, n, c.mutate(effects))
			for _, k := range c.checks {
				v := Ask(k, h)
				require.Equal(t, Failed, v.Outcome, name)
				require.Len(t, v.Details, 1)
				require.Contains(t, v.Details[0], "key "+c.key+":")
				var behind []string
				for _, seq := range v.Evidence {
					behind = append(behind, keys[seq])
				}
				require.Contains(t, behind, c.key, name)
			}
		}
	}
}

// recorded writes a run of n acknowledged keys with these effects to a journal and reads it back. keys maps events
// to keys.
func recorded(t *testing.T, n int, effects []journal.Effect) (h *journal.History, keys map[uint64]string) {
	t.Helper()
	var out bytes.Buffer
	w := journal.NewWriter(&out, time.Now())
	keys = map[uint64]string{}
	w.Write(journal.Event{Run: &journal.Run{Schema: journal.Schema}})
	w.Write(journal.Event{Scenario: "s", Begin: &journal.Begin{ID: "s"}})
	for i := range n {
		key := fmt.Sprint("k", i)
		e := w.Write(journal.Event{Scenario: "s", Request: &journal.Request{Key: key, Outcome: "acknowledged"}})
		keys[e.Seq] = key
	}
	for _, effect := range effects {
		keys[w.Write(journal.Event{Scenario: "s", Effect: &effect}).Seq] = effect.Key
	}
	w.Write(journal.Event{Scenario: "s", Effects: &journal.Effects{Source: "GET /ledger", Count: len(effects)}})
	require.NoError(t, w.Err())
	b, err := journal.Fold(&out)
	require.NoError(t, err)
	return b.Scenarios[0], keys
}

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
		p, asked := violations[k.Name]
		if !asked {
			p.check, p.bug = k.Value, func(scenario) {}
		}
		fmt.Fprintf(&b, "%s: %s\n", k.Name, p.check)
		describe("empty", Ask(p.check, &journal.History{}))
		s := newScenario()
		if k.Name == "fallback" {
			s.every(journal.During, func(x *journal.Sample) { x.OK, x.Fallback = 0, 50 })
		}
		if k.Name == "gives up" {
			s.addGivenUp(400 * ms)
		}
		describe("sound", Ask(p.check, s.History))
		if asked {
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
