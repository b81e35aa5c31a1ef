package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link/internal/socket"
)

// Refuse closes the port, so that the operating system refuses connects with ECONNREFUSED, and resets
// live connections, as if the listening process had ended. Heal reopens the same port.
//
// A live connection is affected if it was in use when it was reset, that is, if it carried bytes
// within the last second or its client has an unanswered request. Otherwise it is idle.
//
// The kernel counts the connects that it refuses, but only for the whole network namespace. Refused
// connects are therefore estimated as the increase of that counter minus the refused dials of links,
// and only on a link that carried traffic within the ten seconds before the fault. Where there is no
// such counter, on systems other than Linux and for clients in another namespace, refused connects are
// not counted.
func (l *Link) Refuse(count *evidence.Counter) (Heal, error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, fmt.Errorf("refuse connections on link %q: it is closed", l.cfg.Name)
	}
	l.refusals++
	if l.ln != nil {
		l.heldPort = socket.ReservePort(l.ln, l.addr)
		_ = l.ln.Close()
		l.ln = nil
	}
	conns, busy := l.liveConns(), l.usedWithin(recentTraffic)
	l.mu.Unlock()
	for _, c := range conns {
		count.See(1)
		c.resetAndCount(count)
	}
	l.awaitRefusal()
	stop := func() {}
	if kind, _ := network(l.addr); busy && kind == "tcp" {
		stop = l.countRefused(count)
	}
	healed := false
	return func(context.Context) error {
		stop()
		l.mu.Lock()
		defer l.mu.Unlock()
		if healed {
			return nil
		}
		healed = true
		l.refusals--
		return l.reopen()
	}, nil
}

// countRefused counts the connects that the kernel refuses until stop is called. stop may be called
// more than once.
func (l *Link) countRefused(count *evidence.Counter) (stop func()) {
	before, ok := refusedByKernel()
	if !ok {
		return func() {}
	}
	look := func() {
		if now, ok := refusedByKernel(); ok && now > before {
			count.See(now - before)
			count.Touch(now - before)
			before = now
		}
	}
	ctx, cancel := context.WithCancel(l.ctx)
	ended := make(chan struct{})
	l.wg.Go(func() {
		defer close(ended)
		for pause(ctx, 50*time.Millisecond) {
			look()
		}
		look()
	})
	return func() { cancel(); <-ended }
}

// refusedByKernel returns how many connects of this network namespace have failed before they were
// established, without the refused dials of links. ok is false if the number is not available.
func refusedByKernel() (n int64, ok bool) {
	n, ok = socket.FailedConnects()
	return n - refusedDials.Load(), ok
}

// recentTraffic is how recently a link must have carried traffic for refused connects to be attributed
// to its clients.
const recentTraffic = 10 * time.Second

// usedWithin reports whether the link carried bytes within the last d; l.mu is held.
func (l *Link) usedWithin(d time.Duration) bool {
	last := l.lastUse
	for c := range l.conns {
		last = max(last, c.activity.lastByte.Load())
	}
	return last > 0 && nanotime()-last <= int64(d)
}

// resetAndCount resets a connection and counts it as affected if it was in use, else as idle.
func (c *conn) resetAndCount(count *evidence.Counter) {
	if c.inUse() {
		count.Touch(1)
		count.Connection()
	} else {
		count.Idle(1)
	}
	_ = c.Reset()
}

// awaitRefusal waits until the port refuses connects. A closed listener may still accept from its
// backlog for a moment.
func (l *Link) awaitRefusal() {
	network, address := network(l.addr)
	c, err := net.DialTimeout(network, address, time.Second)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		refusedDials.Add(1)
	case err == nil:
		_ = c.Close()
	}
}

// reopen listens on the link's port again unless another Refuse fault is live. l.mu must be held.
func (l *Link) reopen() error {
	if l.closed || l.refusals > 0 || l.ln != nil {
		return nil
	}
	ln, err := l.listen(l.addr)
	l.heldPort.Release()
	l.heldPort = nil
	if err != nil { // not every system allows listening while the port is reserved
		ln, err = l.listen(l.addr)
	}
	if err != nil {
		return fmt.Errorf("reopen the port of link %q: %w", l.cfg.Name, err)
	}
	l.ln = ln
	l.wg.Go(func() { l.accept(ln) })
	return nil
}
