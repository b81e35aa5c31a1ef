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

// Refuse closes the port, so that the operating system answers clients with ICMP "port unreachable", which
// connected sockets see as ECONNREFUSED. Answers in transit are lost, as if a server had ended. Heal opens the
// same port again.
//
// The evidence is a single datagram sent by the link and refused: the kernel does not count the refused
// datagrams of others separately.
func (l *Link) Refuse(count *evidence.Counter) (Heal, error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, fmt.Errorf("refuse datagrams on link %q: it is closed", l.cfg.Name)
	}
	l.refusing++
	if l.conn != nil {
		l.reserved = reserve(l.conn, l.addr)
		l.closePort()
	}
	l.mu.Unlock()
	healTCP := func(context.Context) error { return nil }
	if l.tcp != nil {
		heal, err := l.tcp.Refuse(nil)
		if err != nil {
			return nil, errors.Join(err, l.reopen())
		}
		healTCP = heal
	}
	count.See(1)
	if portRefused(l.addr) {
		count.Touch(1)
	}
	healed := false
	return func(ctx context.Context) error {
		l.mu.Lock()
		done := healed
		healed = true
		l.mu.Unlock()
		if done {
			return nil
		}
		return errors.Join(healTCP(ctx), l.reopen())
	}, nil
}

// reopen ends one Refuse fault. It opens the link's port again if it was the last one.
func (l *Link) reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusing--
	if l.closed || l.refusing > 0 || l.conn != nil {
		return nil
	}
	conn, err := listen(l.addr, share)
	if l.reserved != nil {
		_ = l.reserved.Close()
		l.reserved = nil
	}
	if err != nil { // some systems do not permit listening on a reserved port
		conn, err = listen(l.addr, nil)
	}
	if err != nil {
		return fmt.Errorf("open the port of link %q again: %w", l.cfg.Name, err)
	}
	if raw, err := conn.SyscallConn(); err == nil {
		_ = setShared(raw, 0)
	}
	l.conn = conn
	l.wg.Go(func() { l.receive(conn) })
	return nil
}

// reserve reserves the port of a socket that is about to be closed, so that no other process can get it. A
// socket that is bound to the port and connected to itself receives datagrams from no other address, so the
// kernel still refuses them. It returns nil if the port cannot be reserved; another process may then take it
// before it is opened again.
func reserve(before *net.UDPConn, addr string) net.Conn {
	at, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil
	}
	if raw, err := before.SyscallConn(); err == nil {
		_ = setShared(raw, 1)
	}
	conn, err := (&net.Dialer{LocalAddr: at, Control: share}).Dial("udp", addr)
	if err != nil {
		return nil
	}
	return conn
}

// portRefused sends an empty datagram and reports whether the host answers that the port is closed.
func portRefused(addr string) bool {
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

// CutOff loses all datagrams, in both directions or in one. It uses the fields ID, Seed, Count and Dir of cut.
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
		h, err := l.relay.Add(message.Rule{ID: cut.ID, Seed: cut.Seed, Count: cut.Count, Action: message.LoseRequest, Dir: d.dir})
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
