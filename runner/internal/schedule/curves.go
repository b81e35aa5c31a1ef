package schedule

import "math"

// ramp is a rate that changes linearly from from to to within over seconds, and then stays to.
type ramp struct{ from, to, over float64 }

// slope returns the change of the rate per second.
func (r ramp) slope() float64 {
	if r.over <= 0 {
		return 0
	}
	return (r.to - r.from) / r.over
}

func (r ramp) integral(x float64) float64 {
	changing := min(x, r.over)
	return r.from*changing + r.slope()*changing*changing/2 + r.to*(x-changing)
}

func (r ramp) reach(n float64) float64 {
	if r.from <= 0 && r.to <= 0 {
		return math.Inf(1)
	}
	if whole := r.integral(r.over); n > whole || r.over <= 0 {
		if r.to <= 0 {
			return math.Inf(1)
		}
		return r.over + (n-whole)/r.to
	}
	// The smaller solution of from*x + slope*x*x/2 = n, in a form that is exact where from or slope is
	// near zero.
	root := math.Sqrt(max(0, r.from*r.from+2*r.slope()*n))
	if r.from+root <= 0 {
		return 0
	}
	return min(2*n/(r.from+root), r.over)
}

// swing is the rate mean + amplitude*sin(phase + 2*pi*x/every). It is never below zero.
type swing struct{ mean, amplitude, phase, every float64 }

func (s swing) integral(x float64) float64 {
	return s.mean*x + s.amplitude*s.every/(2*math.Pi)*(math.Cos(s.phase)-math.Cos(s.phase+2*math.Pi*x/s.every))
}

// reach bisects, since the integral has no inverse in closed form. It never strays further from that
// of the mean than the area of half a period.
func (s swing) reach(n float64) float64 {
	if s.mean <= 0 {
		return math.Inf(1)
	}
	stray := s.amplitude * s.every / math.Pi
	low, high := max(0, (n-stray)/s.mean), (n+stray)/s.mean
	for high-low > 1e-9 {
		middle := (low + high) / 2
		if middle <= low || middle >= high { // as close as numbers are
			break
		}
		if s.integral(middle) < n {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}
