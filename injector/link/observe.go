package link

import (
	"fmt"
	"math"
	"time"
)

// Observe counts what a fault that acts between the link and its upstream affects, such as a toxic of another proxy on the
// way. It changes nothing. The zero value of its conditions counts every chunk as affected.
type Observe struct {
	On
	Dir           Dir
	PerConnection bool  // count connections, and not chunks
	Least         int   // smaller chunks are not affected, in bytes
	After         int64 // what comes before so many bytes of the direction, counted from now, is not affected
	Ends          bool  // only the end of a direction is affected
}

// Nothing is a Least that no chunk has.
const Nothing = math.MaxInt

// Observe adds the observation to the link.
func (l *Link) Observe(f Observe) (Heal, error) {
	if f.Least < 0 || f.After < 0 {
		return nil, fmt.Errorf("observe link %q from %d bytes on, in chunks of %d: neither may be negative", l.cfg.Name, f.After, f.Least)
	}
	if err := f.check("observe traffic", l.cfg.Name); err != nil {
		return nil, err
	}
	return l.add(f.On, &stage{dir: f.Dir, perConnection: f.PerConnection, newShape: func(*conn, Dir) shape { return &observer{Observe: f} }}), nil
}

// observer is the shape of Observe.
type observer struct {
	passThrough
	Observe
	carried int64 // bytes of this direction
}

func (o *observer) passed(n int, _ time.Time) error {
	o.carried += int64(n)
	return nil
}

// affects reports whether what passed last is affected: n bytes, or the end of the direction if n is 0.
func (o *observer) affects(n int) bool {
	if o.Ends || n == 0 {
		return o.Ends && n == 0
	}
	return n >= o.Least && o.carried >= o.After
}
