package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/feature"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// reproduce returns the steps that reproduce what happened in a scenario: what it describes, its actions, and the checks
// that failed, or all of them if none did.
func (ran *ranScenario) reproduce(h *journal.History) []feature.Step {
	failed := map[string]bool{}
	for _, v := range reports.FailedChecks(h) {
		failed[v.Step] = true
	}
	var describe, act, judge []feature.Step
	for i, s := range ran.text.Steps {
		dropped := len(failed) > 0 && (ran.steps[i].IsCheck && !failed[h.Steps[i].At] || ran.steps[i].Phrase == "finding")
		switch {
		case dropped:
		case s.Kind == "Context":
			describe = append(describe, s)
		case s.Kind == "Action":
			act = append(act, s)
		default:
			judge = append(judge, s)
		}
	}
	if touched(h) {
		act = ran.replay(h)
	}
	return slices.Concat(describe, act, judge)
}

// touched reports whether people injected or healed faults, so that the actions of the scenario are not what happened.
func touched(h *journal.History) bool {
	return slices.ContainsFunc(h.Faults, func(in *journal.Injection) bool { return in.By != "" }) ||
		slices.ContainsFunc(h.Notes, func(n journal.TimedNote) bool { return n.Kind == "heal" })
}

// moment is when a fault was injected or healed, or a step acted.
type moment struct {
	at         time.Duration
	begin, end *journal.Injection
	step       *feature.Step
}

// moments returns what happened in a scenario, in order of time. Steps that inject nothing acted when the step before them
// had ended. Waiting and healing show in the times of the faults, except before the first of them.
func (ran *ranScenario) moments(h *journal.History) []moment {
	var all []moment
	var of = map[string][]*journal.Injection{}
	for _, in := range h.CombinedFaults() {
		if in.Live > 0 {
			of[in.Step] = append(of[in.Step], in)
			all = append(all, moment{at: in.Live, begin: in}, moment{at: endOf(h, in), end: in})
		}
	}
	last, injected := time.Duration(0), false
	for i := range ran.text.Steps {
		s := &ran.text.Steps[i]
		switch do := ran.steps[i].Do.(type) {
		case scenarios.Inject:
			injected = true
			for _, in := range of[h.Steps[i].At] {
				last = max(last, in.Live)
				if do.For > 0 {
					last = max(last, endOf(h, in))
				}
			}
		case scenarios.Wait:
			if !injected {
				all = append(all, moment{at: last, step: s})
			}
		case scenarios.Heal:
		default:
			if s.Kind == "Action" {
				all = append(all, moment{at: last, step: s})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	return all
}

// endOf returns when healing a fault began.
func endOf(h *journal.History, in *journal.Injection) time.Duration {
	return cmp.Or(in.Ended, in.Healed, h.Ended)
}

const (
	resolution = 100 * time.Millisecond
	// longestPause is how long a pause without any fault lasts at most: people think longer than systems need.
	longestPause = 10 * time.Second
)

// replay returns the actions that repeat what happened at the times at which it did.
func (ran *ranScenario) replay(h *journal.History) []feature.Step {
	c := course{}
	all := ran.moments(h)
	for i := 0; i < len(all); i++ {
		m := all[i]
		switch {
		case m.step != nil:
			c.steps, c.waited = append(c.steps, *m.step), true // it takes time itself
		case m.end != nil:
			c.pass(m.at)
			c.heal(m.end, m.at, func(in *journal.Injection) time.Duration { return endOf(h, in) })
		case i+1 < len(all) && all[i+1].end == m.begin:
			c.pass(m.at)
			c.say(m.begin.Sentence + " for " + injector.Duration(max(resolution, (all[i+1].at-m.at).Round(resolution))))
			c.now = all[i+1].at
			i++
		default:
			c.pass(m.at)
			c.say(m.begin.Sentence)
			c.live = append(c.live, m.begin)
		}
	}
	return c.steps
}

// course is a sequence of actions up to a time.
type course struct {
	steps  []feature.Step
	live   []*journal.Injection
	now    time.Duration
	waited bool // the last step took an unknown time
}

func (c *course) say(text string) {
	c.steps = append(c.steps, feature.Step{Kind: "Action", Text: text})
}

// pass waits until a time.
func (c *course) pass(until time.Duration) {
	d := (until - c.now).Round(resolution)
	if len(c.live) == 0 {
		d = min(d, longestPause)
	}
	switch {
	case d <= 0 || c.now == 0 || c.waited:
	case d == time.Second:
		c.say("1s passes")
	default:
		c.say(injector.Duration(d) + " pass")
	}
	c.now, c.waited = until, false
}

// heal ends a fault. Sentences heal the last one, all of them, or one on a service: if another has to be healed, all are,
// and those that were live for longer are injected again.
func (c *course) heal(in *journal.Injection, at time.Duration, endOf func(*journal.Injection) time.Duration) {
	i := slices.Index(c.live, in)
	if i < 0 { // it ended with others
		return
	}
	longer := slices.DeleteFunc(slices.Clone(c.live), func(o *journal.Injection) bool { return endOf(o)-at < resolution })
	alone := len(longer) == len(c.live)-1
	switch {
	case alone && i == len(c.live)-1:
		c.say("the fault is healed")
	case alone && endedBy(in.Kind) != "":
		c.say(`"` + in.On + `" ` + endedBy(in.Kind))
	default:
		c.say("all faults are healed")
		for _, o := range longer {
			c.say(o.Sentence)
		}
	}
	c.live = longer
}

// endedBy returns what is said of a service to heal a kind of fault on it, or "".
func endedBy(kind string) string {
	for _, k := range injector.Kinds() {
		if k.Name == kind {
			return k.EndedBy
		}
	}
	return ""
}
