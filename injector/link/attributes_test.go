package link

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/link/internal/clock"
)

// FuzzAttributes checks that no attribute crashes the process, and that every fault with accepted
// attributes forwards bytes.
func FuzzAttributes(f *testing.F) {
	f.Add(int64(50e6), int64(20e6), int64(1000), int64(10), 0.5, uint8(1), uint8(1))
	f.Add(int64(-1), int64(0), int64(-1), int64(-1), math.NaN(), uint8(7), uint8(7))
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64), math.Inf(1), uint8(0), uint8(2))
	f.Add(int64(24*time.Hour), int64(12*time.Hour), int64(1), int64(0), 1.0, uint8(2), uint8(1))
	f.Add(int64(math.MinInt64), int64(math.MinInt64), int64(math.MinInt64), int64(math.MinInt64), 0.0, uint8(2), uint8(255))
	f.Add(int64(1), int64(1<<30), int64(1<<30), int64(1<<30-1), 1e-300, uint8(1), uint8(0))
	f.Fuzz(func(t *testing.T, a, b, c, d int64, share float64, dir, spread uint8) {
		on := On{ID: "f", Share: share, First: uint64(a) & 3, From: uint64(b) & 3} //nolint:gosec // any bits will do
		to := Dir(dir)
		for name, put := range map[string]func(l *Link) (Heal, error){
			"delay": func(l *Link) (Heal, error) {
				return l.Delay(Delay{On: on, Dir: to, By: time.Duration(a), Jitter: time.Duration(b), Spread: Spread(spread)})
			},
			"ramp": func(l *Link) (Heal, error) {
				return l.Delay(Delay{On: on, Dir: to, By: time.Duration(a), Jitter: time.Duration(b), Spread: Spread(spread), Ramp: Ramp{From: time.Duration(c), Over: time.Duration(d)}})
			},
			"wave": func(l *Link) (Heal, error) {
				return l.Delay(Delay{On: on, Dir: to, By: time.Duration(a), Jitter: time.Duration(b), Wave: Wave{Up: time.Duration(c), Down: time.Duration(d)}})
			},
			"bandwidth":        func(l *Link) (Heal, error) { return l.Limit(Bandwidth{On: on, Dir: to, Rate: a}) },
			"shared bandwidth": func(l *Link) (Heal, error) { return l.Limit(Bandwidth{On: on, Dir: to, Rate: a, Shared: true}) },
			"slices": func(l *Link) (Heal, error) {
				return l.Slice(Slices{On: on, Dir: to, Size: int(a), Vary: int(b), Apart: time.Duration(c)})
			},
			"close":          func(l *Link) (Heal, error) { return l.CloseAfter(EarlyClose{On: on, Dir: to, AfterBytes: a}) },
			"close slowly":   func(l *Link) (Heal, error) { return l.CloseSlowly(SlowClose{On: on, Dir: to, By: time.Duration(a)}) },
			"accept slowly":  func(l *Link) (Heal, error) { return l.AcceptSlowly(SlowAccept{On: on, By: time.Duration(a)}) },
			"half-open":      func(l *Link) (Heal, error) { return l.HalfOpen(on) },
			"cut off":        func(l *Link) (Heal, error) { return l.CutOff(Cut{On: on, Dir: to}) },
			"stalled TLS":    func(l *Link) (Heal, error) { return l.StallTLS(on) },
			"reset by bytes": func(l *Link) (Heal, error) { return l.Reset(Reset{On: on, AfterBytes: a}) },
			"reset by time":  func(l *Link) (Heal, error) { return l.Reset(Reset{On: on, After: time.Duration(a)}) },
			"reset by both":  func(l *Link) (Heal, error) { return l.Reset(Reset{On: on, AfterBytes: a, After: time.Duration(b)}) },
		} {
			l := unboundLink()
			l.ids = 2
			heal, err := put(l)
			if !(share >= 0 && share <= 1) || (on.First > 0 && on.From > on.First) {
				require.Error(t, err, name)
			}
			if err != nil {
				require.ErrorContains(t, err, `"a -> b"`, name)
				require.Empty(t, l.stages, name)
				require.Empty(t, l.resets, name)
				require.Empty(t, l.gates, name)
				continue
			}
			exercise(t, name, l, ToServer)
			exercise(t, name, l, ToClient)
			require.NoError(t, heal(t.Context()))
			require.Empty(t, l.stages, name)
		}
	})
}

// exercise passes bytes through the live stages of a link. Each try must yield bytes, return a
// positive wait, or end the direction.
func exercise(t *testing.T, name string, l *Link, d Dir) {
	t.Helper()
	for _, id := range []uint64{1, 3} { // one connection that was live and one that was not
		c := &conn{link: l, id: id}
		var stages []*stage
		for _, s := range l.stages {
			if s.picks(c) && (s.dir == Both || s.dir > ToClient || s.dir == d) {
				stages = append(stages, s)
			}
		}
		for _, g := range l.gates {
			g.picks(l.cfg.Name, id)
		}
		for _, r := range l.resets {
			r.picks(l.cfg.Name, id)
		}
		var q queue
		q.init(nil)
		q.set(stages, c, d)
		q.enqueueData(make([]byte, 100))
		got := 0
		for range 5 {
			n, err, wait, state := q.try(make([]byte, 64), false)
			got += n
			require.LessOrEqual(t, n, 64, name)
			require.LessOrEqual(t, got, 100, name)
			if state == waiting {
				require.Positive(t, wait, name)
				require.LessOrEqual(t, wait, clock.Forever+100*365*24*time.Hour, name)
				break
			}
			if state == empty {
				require.True(t, got == 100 || got == 0 && len(stages) > 0, name) // all bytes passed, or all were discarded
				break
			}
			require.True(t, n > 0 || err != nil, name)
			if err != nil {
				break
			}
		}
		q.fail(errClose)
	}
}
