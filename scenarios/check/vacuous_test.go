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

// TestNoPassByAccident holds histories in which a bound is kept for the wrong reason.
func TestNoPassByAccident(t *testing.T) {
	fallingBack := func(x *journal.Sample) { x.OK, x.Fallback = 0, x.Sent }
	for name, c := range map[string]struct {
		check Check
		bug   func(story)
		want  Outcome
		why   string
	}{
		"nothing to give up on":            {GivesUp{"orders", "payments", time.Second}, func(s story) { s.Faults[0].On = "front -> recs" }, Inconclusive, "nothing to give up on"},
		"a fault on the service is enough": {GivesUp{"orders", "payments", time.Second}, func(s story) { s.Faults[0].On = "payments" }, Passed, ""},
		"giving up is enough":              {GivesUp{"orders", "payments", time.Second}, func(s story) { s.Faults[0].On = "payments -> bank"; s.Calls[6].GaveUp = 1 }, Passed, ""},
		"a long wait needs no fault":       {GivesUp{"orders", "payments", time.Second}, func(s story) { s.Faults[0].On = "x"; s.Calls[6].Duration[0].Up = 9 * time.Second }, Failed, "waited 9s"},
		"no call at all is no bound kept":  {CallsTimesNormal{To: "payments", Times: 1.5, Window: journal.During}, func(s story) { s.uncalled(journal.During) }, Inconclusive, "received no call during the fault"},
		"never gives up":                   {GivesUp{"orders", "payments", time.Second}, func(s story) { s.open(3, 2*time.Second) }, Failed, "waited for 3 answers of \"payments\" that never came"},
		"never gives up on any":            {GivesUp{"orders", "payments", time.Second}, func(s story) { s.uncalled(journal.During); s.open(3, 2*time.Second) }, Failed, "that never came"},
		"calls cut short by the end":       {GivesUp{"orders", "payments", time.Second}, func(s story) { s.open(3, time.Second) }, Inconclusive, "had not ended when the drill did"},
		"twice, and never acknowledged":    {NoneTwice{}, func(s story) { s.unacknowledged(); s.twice("k2") }, Failed, "1 applied more than once (surplus effects: 1)"},
		"repeated behind refused attempts": {NotRepeated{}, func(s story) { s.Load.Wire, s.Load.Repeated = 940, 3 }, Inconclusive, "3 requests went out"},
		"steady from the third second on": {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s story) {
			s.Faults[0].Healed -= 4 * ms
			slow(time.Second)(&s.Samples[9])
			slow(time.Second)(&s.Samples[10])
		}, Passed, ""},
		"steady from the fourth second on":       {Recovers{Route: "POST /orders", Within: 2 * time.Second}, func(s story) { slow(time.Second)(&s.Samples[11]) }, Failed, "it took 3s"},
		"seconds without a request":              {Recovers{Route: "POST /orders", Within: 3 * time.Second}, func(s story) { s.asleep(12, 14) }, Failed, "it took 4s"},
		"fallbacks are an effect":                {NotAffected{"POST /orders"}, func(s story) { s.every(journal.During, fallingBack) }, Failed, "fell from 100% to 0%; 200 were fallbacks"},
		"stuck in fallbacks":                     {Recovers{Route: "POST /orders", Within: 3 * time.Second}, func(s story) { s.every(journal.After, fallingBack) }, Failed, "500 were fallbacks, 0 in the baseline"},
		"stuck, with a declared steady state":    {Recovers{Route: "POST /orders", Within: 3 * time.Second, Steady: []Steady{{Measure: "success", Ratio: 0.9}}}, func(s story) { s.every(journal.After, fallingBack) }, Failed, "500 were fallbacks"},
		"fallbacks as before":                    {Recovers{Route: "POST /orders", Within: 3 * time.Second}, func(s story) { s.every(journal.Before, someFallBack); s.every(journal.After, someFallBack) }, Passed, ""},
		"most probes unanswered":                 {SameResponse{}, func(s story) { s.silent(4) }, Inconclusive, "4 of 5 keys sent again got no answer"},
		"a few probes unanswered":                {SameResponse{}, func(s story) { s.answered(19); s.silent(1) }, Passed, ""},
		"a wrong answer among unanswered probes": {SameResponse{}, func(s story) { s.silent(4); s.Probes[0].Got = "other" }, Failed, "1 of 1"},
		"baseline never sent":                    {BaselineSteady{}, func(s story) { s.every(journal.Before, func(x *journal.Sample) { x.Unsent = 10 }) }, Inconclusive, "only 250 of the 300"},
		"the slowest of too few":                 {Latency{Percentile: 100, Below: time.Second, Route: "GET /few"}, func(s story) { s.second(3, journal.Before, "GET /few", 19, ms) }, Inconclusive, "at least 20"},
		"no such answer":                         {odd{Verdict{Outcome: 7}}, func(story) {}, Inconclusive, "it answered 7"},
		"no reason":                              {odd{}, func(story) {}, Inconclusive, "gave no reason"},
	} {
		t.Run(name, func(t *testing.T) {
			s := drill()
			c.bug(s)
			v := Ask(c.check, s.History)
			require.Equal(t, c.want.String(), v.Outcome.String(), "%s %s", v.Observed, v.Reason)
			require.Contains(t, v.Reason, c.why)
		})
	}
}

// uncalled takes the calls of a window out.
func (s story) uncalled(w journal.Window) {
	s.Calls = slices.DeleteFunc(s.Calls, func(c journal.Calls) bool { return c.Window == w })
}

// open leaves calls to payments without an end.
func (s story) open(n int64, waited time.Duration) {
	s.Books = append(s.Books, journal.Books{Link: "orders -> payments", ToServer: true, Open: n, OpenFor: waited})
}

func (s story) unacknowledged() {
	for i := range s.Requests {
		s.Requests[i].Outcome = "ambiguous"
	}
}

// asleep takes out the requests of some seconds.
func (s story) asleep(from, to int) {
	s.Samples = slices.DeleteFunc(s.Samples, func(x journal.Sample) bool {
		at := int(x.From / time.Second)
		return at >= from && at < to
	})
}

// odd is a check that answers anything.
type odd struct{ v Verdict }

func (o odd) Judge(*journal.History) Verdict { return o.v }
func (odd) String() string                   { return "odd" }

func someFallBack(x *journal.Sample) { x.OK, x.Fallback = x.Sent-5, 5 }

func (s story) silent(n int) {
	for range n {
		s.Probes = append(s.Probes, journal.Probe{Kind: "same key, same body", Error: "timeout"})
	}
}

func (s story) answered(n int) {
	for range n {
		s.Probes = append(s.Probes, s.Probes[0])
	}
}

// TestLedgerThroughTheJournal mutates what a sound run wrote, reads it back, and asks the ledger checks: each mutation must be found, named by its
// key, with the events behind it.
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

// recorded writes a run of n acknowledged keys with these effects to a journal and reads it; keys tells each event's key.
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

// TestVerdictsReadWell keeps what people read of each check: when nothing is known, when all is well, and when its planted bug is there.
func TestVerdictsReadWell(t *testing.T) {
	var b strings.Builder
	tell := func(as string, v Verdict) {
		fmt.Fprintf(&b, "  %s: %s\n    observed %q, expected %q%s\n", as, v.Outcome, v.Observed, v.Expected, when(v.Window))
		for _, line := range append([]string{v.Reason}, v.Details...) {
			if line != "" {
				fmt.Fprintf(&b, "    %s\n", line)
			}
		}
	}
	for _, k := range Kinds() {
		p, asked := planted[k.Name]
		if !asked {
			p.check, p.bug = k.Value, func(story) {}
		}
		fmt.Fprintf(&b, "%s: %s\n", k.Name, p.check)
		tell("empty", Ask(p.check, &journal.History{}))
		s := drill()
		if k.Name == "fallback" {
			s.every(journal.During, func(x *journal.Sample) { x.OK, x.Fallback = 0, 50 })
		}
		tell("sound", Ask(p.check, s.History))
		if asked {
			p.bug(s)
			tell("bug", Ask(p.check, s.History))
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
