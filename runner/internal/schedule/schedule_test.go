package schedule

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// change is a step that changes the rate, some time after the previous one.
type change struct {
	after    time.Duration
	from, to float64
	over     time.Duration
}

// linear is the course of scenarios.ChangeLoad.
func linear(from, to float64, over time.Duration) []scenarios.Stretch {
	return scenarios.ChangeLoad{From: from, To: to, Over: over}.Course()
}

// dueTimes returns when requests are due until the end, according to the schedule, and how many were
// requested until then.
func dueTimes(began time.Time, rate float64, changes []change, length time.Duration) (due []time.Time, wanted float64) {
	s, d := New(began, rate), Steady(began, rate)
	at := began
	for _, c := range changes {
		at = at.Add(c.after)
		s.Change(at, linear(c.from, c.to, c.over))
		d = d.Change(at, linear(c.from, c.to, c.over))
	}
	end := began.Add(length)
	all := s.Remaining(end)
	for n := range uint64(len(all)) {
		due = append(due, all[n])
	}
	return due, d.Until(end)
}

// rateAt returns the rate of a scenario at a moment, for the numerical integration that schedule and
// demand are compared with.
func rateAt(rate float64, changes []change, t time.Duration) float64 {
	at := time.Duration(0)
	for _, c := range changes {
		if at += c.after; at > t {
			break
		}
		if rate = c.to; t < at+c.over {
			rate = c.from + (c.to-c.from)*float64(t-at)/float64(c.over)
		}
	}
	return rate
}

func TestRampsFollowTheirIntegral(t *testing.T) {
	for name, c := range map[string]struct {
		rate    float64
		changes []change
		length  time.Duration
		want    int
	}{
		"steady":             {10, nil, 10 * time.Second, 100},
		"slow":               {0.2, nil, 60 * time.Second, 12},
		"from nothing":       {0, []change{{0, 0, 50, 10 * time.Second}}, 10 * time.Second, 250},
		"after nothing":      {20, []change{{2 * time.Second, 20, 0, 0}, {time.Second, 0, 50, 10 * time.Second}}, 13 * time.Second, 290},
		"from a fifth":       {0.2, []change{{2 * time.Second, 0.2, 50, 10 * time.Second}}, 12 * time.Second, 252},
		"from one":           {1, []change{{2 * time.Second, 1, 50, 10 * time.Second}}, 12 * time.Second, 257},
		"down to nothing":    {50, []change{{2 * time.Second, 50, 0, 10 * time.Second}}, 60 * time.Second, 350},
		"below one":          {0.1, []change{{0, 0.1, 0.9, 100 * time.Second}}, 100 * time.Second, 50},
		"stopped in between": {10, []change{{time.Second, 10, 100, 10 * time.Second}, {5 * time.Second, 0, 0, 0}, {time.Second, 20, 20, 0}}, 8 * time.Second, 10 + 162 + 20},
		"ramp after a ramp":  {0, []change{{0, 0, 10, 4 * time.Second}, {2 * time.Second, 5, 0, 2 * time.Second}}, 10 * time.Second, 10},
	} {
		t.Run(name, func(t *testing.T) {
			due, wanted := dueTimes(time.Now(), c.rate, c.changes, c.length)
			assert.InDelta(t, c.want, len(due), 1)
			assert.InDelta(t, c.want, wanted, 1)
		})
	}
}

// TestScheduleMatchesIntegration compares random scenarios with a numerical integration in steps of
// a millisecond.
func TestScheduleMatchesIntegration(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		rates := []float64{0, 0.1, 0.7, 1, 3, 20, 90}
		one := func() float64 { return rates[random.IntN(len(rates))] }
		rate := one()
		var changes []change
		for range random.IntN(5) {
			over := time.Duration(random.IntN(4)) * time.Second
			changes = append(changes, change{time.Duration(random.IntN(3000)) * time.Millisecond, one(), one(), over})
		}
		compareWithIntegration(t, rate, changes, 15*time.Second)
	}
}

func FuzzSchedule(f *testing.F) {
	f.Add(0.2, 2.0, 0.2, 50.0, 10.0, 1.0, 5.0, 0.0, 2.0)
	f.Add(0.0, 0.0, 0.0, 50.0, 10.0, 4.0, 0.0, 100.0, 0.0)
	f.Fuzz(func(t *testing.T, rate, after1, from1, to1, over1, after2, from2, to2, over2 float64) {
		for _, x := range []float64{rate, from1, to1, from2, to2} {
			if math.IsNaN(x) || x < 0 || x > 500 || x > 0 && x < 1e-3 {
				t.Skip()
			}
		}
		for _, x := range []float64{after1, over1, after2, over2} {
			if math.IsNaN(x) || x < 0 || x > 6 {
				t.Skip()
			}
		}
		// whole milliseconds, since the numerical integration is inexact otherwise
		seconds := func(x float64) time.Duration { return time.Duration(x*1000) * time.Millisecond }
		compareWithIntegration(t, rate, []change{{seconds(after1), from1, to1, seconds(over1)}, {seconds(after2), from2, to2, seconds(over2)}}, 13*time.Second)
	})
}

func compareWithIntegration(t *testing.T, rate float64, changes []change, length time.Duration) {
	t.Helper()
	began := time.Now()
	due, wanted := dueTimes(began, rate, changes, length)
	const step = time.Millisecond
	integral, n := 0.0, 0
	for at := time.Duration(0); at < length; at += step {
		for ; n < len(due) && due[n].Sub(began) <= at; n++ {
			// A request is due when the integral first reaches its number, within the error of the
			// integration.
			require.InDelta(t, n, integral, 1, "request %d, due after %s, rate %v, changes %v", n, due[n].Sub(began), rate, changes)
		}
		integral += step.Seconds() * rateAt(rate, changes, at+step/2)
		if math.Abs(integral-float64(n)) > 1.5 { // require.InDelta takes long
			t.Fatalf("%d requests are due after %s instead of %v, rate %v, changes %v", n, at, integral, rate, changes)
		}
	}
	require.InDelta(t, integral, wanted, 0.01+integral/1000, "rate %v, changes %v", rate, changes)
	require.InDelta(t, wanted, len(due), 1.01, "rate %v, changes %v", rate, changes)
}

// The fraction of a request accumulated so far is kept when the rate changes.
func TestRateChangeKeepsAccumulatedFraction(t *testing.T) {
	began := time.Now()
	due, _ := dueTimes(began, 1, []change{{900 * time.Millisecond, 2, 2, 0}, {10 * time.Millisecond, 1, 1, 0}}, 3*time.Second)
	require.Len(t, due, 4)
	assert.InDelta(t, 0.99, due[1].Sub(began).Seconds(), 1e-6, "0.9 at 1 a second, 0.02 at 2, the rest at 1")
	assert.InDelta(t, 1.99, due[2].Sub(began).Seconds(), 1e-6)
}

// A pacer that waits for a request that is never due returns when its context ends and when the rate
// changes.
func TestZeroRateCanBeEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(time.Now(), 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.False(t, s.Wait(ctx))
		began := time.Now()
		time.AfterFunc(time.Second, func() { s.Change(time.Now(), linear(0, 50, 10*time.Second)) })
		require.True(t, s.Wait(t.Context()))
		require.Equal(t, time.Second, time.Since(began), "the first is due when the ramp begins")
		require.True(t, s.Wait(t.Context()))
		require.InDelta(t, 1+math.Sqrt(2*10.0/50), time.Since(began).Seconds(), 1e-6)
	})
}

func TestSteadyAndRamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := New(began, 10)
		for i := range 10 {
			require.True(t, s.Wait(t.Context()))
			require.Equal(t, time.Duration(i)*100*time.Millisecond, time.Since(began))
			due, ok := s.Take(uint64(i))
			require.True(t, ok)
			require.Equal(t, began.Add(time.Duration(i)*100*time.Millisecond), due)
		}
		s.Change(time.Now(), linear(10, 100, 10*time.Second)) // 550 requests in ten seconds
		n := 0
		for end := time.Now().Add(10 * time.Second); s.Wait(t.Context()) && time.Now().Before(end); n++ {
		}
		require.InDelta(t, 550, n, 15)
		s.Change(time.Now(), linear(0, 0, 0))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for s.Wait(ctx) {
			n++
		}
		require.Error(t, ctx.Err(), "a rate of zero sends nothing and can be ended")
	})
}

func TestUnsentRequestsRemain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(time.Now(), 10)
		require.True(t, s.Wait(t.Context()))
		s.Take(0)
		time.Sleep(time.Second + time.Millisecond)
		require.Len(t, s.Remaining(time.Now()), 10)
	})
}

// Requests that are due are sent, if late, whether the machine pauses in the middle of the load or at
// its end.
func TestRequestsDueAtTheEndAreSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(time.Now(), 10)
		time.Sleep(time.Second + time.Millisecond)
		s.End(time.Now())
		n := 0
		for s.Wait(t.Context()) {
			_, ok := s.Take(uint64(n))
			require.True(t, ok)
			n++
		}
		require.Equal(t, 11, n)
		require.NoError(t, t.Context().Err(), "the end needs no other")
		require.Empty(t, s.Remaining(time.Now()))
	})
	synctest.Test(t, func(t *testing.T) {
		s := New(time.Now(), 0.001)
		require.True(t, s.Wait(t.Context()))
		time.AfterFunc(time.Second, func() { s.End(time.Now()) })
		require.False(t, s.Wait(t.Context()), "a pacer that waits is told")
	})
}
