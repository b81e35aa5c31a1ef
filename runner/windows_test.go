package runner

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

const sec = time.Second

// drilled is a fold with a baseline from 1 s, and faults from 5 s to 8 s and from 10 s on.
func drilled() *fold {
	f := newFold()
	f.mark(1 * sec)
	f.baseline = 1 * sec
	f.inject(5 * sec)(8 * sec)
	f.inject(10 * sec)
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
		{4 * sec, 5 * sec, journal.During},
		{6 * sec, 7 * sec, journal.During},
		{4 * sec, 9 * sec, journal.During},
		{8*sec - 1, 9 * sec, journal.During},
		{8 * sec, 9 * sec, journal.After},
		{8 * sec, 10*sec - 1, journal.After},
		{9 * sec, 10 * sec, journal.During},
		{100 * sec, 101 * sec, journal.During},
	} {
		assert.Equal(t, c.want, drilled().window(c.due, c.end), "%v to %v", c.due, c.end)
	}
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

func TestFoldKeepsEveryRequestOnce(t *testing.T) {
	f := drilled()
	one := func(o outcome, key, kind string, status int, fallback bool) ended {
		return ended{route: "GET /", key: key, outcome: o, kind: kind, fallback: fallback, wire: 2, attempts: []attempt{{}, {status: status}}}
	}
	all := []ended{
		one(acknowledged, "", "", 200, false), one(acknowledged, "", "", 200, true), one(refused, "", "status 503", 503, false),
		one(ambiguous, "", "status 500", 500, false), one(ambiguous, "k", "status 500", 500, false), one(ambiguous, "", "timeout", 0, false),
	}
	for _, e := range all {
		f.request(e, 6*sec, 6*sec+20*time.Millisecond)
	}
	f.unsent("GET /", 6*sec)
	f.call("a -> b", message.Call{Op: "GET /", Affected: true, GaveUp: true}, 6*sec, 7*sec)
	f.call("a -> b", message.Call{}, 6*sec, 7*sec) // nothing that was asked

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
	assert.Equal(t, []int{6, 1, 1, 1, 1, 1, 2}, []int{sample.Sent, sample.Unsent, sample.OK, sample.Fallback, sample.Refused, sample.Failed, sample.Ambiguous})
	assert.Equal(t, []int{12, 12}, []int{sample.Attempts, sample.Wire})
	assert.Equal(t, map[string]int{"status 503": 1, "status 500": 2, "timeout": 1}, sample.Errors)
	assert.Equal(t, int64(6), journal.Count(sample.Latency))
	assert.Equal(t, int64(2), journal.Count(sample.Good))
	assert.InEpsilon(t, 20*time.Millisecond, journal.Quantile(sample.Latency, 99), 0.02)
	assert.Equal(t, []int{1, 1, 1}, []int{calls.Calls, calls.Affected, calls.GaveUp})
}

func TestTicksStartAnew(t *testing.T) {
	f := drilled()
	f.request(ended{route: "GET /", outcome: ambiguous, kind: "timeout", attempts: []attempt{{}}}, 6*sec, 7*sec)
	tick := f.tick(time.Second)
	assert.InDelta(t, 1, tick.Rate, 0)
	assert.Equal(t, 1, tick.Errors)
	assert.InEpsilon(t, sec, tick.P99, 0.02)
	assert.Zero(t, f.tick(time.Second))
}

func TestSuccessIsOfWhatIsRecent(t *testing.T) {
	f := drilled()
	_, ok := f.success(0)
	assert.False(t, ok, "nothing was asked")
	for i := range 10 {
		o := acknowledged
		if i >= 6 {
			o = refused
		}
		f.request(ended{n: uint64(i), route: "GET /", outcome: o, attempts: []attempt{{}}}, time.Duration(2+i)*sec, time.Duration(2+i)*sec)
	}
	ratio, _ := f.success(0)
	assert.InDelta(t, 0.6, ratio, 0.001)
	ratio, _ = f.success(8 * sec)
	assert.InDelta(t, 0, ratio, 0.001)
	assert.Len(t, f.flush(1<<62), 10)
	ratio, _ = f.success(0)
	assert.InDelta(t, 0.6, ratio, 0.001, "what was written still counts")
}

// TestWhatNeverEndsIsNoSuccess: a system that hangs ends no request, and that is what a stop rule is there for.
func TestWhatNeverEndsIsNoSuccess(t *testing.T) {
	f := drilled()
	f.request(ended{n: 1, route: "GET /", outcome: acknowledged, attempts: []attempt{{}}}, 2*sec, 3*sec)
	f.sent(2, 4*sec)
	f.sent(3, 5*sec)
	ratio, ok := f.success(3 * sec)
	assert.True(t, ok)
	assert.InDelta(t, 1, ratio, 0.001, "those that wait are not late yet")
	ratio, ok = f.success(6 * sec)
	assert.True(t, ok)
	assert.InDelta(t, 0, ratio, 0.001)
	f.request(ended{n: 2, route: "GET /", outcome: acknowledged, attempts: []attempt{{}}}, 4*sec, 7*sec)
	ratio, _ = f.success(6 * sec)
	assert.InDelta(t, 0.5, ratio, 0.001, "one answered late, one waits still")
}

func TestWhatTheRunnerCutSaysNothing(t *testing.T) {
	f := drilled()
	f.sent(1, 6*sec)
	f.request(ended{n: 1, route: "GET /", outcome: ambiguous, kind: cut, attempts: []attempt{{}}}, 6*sec, 7*sec)
	assert.Empty(t, f.flush(1<<62))
	_, ok := f.success(0)
	assert.False(t, ok)
	assert.Zero(t, f.tick(sec))
}

// TestWhatEndsLaterIsTheSameSlice: a slice is written when it is over, and what ends after that is added to it.
func TestWhatEndsLaterIsTheSameSlice(t *testing.T) {
	f := drilled()
	one := ended{route: "GET /", outcome: acknowledged, attempts: []attempt{{}}}
	f.request(one, 6*sec, 6*sec+time.Millisecond)
	h := journal.History{}
	for _, e := range f.flush(7 * sec) {
		h.Samples = append(h.Samples, *e.Sample)
	}
	require.Len(t, h.Samples, 1)
	f.request(one, 6*sec, 9*sec)
	for _, e := range f.flush(9 * sec) {
		h.Samples = append(h.Samples, *e.Sample)
	}
	require.Len(t, h.Samples, 2)
	total := h.Total(journal.During, "GET /")
	assert.Equal(t, 2, total.Sent)
	assert.Equal(t, sec, total.Span)
	assert.GreaterOrEqual(t, journal.Quantile(total.Latency, 100), 3*sec)
}

func TestMetricsWithoutAHostAreForThisMachine(t *testing.T) {
	m, err := serveMetrics(":0")
	require.NoError(t, err)
	defer m.close()
	assert.Regexp(t, `^127\.0\.0\.1:\d+$`, m.address)
}
