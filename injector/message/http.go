package message

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// serveHTTP carries a connection of HTTP/1.1. One goroutine reads requests and one reads answers; what the client is owed stands in a queue in the
// order of the requests, so that answers given by a rule come in their place.
func serveHTTP(r *Relay, ctx context.Context, client Client, dial Dial) { //nolint:revive // the relay is the receiver in all but name
	up, err := dial(ctx)
	if err != nil {
		_ = client.Reset()
		return
	}
	c := &httpConn{
		relay: r, client: client, up: up, dial: dial,
		cr: bufio.NewReaderSize(client, 16<<10), cw: bufio.NewWriterSize(client, 16<<10),
		ur: bufio.NewReaderSize(up, 16<<10), uw: bufio.NewWriterSize(up, 16<<10),
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.settled = sync.NewCond(&c.mu)
	defer c.finish()
	stop := context.AfterFunc(c.ctx, func() {
		_ = up.Close()
		c.mu.Lock()
		c.settled.Broadcast()
		c.mu.Unlock()
	})
	defer stop()
	c.wg.Go(c.answers)
	c.requests()
	c.wg.Wait()
}

type httpConn struct {
	relay  *Relay
	client Client
	up     net.Conn
	dial   Dial
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	cr, ur *bufio.Reader
	cw, uw *bufio.Writer

	out sync.Mutex // held by whoever writes to the client

	mu      sync.Mutex
	settled *sync.Cond  // an exchange was settled, or the connection's state changed
	owed    []*exchange // in the order of the requests
	seq     uint64
	raw     bool      // both directions are plain bytes from here on
	gone    time.Time // when the client said FIN or RST
	silent  bool      // nothing more in either direction
	ended   bool      // by us
}

// exchange is one request and what the client is owed for it.
type exchange struct {
	msg     message
	head    *head
	start   time.Time
	chosen  chosen
	touched bool          // a rule acted
	skipped string        // why a chosen rule could not
	sent    chan struct{} // closed when the request was passed on or will never be
	local   func() error  // gives the answer without the upstream; nil when the upstream answers
	copy    *copied       // the second delivery
}

// requests reads what the client asks, until it ends.
func (c *httpConn) requests() {
	for {
		if _, err := c.cr.Peek(1); err != nil {
			c.clientGone(err)
			return
		}
		start := time.Now()
		h, err := readHead(c.cr, true)
		if err != nil || h.body == untilClose {
			c.goRaw(h.raw, "not understood as HTTP/1.1")
			return
		}
		x := c.meet(h, start)
		if !c.request(x) {
			return
		}
		if h.upgrade && !c.upgraded(x) {
			return
		}
	}
}

// meet makes a request known and lets the rules choose.
func (c *httpConn) meet(h *head, start time.Time) *exchange {
	c.mu.Lock()
	c.seq++
	seq := c.seq
	c.mu.Unlock()
	c.relay.book(true, func(b *Books) { b.In++ })
	x := &exchange{
		head: h, start: start, sent: make(chan struct{}),
		msg: message{conn: c.client.ID(), seq: seq, method: h.method, path: h.path(), op: h.op(), key: h.key, bytes: len(h.raw)},
	}
	if h.upgrade {
		return x // another protocol is no call
	}
	x.chosen = c.relay.decide(x.msg)
	return x
}

// owe puts the exchange in the queue of what the client is owed.
func (c *httpConn) owe(x *exchange) {
	c.mu.Lock()
	c.owed = append(c.owed, x)
	c.mu.Unlock()
}

// forward passes a request on, with its body from where body writes it.
func (c *httpConn) forward(x *exchange, body func(io.Writer) error) bool {
	defer close(x.sent)
	c.owe(x)
	_, err := c.uw.Write(x.head.raw)
	if err == nil {
		err = body(c.uw)
	}
	if err == nil {
		err = c.uw.Flush()
	}
	var sink sinkError
	switch {
	case err == nil:
		c.relay.book(true, func(b *Books) { b.Out++ })
		c.relay.passed()
		return true
	case errors.Is(err, errNotHTTP):
		c.relay.book(true, func(b *Books) { b.Out++ })
		_ = c.uw.Flush()
		c.goRaw(nil, "a chunked body that is none")
		return false
	case errors.As(err, &sink), c.ctx.Err() != nil:
		c.relay.book(true, func(b *Books) { b.Collateral++ })
		c.drain() // the upstream is gone: answers tells the client how it ended
		return false
	default: // the client broke off in the middle: what came of the request goes on
		_ = c.uw.Flush()
		c.relay.book(true, func(b *Books) { b.Out++ })
		c.clientGone(err)
		return false
	}
}

// stream is the body as the client sends it.
func (c *httpConn) stream(x *exchange) func(io.Writer) error {
	return func(w io.Writer) error {
		if x.head.expects || c.cr.Buffered() == 0 {
			if err := c.uw.Flush(); err != nil {
				return sinkError{err}
			}
		}
		_, err := copyBody(w, c.cr, x.head)
		return err
	}
}

// drain reads away what the client still says, until it ends.
func (c *httpConn) drain() {
	_, err := io.Copy(io.Discard, c.cr)
	c.clientGone(err)
}

// clientGone notes the client's end and passes it on, once no answer is awaited for its own sake.
func (c *httpConn) clientGone(err error) {
	c.mu.Lock()
	if c.gone.IsZero() {
		c.gone = time.Now()
	}
	for !c.ended && !c.silent && c.ctx.Err() == nil && c.detached() {
		c.settled.Wait()
	}
	ended := c.ended || c.silent
	c.mu.Unlock()
	tcp, ok := c.up.(*net.TCPConn)
	switch {
	case ended || !ok:
		c.cancel()
	case err == nil || errors.Is(err, io.EOF):
		_ = tcp.CloseWrite()
	default:
		_ = tcp.SetLinger(0)
		c.cancel()
	}
}

// detached tells whether an exchange goes on whether or not the client is there: its answer is to be read to the end. c.mu is held.
func (c *httpConn) detached() bool {
	for _, x := range c.owed {
		if x.chosen.rule != nil && x.chosen.rule.Do == LoseReply {
			return true
		}
	}
	return false
}

// goRaw passes on what could not be followed, and all that comes after it.
func (c *httpConn) goRaw(first []byte, why string) {
	c.mu.Lock()
	c.raw = true
	c.mu.Unlock()
	c.relay.cfg.Calls(Call{Start: time.Now(), End: time.Now(), Skipped: why})
	_, err := c.uw.Write(first)
	if err == nil {
		_, err = copyAll(c.uw, c.cr)
	}
	_ = c.uw.Flush()
	var sink sinkError
	if errors.As(err, &sink) {
		c.drain()
		return
	}
	c.clientGone(err)
}

// upgraded waits for the answer to a request for another protocol; false when the connection became plain bytes, and has ended.
func (c *httpConn) upgraded(x *exchange) bool {
	c.mu.Lock()
	for !c.raw && c.ctx.Err() == nil && c.owes(x) {
		c.settled.Wait()
	}
	raw := c.raw
	c.mu.Unlock()
	if raw {
		_, err := copyAll(c.uw, c.cr)
		_ = c.uw.Flush()
		c.clientGone(err)
	}
	return !raw
}

func (c *httpConn) owes(x *exchange) bool {
	for _, o := range c.owed {
		if o == x {
			return true
		}
	}
	return false
}

// end ends the client's connection as a rule asks, and with it the exchange's.
func (c *httpConn) end(then Ending) error {
	c.mu.Lock()
	c.ended = then != ThenSilence
	c.silent = then == ThenSilence
	c.settled.Broadcast()
	c.mu.Unlock()
	switch then {
	case ThenClosed:
		_ = c.cw.Flush()
		_ = c.client.CloseWrite()
		_ = c.client.Close()
	case ThenSilence:
	default:
		_ = c.client.Reset()
	}
	if then != ThenSilence {
		c.cancel()
	} else {
		_ = c.up.Close()
	}
	return errEnded
}

// errEnded tells the reader of answers that the connection is over.
var errEnded = errors.New("ended by a rule")

// finish closes the upstream and accounts for what is still owed.
func (c *httpConn) finish() {
	c.cancel()
	_ = c.up.Close()
	c.mu.Lock()
	owed := c.owed
	c.owed = nil
	c.mu.Unlock()
	for _, x := range owed {
		c.report(x, 0)
	}
}

// report tells of a call that is over.
func (c *httpConn) report(x *exchange, status int) {
	if x.head.upgrade {
		return
	}
	c.mu.Lock()
	gone := c.gone
	c.mu.Unlock()
	call := Call{Start: x.start, End: time.Now(), Op: x.msg.op, Status: status, Affected: x.touched, Skipped: x.skipped}
	if !gone.IsZero() {
		call.GaveUp, call.End = true, gone
	}
	c.relay.cfg.Calls(call)
}

// skip records that a chosen rule could not act.
func (c *httpConn) skip(x *exchange, why string) {
	x.skipped = why
	c.relay.tell(x.chosen.rule, x.msg, evidence.Skipped, why)
	x.chosen.rule = nil
}

// canned is an answer given without the upstream.
func canned(status int, retry time.Duration, closing bool) []byte {
	text := fmt.Sprintf("%d injected\n", status)
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n", status, reason(status), len(text))
	if retry > 0 {
		fmt.Fprintf(&b, "Retry-After: %d\r\n", int((retry+time.Second-1)/time.Second))
	}
	if closing {
		b.WriteString("Connection: close\r\n")
	}
	b.WriteString("\r\n")
	if status != 204 && status != 304 {
		b.WriteString(text)
	}
	return []byte(b.String())
}
