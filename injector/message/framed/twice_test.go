package framed

import (
	"bufio"
	"context"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// closedWriter is a connection that accepts no more data.
type closedWriter struct{}

func (closedWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// fakeClient is a client that only has an ID.
type fakeClient struct{ message.Client }

func (fakeClient) ID() uint64 { return 1 }

// A message to be delivered twice whose connection has ended is accounted for, and so is its copy.
func TestTwiceAfterClientDisconnects(t *testing.T) {
	var events []evidence.Event
	relay, err := relaytest.NewRelay("redis", message.Config{Sink: func(f evidence.Event) { events = append(events, f) }})
	require.NoError(t, err)
	rule := &message.Live{Rule: message.Rule{Action: message.Twice, Count: evidence.NewCounter("commands")}}
	open := func() *connection {
		closed := bufio.NewWriterSize(closedWriter{}, 16)
		up, _ := net.Pipe()
		c := &connection{dialect: openRedis(message.Config{}), out: &frames{}}
		require.True(t, c.Connect(t.Context(), relay, fakeClient{}, func(context.Context) (net.Conn, error) { return up, nil }))
		c.ServerOut, c.ClientOut = closed, closed
		return c
	}
	t.Run("server", func(t *testing.T) {
		x := &exchange{frame: Frame{Kind: Request}, Exchange: message.Exchange{Ticket: relay.Received(message.ToServer)}}
		x.SetRule(rule)
		c := open()
		q := &requestCarrier{connection: c, x: x, bufferedPayload: c.payload(x.frame, []byte("*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"))}
		require.ErrorIs(t, relay.Carry(&x.Exchange, q), io.ErrClosedPipe)
		toServer, _, err := relay.Quiesce(t.Context())
		require.NoError(t, err)
		assert.Equal(t, evidence.Accounts{Received: 1, Copies: 1, Collateral: 2}, toServer)
		assert.Equal(t, evidence.Collateral, events[len(events)-1].Stage)
	})
	t.Run("client", func(t *testing.T) {
		r := message.Rule{ID: "fault-1", Action: message.Twice, Dir: message.ToClient, AllowViolation: true, Count: evidence.NewCounter("messages")}
		_, err := relay.Add(r)
		require.NoError(t, err)
		require.ErrorIs(t, open().push(Frame{Kind: OneWay, Method: "MESSAGE", Path: "news"}, []byte(">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n"), false), io.ErrClosedPipe)
		_, toClient, err := relay.Quiesce(t.Context())
		require.NoError(t, err)
		assert.Equal(t, evidence.Accounts{Received: 1, Copies: 1, Collateral: 2}, toClient)
	})
}
