package aggregate

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

const sec = time.Second

// newDrilled returns an Aggregator with a baseline from 1 s, a fault from 5 s to 8 s, and one from 10 s.
func newDrilled(s Settings) *Aggregator {
	a := New(s)
	a.Mark(1 * sec)
	a.BeginBaseline(1 * sec)
	injectAt(a, 5*sec)(8 * sec)
	injectAt(a, 10*sec)
	return a
}

func TestWindows(t *testing.T) {
	for _, c := range []struct {
		due, end time.Duration
		want     journal.Window
	}{
		{0, 0, journal.Warmup},
		{999 * time.Millisecond, 6 * sec, journal.Warmup},
		{1 * sec, 2 * sec, journal.Before},
		{4 * sec, 5*sec - 1, journal.Before},
		{4 * sec, 5 * sec, journal.AtInjection},
		{4 * sec, 9 * sec, journal.AtInjection},
		{5 * sec, 5 * sec, journal.During},
		{6 * sec, 7 * sec, journal.During},
		{6 * sec, 8 * sec, journal.During},
		{6 * sec, 8*sec + 1, journal.AtHealing},
		{8*sec - 1, 9 * sec, journal.AtHealing},
		{6 * sec, 12 * sec, journal.AtHealing},
		{8 * sec, 9 * sec, journal.After},
		{8 * sec, 10*sec - 1, journal.After},
		{9 * sec, 10 * sec, journal.AtInjection},
		{10 * sec, 10 * sec, journal.During},
		{100 * sec, 101 * sec, journal.During},
	} {
		got, _ := newDrilled(Settings{Horizon: time.Hour}).window(c.due, c.end)
		assert.Equal(t, c.want, got, "%v to %v", c.due, c.end)
	}
}

// What is in flight when one fault is healed and the next is injected meets both.
func TestConsecutiveFaultsShareAWindow(t *testing.T) {
	a := New(Settings{Horizon: time.Hour})
	a.BeginBaseline(1 * sec)
	injectAt(a, 5*sec)(8 * sec)
	injectAt(a, 8*sec+20*time.Millisecond)(12 * sec)
	overlapping := injectAt(a, 11*sec)
	for _, c := range []struct {
		due, end time.Duration
		want     journal.Window
	}{
		{7 * sec, 9 * sec, journal.During},
		{8*sec + 10*time.Millisecond, 9 * sec, journal.During},
		{9 * sec, 13 * sec, journal.During},
		{13 * sec, 14 * sec, journal.During},
	} {
		got, _ := a.window(c.due, c.end)
		assert.Equal(t, c.want, got, "%v to %v", c.due, c.end)
	}
	overlapping(13 * sec)
	got, healed := a.window(12*sec, 14*sec)
	assert.Equal(t, journal.AtHealing, got)
	assert.Equal(t, 13*sec, healed)
}

func TestSlices(t *testing.T) {
	a := New(Settings{Horizon: time.Hour})
	a.Mark(5300 * time.Millisecond)
	a.Mark(1300 * time.Millisecond) // of another goroutine
	for _, c := range []struct{ at, from, to time.Duration }{
		{0, 0, 1 * sec},
		{1 * sec, 1 * sec, 1300 * time.Millisecond},
		{1300*time.Millisecond - 1, 1 * sec, 1300 * time.Millisecond},
		{1300 * time.Millisecond, 1300 * time.Millisecond, 2300 * time.Millisecond},
		{2299 * time.Millisecond, 1300 * time.Millisecond, 2300 * time.Millisecond},
		{2300 * time.Millisecond, 2300 * time.Millisecond, 3300 * time.Millisecond},
	} {
		from, to := a.slice(c.at)
		assert.Equal(t, c.from, from, c.at)
		assert.Equal(t, c.to, to, c.at)
	}
}

func TestEachRequestCountsOnce(t *testing.T) {
	a := newDrilled(Settings{Horizon: time.Hour})
	one := func(o load.Outcome, key, kind string, status int, fallback bool) load.Result {
		return load.Result{Route: "GET /", Key: key, Outcome: o, Kind: kind, Fallback: fallback, Wire: 2, Retries: 1, Attempts: []load.Attempt{{}, {Status: status}}}
	}
	all := []load.Result{
		one(load.Acknowledged, "", "", 200, false), one(load.Acknowledged, "", "", 200, true), one(load.Refused, "", "status 503", 503, false),
		one(load.Ambiguous, "", "status 500", 500, false), one(load.Ambiguous, "k", "status 500", 500, false), one(load.Ambiguous, "", "timeout", 0, false),
	}
	all[2].Attempts[1].Took, all[2].Attempts[1].Answer.HasRetryAfter = 30*time.Millisecond, true
	for _, e := range all {
		a.Request(e, 6*sec, 6*sec+20*time.Millisecond)
	}
	a.Unsent("", "", "GET /", 6*sec)
	a.Call("a -> b", message.Call{Op: "GET /", Affected: true, GaveUp: true}, 6*sec, 6*sec, 7*sec)
	a.Call("a -> b", message.Call{}, 6*sec, 6*sec, 7*sec) // not a call

	tick := a.Tick(sec)
	assert.Equal(t, []int{6, 1, 1}, []int{tick.Ended, tick.Good, tick.Fallback}, "a fallback is no success, unless the scenario says so")
	assert.Empty(t, a.Flush(6*sec), "the slice is not over")
	events := a.Flush(7 * sec)
	require.Len(t, events, 2)
	require.Empty(t, a.Flush(1<<62), "a slice is told once")
	var sample *journal.Sample
	var calls *journal.Calls
	for _, e := range events {
		if e.Sample != nil {
			sample = e.Sample
		} else {
			calls = e.Calls
		}
	}
	require.NotNil(t, sample)
	require.NotNil(t, calls)
	assert.Equal(t, journal.During, sample.Window)
	require.Len(t, sample.Rejections, 2)
	assert.Equal(t, []int{500, 0, 2}, []int{sample.Rejections[0].Status, sample.Rejections[0].RetryAfter, int(journal.Count(sample.Rejections[0].Took))})
	assert.Equal(t, []int{503, 1, 1}, []int{sample.Rejections[1].Status, sample.Rejections[1].RetryAfter, int(journal.Count(sample.Rejections[1].Took))})
	assert.InDelta(t, float64(30*time.Millisecond), float64(sample.Rejections[1].Took[0].Up), float64(time.Millisecond))
	assert.Equal(t, []int{6, 1, 1, 1, 1, 1, 2}, []int{sample.Sent, sample.Unsent, sample.OK, sample.Fallback, sample.Refused, sample.Failed, sample.Ambiguous})
	assert.Equal(t, []int{12, 12}, []int{sample.Attempts, sample.Wire})
	assert.Equal(t, map[string]int{"status 503": 1, "status 500": 2, "timeout": 1}, sample.Errors)
	assert.Equal(t, int64(6), journal.Count(sample.Latency))
	assert.Equal(t, int64(2), journal.Count(sample.Good))
	assert.InEpsilon(t, 20*time.Millisecond, journal.Quantile(sample.Latency, 99), 0.02)
	assert.Equal(t, []int{1, 1, 1}, []int{calls.Calls, calls.Affected, calls.GaveUp})
}

// Calls that a fault held back arrive at the dependency together, when it is healed.
func TestCallsCountInTheSliceOfArrival(t *testing.T) {
	a := New(Settings{Horizon: time.Hour})
	a.BeginBaseline(1 * sec)
	injectAt(a, 5*sec)(8 * sec)
	for i := range 30 {
		a.Call("a -> b", message.Call{Op: "GET /"}, 5*sec+time.Duration(i)*90*time.Millisecond, 8*sec+time.Millisecond, 8*sec+2*time.Millisecond)
	}
	a.Call("a -> b", message.Call{Op: "GET /"}, 6*sec, 0, 7*sec) // answered by the relay
	a.FailedDials("a -> b", 4, 6*sec, 6*sec)
	made, arrived := map[journal.Window]int{}, map[journal.Window]int{}
	for _, e := range a.Flush(1 << 62) {
		made[e.Calls.Window] += e.Calls.Calls
		arrived[e.Calls.Window] += e.Calls.Arrived
		if e.Calls.Refused > 0 {
			assert.Equal(t, []any{4, journal.During, 6 * sec}, []any{e.Calls.Refused, e.Calls.Window, e.Calls.From})
		}
	}
	assert.Equal(t, map[journal.Window]int{journal.AtHealing: 30, journal.During: 1, journal.After: 0}, made)
	assert.Equal(t, map[journal.Window]int{journal.AtHealing: 0, journal.During: 0, journal.After: 30}, arrived)
}

// Arrivals are counted by tenths of a second, also in slices that begin in the middle of one.
func TestArrivalsByTenths(t *testing.T) {
	const ms = time.Millisecond
	a := newDrilled(Settings{Horizon: time.Hour})
	a.Mark(8*sec + 34*ms)
	for _, sent := range []time.Duration{8 * sec, 8*sec + 20*ms, 8*sec + 34*ms, 8*sec + 99*ms, 8*sec + 950*ms, 9*sec + 33*ms, 9*sec + 34*ms} {
		a.Call("a -> b", message.Call{Op: "GET /"}, sent, sent, sent+ms)
	}
	a.Call("a -> b", message.Call{Op: "GET /"}, 9*sec+34*ms, 0, 10*sec) // never sent
	a.FailedDials("a -> b", 3, 8*sec+500*ms, 8*sec+600*ms)
	got := map[time.Duration][]int{}
	for _, e := range a.Flush(1 << 62) {
		if e.Calls.Arrived+e.Calls.Refused > 0 {
			got[e.Calls.From] = e.Calls.Tenths
		}
	}
	assert.Equal(t, map[time.Duration][]int{8 * sec: {2}, 8*sec + 34*ms: {2, 0, 0, 0, 0, 3, 0, 0, 0, 1, 1}, 9*sec + 34*ms: {1}}, got)
}

// Dials are counted once a second, not at the beginning of slices, so a slice must not get the dials of
// two.
func TestFailedDialsAreSpreadOverSlices(t *testing.T) {
	a := newDrilled(Settings{Horizon: time.Hour})
	a.FailedDials("a -> b", 100, 5*sec, 6*sec+10*time.Millisecond)
	a.FailedDials("a -> b", 98, 6*sec+10*time.Millisecond, 6*sec+990*time.Millisecond)
	got := map[time.Duration]int{}
	for _, e := range a.Flush(1 << 62) {
		got[e.Calls.From] += e.Calls.Refused
		sum := 0
		for _, n := range e.Calls.Tenths {
			assert.InDelta(t, 10, n, 1, "they are spread evenly")
			sum += n
		}
		assert.Equal(t, e.Calls.Refused, sum)
	}
	assert.Equal(t, map[time.Duration]int{5 * sec: 99, 6 * sec: 99}, got)
}

func TestTicksReset(t *testing.T) {
	a := newDrilled(Settings{Horizon: time.Hour})
	a.Request(load.Result{Route: "GET /", Outcome: load.Ambiguous, Kind: "timeout", Attempts: []load.Attempt{{}}}, 6*sec, 7*sec)
	tick := a.Tick(time.Second)
	assert.InDelta(t, 1, tick.Rate, 0)
	assert.Equal(t, 1, tick.Errors)
	assert.InEpsilon(t, sec, tick.P99, 0.02)
	assert.Zero(t, a.Tick(time.Second))
}

func TestSuccessIsRecent(t *testing.T) {
	a := newDrilled(Settings{Horizon: time.Hour})
	_, n := a.Met(Goal{}, 0, 12*sec)
	assert.Zero(t, n, "nothing was asked")
	for i := range 10 {
		o := load.Acknowledged
		if i >= 6 {
			o = load.Refused
		}
		a.Request(load.Result{N: uint64(i), Route: "GET /", Outcome: o, Attempts: []load.Attempt{{}}}, time.Duration(2+i)*sec, time.Duration(2+i)*sec)
	}
	good, all := a.Met(Goal{}, 0, 12*sec)
	assert.Equal(t, []int{6, 10}, []int{good, all})
	good, all = a.Met(Goal{}, 8*sec, 12*sec)
	assert.Equal(t, []int{0, 4}, []int{good, all})
	assert.Len(t, a.Flush(1<<62), 10)
	good, _ = a.Met(Goal{}, 0, 12*sec)
	assert.Equal(t, 6, good, "what was written still counts")
}

// A rule fires if its condition held for the whole time, not if one moment was bad enough for the
// average.
func TestStopRulesNeedTheirWholeDuration(t *testing.T) {
	a := newDrilled(Settings{Horizon: time.Hour})
	n := uint64(0)
	for at := 2 * sec; at < 8*sec; at += 50 * time.Millisecond {
		o := load.Acknowledged
		if at >= 5*sec {
			o = load.Refused
		}
		n++
		a.Request(load.Result{N: n, Route: "GET /", Outcome: o, Attempts: []load.Attempt{{}}}, at, at)
	}
	for _, c := range []struct {
		now  time.Duration
		want bool
	}{{4 * sec, false}, {6 * sec, false}, {6500 * time.Millisecond, false}, {6900 * time.Millisecond, false}, {7 * sec, true}, {8 * sec, true}} {
		_, failing := a.Failing(Goal{}, c.now, 2*sec, 0.5, 5)
		assert.Equal(t, c.want, failing, c.now)
	}
	share, failing := a.Failing(Goal{}, 7*sec, 2*sec, 0.5, 5)
	assert.True(t, failing)
	assert.Zero(t, share)
	_, failing = a.Failing(Goal{}, 30*sec, 2*sec, 0.5, 5)
	assert.False(t, failing, "nothing was asked")
}

// A system that hangs ends no request, and a stop rule must detect that.
func TestUnansweredRequestsAreNotSuccesses(t *testing.T) {
	a := newDrilled(Settings{Horizon: time.Hour})
	a.Request(load.Result{N: 1, Route: "GET /", Outcome: load.Acknowledged, Attempts: []load.Attempt{{}}}, 2*sec, 3*sec)
	a.Started("", 2, "GET /", 4*sec)
	a.Started("", 3, "GET /", 5*sec)
	good, all := a.Met(Goal{}, 3*sec, 4*sec)
	assert.Equal(t, []int{1, 1}, []int{good, all}, "those that wait are not late yet")
	good, all = a.Met(Goal{}, 6*sec, 7*sec)
	assert.Equal(t, []int{0, 2}, []int{good, all})
	a.Request(load.Result{N: 2, Route: "GET /", Outcome: load.Acknowledged, Attempts: []load.Attempt{{}}}, 4*sec, 7*sec)
	good, all = a.Met(Goal{}, 6*sec, 8*sec)
	assert.Equal(t, []int{1, 2}, []int{good, all}, "one answered late, one waits still")
}

func TestAbortedRequestsAreNotCounted(t *testing.T) {
	a := newDrilled(Settings{Horizon: time.Hour})
	a.Started("", 1, "GET /", 6*sec)
	a.Request(load.Result{N: 1, Route: "GET /", Outcome: load.Ambiguous, Kind: load.Aborted, Attempts: []load.Attempt{{}}}, 6*sec, 7*sec)
	assert.Empty(t, a.Flush(1<<62))
	_, all := a.Met(Goal{}, 0, 12*sec)
	assert.Zero(t, all)
	assert.Zero(t, a.Tick(sec))
}

// A slice is written when it is over, and requests that end later are added to it.
func TestLateRequestsExtendTheirSlice(t *testing.T) {
	a := newDrilled(Settings{Horizon: time.Hour})
	one := load.Result{Route: "GET /", Outcome: load.Acknowledged, Attempts: []load.Attempt{{}}}
	a.Request(one, 6*sec, 6*sec+time.Millisecond)
	h := journal.History{}
	for _, e := range a.Flush(7 * sec) {
		h.Samples = append(h.Samples, *e.Sample)
	}
	require.Len(t, h.Samples, 1)
	a.Request(one, 6*sec, 8*sec-time.Millisecond)
	for _, e := range a.Flush(9 * sec) {
		h.Samples = append(h.Samples, *e.Sample)
	}
	require.Len(t, h.Samples, 2)
	total := h.Total(journal.During, "GET /")
	assert.Equal(t, 2, total.Sent)
	assert.GreaterOrEqual(t, journal.Quantile(total.Latency, 100), 1900*time.Millisecond)
}

// injectAt adds a fault that is live at once.
func injectAt(a *Aggregator, at time.Duration) (ended func(time.Duration)) {
	live, ended := a.AddFault(at)
	live(at)
	return ended
}

// A request that is due while the fault is being injected is separate, since the fault may not have
// affected it.
func TestFaultLiveAfterInjection(t *testing.T) {
	a := New(Settings{Horizon: time.Hour})
	a.BeginBaseline(0)
	live, ended := a.AddFault(5 * sec)
	at := func(due, end time.Duration) journal.Window {
		w, _ := a.window(due, end)
		return w
	}
	assert.Equal(t, journal.AtInjection, at(5100*time.Millisecond, 5200*time.Millisecond))
	live(5400 * time.Millisecond)
	ended(8 * sec)
	assert.Equal(t, journal.Before, at(4*sec, 4500*time.Millisecond))
	assert.Equal(t, journal.AtInjection, at(4900*time.Millisecond, 5200*time.Millisecond))
	assert.Equal(t, journal.AtInjection, at(5300*time.Millisecond, 9*sec))
	assert.Equal(t, journal.During, at(5400*time.Millisecond, 5500*time.Millisecond))
	assert.Equal(t, journal.AtHealing, at(7*sec, 9*sec))
	assert.Equal(t, journal.After, at(8*sec, 9*sec))
}

// A blocking command counts as a call, but says nothing about how long callers wait. A call that shared its connection
// is marked.
func TestBlockingCallsAreNotTimed(t *testing.T) {
	a := newDrilled(Settings{Horizon: time.Hour})
	a.Call("a -> b", message.Call{Op: "BLPOP q", Status: 200, Blocking: true}, 6*sec, 6*sec, 7*sec-1)
	a.Call("a -> b", message.Call{Op: "GET a", Status: 200, Shared: true}, 6*sec, 6*sec, 6*sec+50*time.Millisecond)
	a.Call("a -> b", message.Call{Op: "GET a", Status: 200}, 6*sec, 6*sec, 6*sec+10*time.Millisecond)
	open, _ := a.OpenCalls("a -> b", 3)
	assert.EqualValues(t, 1, open, "the relay counts the blocking command as unawaited")
	events := a.Flush(7 * sec)
	require.Len(t, events, 1)
	c := events[0].Calls
	assert.Equal(t, []int{3, 0, 0}, []int{c.Calls, c.GaveUp, c.Failed})
	assert.EqualValues(t, 2, journal.Count(c.Duration))
	assert.EqualValues(t, 1, journal.Count(c.Shared))
	assert.InDelta(t, float64(50*time.Millisecond), float64(c.Shared[0].Up), float64(time.Millisecond))
}

// A stream counts when its caller has its beginning, which ends the wait. That it ended is a failure only if neither side
// closed it in order.
func TestStreamsAreTimedUntilTheyBegin(t *testing.T) {
	a := newDrilled(Settings{Horizon: time.Hour})
	o := a.BeginOutage(6*sec, nil, []string{"a -> b"})
	stream := message.Call{Op: "GET /events", Status: 200, Stream: true}
	for range 4 {
		a.Stream("a -> b", stream, 6*sec, 6*sec, 6*sec+20*time.Millisecond)
	}
	open, _ := a.OpenCalls("a -> b", 5)
	assert.EqualValues(t, 1, open, "a call that is no stream")
	for _, end := range []message.Call{{Status: 200}, {GaveUp: true}, {Affected: true}} {
		end.Op, end.Stream = stream.Op, true
		a.Call("a -> b", end, 6*sec, 6*sec, 7*sec-1)
	}
	open, _ = a.OpenCalls("a -> b", 5)
	assert.EqualValues(t, 1, open)
	_, broken, answered := a.Affected(o, 7*sec, 0)
	assert.Equal(t, []int64{0, 4}, []int64{broken["a -> b"], answered["a -> b"]})
	events := a.Flush(7 * sec)
	require.Len(t, events, 1)
	c := events[0].Calls
	assert.Equal(t, []int{4, 4, 0, 1, 1}, []int{c.Calls, c.Arrived, c.GaveUp, c.Failed, c.Affected})
	assert.EqualValues(t, 4, journal.Count(c.Duration))
	assert.InDelta(t, float64(20*time.Millisecond), float64(journal.Quantile(c.Duration, 100)), float64(time.Millisecond))
}

// A second attempt beside the first one does not show that anything failed. An attempt that was cancelled was given up on.
func TestHedgedRequests(t *testing.T) {
	a := newDrilled(Settings{Horizon: time.Hour})
	o := a.BeginOutage(6*sec, []string{"GET /"}, nil)
	at := time.Unix(0, 0)
	hedged := load.Result{Route: "GET /", Outcome: load.Acknowledged, Due: at, Retries: 1, Hedges: 1, Wire: 2, Attempts: []load.Attempt{
		{At: at.Add(50 * time.Millisecond), Kind: load.Cancelled, Hedge: true}, {At: at, Status: 200},
	}}
	a.Request(hedged, 6*sec, 6*sec+60*time.Millisecond)
	assert.Zero(t, o.requests)
	retried := hedged
	retried.N, retried.Retries = 1, 2
	a.Request(retried, 6*sec, 6*sec+60*time.Millisecond)
	assert.Equal(t, int64(1), o.requests)
	sample := a.Flush(7 * sec)[0].Sample
	assert.Equal(t, []int{2, 2, 5, 2, 4, 2}, []int{sample.Sent, sample.OK, sample.Attempts, sample.Hedges, sample.Wire, sample.GaveUp})
	assert.Len(t, sample.Slip, 1, "both were sent on time")
}

// Paused requests add up with the other requests of their slice and can be left out.
func TestPausedRequestsAreSeparate(t *testing.T) {
	a := newDrilled(Settings{Paused: func(from, _ time.Duration) bool { return from > 6*sec }})
	for _, due := range []time.Duration{6 * sec, 6*sec + 1} {
		at := time.Now()
		a.Request(load.Result{Route: "GET /", Outcome: load.Ambiguous, Kind: "timeout", Due: at, Attempts: []load.Attempt{{At: at.Add(30 * time.Millisecond)}}}, due, due+1)
	}
	h := &journal.History{}
	for _, e := range a.Flush(1 << 62) {
		h.Samples = append(h.Samples, *e.Sample)
	}
	require.Len(t, h.Samples, 2)
	assert.Equal(t, 2, h.Sum(func(journal.Sample) bool { return true }).Errors["timeout"])
	assert.Equal(t, 1, h.Total(journal.During, "").Sent)
	assert.Equal(t, []journal.Bucket{{Up: 50 * time.Millisecond, N: 1}}, h.Samples[0].Slip)
}

// Calls that were answered were not affected by the outage.
func TestCallsAnsweredBetweenCrashes(t *testing.T) {
	const link = "front -> back"
	a := New(Settings{})
	o := a.BeginOutage(sec, nil, []string{link})
	// In flight when the outage began, and answered.
	a.Call(link, message.Call{Op: "GET /", Status: 200}, sec-1, sec-1, sec+1)
	a.Call(link, message.Call{Op: "GET /", Status: 200}, 2*sec, 2*sec, 2*sec+1)
	a.Call(link, message.Call{Op: "GET /"}, 3*sec, 0, 3*sec+1)
	a.Call("clients -> front", message.Call{Op: "GET /", Status: 200}, 2*sec, 2*sec, 2*sec+1)
	_, broken, answered := a.Affected(o, 4*sec, 0)
	assert.Equal(t, map[string]int64{link: 0}, broken)
	assert.Equal(t, map[string]int64{link: 1}, answered)
}
