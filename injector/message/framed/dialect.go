package framed

import (
	"bufio"
	"errors"
	"io"
	"net"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/duplex"
)

// Dialect parses one connection of a framed protocol: message boundaries, the properties of messages, and which
// answer belongs to which request. It is all that a new protocol must implement; the faults, pairing and
// evidence are common to all (see Serve). A dialect may also implement Refuser, ClosesAfterRefusal, Trimmer,
// Rewriter, Guide and IdleReporter.
//
// Feed is called by two goroutines, one for each direction, and must keep separate state for each. The other
// methods are never called concurrently.
type Dialect interface {
	// Feed consumes input of one direction piece by piece. It returns how many bytes of b belong to the current
	// message, and whether the message ends there; if it does not, n is len(b). An error means that the input
	// cannot be parsed: it passes through unchanged, as does everything after it.
	Feed(d message.Dir, b []byte) (n int, whole bool, err error)
	// Inspect returns the properties of a message. For a message that is too large, raw is its beginning. front
	// is the request that the server answers next, or nil.
	Inspect(d message.Dir, raw []byte, front *Frame) Frame
	// Sent is called for each message to the server when it is written, in the order of writing and after
	// inspect.
	Sent(f *Frame)
}

// Kind is the role of a message.
type Kind uint8

const (
	Control  Kind = iota // forwarded without consulting the rules
	Request              // has an answer
	Response             // belongs to the request at the front of the queue
	OneWay               // neither; with an ID it may have an answer or be one
)

// Frame holds the properties of a message.
type Frame struct {
	Kind              Kind
	Method, Path, Key string
	Final             bool   // Response: the last message of the answer
	ID                string // OneWay: the ID that its answer will carry, or that of the message it answers
	Exempt            bool   // not subject to rules, such as handshakes; as an answer, it is never lost
	Immune            string // why only delays, and losses that end the connection, may act on it now
	Payload           [2]int // its range in the message; 0, 0 means no payload
	Uncuttable        bool   // the payload cannot be truncated
	Detail            string // of an answer, for the evidence: "integer 2", "status 409"; never a body
	Header            func(name string) string
	// OnlyByName makes a message, such as the opening of a connection, subject only to rules that name its
	// method. Otherwise it does not count as a call.
	OnlyByName bool
	Blocking   bool                        // its answer comes when something happens elsewhere; see message.Call
	Blocks     func(message.Action) string // returns why an action may not act on it now, or ""; may be nil
}

// Refuser generates an error of the protocol as the answer to a request.
type Refuser interface {
	Refuse(code string, f Frame) ([]byte, error)
}

// ClosesAfterRefusal marks a refuser whose errors end the connection.
type ClosesAfterRefusal interface{ ClosesConnection() }

// Trimmer truncates the payload of a message to keep bytes and adjusts its framing.
type Trimmer interface {
	Trim(f Frame, raw []byte, keep int) []byte
}

// Rewriter changes messages to the client that would make it bypass the link. via is the link's address as seen
// by the client.
type Rewriter interface {
	Rewrite(raw []byte, via net.Addr) []byte
}

// Guide reports whether a message to the client tells it where other servers are. request is the method of the request
// that it answers, or "". raw may be the beginning of a large message.
type Guide interface {
	Guides(request string, raw []byte) bool
}

// IdleReporter reports whether a copy of an earlier request may be sent between messages now.
type IdleReporter interface{ Idle() bool }

// ErrNotUnderstood means that the input cannot be parsed. Errors that wrap it say why.
var ErrNotUnderstood = errors.New("not understood")

// frames reads the messages of one direction.
type frames struct {
	r           *bufio.Reader
	dialect     Dialect
	dir         message.Dir
	passthrough func() bool  // reports whether the connection is no longer parsed
	idle        func() error // called before a read that may block
	part        []byte       // of a message that was not buffered as a whole
	used        int          // bytes of the reader's buffer that the last message took
	partial     bool         // copyRest must be called for the rest of a large message
}

// next returns the next message; raw is valid until the next call. Of a large message it returns only the
// beginning, and copyRest copies the rest. After an error, raw is an incomplete message, or the input that could
// not be parsed (ErrNotUnderstood).
func (f *frames) next() (raw []byte, large bool, err error) {
	f.part = f.part[:0]
	for {
		b, err := f.more(f.idle)
		if err != nil {
			return f.part, false, err
		}
		n, whole, err := 0, false, ErrNotUnderstood
		if !f.passthrough() {
			n, whole, err = f.dialect.Feed(f.dir, b)
		}
		switch {
		case err != nil:
			f.part = append(f.part, b...)
			f.used = len(b)
			return f.part, false, err
		case whole && len(f.part) == 0:
			f.used = n
			return b[:n], false, nil
		}
		f.part = append(f.part, b[:n]...)
		f.used = n
		if whole {
			return f.part, false, nil
		}
		if len(f.part) > message.MaxBuffered {
			f.partial = true
			return f.part, true, nil
		}
	}
}

// more returns the available input. If there is none, it calls idle and waits.
func (f *frames) more(idle func() error) ([]byte, error) {
	_, _ = f.r.Discard(f.used)
	f.used = 0
	if f.r.Buffered() == 0 {
		if err := idle(); err != nil {
			return nil, err
		}
	}
	if _, err := f.r.Peek(1); err != nil {
		return nil, err
	}
	return f.r.Peek(f.r.Buffered())
}

// copyRest copies the rest of a large message to w. The caller owns w.
func (f *frames) copyRest(w io.Writer) error {
	for f.partial {
		b, err := f.more(func() error { return duplex.Flush(w) })
		if err != nil {
			return err
		}
		n, whole, err := f.dialect.Feed(f.dir, b)
		if err != nil {
			n, whole = len(b), true
		}
		f.used, f.partial = n, !whole
		if _, werr := w.Write(b[:n]); werr != nil {
			return duplex.WriteFailed(werr)
		}
		if err != nil {
			return ErrNotUnderstood
		}
	}
	return nil
}
