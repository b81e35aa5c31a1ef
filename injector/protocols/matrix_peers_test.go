package protocols_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
)

// conversation is what the peers of a test do on one transport: a client on a connection of its own through the link,
// and a receiver that counts the messages with the conversation's key. The receiver is the server or, if the server
// sends the messages, the client.
type conversation interface {
	warm()        // exchanges a message that is not counted
	send() error  // sends the message; for messages of the server, asks the server to
	arrived() int // how often the message has arrived

	// answer waits for the answer. It returns how often the message had arrived then, "error", or "" if the
	// connection ended first. Conversations of one-way messages have none.
	answer() string
	// ending waits for the end of the connection, before which nothing may arrive: "closed" (FIN), "reset"
	// (ECONNRESET), or "silence" if it did not end in time.
	ending(within time.Duration) string
	leave(reset bool) // disconnects the client
}

// answeredIn is a conversation over TCP whose messages are answered.
type answeredIn interface {
	answeredIn(output string) bool // reports whether the server's output contains the whole answer to the first message
}

// text is how a protocol is written on the wire.
type text struct {
	open    func(p relaytest.Peer, key string) // begins a session; nil if there is nothing to do
	warm    [2]string                          // a message that is not counted, and its answer
	request func(key string) string
	// answer returns the exact answer to the message that arrived as this number, or, for "error", the exact error.
	answer func(key, number string) string
	// read returns the number in the answer, or "error", for protocols whose answers contain more than that; nil means
	// that answer is exact.
	read   func(p relaytest.Peer) (string, error)
	pushed func(key string) string // the message, if the server sends it
}

// rawClient sends and receives the exact bytes of a protocol over TCP.
type rawClient struct {
	relaytest.Peer
	text
	*backend
	key      string
	received string // messages of the server
}

func connectRaw(x text) func(t *testing.T, addr, key string, b *backend) conversation {
	return func(t *testing.T, addr, key string, b *backend) conversation {
		c := &rawClient{Peer: relaytest.Connect(t, addr), text: x, backend: b, key: key}
		if x.open != nil {
			x.open(c.Peer, key)
		}
		return c
	}
}

func (c *rawClient) warm() {
	c.Send(c.text.warm[0], false)
	c.Expect(c.text.warm[1])
}

func (c *rawClient) send() error {
	if c.pushed != nil {
		c.backend.push(c.key)
		return nil
	}
	_, err := c.WriteText(c.request(c.key), false)
	return err
}

func (c *rawClient) arrived() int {
	if c.pushed == nil {
		return c.executed(c.key)
	}
	if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err == nil { // else it has disconnected
		buf := make([]byte, 4<<10)
		n, _ := c.Read(buf)
		c.received += string(buf[:n])
	}
	one := c.pushed(c.key)
	n := len(c.received) / len(one)
	require.Equal(c.T, strings.Repeat(one, n+1)[:len(c.received)], c.received)
	return n
}

func (c *rawClient) answer() string {
	require.NoError(c.T, c.SetReadDeadline(time.Now().Add(relaytest.Patience)))
	read := c.readExactly
	if c.read != nil {
		read = func() (string, error) { return c.read(c.Peer) }
	}
	got, err := read()
	require.NotErrorIs(c.T, err, os.ErrDeadlineExceeded)
	if err != nil {
		return ""
	}
	return got
}

// readExactly reads one of the answers that are known.
func (c *rawClient) readExactly() (string, error) {
	got, one := "", make([]byte, 1)
	for {
		if _, err := io.ReadFull(c, one); err != nil {
			assert.Empty(c.T, got, "before %v", err)
			return "", err
		}
		got += string(one)
		for _, number := range []string{"1", "2", "3", "error"} {
			if got == c.text.answer(c.key, number) {
				return number, nil
			}
		}
		if len(got) > 1000 {
			return "", fmt.Errorf("not an answer: %q", got)
		}
	}
}

func (c *rawClient) answeredIn(output string) bool {
	return strings.Contains(output, c.text.answer(c.key, "1"))
}

func (c *rawClient) ending(within time.Duration) string {
	rest, how := c.ReadToEnd(within)
	require.Empty(c.T, rest)
	return how
}

func (c *rawClient) leave(reset bool) {
	if reset {
		c.Reset()
		return
	}
	_ = c.Close()
}

// http2Client is a client of HTTP/2 with prior knowledge, or of gRPC.
type http2Client struct {
	*relaytest.HTTP2Peer
	*backend
	key  string
	grpc bool
	id   uint32 // of the last stream
}

func connectHTTP2(grpc bool) func(t *testing.T, addr, key string, b *backend) conversation {
	return func(t *testing.T, addr, key string, b *backend) conversation {
		c := &http2Client{HTTP2Peer: relaytest.ConnectHTTP2(t, addr), backend: b, key: key, grpc: grpc}
		for { // a server that leaves before its SETTINGS cannot be hidden
			f, err := c.ReadFrame()
			require.NoError(t, err)
			c.HandleFrame(f)
			if _, ok := f.(*http2.SettingsFrame); ok {
				return c
			}
		}
	}
}

func (c *http2Client) warm() {
	if c.grpc {
		id, err := c.call("/shop.Counter/Warm", "")
		require.NoError(c.T, err)
		require.Equal(c.T, grpcBody("warm"), c.Response(id).Body)
		return
	}
	require.Equal(c.T, "200 warm", c.Response(c.Request("GET", "/warm", "")).String())
}

func (c *http2Client) call(path, text string) (uint32, error) {
	return c.TryRequest("POST", path, grpcBody(text), "content-type: application/grpc", "te: trailers")
}

func (c *http2Client) send() (err error) {
	if c.grpc {
		c.id, err = c.call(grpcPath, c.key)
		return err
	}
	c.id, err = c.TryRequest("POST", "/"+c.key, "10 EUR")
	return err
}

func (c *http2Client) arrived() int { return c.executed(c.key) }

func (c *http2Client) answer() string {
	r := c.Responses[c.id]
	how := c.ReadUntil(relaytest.Patience, func() bool { return r.Ended || r.WasReset })
	require.NotEqual(c.T, "silence", how)
	switch {
	case !r.Ended:
		return ""
	case r.Head[:3] != "200", c.grpc && !strings.Contains(r.Trailers, "grpc-status: 0"):
		return "error"
	case c.grpc:
		return r.Body[5:]
	}
	return r.Body
}

func (c *http2Client) answeredIn(output string) bool {
	frames := http2.NewFramer(io.Discard, strings.NewReader(output))
	for {
		f, err := frames.ReadFrame()
		if err != nil {
			return false
		}
		h := f.Header()
		if h.StreamID == c.id && (h.Type == http2.FrameData || h.Type == http2.FrameHeaders) && h.Flags.Has(http2.FlagDataEndStream) {
			return true
		}
	}
}

func (c *http2Client) ending(within time.Duration) string {
	how := c.ReadUntil(within, nil)
	if r := c.Responses[c.id]; r != nil {
		require.Equal(c.T, relaytest.HTTP2Response{}, *r)
	}
	return how
}

func (c *http2Client) leave(reset bool) {
	if reset {
		c.HTTP2Peer.Peer.Reset()
		return
	}
	_ = c.Close()
}

// errNoAnswer means that a PostgreSQL server sent something else than the answer to the counting statement.
var errNoAnswer = errors.New("no row and no error before the server is ready")

// readPostgres reads the answer to a statement that returns one number.
func readPostgres(p relaytest.Peer) (string, error) {
	found := ""
	for {
		kind, body, err := readPGMessage(p)
		switch {
		case err != nil:
			return "", err
		case kind == 'E':
			return "error", nil
		case kind == 'D': // the number of columns, and the length of the first
			found = body[6:]
		case kind == 'Z' && found == "":
			return "", errNoAnswer
		case kind == 'Z':
			return found, nil
		}
	}
}
