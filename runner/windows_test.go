package runner

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

const sec = time.Second

// newDrilledFold returns a fold with a baseline from 1 s, a fault from 5 s to 8 s, and one from 10 s.
func newDrilledFold() *fold {
	f := newFold()
	f.mark(1 * sec)
	f.baseline = 1 * sec
	injectAt(f, 5*sec)(8 * sec)
	injectAt(f, 10*sec)
	return f
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
		got, _ := newDrilledFold().window(c.due, c.end)
		assert.Equal(t, c.want, got, "%v to %v", c.due, c.end)
	}
}

// What is in flight when one fault is healed and the next is injected meets both.
func TestConsecutiveFaultsShareAWindow(t *testing.T) {
	f := newFold()
	f.baseline = 1 * sec
	injectAt(f, 5*sec)(8 * sec)
	injectAt(f, 8*sec+20*time.Millisecond)(12 * sec)
	overlapping := injectAt(f, 11*sec)
	for _, c := range []struct {
		due, end time.Duration
		want     journal.Window
	}{
		{7 * sec, 9 * sec, journal.During},
		{8*sec + 10*time.Millisecond, 9 * sec, journal.During},
		{9 * sec, 13 * sec, journal.During},
		{13 * sec, 14 * sec, journal.During},
	} {
		got, _ := f.window(c.due, c.end)
		assert.Equal(t, c.want, got, "%v to %v", c.due, c.end)
	}
	overlapping(13 * sec)
	got, healed := f.window(12*sec, 14*sec)
	assert.Equal(t, journal.AtHealing, got)
	assert.Equal(t, 13*sec, healed)
}

func TestSlices(t *testing.T) {
	f := newFold()
	f.mark(1300 * time.Millisecond)
	for _, c := range []struct{ at, from, to time.Duration }{
		{0, 0, 1 * sec},
		{1 * sec, 1 * sec, 1300 * time.Millisecond},
		{1300*time.Millisecond - 1, 1 * sec, 1300 * time.Millisecond},
		{1300 * time.Millisecond, 1300 * time.Millisecond, 2300 * time.Millisecond},
		{2299 * time.Millisecond, 1300 * time.Millisecond, 2300 * time.Millisecond},
		{2300 * time.Millisecond, 2300 * time.Millisecond, 3300 * time.Millisecond},
	} {
		from, to := f.slice(c.at)
		assert.Equal(t, c.from, from, c.at)
		assert.Equal(t, c.to, to, c.at)
	}
}

func TestFoldCountsEachRequestOnce(t *testing.T) {
	f := newDrilledFold()
	one := func(o load.Outcome, key, kind string, status int, fallback bool) load.Result {
		return load.Result{Route: "GET /", Key: key, Outcome: o, Kind: kind, Fallback: fallback, Wire: 2, Retries: 1, Attempts: []load.Attempt{{}, {Status: status}}}
	}
	all := []load.Result{
		one(load.Acknowledged, "", "", 200, false), one(load.Acknowledged, "", "", 200, true), one(load.Refused, "", "status 503", 503, false),
		one(load.Ambiguous, "", "status 500", 500, false), one(load.Ambiguous, "k", "status 500", 500, false), one(load.Ambiguous, "", "timeout", 0, false),
	}
	all[2].Attempts[1].Took, all[2].Attempts[1].Answer.HasRetryAfter = 30*time.Millisecond, true
	for _, e := range all {
		f.request(e, 6*sec, 6*sec+20*time.Millisecond)
	}
	f.unsent("", "", "GET /", 6*sec)
	f.call("a -> b", message.Call{Op: "GET /", Affected: true, GaveUp: true}, 6*sec, 6*sec, 7*sec)
	f.call("a -> b", message.Call{}, 6*sec, 6*sec, 7*sec) // not a call

	assert.Empty(t, f.flush(6*sec), "the slice is not over")
	events := f.flush(7 * sec)
	require.Len(t, events, 2)
	require.Empty(t, f.flush(1<<62), "a slice is told once")
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
	f := newFold()
	f.baseline = 1 * sec
	injectAt(f, 5*sec)(8 * sec)
	for i := range 30 {
		f.call("a -> b", message.Call{Op: "GET /"}, 5*sec+time.Duration(i)*90*time.Millisecond, 8*sec+time.Millisecond, 8*sec+2*time.Millisecond)
	}
	f.call("a -> b", message.Call{Op: "GET /"}, 6*sec, 0, 7*sec) // answered by the relay
	f.failedDials("a -> b", 4, 6*sec, 6*sec)
	made, arrived := map[journal.Window]int{}, map[journal.Window]int{}
	for _, e := range f.flush(1 << 62) {
		made[e.Calls.Window] += e.Calls.Calls
		arrived[e.Calls.Window] += e.Calls.Arrived
		if e.Calls.Refused > 0 {
			assert.Equal(t, []any{4, journal.During, 6 * sec}, []any{e.Calls.Refused, e.Calls.Window, e.Calls.From})
		}
	}
	assert.Equal(t, map[journal.Window]int{journal.AtHealing: 30, journal.During: 1, journal.After: 0}, made)
	assert.Equal(t, map[journal.Window]int{journal.AtHealing: 0, journal.During: 0, journal.After: 30}, arrived)
}

// Dials are counted once a second, not at the beginning of slices, so a slice must not get the dials of
// two.
func TestFailedDialsAreSpreadOverSlices(t *testing.T) {
	f := newDrilledFold()
	f.failedDials("a -> b", 100, 5*sec, 6*sec+10*time.Millisecond)
	f.failedDials("a -> b", 98, 6*sec+10*time.Millisecond, 6*sec+990*time.Millisecond)
	got := map[time.Duration]int{}
	for _, e := range f.flush(1 << 62) {
		got[e.Calls.From] += e.Calls.Refused
	}
	assert.Equal(t, map[time.Duration]int{5 * sec: 99, 6 * sec: 99}, got)
}

func TestTicksReset(t *testing.T) {
	f := newDrilledFold()
	f.request(load.Result{Route: "GET /", Outcome: load.Ambiguous, Kind: "timeout", Attempts: []load.Attempt{{}}}, 6*sec, 7*sec)
	tick := f.tick(time.Second)
	assert.InDelta(t, 1, tick.Rate, 0)
	assert.Equal(t, 1, tick.Errors)
	assert.InEpsilon(t, sec, tick.P99, 0.02)
	assert.Zero(t, f.tick(time.Second))
}

func TestSuccessIsRecent(t *testing.T) {
	f := newDrilledFold()
	_, n := f.met(goal{}, 0, 12*sec)
	assert.Zero(t, n, "nothing was asked")
	for i := range 10 {
		o := load.Acknowledged
		if i >= 6 {
			o = load.Refused
		}
		f.request(load.Result{N: uint64(i), Route: "GET /", Outcome: o, Attempts: []load.Attempt{{}}}, time.Duration(2+i)*sec, time.Duration(2+i)*sec)
	}
	good, all := f.met(goal{}, 0, 12*sec)
	assert.Equal(t, []int{6, 10}, []int{good, all})
	good, all = f.met(goal{}, 8*sec, 12*sec)
	assert.Equal(t, []int{0, 4}, []int{good, all})
	assert.Len(t, f.flush(1<<62), 10)
	good, _ = f.met(goal{}, 0, 12*sec)
	assert.Equal(t, 6, good, "what was written still counts")
}

// A rule fires if its condition held for the whole time, not if one moment was bad enough for the
// average.
func TestStopRulesNeedTheirWholeDuration(t *testing.T) {
	f := newDrilledFold()
	n := uint64(0)
	for at := 2 * sec; at < 8*sec; at += 50 * time.Millisecond {
		o := load.Acknowledged
		if at >= 5*sec {
			o = load.Refused
		}
		n++
		f.request(load.Result{N: n, Route: "GET /", Outcome: o, Attempts: []load.Attempt{{}}}, at, at)
	}
	for _, c := range []struct {
		now  time.Duration
		want bool
	}{{4 * sec, false}, {6 * sec, false}, {6500 * time.Millisecond, false}, {6900 * time.Millisecond, false}, {7 * sec, true}, {8 * sec, true}} {
		_, failing := f.failing(goal{}, c.now, 2*sec, 0.5, 5)
		assert.Equal(t, c.want, failing, c.now)
	}
	share, failing := f.failing(goal{}, 7*sec, 2*sec, 0.5, 5)
	assert.True(t, failing)
	assert.Zero(t, share)
	_, failing = f.failing(goal{}, 30*sec, 2*sec, 0.5, 5)
	assert.False(t, failing, "nothing was asked")
}

// Requests that waited while the runner did not run do not show that the system fails. A short pause
// does not disable a stop rule.
func TestStopRulesIgnorePausesOfTheRunner(t *testing.T) {
	rule := scenarios.StopRule{Ratio: 0.5, For: 2 * sec}
	for _, c := range []struct {
		pause time.Duration
		want  bool
	}{{0, true}, {150 * time.Millisecond, true}, {1900 * time.Millisecond, false}} {
		f := newDrilledFold()
		for n := range uint64(10) { // they wait longer than the duration of the rule
			f.started("", n, "GET /", 5*sec)
		}
		w := newWatchdog(func(at time.Time) time.Duration { return 0 }, nil)
		w.pauses = []span{{from: 6 * sec, to: 6*sec + c.pause}}
		failing := watchSuccess(t.Context(), &session{fold: f, watchdog: w}, rule).met(8*sec) != ""
		assert.Equal(t, c.want, failing, "a pause of %v", c.pause)
	}
	w := newWatchdog(func(at time.Time) time.Duration { return 7*sec - time.Since(at) }, nil)
	w.last = time.Now().Add(-sec) // so that a pause is in progress
	assert.InDelta(t, sec, w.paused(5*sec, 8*sec), float64(100*time.Millisecond))
}

// A system that hangs ends no request, and a stop rule must detect that.
func TestUnansweredRequestsAreNotSuccesses(t *testing.T) {
	f := newDrilledFold()
	f.request(load.Result{N: 1, Route: "GET /", Outcome: load.Acknowledged, Attempts: []load.Attempt{{}}}, 2*sec, 3*sec)
	f.started("", 2, "GET /", 4*sec)
	f.started("", 3, "GET /", 5*sec)
	good, all := f.met(goal{}, 3*sec, 4*sec)
	assert.Equal(t, []int{1, 1}, []int{good, all}, "those that wait are not late yet")
	good, all = f.met(goal{}, 6*sec, 7*sec)
	assert.Equal(t, []int{0, 2}, []int{good, all})
	f.request(load.Result{N: 2, Route: "GET /", Outcome: load.Acknowledged, Attempts: []load.Attempt{{}}}, 4*sec, 7*sec)
	good, all = f.met(goal{}, 6*sec, 8*sec)
	assert.Equal(t, []int{1, 2}, []int{good, all}, "one answered late, one waits still")
}

func TestAbortedRequestsAreNotCounted(t *testing.T) {
	f := newDrilledFold()
	f.started("", 1, "GET /", 6*sec)
	f.request(load.Result{N: 1, Route: "GET /", Outcome: load.Ambiguous, Kind: load.Aborted, Attempts: []load.Attempt{{}}}, 6*sec, 7*sec)
	assert.Empty(t, f.flush(1<<62))
	_, all := f.met(goal{}, 0, 12*sec)
	assert.Zero(t, all)
	assert.Zero(t, f.tick(sec))
}

// A slice is written when it is over, and requests that end later are added to it.
func TestLateRequestsExtendTheirSlice(t *testing.T) {
	f := newDrilledFold()
	one := load.Result{Route: "GET /", Outcome: load.Acknowledged, Attempts: []load.Attempt{{}}}
	f.request(one, 6*sec, 6*sec+time.Millisecond)
	h := journal.History{}
	for _, e := range f.flush(7 * sec) {
		h.Samples = append(h.Samples, *e.Sample)
	}
	require.Len(t, h.Samples, 1)
	f.request(one, 6*sec, 8*sec-time.Millisecond)
	for _, e := range f.flush(9 * sec) {
		h.Samples = append(h.Samples, *e.Sample)
	}
	require.Len(t, h.Samples, 2)
	total := h.Total(journal.During, "GET /")
	assert.Equal(t, 2, total.Sent)
	assert.GreaterOrEqual(t, journal.Quantile(total.Latency, 100), 1900*time.Millisecond)
}

// injectAt adds a fault that is live at once.
func injectAt(f *fold, at time.Duration) (ended func(time.Duration)) {
	live, ended := f.addFault(at)
	live(at)
	return ended
}

// A request that is due while the fault is being injected is separate, since the fault may not have
// affected it.
func TestFaultLiveAfterInjection(t *testing.T) {
	f := newFold()
	f.baseline = 0
	live, ended := f.addFault(5 * sec)
	at := func(due, end time.Duration) journal.Window {
		w, _ := f.window(due, end)
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
func TestFoldTellsCallsApart(t *testing.T) {
	f := newDrilledFold()
	f.call("a -> b", message.Call{Op: "BLPOP q", Status: 200, Blocking: true}, 6*sec, 6*sec, 7*sec-1)
	f.call("a -> b", message.Call{Op: "GET a", Status: 200, Shared: true}, 6*sec, 6*sec, 6*sec+50*time.Millisecond)
	f.call("a -> b", message.Call{Op: "GET a", Status: 200}, 6*sec, 6*sec, 6*sec+10*time.Millisecond)
	open, _ := f.openCalls("a -> b", 3)
	assert.EqualValues(t, 1, open, "the relay counts the blocking command as unawaited")
	events := f.flush(7 * sec)
	require.Len(t, events, 1)
	c := events[0].Calls
	assert.Equal(t, []int{3, 0, 0}, []int{c.Calls, c.GaveUp, c.Failed})
	assert.EqualValues(t, 2, journal.Count(c.Duration))
	assert.EqualValues(t, 1, journal.Count(c.Shared))
	assert.InDelta(t, float64(50*time.Millisecond), float64(c.Shared[0].Up), float64(time.Millisecond))
}

// A second attempt beside the first one does not show that anything failed. An attempt that was cancelled was given up on.
func TestFoldOfHedgedRequests(t *testing.T) {
	f := newDrilledFold()
	o := &outage{from: 6 * sec, routes: []string{"GET /"}}
	f.addOutage(o)
	at := time.Unix(0, 0)
	hedged := load.Result{Route: "GET /", Outcome: load.Acknowledged, Due: at, Retries: 1, Hedges: 1, Wire: 2, Attempts: []load.Attempt{
		{At: at.Add(50 * time.Millisecond), Kind: load.Cancelled, Hedge: true}, {At: at, Status: 200},
	}}
	f.request(hedged, 6*sec, 6*sec+60*time.Millisecond)
	assert.Zero(t, o.requests)
	retried := hedged
	retried.N, retried.Retries = 1, 2
	f.request(retried, 6*sec, 6*sec+60*time.Millisecond)
	assert.Equal(t, int64(1), o.requests)
	sample := f.flush(7 * sec)[0].Sample
	assert.Equal(t, []int{2, 2, 5, 2, 4, 2}, []int{sample.Sent, sample.OK, sample.Attempts, sample.Hedges, sample.Wire, sample.GaveUp})
	assert.Len(t, sample.Slip, 1, "both were sent on time")
}
