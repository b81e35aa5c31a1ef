package link

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// pump copies both ways until both are done. It closes up.
func (c *conn) pump(up *socket) {
	c.mu.Lock()
	c.peer = up
	c.mu.Unlock()
	if c.over.Load() {
		up.reset()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { c.copyTo(up) })
	c.copyFrom(up)
	both.Wait()
	c.sending.Wait() // what is still queued for the client
	c.wg.Wait()
	c.mu.Lock()
	c.peer = nil
	c.mu.Unlock()
	_ = up.Close()
}

// copyTo carries what travels to the server.
func (c *conn) copyTo(up *socket) {
	srcErr, dstErr := c.carryTo(up)
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
func (c *conn) copyFrom(up *socket) {
	srcErr, dstErr := c.carryFrom(up)
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
func (c *conn) halfDone(up *socket) {
	if c.halves.Add(1) == 2 {
		past := time.Unix(1, 0)
		_ = c.sock.SetReadDeadline(past)
		_ = up.SetReadDeadline(past)
	}
}

// awaitReset waits, behind a socket's orderly end, for a reset or for the other direction's end. Healing wakes it with a deadline meant for
// others, which it clears.
func (c *conn) awaitReset(sock *socket) bool {
	for c.halves.Load() < 2 && !c.over.Load() {
		reset, err := awaitReset(sock.raw)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return reset
		}
		_ = sock.SetReadDeadline(time.Time{})
	}
	return false
}

// abort passes a client's reset on.
func (c *conn) abort(up *socket) {
	up.reset()
	_ = c.Close()
}

// carryTo copies what the client says to up, through the queue while a fault is live, until it ends; a nil srcErr is an orderly end.
func (c *conn) carryTo(up *socket) (srcErr, dstErr error) {
	for {
		buf, n, err := c.next()
		if n > 0 {
			_, dstErr = up.Write((*buf)[:n])
			c.link.toServer.Add(int64(n))
		}
		err = c.ended(err) // behind the last byte that may pass
		if buf != nil {
			full := n == len(*buf)
			buffers.Put(buf)
			if full && err == nil && dstErr == nil && !c.in.disturbed.Load() {
				err, dstErr = c.bulk(up, c.sock, &c.in, &c.link.toServer)
			}
		}
		switch {
		case dstErr != nil:
			return nil, dstErr
		case err == io.EOF: //nolint:errorlint // the connection's own end
			return nil, nil
		case err != nil:
			return err, nil
		}
	}
}

// next is what the client says next, in a buffer that the caller gives back, if there is one.
func (c *conn) next() (buf *[]byte, n int, err error) {
	for {
		if c.queued() {
			buf = buffers.Get().(*[]byte)
			if n, err, ok := c.in.take(*buf, false); ok {
				return buf, n, err
			}
			buffers.Put(buf)
			continue
		}
		buf, n, err = c.sock.take()
		if errors.Is(err, os.ErrDeadlineExceeded) { // a former reader's wake-up
			_ = c.sock.SetReadDeadline(time.Time{})
			continue
		}
		if buf == nil {
			if !c.divert(nil, err) {
				return nil, 0, err
			}
			continue
		}
		if !c.divert((*buf)[:n], err) {
			return buf, n, err
		}
		buffers.Put(buf)
	}
}

// carryFrom copies what up says to the client, until it ends; a nil srcErr is an orderly end.
func (c *conn) carryFrom(up *socket) (srcErr, dstErr error) {
	for {
		buf, n, err := up.take()
		if n > 0 {
			_, dstErr = c.Write((*buf)[:n])
			full := n == len(*buf)
			buffers.Put(buf)
			if full && dstErr == nil && !c.out.disturbed.Load() {
				err, dstErr = c.bulk(c.sock, up, &c.out, &c.link.toClient)
			}
		}
		switch {
		case dstErr != nil:
			return nil, dstErr
		case err == io.EOF: //nolint:errorlint // the connection's own end
			return nil, nil
		case err != nil:
			return err, nil
		}
	}
}
