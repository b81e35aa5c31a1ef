package load

import "time"

// demand is the rate that the steps of a scenario requested, as a sequence of stretches. The load is
// compared with it rather than with the schedule, so that an error in the schedule is found.
type demand []stretch

// stretch is a part of the load that starts at at: the rate changes linearly from from to to during
// over, and then stays constant until the next stretch.
type stretch struct {
	at       time.Time
	over     time.Duration
	from, to float64
}

// until returns how many requests were to be sent until end: the integral of the rate.
func (d demand) until(end time.Time) float64 {
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
	ramp := min(length, s.over)
	reached := s.to
	if ramp < s.over {
		reached = s.from + (s.to-s.from)*ramp.Seconds()/s.over.Seconds()
	}
	return (s.from+reached)/2*ramp.Seconds() + s.to*(length-ramp).Seconds()
}
