package link

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is a client's connection, with the stream faults in its two directions.
type conn struct {
	link    *Link
	sock    *net.TCPConn
	id      uint64
	sending sync.WaitGroup // the writer of the queue to the client
	wg      sync.WaitGroup // readers and writers of the two queues

	in, out queue // to the server (fed by the socket), to the client (fed by Write)

	mu     sync.Mutex
	peer   *net.TCPConn  // the upstream's socket, when the byte pump has one
	resets []*Reset      // waiting for their number of bytes
	armed  atomic.Bool   // resets is not empty
	passed atomic.Int64  // bytes in both directions together
	halves atomic.Int32  // directions that ended in order
	over   atomic.Bool   // closed or reset by us
	done   chan struct{} // closed with over
}

func newConn(l *Link, sock *net.TCPConn, id uint64) *conn {
	c := &conn{link: l, sock: sock, id: id, done: make(chan struct{})}
	c.in.init()
	c.out.init()
	return c
}

// ID numbers connections in order of acceptance, from 1.
func (c *conn) ID() uint64 { return c.id }

// Read reads what travels to the server.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.read(p)
	if n > 0 {
		c.link.toServer.Add(int64(n))
		c.count(int64(n))
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
			if !c.in.takes() {
				return n, err
			}
			c.in.put(p[:n], err) // a fault came while we waited: what arrived meets it
			if err != nil {
				c.in.unfed()
			} else {
				c.wg.Go(c.receive)
			}
			continue
		}
		if n, err, ok := c.in.take(p, false); ok {
			return n, err
		}
	}
}

// receive feeds the queue to the server from the socket, as long as faults are live; then the socket is read directly again.
func (c *conn) receive() {
	buf := make([]byte, 32<<10)
	defer c.in.unfed()
	for c.in.room() {
		n, err := c.sock.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) && !c.over.Load() {
			_ = c.sock.SetReadDeadline(time.Time{})
			continue
		}
		if c.in.put(buf[:n], err); err != nil {
			return
		}
	}
}

// Write sends towards the client. With a live fault it queues, and reports no error of the socket but at a later call.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.write(p)
	if n > 0 {
		c.link.toClient.Add(int64(n))
		c.count(int64(n))
	}
	return n, err
}

func (c *conn) write(p []byte) (int, error) {
	if !c.out.takes() && !c.out.busy() {
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
	buf := make([]byte, 32<<10)
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
		if errors.Is(err, io.EOF) {
			_ = c.sock.CloseWrite()
			c.out.fail(net.ErrClosed)
			return
		}
		if err != nil { // the server's reset, or our own end
			_ = c.Reset()
			return
		}
	}
}

// CloseWrite sends FIN to the client, behind what was written.
func (c *conn) CloseWrite() error {
	if !c.out.takes() && !c.out.busy() {
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
	if (!c.out.takes() && !c.out.busy()) || c.close(syscall.ECONNRESET) != nil {
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
	close(c.done)
	err := c.sock.Close()
	c.in.fail(net.ErrClosed)
	c.out.fail(net.ErrClosed)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peer != nil {
		_ = c.peer.SetLinger(0)
		_ = c.peer.Close()
	}
	return err
}

// apply puts the stages on both directions that they are meant for.
func (c *conn) apply(stages []*stage) {
	var in, out []*stage
	for _, s := range stages {
		if !s.picks(c.link.cfg.Name, c.id) {
			continue
		}
		if s.dir != ToClient {
			in = append(in, s)
		}
		if s.dir != ToServer {
			out = append(out, s)
		}
	}
	if c.in.set(in, c.id, ToServer) {
		_ = c.sock.SetReadDeadline(time.Unix(1, 0)) // wakes receive, which gives the socket back
	}
	c.out.set(out, c.id, ToClient)
}

func (c *conn) LocalAddr() net.Addr  { return c.sock.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr { return c.sock.RemoteAddr() }

// Deadlines are the link's own means of switching and not to be had.
func (c *conn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *conn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *conn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }
