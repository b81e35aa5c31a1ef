package link

import (
	"fmt"
	"math"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Delay delays bytes and keeps their order. By alone is a constant delay. Jitter and Spread make it
// vary, Ramp makes it grow or shrink, and Wave switches it on and off.
type Delay struct {
	On
	Dir Dir
	By  time.Duration
	// Jitter is the deviation from By, as defined by Spread. It is at most By for Uniform and half of By
	// otherwise.
	Jitter time.Duration
	Spread Spread
	Ramp   Ramp
	Wave   Wave

	anyJitter bool // Jitter may be above By, which may be 0: the delay is 0 where it would be negative
}

// Spread is a distribution of delays. The zero value is Uniform.
type Spread uint8

// Spreads. Delays are never negative: where Normal would give a negative delay (2.5% of the time at
// the largest jitter), the delay is 0.
const (
	Uniform Spread = iota // evenly distributed between By-Jitter and By+Jitter
	Normal                // mean By, standard deviation Jitter
	// Pareto has mean By, standard deviation Jitter and a long tail: exponent 3, cut at the 99.9th percentile.
	Pareto
)

// Ramp changes a delay linearly from From to By during Over, after which it stays at By. The zero
// value means no ramp.
type Ramp struct{ From, Over time.Duration }

// Wave alternates between Up with the delay and Down without, starting when the fault is added. The
// zero value means no wave.
type Wave struct{ Up, Down time.Duration }

// maxDelay is the longest delay. Use a cut-off for longer outages.
const maxDelay = 24 * time.Hour

// Delay adds a delay to the link. Chunks that are held at all are affected.
func (l *Link) Delay(d Delay) (Heal, error) {
	if err := d.check(l.cfg.Name); err != nil {
		return nil, err
	}
	began := time.Now()
	s := &stage{dir: d.Dir, minHeld: 1}
	s.newShape = func(c *conn, dir Dir) shape { return &delay{Delay: d, seed: s.seedOf(c, dir), start: began} }
	return l.add(d.On, s), nil
}

func (d Delay) check(link string) error {
	bad := func(why string) error {
		return fmt.Errorf("delay link %q by %v, give or take %v: %s", link, d.By, d.Jitter, why)
	}
	most := d.By
	switch {
	case d.anyJitter:
		most = maxDelay
	case d.Spread != Uniform:
		most /= 2
	}
	switch {
	case d.By < 0 || d.By > maxDelay, d.By == 0 && d.Ramp.From <= 0 && !(d.anyJitter && d.Jitter > 0):
		return bad(fmt.Sprintf("the delay must be positive and at most %v", maxDelay))
	case d.Spread > Pareto:
		return bad("unknown spread")
	case d.Jitter < 0 || d.Jitter > most:
		return bad(fmt.Sprintf("the jitter must be between 0 and %v", most))
	case d.Ramp.From < 0 || d.Ramp.From > maxDelay || d.Ramp.Over < 0 || d.Ramp.Over > maxDelay, d.Ramp.From > 0 && d.Ramp.Over == 0:
		return bad(fmt.Sprintf("a ramp from %v over %v: both must be between 0 and %v, and a ramp must take time", d.Ramp.From, d.Ramp.Over, maxDelay))
	case d.Wave.Up < 0 || d.Wave.Down < 0 || (d.Wave.Up > 0) != (d.Wave.Down > 0) || d.Wave.Up > maxDelay || d.Wave.Down > maxDelay:
		return bad(fmt.Sprintf("a wave that is %v on and %v off: both must be positive and at most %v", d.Wave.Up, d.Wave.Down, maxDelay))
	}
	return d.On.check("delay", link)
}

// delay is the shape of Delay.
//
// A stream does not allow independent delays for each chunk. Chunks that arrive faster than the jitter
// are released in order, each at least as late as its predecessor. That raises the mean and reduces
// the spread: a jitter of 20 ms about 50 ms became 63 ms with a third of the spread.
//
// So the delay is a function of time. At every moment its value has the requested distribution, and
// its slope almost never falls below -1, where chunks would overtake each other. Independent normal
// random numbers stand on a time grid. Cosine and sine weights between two neighbours keep the
// variance at 1 everywhere. The normal distribution function turns the value into a uniform one (a
// Gaussian copula; Nelsen, An Introduction to Copulas, 2006), from which any distribution can be
// derived. Chunks further apart than the grid have independent delays.
type delay struct {
	Delay
	passThrough
	seed  uint64
	start time.Time
}

// gridStep returns the spacing of the grid, a multiple of the jitter. It keeps the slope above -1
// for derivatives of z up to four standard deviations. For Pareto, the slope can be steeper only at
// the far end of the tail.
func (d *delay) gridStep() time.Duration {
	return map[Spread]time.Duration{Uniform: 5, Normal: 7, Pareto: 20}[d.Spread] * d.Jitter
}

// delayAt returns the delay of bytes that arrive at t.
func (d *delay) delayAt(t time.Time) time.Duration {
	// Bytes that arrived before the fault was added get the initial delay.
	since := max(0, t.Sub(d.start))
	if up := d.Wave.Up; up > 0 && since%(up+d.Wave.Down) >= up {
		return 0
	}
	by := d.By
	if over := d.Ramp.Over; since < over {
		by = d.Ramp.From + time.Duration(float64(d.By-d.Ramp.From)*float64(since)/float64(over))
	}
	if d.Jitter == 0 {
		return by
	}
	return max(0, by+time.Duration(d.deviation(since)*float64(d.Jitter)))
}

// deviation returns the deviation from the mean delay, in multiples of the jitter.
func (d *delay) deviation(since time.Duration) float64 {
	step := d.gridStep()
	k := since / step
	angle := math.Pi / 2 * float64(since%step) / float64(step)
	z := math.Cos(angle)*d.normal(uint64(k)) + math.Sin(angle)*d.normal(uint64(k)+1)
	uniform := 0.5 * (1 + math.Erf(z/math.Sqrt2))
	switch d.Spread {
	case Normal:
		return z
	case Pareto:
		return pareto(uniform)
	default:
		return 2*uniform - 1
	}
}

// pareto is the quantile function of a Pareto distribution with exponent 3, cut at 0.999 and
// normalized to mean 0 and standard deviation 1.
func pareto(u float64) float64 {
	return (math.Cbrt(1/(1-min(u, 0.999))) - paretoMean) / paretoSpread
}

// Moments of x = (1-u)^(-1/3), with u cut at p = 0.999, where x is 10. Each is the integral up to p
// plus the remaining mass at 10:
// E[x] = 3/2 (1 - (1-p)^(2/3)) + 10 (1-p) = 1.495;
// E[x²] = 3 (1 - (1-p)^(1/3)) + 100 (1-p) = 2.8.
const paretoMean = 1.495

var paretoSpread = math.Sqrt(2.8 - paretoMean*paretoMean)

// normal returns the k-th of a fixed sequence of independent standard normal numbers (Box-Muller
// transform, 1958).
func (d *delay) normal(k uint64) float64 {
	radius := math.Sqrt(-2 * math.Log(1-evidence.Draw(d.seed, k, "radius")))
	return radius * math.Cos(2*math.Pi*evidence.Draw(d.seed, k, "angle"))
}

func (d *delay) due(arrived time.Time, _ int) (time.Time, bool) {
	return arrived.Add(d.delayAt(arrived)), false
}

func (d *delay) maxPiece() int                    { return d.passThrough.maxPiece() }
func (d *delay) passed(n int, at time.Time) error { return d.passThrough.passed(n, at) }
