package schedule

import (
	"math"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// Demand is the rate that the steps of a scenario requested, as a sequence of stretches. The load is
// compared with it rather than with the Schedule, so that an error in the Schedule is found. Its
// integrals are therefore computed in another way.
type Demand []stretch

// stretch is a part of the load that starts at at and lasts until the next stretch.
type stretch struct {
	at time.Time
	scenarios.Stretch
}

// Steady returns the demand of a steady rate, in requests per second.
func Steady(began time.Time, rate float64) Demand {
	return Demand{{at: began, Stretch: scenarios.Stretch{From: rate, To: rate}}}
}

// Change replaces what was to follow from now on.
func (d Demand) Change(now time.Time, course []scenarios.Stretch) Demand {
	for len(d) > 0 && !d[len(d)-1].at.Before(now) {
		d = d[:len(d)-1]
	}
	for _, s := range course {
		d = append(d, stretch{at: now.Add(s.After), Stretch: s})
	}
	return d
}

// Until returns how many requests were to be sent until end: the integral of the rate.
func (d Demand) Until(end time.Time) float64 {
	n := 0.0
	for i, s := range d {
		last := end
		if i+1 < len(d) && d[i+1].at.Before(end) {
			last = d[i+1].at
		}
		n += s.area(last.Sub(s.at))
	}
	return n
}

// area returns the integral of the rate over the first length of the stretch.
func (s stretch) area(length time.Duration) float64 {
	if length <= 0 {
		return 0
	}
	if s.Swing != nil {
		return simpson(s.Swing, length)
	}
	ramp := min(length, s.Over)
	reached := s.To
	if ramp < s.Over {
		reached = s.From + (s.To-s.From)*ramp.Seconds()/s.Over.Seconds()
	}
	return (s.From+reached)/2*ramp.Seconds() + s.To*(length-ramp).Seconds()
}

// simpson integrates a swing by Simpson's rule, with 200 parabolas or more in each period. Its relative
// error is below one in a million.
func simpson(w *scenarios.Swing, length time.Duration) float64 {
	n := 200 * int(math.Ceil(length.Seconds()/w.Every.Seconds()))
	step := length.Seconds() / float64(2*n)
	rate := func(i int) float64 {
		return w.Mean + w.Amplitude*math.Sin(w.Phase+2*math.Pi*float64(i)*step/w.Every.Seconds())
	}
	sum := rate(0) + rate(2*n)
	for i := 1; i < 2*n; i++ {
		sum += float64(2+2*(i%2)) * rate(i)
	}
	return sum * step / 3
}
