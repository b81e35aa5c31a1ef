package schedule

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// timed is a change of the load some time after the previous one.
type timed struct {
	after time.Duration
	scenarios.RateChange
}

// rateOf returns the rate of a change x after it began, as its documentation says.
func rateOf(c scenarios.RateChange, x time.Duration) float64 {
	switch c := c.(type) {
	case scenarios.ChangeLoad:
		if x < c.Over {
			return c.From + (c.To-c.From)*float64(x)/float64(c.Over)
		}
		return c.To
	case scenarios.SpikeLoad:
		if x < c.For {
			return c.To
		}
		return c.From
	case scenarios.SwingLoad:
		mean, amplitude := (c.Low+c.High)/2, (c.High-c.Low)/2
		begun := math.Asin((c.From - mean) / amplitude)
		return mean + amplitude*math.Sin(begun+2*math.Pi*float64(x)/float64(c.Every))
	case scenarios.ReplayLoad:
		rate := 0.0
		for _, r := range c.Rates {
			if r.At <= x {
				rate = r.Rate
			}
		}
		return rate
	}
	panic(fmt.Sprintf("%T", c))
}

// randomChange returns a change whose edges lie at whole milliseconds.
func randomChange(random *rand.Rand) scenarios.RateChange {
	rates := []float64{0, 0.1, 0.7, 1, 3, 20, 90}
	rate := func() float64 { return rates[random.IntN(len(rates))] }
	lasts := func() time.Duration { return time.Duration(1+random.IntN(4000)) * time.Millisecond }
	switch random.IntN(4) {
	case 0:
		return scenarios.ChangeLoad{From: rate(), To: rate(), Over: lasts()}
	case 1:
		return scenarios.SpikeLoad{From: rate(), To: rate(), For: lasts()}
	case 2:
		low, more := rate(), 0.1+rate()
		return scenarios.SwingLoad{Low: low, High: low + more, From: low + more*random.Float64(), Every: lasts()}
	}
	recording := scenarios.ReplayLoad{Rates: []scenarios.RateAt{{Rate: rate()}}}
	for at := lasts(); len(recording.Rates) < 2+random.IntN(6); at += lasts() {
		recording.Rates = append(recording.Rates, scenarios.RateAt{At: at, Rate: rate()})
	}
	return recording
}

// TestAnyCourseFollowsItsIntegral compares the schedule and the demand of random courses with the
// integral of their rates. A change may come before the one before it has come to its end.
func TestAnyCourseFollowsItsIntegral(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var all []timed
		for range 1 + random.IntN(4) {
			all = append(all, timed{time.Duration(random.IntN(5000)) * time.Millisecond, randomChange(random)})
		}
		compareCourse(t, all, 15*time.Second)
	}
}

func compareCourse(t *testing.T, all []timed, length time.Duration) {
	t.Helper()
	began := time.Now()
	s, d := New(began, 5), Steady(began, 5)
	at := began
	for _, c := range all {
		at = at.Add(c.after)
		if at.Sub(began) >= length {
			break
		}
		for s.next().Before(at) { // as while the load runs
			s.advance(s.next())
		}
		s.Change(at, c.Course())
		d = d.Change(at, c.Course())
	}
	due := s.Remaining(began.Add(length))
	const step = time.Millisecond
	integral, n := 0.0, uint64(0)
	for x := time.Duration(0); x < length; x += step {
		rate, begins := 5.0, time.Duration(0)
		for _, c := range all {
			if begins += c.after; begins <= x {
				rate = rateOf(c.RateChange, x+step/2-begins)
			}
		}
		for ; n < uint64(len(due)) && due[n].Sub(began) <= x; n++ {
		}
		if math.Abs(integral-float64(n)) > 1.01 {
			t.Fatalf("%d requests are due after %s instead of %v: %+v", n, x, integral, all)
		}
		integral += rate * step.Seconds()
	}
	require.InDelta(t, integral, d.Until(began.Add(length)), 0.01, "%+v", all)
	require.InDelta(t, integral, len(due), 1.01, "%+v", all)
}

func TestSwingIsDueWhenItsIntegralReachesEachRequest(t *testing.T) {
	s := swing{mean: 100, amplitude: 100, phase: -math.Pi / 2, every: 20}
	for n := 0.0; n < 10_000; n += 7 {
		require.InDelta(t, n, s.integral(s.reach(n)), 1e-6)
	}
	assert.InDelta(t, 0, s.reach(0), 1e-6)
	assert.Equal(t, math.Inf(1), swing{every: 1}.reach(1))
}

// Planted bug: a schedule that keeps the mean instead of swinging is noticed by the demand.
func TestDemandNoticesAnotherCourse(t *testing.T) {
	began := time.Now()
	swings := scenarios.SwingLoad{From: 100, Low: 50, High: 150, Every: 20 * time.Second}
	s, d := New(began, 100), Demand{}.Change(began, swings.Course())
	require.InDelta(t, 1000, len(s.Remaining(began.Add(10*time.Second))), 1)
	require.InDelta(t, 1000+100*10/math.Pi, d.Until(began.Add(10*time.Second)), 1)
}
