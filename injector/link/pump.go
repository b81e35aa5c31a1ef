package link

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector/link/internal/socket"
)

// pump copies in both directions until both have ended, and closes up.
func (c *conn) pump(up *upstream) {
	c.mu.Lock()
	c.peer = up
	c.mu.Unlock()
	if c.closed.Load() {
		up.Reset()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { c.copyTo(up) })
	c.copyFrom(up)
	both.Wait()
	c.sender.Wait() // waits for what is still queued for the client
	c.wg.Wait()
	c.mu.Lock()
	c.peer = nil
	c.mu.Unlock()
	_ = up.Close()
}

// copyTo copies from the client to the server and forwards the end.
func (c *conn) copyTo(up *upstream) {
	srcErr, dstErr := c.carryTo(up)
	switch {
	case dstErr != nil: // the server closed the connection
		c.forwardReset()
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

// copyFrom copies from the server to the client and forwards the end.
func (c *conn) copyFrom(up *upstream) {
	srcErr, dstErr := c.carryFrom(up)
	switch {
	case dstErr != nil: // the client closed the connection
		c.abort(up)
	case srcErr == nil:
		_ = c.CloseWrite()
		c.halfDone(up)
		if c.awaitReset(up.Conn) {
			c.forwardReset()
		}
	default:
		c.forwardReset()
	}
}

// halfDone records the graceful end of one direction. After the second, it wakes the readers of both
// sockets, which have nothing left to wait for.
func (c *conn) halfDone(up *upstream) {
	if c.eofs.Add(1) == 2 {
		past := time.Unix(1, 0)
		_ = c.sock.SetReadDeadline(past)
		_ = up.SetReadDeadline(past)
	}
}

// awaitReset waits, after EOF from a socket, for a reset or for the end of the other direction.
// Healing may wake it with a read deadline, which it clears.
func (c *conn) awaitReset(sock *socket.Conn) bool {
	for c.eofs.Load() < 2 && !c.closed.Load() {
		reset, err := sock.AwaitReset()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return reset
		}
		_ = sock.SetReadDeadline(time.Time{})
	}
	return false
}

// abort forwards a client's reset. The client is reset, too: if a fault is about to do that, it must not
// see an orderly end before.
func (c *conn) abort(up *upstream) {
	up.Reset()
	_ = c.sock.SetLinger(0)
	_ = c.Close()
}

// carryTo copies from the client to up until the stream ends, through the queue while a fault is live.
// srcErr is nil for a graceful end.
func (c *conn) carryTo(up *upstream) (srcErr, dstErr error) {
	for {
		buf, n, err := c.next()
		if n > 0 {
			c.link.toServer.Add(int64(n)) // before the write: afterwards the server may already have answered
			var written int
			if written, dstErr = up.Write((*buf)[:n]); written < n {
				c.countUnwritten(ToServer, int64(n-written))
			}
		}
		// Only after the last byte that the fault allows has been written.
		err = c.applyEnd(err)
		if buf != nil {
			full := n == len(*buf)
			socket.Buffers.Put(buf)
			if full && err == nil && dstErr == nil && !c.in.active.Load() {
				err, dstErr = c.bulk(up.Conn, c.sock, &c.in, ToServer)
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

// next returns the next bytes from the client. The caller returns buf, if not nil, to the pool.
func (c *conn) next() (buf *[]byte, n int, err error) {
	for {
		if c.queued() {
			buf = socket.Buffers.Get().(*[]byte)
			if n, err, ok := c.in.take(*buf, false); ok {
				return buf, n, err
			}
			socket.Buffers.Put(buf)
			continue
		}
		buf, n, err = c.sock.Take()
		if errors.Is(err, os.ErrDeadlineExceeded) { // left over from waking an earlier reader
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
		socket.Buffers.Put(buf)
	}
}

// carryFrom copies from up to the client until the stream ends. srcErr is nil for a graceful end.
func (c *conn) carryFrom(up *upstream) (srcErr, dstErr error) {
	for {
		buf, n, err := up.Take()
		if n > 0 {
			_, dstErr = c.Write((*buf)[:n])
			full := n == len(*buf)
			socket.Buffers.Put(buf)
			if full && dstErr == nil && !c.out.active.Load() {
				err, dstErr = c.bulk(c.sock, up.Conn, &c.out, ToClient)
				up.countEnd(err)
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

// bulk moves bytes from src to dst without copying them, by splice(2), while they arrive without a
// pause and no fault is live. It returns no error if the caller is to continue by copying. Bytes that
// are in the pipe when a fault is added are still sent: like those in the socket buffer, they have
// already left the link.
func (c *conn) bulk(dst, src *socket.Conn, q *queue, d Dir) (srcErr, dstErr error) {
	p := c.link.pipes.Get()
	if p == nil {
		return nil, nil
	}
	defer c.link.pipes.Put(p)
	for !q.active.Load() {
		if srcErr = p.Fill(src); p.Len() == 0 {
			return srcErr, nil
		}
		n := int64(p.Len())
		c.countMoved(d, n)
		if dstErr = p.Drain(dst); dstErr != nil {
			c.countUnwritten(d, int64(p.Len()))
			return nil, dstErr
		}
	}
	return nil, nil
}
