package message

import (
	"bufio"
	"errors"
	"io"
	"net"
)

// dialect follows one connection of a framed protocol: where messages begin and end, what they are, and which answer settles which request. It is all that
// a new protocol has to write; forwarding, losing, doubling, holding, pairing and evidence are the relay's (see framed). A dialect also may be a
// refuser, one whose errors are parting, a trimmer, a rewriter or a resting.
//
// feed is called by the two readers, one for each direction, and must keep a state for each. The other methods are called one at a time.
type dialect interface {
	// feed takes what travels in a direction, piece by piece, and returns how much of b belongs to the message under way and whether it ends with
	// that. What does not end takes all of b. An error means that the bytes cannot be followed: they and all that comes after them go through untouched.
	feed(d Dir, b []byte) (n int, whole bool, err error)
	// look says what a message is. Of one that is too large it is given the beginning. front is the request at the front of those that are owed an answer, or nil.
	look(d Dir, raw []byte, front *frame) frame
	// sent is told of a message to the server when it goes, in the order of the wire; look came before.
	sent(f *frame)
}

// kind is what a message is to the relay.
type kind uint8

const (
	isControl kind = iota // passes; no rule is asked
	isRequest             // owes an answer
	isAnswer              // belongs to the request at the front of those that are owed
	isOneWay              // neither; with an id it may owe an answer or be one
)

// frame is what a dialect says of a message.
type frame struct {
	kind              kind
	method, path, key string
	settles           bool   // answer: the last of its request's
	id                string // oneWay: what its answer will carry, or what it answers
	exempt            bool   // no rule is asked: handshakes and the like; and as an answer it is not lost
	immune            string // why no fault may act on it now, but delays, and losses that end the connection
	payload           [2]int // where it lies in the bytes; nothing where both are 0
	says              string // of an answer, for evidence: "integer 2", "status 409"; never a body
	header            func(name string) string
	named             bool               // only rules that name its method are asked, and it is a call only for those: the opening of a connection
	bars              func(do Do) string // why this fault may not act on it now, where it depends on the fault; nil: none is barred
}

// refuser gives an error in the protocol's own words, as the answer to a request.
type refuser interface {
	refuse(code string, f frame) ([]byte, error)
}

// parting tells that what a refuser answers ends the connection.
type parting interface{ parts() }

// trimmer gives a message another payload and makes its framing right.
type trimmer interface {
	trim(f frame, raw []byte, keep int) []byte
}

// rewriter changes messages to the client that would lead it around the link; via is the link's address, as the client knows it.
type rewriter interface {
	rewrite(raw []byte, via net.Addr) []byte
}

// resting tells whether a copy of an earlier request may be put in between now.
type resting interface{ rests() bool }

// errDialect tells that bytes cannot be followed; what wraps it tells why.
var errDialect = errors.New("not understood")

// frames reads whole messages of one direction.
type frames struct {
	r       *bufio.Reader
	dialect dialect
	dir     Dir
	most    int          // larger messages come in parts
	raw     func() bool  // the other direction cannot be followed, and so neither can this
	idle    func() error // called before a read that may block
	part    []byte       // of a message that did not lie in the reader's buffer as a whole
	used    int          // of the reader's buffer, by the last message
	owing   bool         // rest is to be called for what is left of a large message
}

// next returns the next message; raw is good until the next call. A large one comes with its beginning only, and rest gives the others. With an error
// raw is what came of an unfinished message, or what could not be followed (errDialect).
func (f *frames) next() (raw []byte, large bool, err error) {
	f.part = f.part[:0]
	for {
		b, err := f.more(f.idle)
		if err != nil {
			return f.part, false, err
		}
		n, whole, err := 0, false, errDialect
		if !f.raw() {
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
		if len(f.part) > f.most {
			f.owing = true
			return f.part, true, nil
		}
	}
}

// more returns what is there to read, after a wait if nothing is; idle is called before it waits.
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

// rest copies what is left of a large message to w, which the caller has for itself.
func (f *frames) rest(w io.Writer) error {
	for f.owing {
		b, err := f.more(func() error { return flush(w) })
		if err != nil {
			return err
		}
		n, whole, err := f.dialect.feed(f.dir, b)
		if err != nil {
			n, whole = len(b), true
		}
		f.used, f.owing = n, !whole
		if _, werr := w.Write(b[:n]); werr != nil {
			return sinkError{werr}
		}
		if err != nil {
			return errDialect
		}
	}
	return nil
}
