package message

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// pair is a client's connection and ours to the server for it, and how each of them ended. Both engines are built on it: HTTP's, and that of framed protocols.
type pair struct {
	relay  *Relay
	client Client
	up     net.Conn
	ctx    context.Context
	cancel context.CancelFunc // closes up
	wg     sync.WaitGroup
	engine engine

	cw *bufio.Writer // to the client: whoever has claimed writing
	uw *bufio.Writer // to the server

	mu      sync.Mutex
	changed *sync.Cond // whatever stands below
	writing bool       // somebody writes to the client; the others leave their answers in the queue
	seq     uint64     // of messages
	gone    time.Time  // when the client said FIN or RST
	late    bool       // a message went on to the server after that
	raw     bool       // both directions are plain bytes from here on
	silent  bool       // a rule: nothing more in either direction
	ended   bool       // a rule ended the client's connection
	lost    bool       // a write to the server did not succeed
	mute    bool       // the server has nothing more to say
}

// engine is what protocols differ in.
type engine interface {
	requests()          // reads what the client says, until it ends
	readAnswers() error // reads what the server says, until it ends
	detached() bool     // whether an answer is to be read to its end though the client is not there any more; mu is held
	unpaid()            // tells of all that the client is owed and will not get
}

// connect dials the server; false when it refused, of which the client has been told.
func (c *pair) connect(ctx context.Context, r *Relay, client Client, dial Dial) bool {
	up, err := dial(ctx)
	if err != nil {
		_ = client.Reset()
		return false
	}
	c.relay, c.client, c.up = r, client, up
	c.cw, c.uw = bufio.NewWriterSize(client, 16<<10), bufio.NewWriterSize(up, 16<<10)
	c.changed = sync.NewCond(&c.mu)
	return true
}

// carry serves the connection until both sides have ended, or ctx.
func (c *pair) carry(ctx context.Context, e engine) {
	c.engine = e
	defer context.AfterFunc(ctx, func() { _ = c.client.Reset() })()
	c.ctx, c.cancel = context.WithCancel(ctx)
	defer c.finish()
	defer context.AfterFunc(c.ctx, func() {
		_ = c.up.Close()
		c.mu.Lock()
		c.changed.Broadcast()
		c.mu.Unlock()
	})()
	c.wg.Go(c.answers)
	e.requests()
	c.wg.Wait()
}

// finish closes the server's side and tells of what is still owed.
func (c *pair) finish() {
	c.cancel()
	_ = c.up.Close()
	c.engine.unpaid()
}

// answers reads what the server says, until it ends, and tells the client how it ended.
func (c *pair) answers() {
	err := c.engine.readAnswers()
	c.mu.Lock()
	over, lost := c.ended || c.silent, c.lost
	c.mute = true
	c.changed.Broadcast()
	c.mu.Unlock()
	if over {
		return
	}
	c.engine.unpaid()
	var sink sinkError
	if !errors.As(err, &sink) && orderly(err) && !lost {
		_ = c.client.CloseWrite()
		return
	}
	if errors.As(err, &sink) { // the client is gone
		c.leave()
		c.abort()
	}
	_ = c.client.Reset()
	c.cancel()
}

// serverGone notes that nothing can be said to the server any more; answers tells the client how it ended, once it has passed on what came before.
func (c *pair) serverGone() {
	c.mu.Lock()
	c.lost = true
	mute := c.mute && !c.ended && !c.silent
	c.mu.Unlock()
	if mute {
		_ = c.client.Reset()
	}
}

// clientGone notes the client's end and passes it on, once no answer is awaited for its own sake.
func (c *pair) clientGone(err error) {
	c.leave()
	c.mu.Lock()
	for !c.ended && !c.silent && !c.mute && c.ctx.Err() == nil && c.engine.detached() {
		c.changed.Wait()
	}
	over, late := c.ended || c.silent, c.late
	c.mu.Unlock()
	if !over && (orderly(err) || late) { // a reset would take back what has just gone on, if the server did not read it yet
		if half, ok := c.up.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
			return
		}
	}
	if !over {
		c.abort()
	}
	c.cancel()
}

func orderly(err error) bool {
	return err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// leave notes when the client left of its own accord.
func (c *pair) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone.IsZero() && !c.ended {
		c.gone = time.Now()
	}
}

// abort makes the server's end a reset.
func (c *pair) abort() {
	if up, ok := c.up.(interface{ SetLinger(int) error }); ok {
		_ = up.SetLinger(0)
	}
}

// opaque tells whether both directions are plain bytes.
func (c *pair) opaque() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raw
}

// deaf tells whether nothing that the client says goes anywhere.
func (c *pair) deaf() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended || c.silent || c.lost
}

// sleep waits for delays one by one, each cut short when its rule heals, and tells whether there were any.
func (c *pair) sleep(delays []wait, m message) (slept bool) {
	for _, d := range delays {
		if !c.relay.delay(c.ctx, d, m) {
			break
		}
		slept = true
	}
	if slept {
		c.outlived(m)
	}
	return slept
}

// hold keeps a message until its rule is healed, or the connection ends.
func (c *pair) hold(l *live, m message) {
	c.relay.tell(l, m, evidence.Held, "until healed")
	l.Count.Touch(1)
	if c.until(l) {
		c.relay.tell(l, m, evidence.Released, "")
		c.outlived(m)
	}
}

// reorder keeps a message until others passed it, as the relay's does.
func (c *pair) reorder(rule *live, m message) (skipped string, touched bool) {
	defer c.outlived(m)
	return c.relay.reorder(c.ctx, rule, m)
}

// outlived notes that a message goes on to the server though its client has left.
func (c *pair) outlived(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = c.late || (m.dir == ToServer && !c.gone.IsZero())
}

// until waits for a rule to be healed; false when the connection ended first.
func (c *pair) until(l *live) bool {
	select {
	case <-l.healed:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// write says something to the client; writing is claimed.
func (c *pair) write(p []byte) error {
	if _, err := c.cw.Write(p); err != nil {
		return sinkError{err}
	}
	return nil
}

// written gives the writing to the client up.
func (c *pair) written() {
	c.mu.Lock()
	c.writing = false
	c.changed.Broadcast()
	c.mu.Unlock()
}
