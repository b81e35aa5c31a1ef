package load

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// datagramSession sends datagrams from a socket of its own. The first datagram that comes back is the answer: the socket
// receives from the service only, and one with a late answer is not used again.
type datagramSession struct{ net.Conn }

func openDatagrams(ctx context.Context, p Place) (Session, error) {
	conn, err := p.Dial(ctx, "udp")
	if err != nil {
		return nil, err
	}
	return datagramSession{conn}, nil
}

// maxDatagram is larger than any datagram.
const maxDatagram = 64 << 10

// Send implements Session.
func (s datagramSession) Send(_ context.Context, r Request) (Reply, error) {
	_, err := s.Write([]byte(r.Text))
	switch {
	case errors.Is(err, syscall.EMSGSIZE):
		return Reply{}, OwnError("a text is longer than a datagram can be", "send shorter texts", err)
	case err != nil || r.Unanswered:
		return Reply{}, err
	}
	answer := make([]byte, maxDatagram)
	n, err := s.Read(answer)
	if err != nil {
		return Reply{}, err
	}
	return Reply{Outcome: Acknowledged, Text: answer[:n]}, nil
}
