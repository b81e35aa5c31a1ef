package reports

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// suspicious returns a history for each rule that suggests its mechanism and no other, and one that suggests none.
func suspicious() map[string]*journal.History {
	plain := func() *journal.History {
		h := &journal.History{Begin: journal.Begin{ID: "s", Name: "s"}, Seqs: map[string][]uint64{}, Ended: 10 * time.Second}
		h.Faults = []*journal.Injection{{Injected: 3 * time.Second, Healed: 7 * time.Second, Fault: journal.Fault{
			ID: "f", Kind: "answered calls", Sentence: "calls answer with status 503", On: "orders -> payments", Unit: "calls", Seen: 100, Affected: 50,
		}}}
		for s := range 10 {
			w := journal.Before
			if s >= 3 {
				w = journal.During
			}
			if s >= 7 {
				w = journal.After
			}
			from, to := time.Duration(s)*time.Second, time.Duration(s+1)*time.Second
			h.Samples = append(h.Samples, journal.Sample{From: from, To: to, Window: w, Route: "GET /", Sent: 50, OK: 50})
			c := journal.Calls{From: from, To: to, Window: w, Link: "orders -> payments", Calls: 50, Duration: []journal.Bucket{{Up: 5 * time.Millisecond, N: 50}}}
			if w == journal.During {
				c.Affected = 10
			}
			h.Calls = append(h.Calls, c)
		}
		return h
	}
	keyed := func(effects ...journal.Effect) *journal.History {
		h := plain()
		h.Requests = journal.NewRequestRows(journal.Request{Key: "a", Route: "POST /", Outcome: "acknowledged", Attempts: []journal.Attempt{{At: 4 * time.Second, Status: 201}}})
		h.Effects = journal.NewEffectRows(effects...)
		h.EffectsRead = &journal.Effects{Source: "GET /ledger", Count: len(effects)}
		return h
	}
	during := func(h *journal.History, change func(*journal.Sample, *journal.Calls)) {
		for i := range h.Samples {
			if h.Samples[i].Window == journal.During {
				change(&h.Samples[i], &h.Calls[i])
			}
		}
	}
	all := map[string]*journal.History{}
	add := func(name string, h *journal.History, change func(h *journal.History)) {
		change(h)
		all[name] = h
	}
	add("", plain(), func(*journal.History) {})
	add("a service crashed", plain(), func(h *journal.History) {
		h.Processes = []journal.TimedProcess{{At: 4 * time.Second, Process: journal.Process{Service: "orders", What: "exited", Detail: "exit status 2"}}}
	})
	add("acknowledged before it was durable", keyed(), func(h *journal.History) {
		h.Faults[0].Kind, h.Faults[0].Sentence = "crash", `"orders" crashes`
	})
	add("a repetition was not recognized", keyed(journal.Effect{Key: "a", ID: "1"}, journal.Effect{Key: "a", ID: "2"}), func(h *journal.History) {
		h.Faults[0].Kind = "lost replies"
	})
	add("retry storm", plain(), func(h *journal.History) {
		during(h, func(_ *journal.Sample, c *journal.Calls) { c.Calls = 150 })
	})
	add("a time-out is missing", plain(), func(h *journal.History) {
		during(h, func(_ *journal.Sample, c *journal.Calls) { c.Duration = []journal.Bucket{{Up: 3 * time.Second, N: 50}} })
	})
	add("a queue grows", plain(), func(h *journal.History) {
		for i, n := range []float64{10, 80, 300, 900} {
			h.Observations = append(h.Observations, journal.Observation{Probe: "outbox", Asked: time.Duration(3+i) * time.Second, Value: &n})
		}
	})
	add("a fallback is missing", plain(), func(h *journal.History) {
		during(h, func(s *journal.Sample, _ *journal.Calls) {
			s.OK, s.Failed, s.Errors = 30, 20, map[string]int{"status 502": 20}
		})
	})
	return all
}

// TestEachRuleRecognizesOnlyItsMechanism asks all rules about a history for each mechanism.
func TestEachRuleRecognizesOnlyItsMechanism(t *testing.T) {
	histories := suspicious()
	require.Len(t, histories, len(rules())+1, "each rule has a history")
	for name, h := range histories {
		for _, r := range rules() {
			fact := r.fact(h)
			assert.Equal(t, r.Name == name, fact != "", "rule %q on the history of %q: %s", r.Name, name, fact)
		}
	}
}

// TestNearMissesAreNotSuspected: facts that are only similar suggest nothing.
func TestNearMissesAreNotSuspected(t *testing.T) {
	for name, change := range map[string]func(h *journal.History){
		"callers gave up": func(h *journal.History) {
			*h = *suspicious()["a time-out is missing"]
			for i := range h.Calls {
				h.Calls[i].GaveUp = 1
			}
		},
		"a queue that shrinks again": func(h *journal.History) {
			*h = *suspicious()["a queue grows"]
			least := 2.0
			h.Observations = append(h.Observations, journal.Observation{Probe: "outbox", Asked: 6500 * time.Millisecond, Value: &least})
		},
		"errors, and fallbacks": func(h *journal.History) {
			*h = *suspicious()["a fallback is missing"]
			h.Samples[4].Fallback, h.Samples[4].OK = 5, 25
		},
		"more requests, and as many more calls": func(h *journal.History) {
			for i := range h.Samples {
				if h.Samples[i].Window == journal.During {
					h.Samples[i].Sent, h.Samples[i].OK, h.Calls[i].Calls = 150, 150, 150
				}
			}
		},
		"lost without a crash": func(h *journal.History) {
			*h = *suspicious()["acknowledged before it was durable"]
			h.Faults[0].Kind = "lost replies"
		},
		"effects that could not be read": func(h *journal.History) {
			*h = *suspicious()["a repetition was not recognized"]
			h.EffectsRead.Error = "status 500"
		},
	} {
		h := suspicious()[""]
		change(h)
		for _, r := range rules() {
			assert.Empty(t, r.fact(h), "%s: %s", name, r.Name)
		}
	}
}

func TestMechanismsExplainWhatChecksAreAbout(t *testing.T) {
	known := map[check.About]bool{validity: true}
	for _, k := range check.Kinds() {
		assert.Equal(t, k.Implied, k.About == "", k.Name)
		known[k.About] = true
	}
	for _, r := range rules() {
		for _, of := range r.explains {
			assert.True(t, of != "" && known[of], "%s explains %q, which no check is about", r.Name, of)
		}
	}
}

// failedScenario returns a scenario with verdicts of some kinds that failed.
func failedScenario(h *journal.History, kinds ...string) *scenario {
	h.End = &journal.End{Outcome: "failed"}
	for _, k := range kinds {
		h.Verdicts = append(h.Verdicts, journal.Verdict{Check: "check of " + k, Kind: k, Outcome: "failed", Reason: "because", Window: journal.During})
	}
	return newScenario(h, 0, nil)
}

// TestOneCauseIsOneCard: checks that a rule explains share a card, and so do the rows of an outline.
func TestOneCauseIsOneCard(t *testing.T) {
	of := func(name string, line int) *journal.History {
		h := suspicious()[name]
		h.File, h.Line, h.ID = "a.feature", line, name+strings.Repeat("x", line)
		return h
	}
	twice := "a repetition was not recognized"
	list := cards("", []*scenario{failedScenario(of(twice, 3), "exactly once", "none twice", "same response", "latency")})
	require.Len(t, list, 2)
	assert.Equal(t, twice, list[0].Suspected.Name)
	assert.Equal(t, 2, list[0].More())
	assert.Nil(t, list[1].Suspected, "a repetition does not explain a latency")

	rows := []*scenario{failedScenario(of(twice, 3), "exactly once"), failedScenario(of(twice, 3), "exactly once"), failedScenario(of(twice, 9), "exactly once")}
	list = cards("", rows)
	require.Len(t, list, 2, "two rows of one outline, and another scenario")
	assert.Len(t, list[0].Places, 2)
	assert.Equal(t, []int{1, 1, 2}, []int{rows[0].FirstCard, rows[1].FirstCard, rows[2].FirstCard})
}

// TestTimeLimitIsOneCard: a check and the end of its scenario that have the same reason are not shown twice.
func TestTimeLimitIsOneCard(t *testing.T) {
	const limit, healed = "stopped at its time limit of 2m", "; every fault was healed"
	for _, c := range []struct {
		end   journal.End
		cards []string // the reason of the first verdict of each
	}{
		{journal.End{Outcome: "inconclusive", Reason: limit + healed}, []string{limit + healed, "not judged"}},
		{journal.End{Outcome: "inconclusive", Reason: "no disk space"}, []string{limit, "not judged", "no disk space"}},
		{journal.End{Outcome: "interrupted", Reason: limit}, []string{limit, limit, "not judged"}},
	} {
		h := suspicious()[""]
		h.Verdicts = []journal.Verdict{
			{Check: "in time", Kind: check.KindOf(check.InTime{}), Outcome: "inconclusive", Reason: limit}, {Check: "c", Kind: "success", Outcome: "inconclusive", Reason: "not judged"},
		}
		h.End = &c.end
		var got []string
		for _, card := range cards("", []*scenario{newScenario(h, 0, nil)}) {
			got = append(got, card.Places[0].Verdicts[0].Reason)
		}
		assert.Equal(t, c.cards, got)
		assert.Equal(t, limit, h.Verdicts[0].Reason, "the facts stay as they are")
	}
}

// TestWorstCardsAreFirst: a stop explains what came after it.
func TestWorstCardsAreFirst(t *testing.T) {
	unproven := failedScenario(suspicious()[""])
	unproven.Verdicts = []journal.Verdict{{Check: "c", Kind: "success", Outcome: "inconclusive", Reason: "too few"}}
	unproven.End = &journal.End{Outcome: "stopped", Reason: "the stop rule"}
	unproven.Outcome = outcome(unproven.History)
	failed := failedScenario(suspicious()[""], "success")
	var order []string
	for _, c := range cards("", []*scenario{unproven, failed}) {
		order = append(order, c.Outcome)
	}
	assert.Equal(t, []string{"stopped", "failed", "inconclusive"}, order)
}

// TestWorstMomentIsTheWorst: the moment is in the slice in which most requests failed, or which was slowest.
// Of the facts about a time, a card shows those of the worst moment.
func TestRecordsAreOfTheWorstMoment(t *testing.T) {
	h := suspicious()[""]
	for i := range h.Calls {
		h.Seqs["calls"] = append(h.Seqs["calls"], uint64(100+i))
	}
	all := records(h, h.Seqs["calls"], nil, 4)
	require.Len(t, all, 4)
	assert.Equal(t, uint64(100), all[0].Seq)
	all = records(h, h.Seqs["calls"], &moment{At: 5500 * time.Millisecond}, 4)
	require.Len(t, all, 1)
	assert.Equal(t, uint64(105), all[0].Seq)
	assert.Contains(t, all[0].Text, "orders -> payments: 50 calls, 10 affected")
	assert.Len(t, records(h, h.Seqs["calls"], &moment{At: time.Minute}, 4), 4, "a moment without facts hides none")
}

func TestWorstMomentIsTheWorst(t *testing.T) {
	h := suspicious()[""]
	h.Phases = []journal.Span{{Name: "baseline", To: 3 * time.Second}, {Name: "fault", From: 3 * time.Second, To: 10 * time.Second}}
	h.Samples[1].OK = 0 // before the fault: not in the window of the check
	h.Samples[4].OK, h.Samples[5].OK = 40, 10
	h.Samples[6].Latency = []journal.Bucket{{Up: time.Second, N: 50}}
	got := worst(h, journal.Verdict{Kind: "success", Outcome: "failed", Window: journal.During})
	require.NotNil(t, got)
	assert.Equal(t, 5500*time.Millisecond, got.At)
	assert.Equal(t, "20.0% of 50 requests succeeded", got.What)
	got = worst(h, journal.Verdict{Kind: "latency", Outcome: "failed", Window: journal.During})
	require.NotNil(t, got)
	assert.Equal(t, 6500*time.Millisecond, got.At)
	assert.Nil(t, worst(h, journal.Verdict{Kind: "success", Outcome: "inconclusive"}), "nothing was bad for certain")

	twice := suspicious()["a repetition was not recognized"]
	got = worst(twice, journal.Verdict{Kind: "exactly once", Outcome: "failed"})
	require.NotNil(t, got)
	assert.Equal(t, 4*time.Second, got.At)
}
