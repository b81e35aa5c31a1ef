package link

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// SlowAccept keeps new connections waiting.
type SlowAccept struct {
	On
	By time.Duration // 0 means until the fault is healed
}

// AcceptSlowly lets new connections wait before anybody answers on them: the upstream is not dialled and nothing is read, as with a server that
// does not come to its accept. The client's own connect succeeds, since the kernel completes it from the backlog. Live connections go on. It counts connections.
func (l *Link) AcceptSlowly(f SlowAccept) (Heal, error) {
	if f.By < 0 || f.By > longest {
		return nil, fmt.Errorf("accept connections of link %q %v late: the delay must not be negative and be at most %v", l.cfg.Name, f.By, longest)
	}
	if err := f.check("accept connections slowly", l.cfg.Name); err != nil {
		return nil, err
	}
	l.mu.Lock()
	g := &gate{chooser: l.chooser(f.On), by: f.By, healed: make(chan struct{})}
	g.live = nil // it numbers new connections only
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

// pass waits at every gate that chose the connection; false when the connection ended first.
func (c *conn) pass(ctx context.Context, gates []*gate) bool {
	for _, g := range gates {
		g.Count.See(1)
		if !g.picks(c.link.cfg.Name, c.id) {
			continue
		}
		g.Count.Touch(1)
		g.Count.Connection()
		began, by := time.Now(), g.by
		if by == 0 {
			by = forever
		}
		if !c.stay(ctx, g, by) {
			return false
		}
		g.Count.Delayed(time.Since(began))
	}
	return true
}

func (c *conn) stay(ctx context.Context, g *gate, by time.Duration) bool {
	timer := time.NewTimer(by)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-g.healed:
	case <-ctx.Done():
		return false
	}
	return true
}
