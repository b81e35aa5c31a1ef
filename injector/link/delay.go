package link

import (
	"fmt"
	"math"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Delay delays bytes, in order. By alone is a constant delay; Jitter and Spread make it vary, Ramp lets it grow or shrink, Wave turns it on and off.
type Delay struct {
	On
	Dir    Dir
	By     time.Duration
	Jitter time.Duration // how far the delay strays from By, as Spread says; at most By for Uniform and half of By for the others
	Spread Spread
	Ramp   Ramp
	Wave   Wave
}

// Spread is a distribution of delays. The zero value is Uniform.
type Spread uint8

// Spreads. Delays are never below 0: what a Normal one would have there (a fortieth at the widest jitter) is 0.
const (
	Uniform Spread = iota // evenly between By-Jitter and By+Jitter
	Normal                // mean By, standard deviation Jitter
	Pareto                // mean By, standard deviation Jitter, with a long tail: exponent 3, cut at the 999th of 1,000
)

// Ramp lets a delay go from From to By over Over, evenly, and stay there. The zero value is none.
type Ramp struct{ From, Over time.Duration }

// Wave lets a delay be there for Up and away for Down, in turn, from when the fault comes. The zero value is none.
type Wave struct{ Up, Down time.Duration }

// longest is the longest delay: what is meant to last longer is a cut.
const longest = 24 * time.Hour

// Delay puts a delay on the link. Chunks are counted as affected when they are kept at all.
func (l *Link) Delay(d Delay) (Heal, error) {
	if err := d.check(l.cfg.Name); err != nil {
		return nil, err
	}
	began := time.Now()
	s := &stage{dir: d.Dir, least: 1}
	s.make = func(c *conn, dir Dir) shape { return &delay{Delay: d, seed: s.seedOf(c, dir), start: began} }
	return l.add(d.On, s), nil
}

func (d Delay) check(link string) error {
	bad := func(why string) error {
		return fmt.Errorf("delay link %q by %v, give or take %v: %s", link, d.By, d.Jitter, why)
	}
	most := d.By
	if d.Spread != Uniform {
		most /= 2
	}
	switch {
	case d.By < 0 || d.By > longest, d.By == 0 && d.Ramp.From <= 0:
		return bad(fmt.Sprintf("the delay must be positive and at most %v", longest))
	case d.Spread > Pareto:
		return bad("this spread is not known")
	case d.Jitter < 0 || d.Jitter > most:
		return bad(fmt.Sprintf("the jitter must lie between 0 and %v", most))
	case d.Ramp.From < 0 || d.Ramp.From > longest || d.Ramp.Over < 0 || d.Ramp.Over > longest, d.Ramp.From > 0 && d.Ramp.Over == 0:
		return bad(fmt.Sprintf("a ramp from %v over %v: both lie between 0 and %v, and a ramp takes time", d.Ramp.From, d.Ramp.Over, longest))
	case d.Wave.Up < 0 || d.Wave.Down < 0 || (d.Wave.Up > 0) != (d.Wave.Down > 0) || d.Wave.Up > longest || d.Wave.Down > longest:
		return bad(fmt.Sprintf("a wave that is %v on and %v off: both must be positive, and at most %v", d.Wave.Up, d.Wave.Down, longest))
	}
	return d.On.check("delay", link)
}

// delay is a delay at work.
//
// Independent delays for each chunk cannot be had on a stream: chunks that come faster than the jitter are released in order, each as late as
// the latest before it, which raises the mean and eats the spread (a jitter of 20 ms about 50 ms became 63 ms with a third of the spread). So the
// delay is a process in time whose value at every moment has the distribution asked for and whose slope hardly ever goes below -1, where order
// would be in danger: independent normal numbers stand on a grid, cos and sin weights between two of them keep the variance at 1 everywhere,
// and the normal distribution function turns the value into a uniform one (a Gaussian copula; Nelsen, An Introduction to Copulas, 2006), from which any
// distribution can be had. Chunks further apart than the grid meet independent delays.
type delay struct {
	Delay
	plain
	seed  uint64
	start time.Time
}

// step is the grid's spacing: so many jitters keep the slope above -1 for z' up to four standard deviations; a Pareto tail is steeper at its far end only.
func (d *delay) step() time.Duration {
	return map[Spread]time.Duration{Uniform: 5, Normal: 7, Pareto: 20}[d.Spread] * d.Jitter
}

// at is the delay of what arrives at t.
func (d *delay) at(t time.Time) time.Duration {
	since := max(0, t.Sub(d.start)) // what waited before the fault came meets its beginning
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
	return max(0, by+time.Duration(d.stray(since)*float64(d.Jitter)))
}

// stray is how many jitters the delay is off.
func (d *delay) stray(since time.Duration) float64 {
	step := d.step()
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

// pareto is the quantile function of a Pareto distribution with exponent 3, cut at 0.999 and brought to mean 0 and standard deviation 1.
func pareto(u float64) float64 {
	return (math.Cbrt(1/(1-min(u, 0.999))) - paretoMean) / paretoSpread
}

// The moments of x = (1-u)^(-1/3) with u cut at p = 0.999, where x is 10: the integral up to p, and the rest of the mass at 10.
// E[x] = 3/2 (1 - (1-p)^(2/3)) + 10 (1-p) = 1.495; E[x²] = 3 (1 - (1-p)^(1/3)) + 100 (1-p) = 2.8.
const paretoMean = 1.495

var paretoSpread = math.Sqrt(2.8 - paretoMean*paretoMean)

// normal is the k-th of a fixed row of independent standard normal numbers (Box and Muller's transform, 1958).
func (d *delay) normal(k uint64) float64 {
	radius := math.Sqrt(-2 * math.Log(1-evidence.Draw(d.seed, k, "radius")))
	return radius * math.Cos(2*math.Pi*evidence.Draw(d.seed, k, "angle"))
}

func (d *delay) due(arrived time.Time, _ int) (time.Time, bool) {
	return arrived.Add(d.at(arrived)), false
}

func (d *delay) piece() int                       { return d.plain.piece() }
func (d *delay) passed(n int, at time.Time) error { return d.plain.passed(n, at) }
