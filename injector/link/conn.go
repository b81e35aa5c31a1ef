package link

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/firedrill-dev/firedrill/injector/link/internal/socket"
)

// conn is a client's connection with the stream faults of both directions.
type conn struct {
	link   *Link
	sock   *socket.Conn
	id     uint64
	sender group          // the goroutine that writes the queue to the client
	wg     sync.WaitGroup // the goroutines that read and write the two queues

	in, out queue // to the server, filled by the socket; to the client, filled by Write

	mu           sync.Mutex
	peer         *upstream           // the upstream socket while the byte pump runs
	cancel       context.CancelFunc  // cancels the relay and waits before the pump
	timers       map[any]*time.Timer // delayed actions, by fault
	marks        map[*stage]*mark    // state of faults for both directions together; guarded by link.mu
	tlsClient    atomic.Bool         // the first byte from the client is that of a TLS handshake
	sawFirstByte bool                // the client has sent a byte; used by the reader only
	eofs         atomic.Int32        // directions that ended gracefully
	activity     activity            // recent activity and pending requests
	closed       atomic.Bool         // closed or reset by us
}

func newConn(l *Link, sock *socket.Conn, id uint64) *conn {
	c := &conn{link: l, sock: sock, id: id}
	c.in.init(l.clock)
	c.out.init(l.clock)
	c.activity.dialingSince.Store(nanotime())
	return c
}

// ID returns the number of the connection in order of acceptance, from 1.
func (c *conn) ID() uint64 { return c.id }

// Read reads bytes on their way to the server.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.read(p)
	if n > 0 {
		c.link.toServer.Add(int64(n))
	}
	return n, err
}

func (c *conn) read(p []byte) (int, error) {
	for {
		if !c.queued() {
			n, err := c.sock.Read(p)
			if errors.Is(err, os.ErrDeadlineExceeded) { // left over from waking an earlier reader
				_ = c.sock.SetReadDeadline(time.Time{})
				continue
			}
			if !c.divert(p[:n], err) {
				return n, err
			}
			continue
		}
		if n, err, ok := c.in.take(p, false); ok {
			return n, c.applyEnd(err)
		}
	}
}

// divert moves what was read from the client's socket to the queue if a fault was added during the
// read, so that the fault acts on it. It reports whether it did.
func (c *conn) divert(p []byte, err error) bool {
	c.observe(p, err)
	if !c.in.active.Load() {
		return false
	}
	c.in.put(p, err)
	if err != nil {
		c.in.releaseWorker()
	} else {
		c.wg.Go(c.receive)
	}
	return true
}

// observe records the first byte, the activity and the end of the client's stream.
func (c *conn) observe(p []byte, err error) {
	if len(p) > 0 {
		c.activity.noteSent()
	}
	if err != nil {
		c.activity.clientClosed.Store(true)
	}
	if !c.sawFirstByte && len(p) > 0 {
		c.sawFirstByte = true
		c.tlsClient.Store(p[0] == handshake)
	}
}

// queued reports whether bytes to the server must be taken from the queue. A live custom toxic must be
// fed even before the client has sent anything, because it may produce output by itself.
func (c *conn) queued() bool {
	if c.in.claimForToxic() {
		c.wg.Go(c.receive)
	}
	return c.in.busy()
}

// receive fills the queue to the server from the socket while faults are live. Afterwards the socket
// is read directly again.
func (c *conn) receive() {
	defer c.in.releaseWorker()
	for c.in.awaitRoom() {
		buf, n, err := c.sock.Take()
		if errors.Is(err, os.ErrDeadlineExceeded) && !c.closed.Load() {
			_ = c.sock.SetReadDeadline(time.Time{})
			continue
		}
		if err != nil {
			c.observe(nil, err)
			c.in.put(nil, err)
			return
		}
		c.observe((*buf)[:n], nil)
		c.in.put((*buf)[:n], nil)
		socket.Buffers.Put(buf)
	}
}

// Write sends p to the client. While a fault is live it only queues p, and a socket error is returned
// by a later call.
func (c *conn) Write(p []byte) (int, error) {
	if len(p) > 0 { // before the write: afterwards the client may already send its next request
		c.link.toClient.Add(int64(len(p)))
		c.activity.noteAnswer()
	}
	n, err := c.write(p)
	if n < len(p) {
		c.countUnwritten(ToClient, int64(len(p)-n))
	}
	return n, err
}

func (c *conn) write(p []byte) (int, error) {
	if !c.out.active.Load() {
		return c.sock.Write(p)
	}
	if err := c.out.offer(p, nil); err != nil {
		return 0, err
	}
	c.startSending()
	return len(p), nil
}

// startSending starts a goroutine that empties the queue to the client, unless one is running.
func (c *conn) startSending() {
	c.sender.Go(c.out.claimWorker, c.send)
}

// send writes the queue to the client's socket until the queue is empty and no fault is live.
func (c *conn) send() {
	held := socket.Buffers.Get().(*[]byte)
	defer socket.Buffers.Put(held)
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
		switch err = c.applyEnd(err); {
		case err == nil:
		case errors.Is(err, io.EOF):
			_ = c.sock.CloseWrite()
			c.out.fail(net.ErrClosed)
			return
		default: // a reset, or our own close
			c.awaitAcknowledged()
			_ = c.Reset()
			return
		}
	}
}

// applyEnd carries out the end that a fault has set for the stream. Any other error is returned
// unchanged.
func (c *conn) applyEnd(err error) error {
	switch {
	case errors.Is(err, errReset):
		_ = c.Reset()
	case errors.Is(err, errClose):
		c.closeGracefully()
		return io.EOF
	}
	return err
}

// closeGracefully sends FIN in both directions and drops what is queued.
func (c *conn) closeGracefully() {
	c.in.fail(io.EOF)
	_ = c.sock.CloseWrite()
	c.out.fail(net.ErrClosed)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peer != nil {
		_ = c.peer.CloseWrite()
	}
}

// CloseWrite sends FIN to the client after everything written so far.
func (c *conn) CloseWrite() error {
	if !c.out.active.Load() {
		return c.sock.CloseWrite()
	}
	return c.queueEnd(io.EOF)
}

// queueEnd queues the end of the stream to the client: io.EOF for FIN, any other error for RST.
func (c *conn) queueEnd(end error) error {
	if err := c.out.offer(nil, end); err != nil {
		return err
	}
	c.startSending()
	return nil
}

// finishOutput ends the output of a relay that did not close it, since toxics may be waiting for more,
// and waits until everything is written.
func (c *conn) finishOutput() {
	if c.out.toxicsNeedEnd() {
		_ = c.queueEnd(io.EOF)
	}
	c.sender.Wait() // includes what stream faults still hold back
}

// forwardReset sends the server's reset to the client after what live faults still hold back. A
// blackholed direction holds back resets too.
func (c *conn) forwardReset() {
	if !c.out.active.Load() || c.queueEnd(syscall.ECONNRESET) != nil {
		_ = c.Reset()
	}
}

// ResetAfterWrites sends RST to the client after everything written so far.
func (c *conn) ResetAfterWrites() error {
	if c.out.active.Load() && c.queueEnd(syscall.ECONNRESET) == nil {
		return nil
	}
	c.awaitAcknowledged()
	return c.Reset()
}

// awaitAcknowledged waits until the client's kernel has what was written, since a reset discards the rest. A client
// that does not read is not waited for beyond acknowledgedWithin.
func (c *conn) awaitAcknowledged() {
	for began := time.Now(); c.sock.Unacknowledged() > 0 && !c.closed.Load() && time.Since(began) < acknowledgedWithin; {
		time.Sleep(time.Millisecond)
	}
}

const acknowledgedWithin = 2 * time.Second

// Reset sends RST to the client and drops what is queued.
func (c *conn) Reset() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.link.rst.Add(1)
	_ = c.sock.SetLinger(0)
	return c.shutDown()
}

// Close closes the client's socket and drops what is queued.
func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	return c.shutDown()
}

func (c *conn) shutDown() error {
	err := c.sock.Close()
	c.in.fail(net.ErrClosed)
	c.out.fail(net.ErrClosed)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peer != nil {
		c.peer.Reset()
	}
	if c.cancel != nil {
		c.cancel()
	}
	for _, t := range c.timers {
		t.Stop()
	}
	c.timers = nil
	return err
}

// apply sets the stages of both directions. link.mu must be held.
func (c *conn) apply(stages []*stage) {
	var in, out []*stage
	for s := range c.marks {
		if !slices.Contains(stages, s) {
			delete(c.marks, s)
			c.cancelTimer(s)
		}
	}
	for _, s := range stages {
		if !s.picks(c) {
			continue
		}
		if m := c.mark(s); s.expireAfter > 0 && !m.armed {
			m.armed = true
			c.startTimer(s, s.expireAfter, func() { c.expire(s, m) })
		}
		if s.dir != ToClient {
			in = append(in, s)
		}
		if s.dir != ToServer {
			out = append(out, s)
		}
	}
	if c.in.set(in, c, ToServer) {
		_ = c.sock.SetReadDeadline(time.Unix(1, 0)) // wakes receive, which then returns the socket to direct reads
	}
	c.out.set(out, c, ToClient)
}

func (c *conn) LocalAddr() net.Addr  { return c.sock.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr { return c.sock.RemoteAddr() }

// Deadlines are not supported: the link itself uses them to wake readers.
func (c *conn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *conn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *conn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }
