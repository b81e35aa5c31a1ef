package datagram

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// Refuse closes the port, so that the operating system answers clients with ICMP "port unreachable", which connected sockets see as ECONNREFUSED. Answers
// that are under way are lost, as with a server that ended. Heal opens the same port again.
//
// The evidence is one question of our own that was refused: the kernel counts those of others nowhere that tells them apart.
func (l *Link) Refuse(count *evidence.Counter) (Heal, error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, fmt.Errorf("refuse datagrams on link %q: it is closed", l.cfg.Name)
	}
	l.refuses++
	if l.conn != nil {
		l.port = reserve(l.conn, l.addr)
		l.shut()
	}
	l.mu.Unlock()
	undo := func(context.Context) error { return nil }
	if l.tcp != nil {
		heal, err := l.tcp.Refuse(nil)
		if err != nil {
			return nil, errors.Join(err, l.open())
		}
		undo = heal
	}
	count.See(1)
	if refused(l.addr) {
		count.Touch(1)
	}
	healed := false
	return func(ctx context.Context) error {
		l.mu.Lock()
		again := healed
		healed = true
		l.mu.Unlock()
		if again {
			return nil
		}
		return errors.Join(undo(ctx), l.open())
	}, nil
}

// open ends one Refuse, and listens on the link's port again when it was the last.
func (l *Link) open() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuses--
	if l.closed || l.refuses > 0 || l.conn != nil {
		return nil
	}
	conn, err := listen(l.addr, share)
	if l.port != nil {
		_ = l.port.Close()
		l.port = nil
	}
	if err != nil { // not every system lets it be listened on while it is kept
		conn, err = listen(l.addr, nil)
	}
	if err != nil {
		return fmt.Errorf("open the port of link %q again: %w", l.cfg.Name, err)
	}
	if raw, err := conn.SyscallConn(); err == nil {
		_ = sharing(raw, 0)
	}
	l.conn = conn
	l.wg.Go(func() { l.receive(conn) })
	return nil
}

// reserve keeps the port of a socket, which is closed next, so that there is no moment in which another may be given its number: a socket that is bound to it
// and connected to itself takes datagrams from nobody else, so the kernel still refuses them. It returns nil where that cannot be done; the number may
// then be lost until it is opened again.
func reserve(before *net.UDPConn, addr string) net.Conn {
	at, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil
	}
	if raw, err := before.SyscallConn(); err == nil {
		_ = sharing(raw, 1)
	}
	conn, err := (&net.Dialer{LocalAddr: at, Control: share}).Dial("udp", addr)
	if err != nil {
		return nil
	}
	return conn
}

// refused sends an empty datagram and tells whether the host answers that the port is closed.
func refused(addr string) bool {
	conn, err := net.Dial("udp", addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err = conn.Write(nil); err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// CutOff loses every datagram, in both directions or one. Nothing is kept for later. Of cut, ID, Seed, Count and Dir are used.
func (l *Link) CutOff(cut link.Cut) (Heal, error) {
	var heals []func(context.Context) error
	heal := func(ctx context.Context) error {
		var errs []error
		for _, h := range heals {
			errs = append(errs, h(ctx))
		}
		return errors.Join(errs...)
	}
	for _, d := range []struct {
		other link.Dir
		dir   message.Dir
	}{{link.ToClient, message.ToServer}, {link.ToServer, message.ToClient}} {
		if cut.Dir == d.other {
			continue
		}
		h, err := l.relay.Add(message.Rule{ID: cut.ID, Seed: cut.Seed, Count: cut.Count, Do: message.LoseRequest, Dir: d.dir})
		if err != nil {
			return nil, errors.Join(err, heal(context.Background()))
		}
		heals = append(heals, h)
	}
	if l.tcp != nil {
		h, err := l.tcp.CutOff(cut)
		if err != nil {
			return nil, errors.Join(err, heal(context.Background()))
		}
		heals = append(heals, h)
	}
	return heal, nil
}
