package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// redisSession sends commands in RESP2. It is no client library's, since these send commands of their own and send again
// by themselves, and a load has to know what was written.
type redisSession struct {
	net.Conn
	read *bufio.Reader
}

// openRedis logs in with the user and password of the URL, and selects the database of its path.
func openRedis(ctx context.Context, p Place) (Session, error) {
	conn, err := p.DialTLS(ctx)
	if err != nil {
		return nil, err
	}
	s := &redisSession{conn, bufio.NewReader(conn)}
	var first [][]string
	if password, ok := p.URL.User.Password(); ok {
		login := []string{"AUTH", password}
		if user := p.URL.User.Username(); user != "" {
			login = []string{"AUTH", user, password}
		}
		first = append(first, login)
	}
	if db := strings.Trim(p.URL.Path, "/"); db != "" {
		first = append(first, []string{"SELECT", db})
	}
	for _, words := range first {
		reply, err := s.command(words)
		if err != nil {
			return nil, err
		}
		if reply.Outcome != Acknowledged {
			return nil, OwnError(words[0]+" was answered with "+reply.Word, "check the login of the service in the system file", errors.New("login failed"))
		}
	}
	return s, nil
}

// Send implements Session.
func (s *redisSession) Send(_ context.Context, r Request) (Reply, error) {
	words, err := scenarios.SplitWords(r.Text)
	if err != nil || len(words) == 0 {
		return Reply{}, OwnError("the command cannot be split into words", "check its quotes", errors.Join(err, errors.New("no words")))
	}
	return s.command(words)
}

func (s *redisSession) command(words []string) (Reply, error) {
	out := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, w := range words {
		out = fmt.Appendf(out, "$%d\r\n%s\r\n", len(w), w)
	}
	_, sent := s.Write(out)
	// The server may have answered before the write failed, such as with an error when it has too many clients.
	var text bytes.Buffer
	failed, none, err := s.value(&text)
	switch {
	case err != nil && sent != nil:
		return Reply{}, sent
	case err != nil:
		return Reply{}, err
	}
	reply := Reply{Outcome: Acknowledged, Text: text.Bytes(), None: none, Last: sent != nil || s.read.Buffered() > 0}
	if failed {
		word, _, _ := strings.Cut(text.String(), " ")
		reply.Outcome, reply.Word, reply.Transient = Refused, word, slices.Contains(redisTransient, word)
		name := strings.ToUpper(words[0])
		if (strings.HasPrefix(name, "EVAL") || strings.HasPrefix(name, "FCALL")) && !reply.Transient {
			reply.Outcome = Ambiguous // what a script did before its error remains
		}
	}
	return reply, nil
}

// redisTransient are the errors with which a server says that it does not work on commands at present.
var redisTransient = []string{"LOADING", "BUSY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS"}

// maxReply limits the size of a string and the number of values in an answer.
const maxReply = 64 << 20

// value reads one value and appends its text: of an array, a line for each value. failed reports whether it is an error,
// and none whether it is null.
func (s *redisSession) value(text *bytes.Buffer) (failed, none bool, err error) {
	line, err := s.read.ReadString('\n')
	if err != nil {
		if line != "" {
			err = phaseError{err, malformed}
		}
		return false, false, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" {
		return false, false, Malformed("an empty line")
	}
	rest := line[1:]
	switch line[0] {
	case '+', ':':
		text.WriteString(rest)
		return false, false, nil
	case '-':
		text.WriteString(rest)
		return true, false, nil
	case '$', '*':
	default:
		return false, false, Malformed("a value of type %q", line[0])
	}
	n, err := strconv.Atoi(rest)
	if err != nil || n > maxReply {
		return false, false, Malformed("the length %q", rest)
	}
	if n < 0 {
		text.WriteString("(nil)")
		return false, true, nil
	}
	if line[0] == '$' {
		raw := make([]byte, n+2)
		if _, err := io.ReadFull(s.read, raw); err != nil {
			return false, false, phaseError{err, malformed}
		}
		text.Write(raw[:n])
		return false, false, nil
	}
	for i := range n {
		if i > 0 {
			text.WriteByte('\n')
		}
		if _, _, err := s.value(text); err != nil {
			return false, false, phaseError{err, malformed}
		}
	}
	return false, false, nil
}
