package link

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// Cut is a cut-off: the connections it acts on are blackholed.
type Cut struct {
	On
	Dir Dir
}

// CutOff blackholes one direction or both. Nothing is read or written, and sockets stay open. New
// connections are accepted and receive nothing; the upstream is not dialled while the direction to it
// is cut. Heal releases what was held back, including FIN and RST.
//
// It counts connections. A connection is affected if bytes of it were held for a millisecond, or if
// its dial had to wait that long. It is idle if only its end was held and it was not in use.
func (l *Link) CutOff(f Cut) (Heal, error) {
	if err := f.check("cut off traffic", l.cfg.Name); err != nil {
		return nil, err
	}
	return l.add(f.On, &stage{dir: f.Dir, hold: true, perConnection: true, newShape: func(*conn, Dir) shape { return hold{} }}), nil
}

type hold struct{ passThrough }

func (hold) due(time.Time, int) (time.Time, bool) { return time.Time{}, true }

// handshake is the first byte of a TLS client's first record (RFC 8446, section 5.1).
const handshake = 0x16

// StallTLS makes TLS handshakes hang. On new connections whose client starts TLS, no byte from the
// server arrives until the fault is healed.
func (l *Link) StallTLS(on On) (Heal, error) {
	if err := on.check("stall TLS handshakes", l.cfg.Name); err != nil {
		return nil, err
	}
	return l.add(on, &stage{dir: ToClient, newOnly: true, perConnection: true, newShape: func(c *conn, _ Dir) shape { return tlsStall{handshake: &c.tlsClient} }}), nil
}

type tlsStall struct {
	passThrough
	handshake *atomic.Bool
}

func (s tlsStall) due(arrived time.Time, _ int) (time.Time, bool) { return arrived, s.handshake.Load() }

// HalfOpen makes live connections half-open, as when a machine loses power or a firewall drops a
// connection. Everything that either side sends is discarded, including its FIN or RST, and both sides
// still consider themselves connected. New connections are not affected. Heal resets the selected
// connections, since a stream that lost bytes cannot continue.
//
// A connection is affected if something sent on it was discarded, and idle if Heal reset it without
// that.
func (l *Link) HalfOpen(on On) (Heal, error) {
	if err := on.check("leave connections half-open", l.cfg.Name); err != nil {
		return nil, err
	}
	s := &stage{liveOnly: true, discard: true, perConnection: true, newShape: func(*conn, Dir) shape { return hold{} }}
	heal := l.add(on, s)
	return func(ctx context.Context) error {
		for _, c := range l.chosen(s) {
			l.mu.Lock()
			m := c.mark(s)
			l.mu.Unlock()
			m.touchIdle(s) // has no effect if something was discarded
			_ = c.Reset()
		}
		return heal(ctx)
	}, nil
}

// chosen lists the live connections that a stage acts on.
func (l *Link) chosen(s *stage) []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(l.liveConns(), func(c *conn) bool { return !s.picks(c) })
}
