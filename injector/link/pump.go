package link

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// pump copies both ways until both are done. It closes up.
func (c *conn) pump(up *net.TCPConn) {
	c.mu.Lock()
	c.peer = up
	c.mu.Unlock()
	var both sync.WaitGroup
	if c.over.Load() {
		_ = up.SetLinger(0)
		_ = up.Close()
		return
	}
	both.Go(func() { c.copyTo(up) })
	c.copyFrom(up)
	both.Wait()
	c.sending.Wait()
	c.wg.Wait() // what is still queued for the client
	c.mu.Lock()
	c.peer = nil
	c.mu.Unlock()
	_ = up.Close()
}

// copyTo carries what travels to the server.
func (c *conn) copyTo(up *net.TCPConn) {
	srcErr, dstErr := transfer(up, c)
	switch {
	case dstErr != nil: // the server is gone
		c.passReset()
	case srcErr == nil:
		_ = up.CloseWrite()
		c.halfDone(up)
		if c.awaitReset(c.sock) {
			c.abort(up)
		}
	default:
		c.abort(up)
	}
}

// copyFrom carries what travels to the client.
func (c *conn) copyFrom(up *net.TCPConn) {
	srcErr, dstErr := transfer(c, up)
	switch {
	case dstErr != nil: // the client is gone
		c.abort(up)
	case srcErr == nil:
		_ = c.CloseWrite()
		c.halfDone(up)
		if c.awaitReset(up) {
			c.passReset()
		}
	default:
		c.passReset()
	}
}

// halfDone notes the orderly end of one direction. With the second, nothing is left to wait for on either socket.
func (c *conn) halfDone(up *net.TCPConn) {
	if c.halves.Add(1) == 2 {
		past := time.Unix(1, 0)
		_ = c.sock.SetReadDeadline(past)
		_ = up.SetReadDeadline(past)
	}
}

// awaitReset waits, behind a socket's orderly end, for a reset or for the other direction's end. Healing wakes it with a deadline meant for
// others, which it clears.
func (c *conn) awaitReset(sock *net.TCPConn) bool {
	for c.halves.Load() < 2 && !c.over.Load() {
		reset, err := awaitReset(sock)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return reset
		}
		_ = sock.SetReadDeadline(time.Time{})
	}
	return false
}

// abort passes a client's reset on.
func (c *conn) abort(up *net.TCPConn) {
	_ = up.SetLinger(0)
	_ = up.Close()
	_ = c.Close()
}

// transfer copies until src ends; a nil srcErr is its orderly end.
func transfer(dst io.Writer, src io.Reader) (srcErr, dstErr error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		n, err := src.Read(*buf)
		if n > 0 {
			if _, werr := dst.Write((*buf)[:n]); werr != nil {
				return nil, werr
			}
		}
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return err, nil
		}
	}
}
