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

// session is one client: its address and the socket through which the dependency sees it.
type session struct {
	link     *Link
	id       uint64
	client   netip.AddrPort
	down, up *net.UDPConn
	seq      [2]uint64    // by direction; each belongs to the goroutine that reads it
	last     atomic.Int64 // when it carried something, since the link began
	held     atomic.Int64 // datagrams that are kept back
	place    *list.Element
}

// session finds a client's, or makes it. Where there are too many, the one that asked longest ago goes.
func (l *Link) session(conn *net.UDPConn, client netip.AddrPort) (*session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != conn {
		return nil, net.ErrClosed
	}
	if s := l.sessions[client]; s != nil {
		l.order.MoveToFront(s.place)
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
	_ = up.SetReadBuffer(buffer)
	l.ids++
	s := &session{link: l, id: l.ids, client: client, down: conn, up: up}
	s.place = l.order.PushFront(s)
	l.sessions[client] = s
	s.touch()
	l.wg.Go(s.answers)
	return s, nil
}

// evict forgets the client that asked longest ago; l.mu is held.
func (l *Link) evict() {
	l.evicted.Add(1)
	l.end(l.order.Back().Value.(*session))
}

// end lets go of a client; l.mu is held.
func (l *Link) end(s *session) {
	if l.sessions[s.client] == s {
		delete(l.sessions, s.client)
		l.order.Remove(s.place)
		l.kernel.last(s.up)
		_ = s.up.Close()
	}
}

// forget lets go of clients that are idle and for whom nothing is kept back.
func (l *Link) forget() {
	tick := time.NewTicker(l.cfg.idle / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.ctx.Done():
			return
		}
		l.mu.Lock()
		old := int64(time.Since(l.began) - l.cfg.idle)
		for _, s := range l.sessions {
			if s.last.Load() < old && s.held.Load() == 0 {
				l.end(s)
			}
		}
		l.mu.Unlock()
	}
}

func (s *session) touch() { s.last.Store(int64(time.Since(s.link.began))) }

// buffers are lent while there is something to read.
var buffers = sync.Pool{New: func() any { b := make([]byte, largest); return &b }}

// answers carries what the dependency sends to this client.
func (s *session) answers() {
	receive := receiver(s.up)
	for {
		buf, n, err := receive()
		switch {
		case err == nil:
			s.link.meet(s, message.ToClient, (*buf)[:n])
			buffers.Put(buf)
		case errors.Is(err, syscall.ECONNREFUSED):
			s.link.refused.Add(1)
		default: // closed
			return
		}
	}
}

// write hands a datagram to the kernel.
func (l *Link) write(s *session, d message.Dir, b []byte) bool {
	s.touch()
	var err error
	if d == message.ToClient {
		_, err = s.down.WriteToUDPAddrPort(b, s.client)
	} else {
		err = l.ask(s, b)
	}
	if err == nil {
		return true
	}
	l.relay.Book(d, func(b *message.Books) { b.Out--; b.Collateral++ })
	l.fail(err)
	return false
}

// fail counts a datagram that could not be written, unless the link or its port was closed.
func (l *Link) fail(err error) {
	if !errors.Is(err, net.ErrClosed) {
		l.failed.Add(1)
	}
}

// ask writes to the dependency. "Refused" is the answer to a datagram sent before, and the kernel tells it instead of sending this one.
func (l *Link) ask(s *session, b []byte) (err error) {
	for range 3 {
		if _, err = s.up.Write(b); !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		l.refused.Add(1)
	}
	return err
}
