package load

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// lengthSession sends messages that begin with their length, each of which is answered by one.
type lengthSession struct {
	net.Conn
	read    *bufio.Reader
	framing message.Framing
}

func openLengths(ctx context.Context, p Place) (Session, error) {
	conn, err := p.DialTLS(ctx)
	if err != nil {
		return nil, err
	}
	return &lengthSession{conn, bufio.NewReader(conn), p.Framing}, nil
}

// Send implements Session.
func (s *lengthSession) Send(_ context.Context, r Request) (Reply, error) {
	out, ok := appendLength(s.framing, len(r.Text))
	if !ok {
		return Reply{}, OwnError(fmt.Sprintf("a message is longer than its length of %d bytes can say", s.framing.Width), "send shorter messages", errors.New("too long"))
	}
	_, sent := s.Write(append(out, r.Text...))
	answer, err := s.message()
	switch {
	case err != nil && sent != nil:
		return Reply{}, sent
	case err != nil:
		return Reply{}, err
	}
	return Reply{Outcome: Acknowledged, Text: answer, Last: sent != nil || s.read.Buffered() > 0}, nil
}

// message reads one message.
func (s *lengthSession) message() ([]byte, error) {
	prefix := make([]byte, s.framing.Width)
	if n, err := io.ReadFull(s.read, prefix); err != nil {
		if n > 0 {
			err = phaseError{err, malformed}
		}
		return nil, err
	}
	length, ok := lengthIn(s.framing, prefix)
	if !ok {
		return nil, Malformed("the length %x", prefix)
	}
	answer := make([]byte, length)
	if _, err := io.ReadFull(s.read, answer); err != nil {
		return nil, phaseError{err, malformed}
	}
	return answer, nil
}

// appendLength returns the length that precedes n bytes. ok is false if it does not fit.
func appendLength(g message.Framing, n int) (prefix []byte, ok bool) {
	length := uint64(n) //nolint:gosec // never negative
	if g.Includes {
		length += uint64(g.Width) //nolint:gosec // a few
	}
	if g.Width < 8 && length > math.MaxUint64>>(64-8*g.Width) {
		return nil, false
	}
	if g.Little {
		return binary.LittleEndian.AppendUint64(nil, length)[:g.Width], true
	}
	return binary.BigEndian.AppendUint64(nil, length)[8-g.Width:], true
}

// lengthIn returns how many bytes follow a length. ok is false if there are none such, or more than an answer may have.
func lengthIn(g message.Framing, prefix []byte) (n int, ok bool) {
	var raw [8]byte
	var length uint64
	if g.Little {
		copy(raw[:], prefix)
		length = binary.LittleEndian.Uint64(raw[:])
	} else {
		copy(raw[8-g.Width:], prefix)
		length = binary.BigEndian.Uint64(raw[:])
	}
	if g.Includes {
		length -= uint64(g.Width) //nolint:gosec // one that is too small becomes too large
	}
	return int(min(length, maxReply+1)), length <= maxReply //nolint:gosec // limited
}
