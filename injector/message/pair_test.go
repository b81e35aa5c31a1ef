package message

import (
	"bufio"
	"context"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// recordingConn records how a server's connection was closed.
type recordingConn struct {
	net.Conn
	how []string
}

func (e *recordingConn) CloseWrite() error {
	e.how = append(e.how, "FIN")
	return nil
}

func (e *recordingConn) SetLinger(int) error {
	e.how = append(e.how, "reset")
	return nil
}

// idleEngine is an engine that does nothing.
type idleEngine struct{}

func (idleEngine) serveClient()         {}
func (idleEngine) readAnswers() error   { return nil }
func (idleEngine) outlivesClient() bool { return false }
func (idleEngine) reportUnanswered()    {}

// A client's reset is forwarded to the server, unless a message was sent after it: a reset could discard that
// message before the server reads it.
func TestResetDoesNotDiscardSentData(t *testing.T) {
	for _, c := range []struct {
		name         string
		dir          Dir
		disconnected bool // before the message was sent
		want         string
	}{
		{"a request after the client left", ToServer, true, "FIN"},
		{"a request before", ToServer, false, "reset"},
		{"an answer after the client left", ToClient, true, "reset"},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := &recordingConn{}
			p := &pair{up: up, engine: idleEngine{}}
			p.changed = sync.NewCond(&p.mu)
			p.ctx, p.cancel = context.WithCancel(t.Context())
			defer p.cancel()
			if c.disconnected {
				p.markClientClosed()
			}
			if c.dir == ToServer {
				p.Outlived()
			}
			p.clientClosed(syscall.ECONNRESET)
			assert.Equal(t, []string{c.want}, up.how)
		})
	}
}

// closedWriter is a connection that accepts no more data.
type closedWriter struct{}

func (closedWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// fakeClient is a client that only has an ID.
type fakeClient struct{ Client }

func (fakeClient) ID() uint64 { return 1 }

// A message to be delivered twice whose connection has ended is accounted for, and so is its copy.
func TestTwiceAfterClientDisconnects(t *testing.T) {
	var events []evidence.Event
	relay, err := New("redis", Config{Sink: func(f evidence.Event) { events = append(events, f) }})
	require.NoError(t, err)
	rule := &Live{Rule: Rule{Action: Twice, Count: evidence.NewCounter("commands")}}
	open := func() *framedConn {
		closed := bufio.NewWriterSize(closedWriter{}, 16)
		return &framedConn{dialect: openRedis(Config{}), out: &frames{}, pair: pair{relay: relay, client: fakeClient{}, uw: closed, cw: closed, ctx: t.Context()}}
	}
	t.Run("server", func(t *testing.T) {
		x := &framedExchange{frame: frame{kind: isRequest}, Exchange: Exchange{request: relay.Received(ToServer)}}
		x.chosen.Store(rule)
		c := open()
		q := &framedRequest{framedConn: c, x: x, framedPayload: c.payload(x.frame, []byte("*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"))}
		require.ErrorIs(t, relay.carry(&x.Exchange, q), io.ErrClosedPipe)
		toServer, _, err := relay.Quiesce(t.Context())
		require.NoError(t, err)
		assert.Equal(t, evidence.Accounts{Received: 1, Copies: 1, Collateral: 2}, toServer)
		assert.Equal(t, evidence.Collateral, events[len(events)-1].Stage)
	})
	t.Run("client", func(t *testing.T) {
		r := Rule{ID: "fault-1", Action: Twice, Dir: ToClient, AllowViolation: true, Count: evidence.NewCounter("messages")}
		_, err := relay.Add(r)
		require.NoError(t, err)
		require.ErrorIs(t, open().push(frame{kind: isOneWay, method: "MESSAGE", path: "news"}, []byte(">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n"), false), io.ErrClosedPipe)
		_, toClient, err := relay.Quiesce(t.Context())
		require.NoError(t, err)
		assert.Equal(t, evidence.Accounts{Received: 1, Copies: 1, Collateral: 2}, toClient)
	})
}
