package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/firedrill-dev/firedrill/injector/link/internal/socket"
)

// unixPrefix marks an address as the path of a Unix socket.
const unixPrefix = "unix:"

// network splits an address into the arguments of net.Listen and net.Dial.
func network(addr string) (network, address string) {
	if path, ok := strings.CutPrefix(addr, unixPrefix); ok {
		return "unix", path
	}
	return "tcp", addr
}

// listen disables keep-alive, so that the link never ends a connection by itself.
func (l *Link) listen(addr string) (net.Listener, error) {
	network, address := network(addr)
	if network == "unix" {
		if err := removeStaleSocket(address); err != nil {
			return nil, err
		}
	}
	ln, err := (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), network, address)
	if err == nil {
		l.keepSocketFile(ln)
	}
	return ln, err
}

func (l *Link) accept(ln net.Listener) {
	counted := false
	for {
		// Leave free descriptors to the dials of accepted connections.
		for l.shortages.Load() > 0 && pause(l.ctx, retryPause) {
		}
		sock, err := ln.Accept()
		if err != nil {
			if l.ctx.Err() != nil || isClosed(err) {
				return
			}
			if !counted && socket.IsLocalLimit(err) {
				l.countLocalLimit(err)
			}
			counted = true
			_ = pause(l.ctx, retryPause)
			continue
		}
		counted = false
		c, gates, ok := l.admit(ln, sock)
		if !ok {
			return
		}
		l.wg.Go(func() {
			l.handle(c, gates)
			l.removeConn(c)
		})
	}
}

// admit registers a new connection and applies the live faults to it. It returns false if the port was
// closed in the meantime.
func (l *Link) admit(ln net.Listener, raw net.Conn) (*conn, []*gate, bool) {
	sock, err := socket.New(raw)
	if err != nil {
		_ = raw.Close()
		return nil, nil, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.ln != ln {
		sock.Reset()
		return nil, nil, false
	}
	l.ids++
	l.opened.Add(1)
	c := newConn(l, sock, l.ids)
	l.conns[c] = struct{}{}
	if len(l.stages) > 0 {
		c.apply(l.stages)
	}
	for _, r := range l.resets {
		c.arm(r)
	}
	return c, l.gates, true
}

// maxSocketPath is the longest path that the kernel accepts for a Unix socket: 107 bytes on Linux, 103
// on macOS.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// removeStaleSocket removes a socket file that an ended process has left at path. It returns an error
// if the socket is in use, or the file is not a socket.
func removeStaleSocket(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("listen at %q: the path has %d bytes, but the system allows only %d: choose a shorter one, such as in /tmp", path, len(path), maxSocketPath)
	}
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listen at %q: %w", path, err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("listen at %q: the file there is not a socket: remove it, or choose another path", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen at %q: another process listens there: end it, or choose another path", path)
	}
	return os.Remove(path)
}

// keepSocketFile makes the socket file outlive the listener, because connects are refused only while
// the file exists, and records which file it is. It does nothing for TCP.
func (l *Link) keepSocketFile(ln net.Listener) {
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
		l.socketFile, _ = os.Lstat(u.Addr().String())
	}
}

// removeSocketFile removes the link's socket file, unless another file has replaced it.
func (l *Link) removeSocketFile() {
	path, ok := strings.CutPrefix(l.addr, unixPrefix)
	if !ok || l.socketFile == nil {
		return
	}
	if info, err := os.Lstat(path); err == nil && os.SameFile(info, l.socketFile) {
		_ = os.Remove(path)
	}
}
