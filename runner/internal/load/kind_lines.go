package load

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
)

// lineSession sends lines, each of which is answered by a line.
type lineSession struct {
	net.Conn
	read *bufio.Reader
}

func openLines(ctx context.Context, p Place) (Session, error) {
	conn, err := p.DialTLS(ctx)
	if err != nil {
		return nil, err
	}
	return &lineSession{conn, bufio.NewReaderSize(conn, maxLine)}, nil
}

// maxLine is the length of the longest line of an answer.
const maxLine = 64 << 10

// Send implements Session.
func (s *lineSession) Send(_ context.Context, r Request) (Reply, error) {
	line := strings.TrimRight(r.Text, "\r\n")
	if strings.ContainsAny(line, "\r\n") {
		return Reply{}, OwnError("a value holds a line end", "take values without line ends", errors.New("several lines"))
	}
	_, sent := s.Write([]byte(line + "\n"))
	answer, err := s.read.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return Reply{}, Malformed("a line is longer than %d bytes", maxLine)
	case err != nil && len(answer) > 0:
		return Reply{}, phaseError{err, malformed}
	case err != nil && sent != nil:
		return Reply{}, sent
	case err != nil:
		return Reply{}, err
	}
	text := []byte(strings.TrimRight(string(answer), "\r\n"))
	return Reply{Outcome: Acknowledged, Text: text, Last: sent != nil || s.read.Buffered() > 0}, nil
}
