package link

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is a client's connection, with the stream faults in its two directions.
type conn struct {
	link    *Link
	sock    *socket
	id      uint64
	sending sync.WaitGroup // the writer of the queue to the client
	wg      sync.WaitGroup // readers and writers of the two queues

	in, out queue // to the server (fed by the socket), to the client (fed by Write)

	mu     sync.Mutex
	peer   *socket            // the upstream's, when the byte pump has one
	cancel context.CancelFunc // ends waits before the pump, and the relay
	timers []*time.Timer      // of resets that wait for their time
	marks  map[*stage]*mark   // what live faults know of both directions together; link.mu
	tls    atomic.Bool        // the client's first byte is that of a TLS handshake
	spoke  bool               // the client has sent something; only the reader's
	halves atomic.Int32       // directions that ended in order
	over   atomic.Bool        // closed or reset by us
}

func newConn(l *Link, sock *socket, id uint64) *conn {
	c := &conn{link: l, sock: sock, id: id}
	c.in.init(&l.clock)
	c.out.init(&l.clock)
	return c
}

// ID numbers connections in order of acceptance, from 1.
func (c *conn) ID() uint64 { return c.id }

// Read reads what travels to the server.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.read(p)
	if n > 0 {
		c.link.toServer.Add(int64(n))
	}
	return n, err
}

func (c *conn) read(p []byte) (int, error) {
	for {
		if !c.in.busy() {
			n, err := c.sock.Read(p)
			if errors.Is(err, os.ErrDeadlineExceeded) { // a former reader's wake-up
				_ = c.sock.SetReadDeadline(time.Time{})
				continue
			}
			if !c.divert(p[:n], err) {
				return n, err
			}
			continue
		}
		if n, err, ok := c.in.take(p, false); ok {
			return n, c.ended(err)
		}
	}
}

// divert looks at what came from the client's socket and hands it to the queue if a fault came while we waited: what arrived meets it.
func (c *conn) divert(p []byte, err error) bool {
	if !c.spoke && len(p) > 0 {
		c.spoke = true
		c.tls.Store(p[0] == handshake)
	}
	if !c.in.disturbed.Load() {
		return false
	}
	c.in.put(p, err)
	if err != nil {
		c.in.unfed()
	} else {
		c.wg.Go(c.receive)
	}
	return true
}

// receive feeds the queue to the server from the socket, as long as faults are live; then the socket is read directly again.
func (c *conn) receive() {
	defer c.in.unfed()
	for c.in.room() {
		buf, n, err := c.sock.take()
		if errors.Is(err, os.ErrDeadlineExceeded) && !c.over.Load() {
			_ = c.sock.SetReadDeadline(time.Time{})
			continue
		}
		if err != nil {
			c.in.put(nil, err)
			return
		}
		c.in.put((*buf)[:n], nil)
		buffers.Put(buf)
	}
}

// Write sends towards the client. With a live fault it queues, and reports no error of the socket but at a later call.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.write(p)
	if n > 0 {
		c.link.toClient.Add(int64(n))
	}
	return n, err
}

func (c *conn) write(p []byte) (int, error) {
	if !c.out.disturbed.Load() {
		return c.sock.Write(p)
	}
	if err := c.out.offer(p, nil); err != nil {
		return 0, err
	}
	if c.out.feed() {
		c.sending.Go(c.send)
	}
	return len(p), nil
}

// send empties the queue to the client into the socket, until it is empty and no fault is live.
func (c *conn) send() {
	held := buffers.Get().(*[]byte)
	defer buffers.Put(held)
	buf := *held
	for {
		n, err, ok := c.out.take(buf, true)
		if !ok {
			return
		}
		if n > 0 {
			if _, werr := c.sock.Write(buf[:n]); werr != nil {
				c.out.fail(werr)
				return
			}
		}
		switch err = c.ended(err); {
		case err == nil:
		case errors.Is(err, io.EOF):
			_ = c.sock.CloseWrite()
			c.out.fail(net.ErrClosed)
			return
		default: // the server's reset, or our own end
			_ = c.Reset()
			return
		}
	}
}

// ended carries out what a fault asks for at the end that it set; any other error passes.
func (c *conn) ended(err error) error {
	switch {
	case errors.Is(err, errReset):
		_ = c.Reset()
	case errors.Is(err, errClose):
		c.hangUp()
		return io.EOF
	}
	return err
}

// hangUp ends the connection in order, both ways: what is queued is dropped.
func (c *conn) hangUp() {
	c.in.fail(io.EOF)
	_ = c.sock.CloseWrite()
	c.out.fail(net.ErrClosed)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peer != nil {
		_ = c.peer.CloseWrite()
	}
}

// CloseWrite sends FIN to the client, behind what was written.
func (c *conn) CloseWrite() error {
	if !c.out.disturbed.Load() {
		return c.sock.CloseWrite()
	}
	return c.close(io.EOF)
}

// close queues the end of what goes to the client: io.EOF for FIN, anything else for RST.
func (c *conn) close(end error) error {
	if err := c.out.offer(nil, end); err != nil {
		return err
	}
	if c.out.feed() {
		c.sending.Go(c.send)
	}
	return nil
}

// passReset brings the server's reset to the client behind what a live fault still keeps: silence is also silent about resets.
func (c *conn) passReset() {
	if !c.out.disturbed.Load() || c.close(syscall.ECONNRESET) != nil {
		_ = c.Reset()
	}
}

// Reset sends RST to the client and drops what is queued.
func (c *conn) Reset() error {
	if c.over.Swap(true) {
		return nil
	}
	c.link.rst.Add(1)
	_ = c.sock.SetLinger(0)
	return c.end()
}

// Close closes the client's socket; what is queued is dropped.
func (c *conn) Close() error {
	if c.over.Swap(true) {
		return nil
	}
	return c.end()
}

func (c *conn) end() error {
	err := c.sock.Close()
	c.in.fail(net.ErrClosed)
	c.out.fail(net.ErrClosed)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peer != nil {
		c.peer.reset()
	}
	if c.cancel != nil {
		c.cancel()
	}
	for _, t := range c.timers {
		t.Stop()
	}
	return err
}

// apply puts the stages on both directions that they are meant for.
func (c *conn) apply(stages []*stage) {
	maps.DeleteFunc(c.marks, func(s *stage, _ *mark) bool { return !slices.Contains(stages, s) })
	var in, out []*stage
	for _, s := range stages {
		if !s.picks(c) {
			continue
		}
		if s.dir != ToClient {
			in = append(in, s)
		}
		if s.dir != ToServer {
			out = append(out, s)
		}
	}
	if c.in.set(in, c, ToServer) {
		_ = c.sock.SetReadDeadline(time.Unix(1, 0)) // wakes receive, which gives the socket back
	}
	c.out.set(out, c, ToClient)
}

func (c *conn) LocalAddr() net.Addr  { return c.sock.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr { return c.sock.RemoteAddr() }

// Deadlines are the link's own means of switching and not to be had.
func (c *conn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *conn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *conn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }
