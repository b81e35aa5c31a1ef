package link

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// SlowAccept delays the handling of new connections.
type SlowAccept struct {
	On
	By time.Duration // 0 means until the fault is healed
}

// AcceptSlowly holds back new connections, like a server that is slow to call accept. The client's
// connect succeeds, because the kernel completes it from the backlog, but the upstream is not dialled
// and nothing is read. Live connections are not affected. It counts connections.
func (l *Link) AcceptSlowly(f SlowAccept) (Heal, error) {
	if f.By < 0 || f.By > maxDelay {
		return nil, fmt.Errorf("accept connections of link %q %v late: the delay must not be negative and be at most %v", l.cfg.Name, f.By, maxDelay)
	}
	if err := f.check("accept connections slowly", l.cfg.Name); err != nil {
		return nil, err
	}
	l.mu.Lock()
	g := &gate{chooser: l.newChooser(f.On), by: f.By, healed: make(chan struct{})}
	g.liveIDs = nil // number new connections only
	l.gates = append(slices.Clone(l.gates), g)
	l.mu.Unlock()
	return func(context.Context) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if i := slices.Index(l.gates, g); i >= 0 {
			l.gates = slices.Delete(slices.Clone(l.gates), i, i+1)
			close(g.healed)
		}
		return nil
	}, nil
}

// gate is a live SlowAccept.
type gate struct {
	chooser
	by     time.Duration
	healed chan struct{}
}

// passGates waits at every gate that selects the connection. It returns false if the connection ended
// first.
func (c *conn) passGates(ctx context.Context, gates []*gate) bool {
	for _, g := range gates {
		g.Count.See(1)
		if !g.picks(c.link.cfg.Name, c.id) {
			continue
		}
		if !g.hold(ctx) {
			return false
		}
	}
	return true
}

// hold waits until the delay is over or the fault is healed, and counts the connection as affected if
// it was held noticeably. It returns false if the connection ended first.
func (g *gate) hold(ctx context.Context) bool {
	start, threshold := time.Now(), noticeable
	if g.by > 0 {
		threshold = min(g.by, noticeable)
	}
	if over, ok := g.wait(ctx, threshold); !over || !ok {
		return ok
	}
	g.Count.Touch(1)
	g.Count.Connection()
	if g.by == 0 || g.by > threshold {
		if _, ok := g.wait(ctx, g.by-threshold); !ok {
			return false
		}
	}
	g.Count.Delayed(time.Since(start))
	return true
}

// wait waits until d has passed or the fault is healed. A negative d never passes. over reports
// whether d passed before the fault was healed. ok is false if the connection ended first.
func (g *gate) wait(ctx context.Context, d time.Duration) (over, ok bool) {
	began := time.Now()
	var passed <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		passed = timer.C
	}
	select {
	case <-passed:
		return true, true
	case <-g.healed:
		return d >= 0 && time.Since(began) >= d, true
	case <-ctx.Done():
		return false, false
	}
}
