package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Refuse closes the port, so that clients get ECONNREFUSED from the operating system, and resets the connections that live, as the end of a
// listening process does. Heal opens the same port again.
//
// The kernel answers refused connects by itself and counts them nowhere that an unprivileged process may read. The evidence is
// therefore: each live connection that was reset, and one connect of our own that was refused.
func (l *Link) Refuse(count *evidence.Counter) (Heal, error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, fmt.Errorf("refuse connections on link %q: it is closed", l.cfg.Name)
	}
	l.refuses++
	if l.ln != nil {
		l.held = reserve(l.ln, l.addr)
		_ = l.ln.Close()
		l.ln = nil
	}
	conns := l.live()
	l.mu.Unlock()
	for _, c := range conns {
		count.See(1)
		count.Touch(1)
		_ = c.Reset()
	}
	network, address := network(l.addr)
	probe, err := net.DialTimeout(network, address, time.Second)
	count.See(1)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		count.Touch(1)
	case err == nil:
		_ = probe.Close()
	}
	healed := false
	return func(context.Context) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if healed {
			return nil
		}
		healed = true
		l.refuses--
		return l.reopen()
	}, nil
}

// reopen listens on the link's port again, when nothing refuses any longer; l.mu is held.
func (l *Link) reopen() error {
	if l.closed || l.refuses > 0 || l.ln != nil {
		return nil
	}
	ln, err := l.listen(l.addr)
	l.held.release()
	l.held = nil
	if err != nil { // not every system lets it be listened on while it is kept
		ln, err = l.listen(l.addr)
	}
	if err != nil {
		return fmt.Errorf("open the port of link %q again: %w", l.cfg.Name, err)
	}
	l.ln = ln
	l.wg.Go(func() { l.accept(ln) })
	return nil
}
