package relaytest

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// Play plays a conversation through the relay; each end checks every byte that it receives.
func Play(client, server Peer, lines []Turn, single bool) {
	for _, l := range lines {
		from, to := client, server
		if l.From == "<" {
			from, to = server, client
		}
		sent := make(chan struct{})
		go func() { defer close(sent); _, _ = from.WriteText(l.Text, single) }()
		to.Expect(l.Text)
		<-sent
	}
}

func (p Peer) WriteText(text string, single bool) (int, error) {
	if !single {
		return io.WriteString(p, text)
	}
	for i := range len(text) {
		if _, err := io.WriteString(p, text[i:i+1]); err != nil {
			return i, err
		}
	}
	return len(text), nil
}

// CloseBoth closes a connection gracefully, one side after the other.
func CloseBoth(first, second Peer) {
	_ = first.CloseWrite()
	rest, how := second.ReadToEnd(Patience)
	assert.Equal(second.T, "closed", how)
	assert.Empty(second.T, rest)
	_ = second.CloseWrite()
	rest, how = first.ReadToEnd(Patience)
	assert.Equal(first.T, "closed", how)
	assert.Empty(first.T, rest)
}

// OK is a small answer.
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// ConnPair returns a client and a server with a relay between them.
func ConnPair(t testing.TB) (client, server Peer) {
	s := StartScript(t)
	f := OpenLink(t, s.Addr, message.Config{})
	client = Connect(t, f.Addr)
	return client, s.Accept(t)
}

// Before reads up to text and returns what precedes it.
func (p Peer) Before(text string) string {
	p.T.Helper()
	require.NoError(p.T, p.SetReadDeadline(time.Now().Add(Patience)))
	var all []byte
	one := make([]byte, 1)
	for !strings.HasSuffix(string(all), text) {
		_, err := p.Read(one)
		require.NoError(p.T, err, "after %q", all)
		all = append(all, one[0])
	}
	return strings.TrimSuffix(string(all), text)
}

func ReadAll(t *testing.T, p Peer) []byte {
	_ = p.SetReadDeadline(time.Now().Add(Patience))
	all, err := io.ReadAll(p)
	if err != nil {
		t.Fatalf("after %q: %v", all, err)
	}
	return all
}
