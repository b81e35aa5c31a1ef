package message

import (
	"bufio"
	"context"
	"errors"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// serveHTTP carries a connection of HTTP/1.1. One goroutine reads requests and never waits for an answer, so that it notices at once when the
// client leaves; one reads answers. What the client is owed stands in a queue in the order of the requests, so that answers given by a rule come in their
// place. A request that a rule keeps waiting does so in a goroutine of its own, for the same reason.
func serveHTTP(r *Relay, ctx context.Context, client Client, dial Dial) { //nolint:revive // the relay is the receiver in all but name
	serveCalls(r, ctx, client, dial, false)
}

// serveCalls carries a connection of HTTP/1.1, or of HTTP/2 if it begins as that; one of gRPC is nothing else.
func serveCalls(r *Relay, ctx context.Context, client Client, dial Dial, grpc bool) { //nolint:revive // as above
	c := &httpConn{dial: dial, grpc: grpc}
	if !c.connect(ctx, r, client, dial) {
		return
	}
	c.cr, c.ur = bufio.NewReaderSize(client, 16<<10), bufio.NewReaderSize(c.up, 16<<10)
	c.carry(ctx, c)
}

// maxOwed bounds the requests that a client sends ahead of their answers; beyond it the connection goes through as plain bytes.
const maxOwed = 1024

type httpConn struct {
	pair   // its lock guards what stands below said, too
	dial   Dial
	grpc   bool // nothing but gRPC is expected
	cr, ur *bufio.Reader
	said   head // of the answer under way

	owed    []*exchange // in the order of the requests
	spoke   bool        // the upstream said something that nobody had asked
	sniffed bool        // the client has said enough to know whether it is HTTP/2
	mux     *h2Conn     // when it is
}

// exchange is one request and what the client is owed for it.
type exchange struct {
	msg     message
	head    head
	start   time.Time
	chosen  chosen
	touched bool          // a rule acted
	skipped string        // why a chosen rule could not
	sent    chan struct{} // closed when a request that waited has met its fate
	local   func()        // gives the answer without the upstream; nil when the upstream answers
	body    []byte        // of a request that is delivered twice
	gone    time.Time     // the client left before it was paid
	passes  []*hold
}

// requests reads what the client says, until it ends.
func (c *httpConn) requests() {
	switch isH2 := c.sniff(); {
	case isH2:
		c.mux.requests()
	case c.cr.Buffered() == 0: // it said nothing
		c.goRaw(nil, "")
	case c.grpc || c.mux != nil:
		c.goRaw(nil, errNotH2.Error())
	default:
		c.readRequests()
	}
}

func (c *httpConn) readRequests() {
	var asked *exchange // for another protocol
	for {
		if _, err := c.cr.Peek(1); err != nil {
			c.clientGone(err)
			return
		}
		x := &exchange{start: time.Now()}
		if asked != nil && c.owes(asked) {
			c.goRaw(nil, "it follows a request for another protocol")
			return
		}
		deaf, opaque, owing := c.state()
		if deaf {
			c.drain()
			return
		}
		if owing >= maxOwed {
			c.goRaw(nil, "more than "+plural(maxOwed, "request")+" wait for an answer")
			return
		}
		h, err := &x.head, error(nil)
		if !opaque {
			err = h.read(c.cr, true)
		}
		switch {
		case errors.Is(err, errNotHTTP):
			c.goRaw(h.raw, strange(h.raw, c.cr))
			return
		case err != nil: // it ended within a head
			_, _ = c.uw.Write(h.raw)
			_ = c.uw.Flush()
			c.clientGone(err)
			return
		case c.opaque():
			c.goRaw(h.raw, c.unasked(h.raw))
			return
		}
		c.meet(x)
		if err := c.request(x); err != nil {
			c.stop(err)
			return
		}
		if h.upgrade {
			asked = x
		}
	}
}

// meet makes a request known and lets the rules choose.
func (c *httpConn) meet(x *exchange) {
	c.seq++ // only here
	h := &x.head
	x.msg = message{conn: c.client.ID(), seq: c.seq, method: h.method, path: h.path(), op: h.op(), key: h.key, bytes: len(h.raw), header: h.header}
	x.chosen = c.relay.decide(x.msg)
	switch r := x.chosen.rule; {
	case r == nil:
	case r.Do == Twice && (h.upgrade || h.expects):
		c.skip(x, "a request that waits for the server's consent cannot be delivered twice")
	case (r.Do == Corrupt || r.Do == Truncate) && h.expects:
		c.skip(x, noPayload)
	}
}

// state tells whether what the client says goes nowhere, or anywhere without being looked at, and how many answers it is owed.
func (c *httpConn) state() (deaf, opaque bool, owing int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended || c.silent || c.lost, c.raw, len(c.owed)
}

func (c *httpConn) owes(x *exchange) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.owed {
		if o == x {
			return true
		}
	}
	return false
}

// unasked is what to tell of a connection on which the upstream spoke first, before raw; "" when it did not.
func (c *httpConn) unasked(raw []byte) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.spoke {
		return ""
	}
	return strange(raw, c.cr)
}

// skip records that a chosen rule could not act.
func (c *httpConn) skip(x *exchange, why string) {
	x.skipped = why
	c.relay.tell(x.chosen.rule, x.msg, evidence.Skipped, why)
	c.mu.Lock()
	x.chosen.rule = nil
	c.mu.Unlock()
}
