package check

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// twoSources returns the history of two acknowledged requests, and of what two sources list.
func twoSources(table, log journal.Effects, inTable, inLog []journal.Effect, more ...journal.Event) *journal.History {
	f := journal.NewFolder()
	seq := uint64(0)
	add := func(e journal.Event) {
		seq++
		e.Seq, e.Scenario, e.At = seq, "s", time.Duration(seq)*time.Second
		f.Add(e)
	}
	add(journal.Event{Begin: &journal.Begin{ID: "s"}})
	add(journal.Event{Phase: &journal.Phase{Name: "fault"}})
	for _, key := range []string{"a", "b"} {
		add(journal.Event{Request: &journal.Request{Key: key, Route: "POST /orders", Outcome: "acknowledged", Attempts: []journal.Attempt{{Status: 201}}}})
	}
	for _, list := range []struct {
		read journal.Effects
		all  []journal.Effect
	}{{table, inTable}, {log, inLog}} {
		for _, e := range list.all {
			add(journal.Event{Effect: &e})
		}
		list.read.Count = len(list.all)
		add(journal.Event{Effects: &list.read})
	}
	for _, e := range more {
		add(e)
	}
	return f.Book().Scenarios[0]
}

// Each source is judged by itself: a check fails if one of them shows it, and passes only if all do.
func TestEachSourceIsJudged(t *testing.T) {
	t.Parallel()
	table, log := journal.Effects{Source: "orders table"}, journal.Effects{Source: "log"}
	both := []journal.Effect{{Key: "a", ID: "1"}, {Key: "b", ID: "2"}}
	twice := []journal.Effect{{Key: "a", ID: "1"}, {Key: "a", ID: "3"}, {Key: "b", ID: "2"}}
	unread := journal.Effects{Source: "log", Error: "connection refused"}
	for name, c := range map[string]struct {
		h       *journal.History
		outcome Outcome
		reason  string
	}{
		"both whole":              {twoSources(table, log, both, both), Passed, ""},
		"the first shows it":      {twoSources(table, log, twice, both), Failed, "orders table: 1 applied more than once (surplus effects: 1)"},
		"the second shows it":     {twoSources(table, log, both, twice), Failed, "log: 1 applied more than once (surplus effects: 1)"},
		"the second is not known": {twoSources(table, unread, both, nil), Inconclusive, "log: effects listed by log cannot be judged: connection refused"},
		"and the first shows it":  {twoSources(table, unread, twice, nil), Failed, "orders table: 1 applied more than once (surplus effects: 1)"},
	} {
		t.Run(name, func(t *testing.T) {
			v := Ask(NoneTwice{}, c.h)
			assert.Equal(t, c.outcome, v.Outcome, v.Reason)
			assert.Equal(t, c.reason, v.Reason)
			assert.Contains(t, v.Observed, "orders table: ")
			assert.Contains(t, v.Observed, "; log: ")
			settled := Ask(EffectsSettled{}, c.h)
			assert.Equal(t, c.h.FurtherEffects[0].Read.Error == "", settled.Outcome == Passed, settled.Reason)
		})
	}
	lost := Ask(NoneLost{}, twoSources(table, log, both, both[:1]))
	assert.Equal(t, Failed, lost.Outcome)
	require.Len(t, lost.Details, 1)
	assert.Contains(t, lost.Details[0], "log: key b: acknowledged, no effect")
}

// An effect of a key that was sent again is one of the source that lists it.
func TestSourceOfAnEffectThatIsAppliedAgain(t *testing.T) {
	t.Parallel()
	both := []journal.Effect{{Key: "a", ID: "1"}, {Key: "b", ID: "2"}}
	probe := journal.Event{Probe: &journal.Probe{Kind: SameBody, Key: "a", Again: []string{"7"}, AgainIn: []string{"log"}}}
	h := twoSources(journal.Effects{Source: "orders table"}, journal.Effects{Source: "log"}, both, both, probe)
	v := Ask(ExactlyOnce{}, h)
	assert.Equal(t, Failed, v.Outcome)
	assert.Equal(t, "log: 1 "+reapplied, v.Reason)
	assert.Equal(t, []string{"7"}, h.Probes[0].Again, "the history is not changed")
}
