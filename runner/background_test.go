package runner

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/runner/internal/aggregate"
	"github.com/firedrill-dev/firedrill/runner/internal/testbed"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

const sec = time.Second

// A heartbeat does not count as load, even if it becomes more frequent because it fails.
func TestBackground(t *testing.T) {
	const link, beat = "front -> back", "GET /health"
	for name, c := range map[string]struct {
		quiet, base int64 // number of heartbeats in 2 s and in 5 s
		affected    map[string]int64
		traced      int64
		want        int64
	}{
		"the load's alone":             {0, 0, map[string]int64{"POST /charge": 40}, 0, 0},
		"beside a heartbeat":           {2, 5, map[string]int64{"POST /charge": 40, beat: 3}, 0, 3},
		"a heartbeat":                  {2, 5, map[string]int64{beat: 3}, 0, 3},
		"a heartbeat that is repeated": {2, 5, map[string]int64{beat: 30}, 0, 30},
		"the load does the same":       {2, 105, map[string]int64{beat: 60}, 0, 6},
		"and is traced":                {2, 105, map[string]int64{beat: 5}, 4, 1},
		"new in the fault":             {0, 0, map[string]int64{"GET /fallback": 3}, 0, 0},
	} {
		s := &session{e: &scenarios.Experiment{Load: &scenarios.Load{}}}
		s.idleUse = map[string]usage{link: {at: 2 * sec, operations: map[string]int64{beat: c.quiet}}}
		s.baselineUse = map[string]usage{link: {at: 5 * sec, operations: map[string]int64{beat: c.base}}}
		tally := evidence.Tally{Ops: c.affected, Traced: c.traced}
		for _, n := range c.affected {
			tally.Affected += n
		}
		background, _ := s.attribute(link, tally.Affected, tally.Ops, usage{at: 3 * sec, operations: c.affected})
		assert.Equal(t, c.want, min(background, tally.Affected-tally.Traced), name)
	}
}

// Healing may take as long as the first start may take to become ready.
func TestHealBoundIncludesReadiness(t *testing.T) {
	s := &session{e: &scenarios.Experiment{System: scenarios.System{Services: []scenarios.Service{
		{Name: "slow", Ready: scenarios.Ready{Within: time.Minute}}, {Name: "quick"},
	}}}}
	on := func(from, to string) *injection { return &injection{Placed: scenarios.Placed{From: from, To: to}} }
	assert.Equal(t, 70*time.Second, s.healBound(on("", "slow")))
	assert.Equal(t, 20*time.Second, s.healBound(on("", "quick")))
	assert.Equal(t, 20*time.Second, s.healBound(on("quick", "slow")))
}

// Calls in flight are classified as background in the same way as later ones. A call that was answered
// was not affected by the outage.
func TestHeartbeatsInFlightAreBackground(t *testing.T) {
	const link, beat = "front -> back", "GET /health"
	for name, c := range map[string]struct {
		base, want int64
		status     int
	}{"heartbeats alone": {5, 0, 0}, "the load": {105, 3, 0}, "answered": {105, 0, 200}} {
		s := &session{e: &scenarios.Experiment{Load: &scenarios.Load{}}, aggregator: aggregate.New(aggregate.Settings{}), system: &testbed.System{}, run: &runState{journal: journal.NewWriter(io.Discard, time.Now().Add(-5*sec))}}
		s.e.System.Links = []scenarios.Link{{From: "front", To: "back", Protocol: "http"}}
		s.idleUse = map[string]usage{link: {at: 2 * sec, operations: map[string]int64{beat: 2}}}
		s.baselineUse = map[string]usage{link: {at: 5 * sec, operations: map[string]int64{beat: c.base}}}
		o := s.outage("back", 5*sec)
		for range 5 {
			s.aggregator.Call(link, message.Call{Op: beat, Status: c.status}, 5*sec-time.Millisecond, 5*sec-time.Millisecond, 5*sec+time.Millisecond)
		}
		met, background, _ := s.totalHits(s.hitsOf(o))
		assert.Equal(t, c.want, met-background, name)
	}
}

// A fault that was requested for too short a time proves nothing, even if the runner heals it late.
func TestFaultTooShortToNotice(t *testing.T) {
	for requested, want := range map[time.Duration]int64{time.Millisecond: 1, time.Second: 0, 0: 0} {
		s := &session{e: &scenarios.Experiment{Load: &scenarios.Load{}}}
		in := &injection{Placed: scenarios.Placed{To: "back", Fault: injector.Hang{}}, duration: requested, live: 5 * sec, healBegan: 5*sec + 60*time.Millisecond}
		_, _, background, _, _ := s.evidenceOf(in, evidence.Tally{Affected: 1}, 60*time.Millisecond)
		assert.Equal(t, want, background, requested)
	}
}

// The busier of the times before and after the load counts, for each operation. A queue that services
// still work through is part of the load.
func TestBusierAndUnfinished(t *testing.T) {
	before := usage{at: sec, operations: map[string]int64{"PING": 2, "POLL": 4}, opened: 1, bytes: 10}
	after := usage{at: 2 * sec, operations: map[string]int64{"PING": 10, "CHECK": 3, "POST /charge": 70}, bytes: 100}
	quiet := before.busier(after.unfinished(before, 40))
	assert.Equal(t, usage{at: 2 * sec, operations: map[string]int64{"PING": 10, "POLL": 8, "CHECK": 3}, opened: 2, bytes: 100}, quiet)
	assert.Equal(t, after, usage{}.busier(after))
}

// A fault on connections certainly affected the load only while operations of the load continued.
func TestAttributeOnLinkWithHeartbeats(t *testing.T) {
	const link = "front -> back"
	for name, c := range map[string]struct {
		flow map[string]int64
		sure bool
	}{
		"the load goes on":        {map[string]int64{"GET /health": 3, "POST /charge": 100}, true},
		"heartbeats alone":        {map[string]int64{"GET /health": 3}, false},
		"heartbeats that hurry":   {map[string]int64{"GET /health": 40}, false},
		"operations never before": {map[string]int64{"GET /other": 9}, false},
	} {
		s := &session{e: &scenarios.Experiment{Load: &scenarios.Load{}}}
		s.idleUse = map[string]usage{link: {at: 2 * sec, operations: map[string]int64{"GET /health": 2}}}
		s.baselineUse = map[string]usage{link: {at: 3 * sec, operations: map[string]int64{"GET /health": 3, "POST /charge": 100}}}
		_, sure := s.attribute(link, 5, nil, usage{at: 3 * sec, operations: c.flow})
		assert.Equal(t, c.sure, sure, name)
	}
}
