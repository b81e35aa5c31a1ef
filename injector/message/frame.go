package message

import (
	"bufio"
	"errors"
	"io"
	"net"
)

// dialect parses one connection of a framed protocol: message boundaries, the properties of messages, and which
// answer belongs to which request. It is all that a new protocol must implement; the faults, pairing and
// evidence are common to all (see framed). A dialect may also implement refuser, closesAfterRefusal, trimmer,
// rewriter and idleReporter.
//
// feed is called by two goroutines, one for each direction, and must keep separate state for each. The other
// methods are never called concurrently.
type dialect interface {
	// feed consumes input of one direction piece by piece. It returns how many bytes of b belong to the current
	// message, and whether the message ends there; if it does not, n is len(b). An error means that the input
	// cannot be parsed: it passes through unchanged, as does everything after it.
	feed(d Dir, b []byte) (n int, whole bool, err error)
	// inspect returns the properties of a message. For a message that is too large, raw is its beginning. front
	// is the request that the server answers next, or nil.
	inspect(d Dir, raw []byte, front *frame) frame
	// sent is called for each message to the server when it is written, in the order of writing and after
	// inspect.
	sent(f *frame)
}

// kind is the role of a message.
type kind uint8

const (
	isControl kind = iota // forwarded without consulting the rules
	isRequest             // has an answer
	isAnswer              // belongs to the request at the front of the queue
	isOneWay              // neither; with an ID it may have an answer or be one
)

// frame holds the properties of a message.
type frame struct {
	kind              kind
	method, path, key string
	final             bool   // isAnswer: the last message of the answer
	id                string // isOneWay: the ID that its answer will carry, or that of the message it answers
	exempt            bool   // not subject to rules, such as handshakes; as an answer, it is never lost
	immune            string // why only delays, and losses that end the connection, may act on it now
	payload           [2]int // its range in the message; 0, 0 means no payload
	uncuttable        bool   // the payload cannot be truncated
	detail            string // of an answer, for the evidence: "integer 2", "status 409"; never a body
	header            func(name string) string
	// onlyByName makes a message, such as the opening of a connection, subject only to rules that name its
	// method. Otherwise it does not count as a call.
	onlyByName bool
	blocks     func(Action) string // returns why an action may not act on it now, or ""; may be nil
}

// refuser generates an error of the protocol as the answer to a request.
type refuser interface {
	refuse(code string, f frame) ([]byte, error)
}

// closesAfterRefusal marks a refuser whose errors end the connection.
type closesAfterRefusal interface{ closesConnection() }

// trimmer truncates the payload of a message to keep bytes and adjusts its framing.
type trimmer interface {
	trim(f frame, raw []byte, keep int) []byte
}

// rewriter changes messages to the client that would make it bypass the link. via is the link's address as seen
// by the client.
type rewriter interface {
	rewrite(raw []byte, via net.Addr) []byte
}

// idleReporter reports whether a copy of an earlier request may be sent between messages now.
type idleReporter interface{ idle() bool }

// errDialect means that the input cannot be parsed. Errors that wrap it say why.
var errDialect = errors.New("not understood")

// frames reads the messages of one direction.
type frames struct {
	r           *bufio.Reader
	dialect     dialect
	dir         Dir
	limit       int          // larger messages are returned in parts
	passthrough func() bool  // reports whether the connection is no longer parsed
	idle        func() error // called before a read that may block
	part        []byte       // of a message that was not buffered as a whole
	used        int          // bytes of the reader's buffer that the last message took
	partial     bool         // copyRest must be called for the rest of a large message
}

// next returns the next message; raw is valid until the next call. Of a large message it returns only the
// beginning, and copyRest copies the rest. After an error, raw is an incomplete message, or the input that could
// not be parsed (errDialect).
func (f *frames) next() (raw []byte, large bool, err error) {
	f.part = f.part[:0]
	for {
		b, err := f.more(f.idle)
		if err != nil {
			return f.part, false, err
		}
		n, whole, err := 0, false, errDialect
		if !f.passthrough() {
			n, whole, err = f.dialect.feed(f.dir, b)
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
		if len(f.part) > f.limit {
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
		b, err := f.more(func() error { return flush(w) })
		if err != nil {
			return err
		}
		n, whole, err := f.dialect.feed(f.dir, b)
		if err != nil {
			n, whole = len(b), true
		}
		f.used, f.partial = n, !whole
		if _, werr := w.Write(b[:n]); werr != nil {
			return sinkError{werr}
		}
		if err != nil {
			return errDialect
		}
	}
	return nil
}
