package http1

import (
	"errors"
	"io"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/duplex"
	"github.com/firedrill-dev/firedrill/injector/message/http2"
)

func (c *connection) ReadAnswers() error {
	for first := true; ; first = false {
		if _, err := c.ServerIn.Peek(1); err != nil {
			if c.awaitRedial() {
				continue
			}
			c.countCrossed()
			return err
		}
		if c.unexpected() {
			_, _ = c.ServerIn.Discard(c.ServerIn.Buffered())
			if c.awaitRedial() {
				continue
			}
			return io.EOF
		}
		if first {
			if mux := c.muxed(); mux != nil {
				return mux.ReadAnswers()
			}
		}
		c.BeginWrite()
		if c.EndedByRule() { // discard the remaining output
			_, err := duplex.CopyAll(io.Discard, c.ServerIn)
			return err
		}
		c.Lock()
		x := c.Front()
		c.unsolicited = c.unsolicited || x == nil
		c.Unlock()
		var err error
		if x == nil {
			err = c.passAnswersThrough(nil)
		} else {
			err = c.answer(x)
		}
		if err != nil {
			return err
		}
		c.EndWrite()
	}
}

// passAnswersThrough forwards first and all further output of the upstream unchanged, after output that cannot
// be parsed or was not requested.
func (c *connection) passAnswersThrough(first []byte) error {
	c.EnterPassthrough()
	if err := c.WriteToClient(first); err != nil {
		return err
	}
	_, err := duplex.CopyAll(c.ClientOut, c.ServerIn)
	if err == nil {
		err = io.EOF
	}
	return err
}

// answer reads one answer and forwards it, or applies a rule to it.
func (c *connection) answer(x *exchange) error {
	h := &c.replyHead
	err := h.read(c.ServerIn, false)
	if errors.Is(err, errNotHTTP) {
		return c.passAnswersThrough(h.raw)
	}
	if err != nil {
		_, _ = c.ClientOut.Write(h.raw)
		_ = c.ClientOut.Flush()
		return err
	}
	h.adaptTo(x.head.method)
	if h.interim() {
		return c.flushToClient(c.WriteToClient(h.raw))
	}
	c.Relay.CountPassed(x.Overtaken)
	if h.close || x.head.close || h.body == untilClose {
		c.Lock()
		c.closing = true
		c.Unlock()
	}
	if to := message.RedirectTarget(h.header("Location")); to != "" {
		c.Relay.Told([]byte(to))
	}
	if h.status/100 == 2 {
		if h.guidance = http2.NewGuidance(c.Relay, x.Message.Path); h.guidance != nil {
			h.guidance.Begin(h.header("Content-Encoding"), h.body == chunked)
		}
	}
	if x.Does(message.EditReply) {
		c.Relay.Edit(&x.Exchange, h)
	}
	if x.ReplyIntercepted() {
		return c.Relay.Reply(&x.Exchange, &replyCarrier{connection: c, x: x, bufferedBody: bufferedBody{head: h}})
	}
	c.Relay.BeginReply(&x.Exchange)
	outcome, err := c.pass(x, h)
	c.Relay.EndReply(&x.Exchange, outcome)
	return err
}

// flushToClient flushes ClientOut. It returns err, or a write error if flushing failed.
func (c *connection) flushToClient(err error) error {
	if ferr := c.ClientOut.Flush(); err == nil && ferr != nil {
		return duplex.WriteFailed(ferr)
	}
	return err
}

// pass forwards the answer while it is being received.
func (c *connection) pass(x *exchange, h *head) (message.Outcome, error) {
	switching := h.status == 101 || (x.head.method == "CONNECT" && h.status/100 == 2)
	if switching {
		c.EnterPassthrough() // before the client learns of it
	}
	err := c.beginAnswer(x, h)
	if err == nil && !switching {
		_, err = copyBody(c.ClientOut, c.ServerIn, h)
	}
	return c.finishAnswer(x, h.status, err, switching)
}

// beginAnswer writes the head of an answer. The caller of a stream of events no longer waits: its body may not end.
func (c *connection) beginAnswer(x *exchange, h *head) error {
	err := c.WriteMessage(h.raw)
	if err == nil && (h.body == chunked || h.body == untilClose) && c.ClientClosedAt().IsZero() && http2.IsEventStream(h.header("content-type")) {
		c.Relay.BeginStream(&x.Exchange, h.status)
	}
	return err
}

// finishAnswer flushes the end of an answer and reports the call. It dequeues the call first, so that a client
// that disconnects after reading the whole answer does not count as having given up: the end of the body is
// still buffered here.
func (c *connection) finishAnswer(x *exchange, status int, err error, switching bool) (message.Outcome, error) {
	c.dequeue(x)
	err = c.flushToClient(err)
	outcome := message.Delivered
	if duplex.IsWriteError(err) {
		outcome = message.Collateral
	}
	if err != nil {
		status = 0
	}
	c.Relay.Report(&x.Exchange, status)
	if switching && err == nil || errors.Is(err, errNotHTTP) {
		return outcome, c.passAnswersThrough(nil)
	}
	return outcome, err
}

// dequeue removes a call from the front of the queue.
func (c *connection) dequeue(x *exchange) {
	c.Answered(x)
	x.GaveUpAt = c.ClientClosedAt()
}

// replyCarrier is an answer that a rule acts on. Its head has been read.
type replyCarrier struct {
	*connection
	bufferedBody
	x        *exchange
	progress readProgress
	bytes    int64 // bytes of the body that were read
	err      error // from reading the body
}

// readProgress is how much of an answer read has consumed.
type readProgress uint8

const (
	unread    readProgress = iota // nothing
	buffered                      // as much as there was, into memory
	streamed                      // it was too large, and all but its buffered end was forwarded
	discarded                     // it was discarded
)

func (p *replyCarrier) ServerIdle() { p.markReplyHeld() }

func (p *replyCarrier) String() string { return http2.DescribeReply(p.head.status, p.bytes) }

func (p *replyCarrier) Report(status int) { p.Relay.Report(&p.x.Exchange, status) }

func (p *replyCarrier) End(ending message.Ending, lost func(message.Message)) {
	p.dequeue(p.x)
	p.endExchange(p.x, ending, lost)
}

func (p *replyCarrier) Read(keep bool, skip func(why string)) bool {
	if !keep {
		p.progress = discarded
		p.bytes, p.err = copyBody(nil, p.ServerIn, p.head)
		return p.err == nil
	}
	if why := p.head.endless(p.x.head.method); why != "" {
		skip(why)
		return false
	}
	p.progress = buffered
	into := &duplex.Spill{Limit: int64(maxBuffered), OnOverflow: func() (io.Writer, error) {
		p.progress = streamed
		skip(message.TooLarge(maxBuffered))
		return p.ClientOut, p.WriteMessage(p.head.raw)
	}}
	p.bytes, p.err = copyBody(into, p.ServerIn, p.head)
	p.body = into.Buf
	return p.err == nil && p.progress == buffered
}

func (p *replyCarrier) Forward() (message.Outcome, error) {
	switch p.progress {
	case unread:
		return p.pass(p.x, p.head)
	case discarded:
		return message.HeldBack, p.err // the failure of the server, forwarded as such
	case buffered:
		if err := p.WriteMessage(append(p.head.raw, p.body...)); err != nil {
			p.err = err
		}
	}
	return p.finishAnswer(p.x, p.head.status, p.err, false)
}

func (p *replyCarrier) Deliver(written func()) (message.SecondAnswer, error) {
	return p.connection.deliver(p.x, written)
}
