package datagram

import (
	"container/list"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// session is one client: its address, and the socket for its traffic with the dependency.
type session struct {
	link       *Link
	id         uint64
	client     netip.AddrPort
	down, up   *net.UDPConn
	seq        [2]uint64    // by direction; each is used only by the goroutine that reads that direction
	lastActive atomic.Int64 // nanoseconds since the link was opened
	held       atomic.Int64 // number of held datagrams
	element    *list.Element
}

// session returns the session of a client, creating it if necessary. If there are too many, it evicts the one
// that was used least recently.
func (l *Link) session(conn *net.UDPConn, client netip.AddrPort) (*session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != conn {
		return nil, net.ErrClosed
	}
	if s := l.sessions[client]; s != nil {
		l.recency.MoveToFront(s.element)
		return s, nil
	}
	for len(l.sessions) >= l.cfg.sessions {
		l.evict()
	}
	up, err := net.DialUDP("udp", nil, l.upstream)
	if errors.Is(err, syscall.EMFILE) && len(l.sessions) > 0 {
		l.evict()
		up, err = net.DialUDP("udp", nil, l.upstream)
	}
	if err != nil {
		return nil, err
	}
	_ = up.SetReadBuffer(socketBuffer)
	l.lastID++
	s := &session{link: l, id: l.lastID, client: client, down: conn, up: up}
	s.element = l.recency.PushFront(s)
	l.sessions[client] = s
	s.markActive()
	l.wg.Go(s.readAnswers)
	return s, nil
}

// evict ends the session that was used least recently. l.mu is held.
func (l *Link) evict() {
	l.evicted.Add(1)
	l.endSession(l.recency.Back().Value.(*session))
}

// endSession ends a session. l.mu is held.
func (l *Link) endSession(s *session) {
	if l.sessions[s.client] == s {
		delete(l.sessions, s.client)
		l.recency.Remove(s.element)
		l.kernel.countClosed(s.up)
		_ = s.up.Close()
	}
}

// expireIdle ends sessions that are idle and have no held datagrams.
func (l *Link) expireIdle() {
	tick := time.NewTicker(l.cfg.idle / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.ctx.Done():
			return
		}
		l.mu.Lock()
		old := int64(time.Since(l.openedAt) - l.cfg.idle)
		for _, s := range l.sessions {
			if s.lastActive.Load() < old && s.held.Load() == 0 {
				l.endSession(s)
			}
		}
		l.mu.Unlock()
	}
}

func (s *session) markActive() { s.lastActive.Store(int64(time.Since(s.link.openedAt))) }

// buffers are used only while a datagram is processed.
var buffers = sync.Pool{New: func() any { b := make([]byte, maxDatagram); return &b }}

// readAnswers reads the dependency's datagrams for this client.
func (s *session) readAnswers() {
	receive := receiver(s.up)
	for {
		buf, n, err := receive()
		switch {
		case err == nil:
			s.link.handle(s, message.ToClient, (*buf)[:n])
			buffers.Put(buf)
		case errors.Is(err, syscall.ECONNREFUSED):
			s.link.refused.Add(1)
		default: // the socket was closed
			return
		}
	}
}

// write writes a datagram to its destination.
func (l *Link) write(s *session, d message.Dir, b []byte) message.Outcome {
	s.markActive()
	var err error
	if d == message.ToClient {
		_, err = s.down.WriteToUDPAddrPort(b, s.client)
	} else {
		err = l.writeUpstream(s, b)
	}
	if err == nil {
		l.relay.Wrote(d)
		return message.Delivered
	}
	l.countFailure(err)
	return message.Collateral
}

// countFailure counts a datagram that could not be written, unless the link or its port was closed.
func (l *Link) countFailure(err error) {
	if !errors.Is(err, net.ErrClosed) {
		l.failed.Add(1)
	}
}

// writeUpstream writes to the dependency. ECONNREFUSED refers to an earlier datagram, and the kernel reports it
// instead of sending this one.
func (l *Link) writeUpstream(s *session, b []byte) (err error) {
	for range 3 {
		if _, err = s.up.Write(b); !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		l.refused.Add(1)
	}
	return err
}
