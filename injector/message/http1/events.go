package http1

import (
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/duplex"
	"github.com/firedrill-dev/firedrill/injector/message/http2"
)

// NoEvents implements message.EventCarrier. The events are those of text/event-stream, or the chunks of any other
// answer that is chunked.
func (p *replyCarrier) NoEvents() string {
	h, ofServer := p.head, http2.IsEventStream(p.head.header("content-type"))
	switch coding := h.header("content-encoding"); {
	case h.status == 101, p.x.head.method == "CONNECT" && h.status/100 == 2:
		return "another protocol follows"
	case h.body == noBody:
		return message.NoPayload
	case ofServer && coding != "" && !strings.EqualFold(coding, "identity"):
		return "its events are encoded: " + coding
	case !ofServer && h.body != chunked:
		return http2.NoStream
	}
	return ""
}

// errCut ends the copying of an answer that a rule cuts.
var errCut = errors.New("cut by a rule")

// ForwardEvents implements message.EventCarrier.
func (p *replyCarrier) ForwardEvents(n uint64, reached func(events uint64) bool) (message.Outcome, error) {
	w := &eventWriter{to: p.ClientOut, left: n, reached: func() bool { return reached(n) }}
	if http2.IsEventStream(p.head.header("content-type")) {
		w.events = &http2.ServerEvents{}
	}
	if p.head.body == chunked {
		w.events = &chunks{events: w.events}
	}
	err := p.beginAnswer(p.x, p.head)
	if err == nil {
		_, err = copyBody(w, p.ServerIn, p.head)
	}
	if errors.Is(err, errCut) {
		return message.Collateral, nil
	}
	if w.left > 0 {
		reached(n - w.left)
	}
	return p.finishAnswer(p.x, p.head.status, err, false)
}

// eventWriter forwards a body and calls reached once, after an event.
type eventWriter struct {
	to interface {
		io.Writer
		Flush() error
	}
	events  http2.Events
	left    uint64      // events until reached is called; 0 if it was
	reached func() bool // reports whether the rest is forwarded, too
}

func (w *eventWriter) Flush() error { return w.to.Flush() }

func (w *eventWriter) Write(p []byte) (n int, err error) {
	for w.left > 0 {
		size, ended := w.events.Next(p[n:])
		if n += size; !ended {
			break
		}
		if w.left--; w.left > 0 {
			continue
		}
		if n, err = w.to.Write(p[:n]); err == nil {
			err = w.to.Flush()
		}
		if err == nil && !w.reached() {
			err = errCut
		}
		if err != nil {
			return n, err
		}
		size, err = w.to.Write(p[n:])
		return n + size, err
	}
	return w.to.Write(p)
}

// chunks finds the events in a chunked body, which includes its framing.
type chunks struct {
	events http2.Events // of the payload; nil means that each chunk is an event
	left   int64        // of the current chunk
	inside bool         // the line after the payload of a chunk comes next
	over   bool         // the last chunk has come
	line   []byte
}

// Next implements http2.Events.
func (c *chunks) Next(p []byte) (n int, ended bool) {
	for n < len(p) {
		if c.left > 0 {
			part := p[n : n+int(min(int64(len(p)-n), c.left))]
			size := len(part)
			if c.events != nil {
				size, ended = c.events.Next(part)
			}
			n, c.left = n+size, c.left-int64(size)
			if ended {
				return n, true
			}
			continue
		}
		b := p[n]
		n++
		if c.line = append(c.line, b); b == '\n' && c.endLine() {
			return n, true
		}
	}
	return n, false
}

// endLine evaluates a line of the framing. It reports whether a chunk that is an event ends with it.
func (c *chunks) endLine() bool {
	digits, _, _ := strings.Cut(string(duplex.TrimLine(c.line)), ";")
	c.line = c.line[:0]
	switch {
	case c.over:
		return false
	case c.inside:
		c.inside = false
		return c.events == nil
	}
	size, err := strconv.ParseInt(strings.TrimRight(digits, " \t"), 16, 63)
	c.left, c.inside, c.over = size, true, err != nil || size == 0 // invalid ones are not copied here
	return false
}
