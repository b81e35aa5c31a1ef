package message

import (
	"errors"
	"io"
	"strconv"
)

// answerLocally writes the answers at the front of the queue that do not come from the upstream. If another
// goroutine owns the writer, it does nothing: that goroutine calls answerLocally when it has finished.
func (c *httpConn) answerLocally() {
	for {
		c.mu.Lock()
		if c.writing || len(c.pending) == 0 || c.pending[0].localAnswer == nil || c.blackholed || c.endedByRule {
			c.mu.Unlock()
			return
		}
		x := c.pending[0]
		c.pending = c.pending[1:]
		x.gaveUpAt = c.clientClosedAt
		c.writing = true
		c.mu.Unlock()
		x.localAnswer()
		c.endWrite()
	}
}

// front takes ownership of cw and returns the call that the upstream answers next, or nil if there is none.
// outputDiscarded means that the output of the upstream no longer goes to the client.
func (c *httpConn) front() (x *httpExchange, outputDiscarded bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writing {
		c.changed.Wait()
	}
	c.writing = true
	outputDiscarded = c.blackholed || c.endedByRule
	if len(c.pending) == 0 || c.pending[0].localAnswer != nil {
		return nil, outputDiscarded
	}
	return c.pending[0], outputDiscarded
}

func (c *httpConn) readAnswers() error {
	for first := true; ; first = false {
		if _, err := c.ur.Peek(1); err != nil {
			if c.awaitRedial() {
				continue
			}
			c.countCrossed()
			return err
		}
		if c.unexpected() {
			_, _ = c.ur.Discard(c.ur.Buffered())
			if c.awaitRedial() {
				continue
			}
			return io.EOF
		}
		if first {
			if mux := c.muxed(); mux != nil {
				return mux.relayAnswers()
			}
		}
		x, outputDiscarded := c.front()
		if outputDiscarded { // discard the remaining output
			_, err := copyAll(io.Discard, c.ur)
			return err
		}
		var err error
		if x == nil {
			c.mu.Lock()
			c.unsolicited = true
			c.mu.Unlock()
			err = c.passAnswersThrough(nil)
		} else {
			err = c.answer(x)
		}
		if err != nil {
			return err
		}
		c.endWrite()
		c.answerLocally()
	}
}

// passAnswersThrough forwards first and all further output of the upstream unchanged, after output that cannot
// be parsed or was not requested.
func (c *httpConn) passAnswersThrough(first []byte) error {
	c.mu.Lock()
	c.passthrough = true
	c.mu.Unlock()
	if err := c.write(first); err != nil {
		return err
	}
	_, err := copyAll(c.cw, c.ur)
	if err == nil {
		err = io.EOF
	}
	return err
}

// answer reads one answer and forwards it, or applies a rule to it.
func (c *httpConn) answer(x *httpExchange) error {
	h := &c.replyHead
	err := h.read(c.ur, false)
	if errors.Is(err, errNotHTTP) {
		return c.passAnswersThrough(h.raw)
	}
	if err != nil {
		_, _ = c.cw.Write(h.raw)
		_ = c.cw.Flush()
		return err
	}
	h.adaptTo(x.head.method)
	if h.interim() {
		return c.flushToClient(c.write(h.raw))
	}
	c.relay.countPassed(x.overtaken)
	if h.close || x.head.close || h.body == untilClose {
		c.mu.Lock()
		c.closing = true
		c.mu.Unlock()
	}
	if len(x.replyDelays) > 0 || x.Rule() != nil {
		return c.relay.reply(&x.Exchange, &httpReply{httpConn: c, x: x, httpBody: httpBody{head: h}})
	}
	t := c.relay.Received(ToClient)
	outcome, err := c.pass(x, h)
	t.End(outcome)
	return err
}

// flushToClient flushes cw. It returns err, or a sinkError if flushing failed.
func (c *httpConn) flushToClient(err error) error {
	if ferr := c.cw.Flush(); err == nil && ferr != nil {
		return sinkError{ferr}
	}
	return err
}

// pass forwards the answer while it is being received.
func (c *httpConn) pass(x *httpExchange, h *head) (Outcome, error) {
	switching := h.status == 101 || (x.head.method == "CONNECT" && h.status/100 == 2)
	if switching {
		c.mu.Lock()
		c.passthrough = true // before the client learns of it
		c.mu.Unlock()
	}
	err := c.writeMessage(h.raw)
	if err == nil && !switching {
		_, err = copyBody(c.cw, c.ur, h)
	}
	return c.finishAnswer(x, h.status, err, switching)
}

// finishAnswer flushes the end of an answer and reports the call. It dequeues the call first, so that a client
// that disconnects after reading the whole answer does not count as having given up: the end of the body is
// still buffered here.
func (c *httpConn) finishAnswer(x *httpExchange, status int, err error, switching bool) (Outcome, error) {
	c.dequeue(x)
	err = c.flushToClient(err)
	outcome := Delivered
	if isSinkError(err) {
		outcome = Collateral
	}
	if err != nil {
		status = 0
	}
	c.relay.report(&x.Exchange, status)
	if switching && err == nil || errors.Is(err, errNotHTTP) {
		return outcome, c.passAnswersThrough(nil)
	}
	return outcome, err
}

// dequeue removes a call from the front of the queue.
func (c *httpConn) dequeue(x *httpExchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) > 0 && c.pending[0] == x {
		c.pending = c.pending[1:]
	}
	x.gaveUpAt = c.clientClosedAt
	c.changed.Broadcast()
}

// httpReply is an answer that a rule acts on. Its head has been read.
type httpReply struct {
	*httpConn
	httpBody
	x        *httpExchange
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

func (p *httpReply) serverIdle() { p.markReplyHeld() }

func (p *httpReply) String() string { return describeReply(p.head.status, p.bytes) }

func (p *httpReply) Report(status int) { p.relay.report(&p.x.Exchange, status) }

func (p *httpReply) End(ending Ending, lost func(Message)) {
	p.dequeue(p.x)
	p.endExchange(p.x, ending, lost)
}

func (p *httpReply) read(keep bool, skip func(why string)) bool {
	if !keep {
		p.progress = discarded
		p.bytes, p.err = copyBody(nil, p.ur, p.head)
		return p.err == nil
	}
	if why := p.head.endless(p.x.head.method); why != "" {
		skip(why)
		return false
	}
	p.progress = buffered
	into := &spill{limit: p.relay.cfg.Whole, onOverflow: func() (io.Writer, error) {
		p.progress = streamed
		skip(p.relay.tooLarge())
		return p.cw, p.writeMessage(p.head.raw)
	}}
	p.bytes, p.err = copyBody(into, p.ur, p.head)
	p.body = into.buf
	return p.err == nil && p.progress == buffered
}

func (p *httpReply) forward() (Outcome, error) {
	switch p.progress {
	case unread:
		return p.pass(p.x, p.head)
	case discarded:
		return HeldBack, p.err // the failure of the server, forwarded as such
	case buffered:
		if err := p.writeMessage(append(p.head.raw, p.body...)); err != nil {
			p.err = err
		}
	}
	return p.finishAnswer(p.x, p.head.status, p.err, false)
}

func (p *httpReply) deliver(written func()) (second, error) { return p.httpConn.deliver(p.x, written) }

func describeReply(status int, n int64) string {
	return "status " + strconv.Itoa(status) + ", " + plural(int(n), "byte")
}
