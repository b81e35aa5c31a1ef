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

// ends notes how a server's connection was ended.
type ends struct {
	net.Conn
	how []string
}

func (e *ends) CloseWrite() error {
	e.how = append(e.how, "FIN")
	return nil
}

func (e *ends) SetLinger(int) error {
	e.how = append(e.how, "reset")
	return nil
}

// nothing is an engine that has nothing to do.
type nothing struct{}

func (nothing) requests()          {}
func (nothing) readAnswers() error { return nil }
func (nothing) detached() bool     { return false }
func (nothing) unpaid()            {}

// A client's reset becomes the server's, unless a message went on after it: a server that did not read it yet would never see it.
func TestAResetTakesNothingBack(t *testing.T) {
	for _, c := range []struct {
		name string
		dir  Dir
		left bool // before the message goes on
		want string
	}{
		{"a request after the client left", ToServer, true, "FIN"},
		{"a request before", ToServer, false, "reset"},
		{"an answer after the client left", ToClient, true, "reset"},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := &ends{}
			p := &pair{up: up, engine: nothing{}}
			p.changed = sync.NewCond(&p.mu)
			p.ctx, p.cancel = context.WithCancel(t.Context())
			defer p.cancel()
			if c.left {
				p.leave()
			}
			p.outlived(message{dir: c.dir})
			p.clientGone(syscall.ECONNRESET)
			assert.Equal(t, []string{c.want}, up.how)
		})
	}
}

// shut is a connection that takes nothing any more.
type shut struct{}

func (shut) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// first is a client that has a number and no more.
type first struct{ Client }

func (first) ID() uint64 { return 1 }

// A message that was to go twice and goes to one who has left is in the books, and so is its copy.
func TestTwiceToOneWhoLeft(t *testing.T) {
	var fates []evidence.Fate
	relay, err := New("redis", Config{Sink: func(f evidence.Fate) { fates = append(fates, f) }})
	require.NoError(t, err)
	rule := &live{Rule: Rule{Do: Twice, Count: evidence.NewCounter("commands")}}
	open := func() *framedConn {
		gone := bufio.NewWriterSize(shut{}, 16)
		return &framedConn{dialect: openRedis(Config{}), out: &frames{}, pair: pair{relay: relay, client: first{}, uw: gone, cw: gone, ctx: t.Context()}}
	}
	t.Run("server", func(t *testing.T) {
		relay.book(true, func(b *Books) { b.In++; b.Held++ })
		x := &exchanged{frame: frame{kind: isRequest}, chosen: chosen{rule: rule}}
		require.ErrorIs(t, open().twice(x, []byte("*2\r\n$4\r\nINCR\r\n$1\r\na\r\n")), io.ErrClosedPipe)
		toServer, _, err := relay.Quiesce(t.Context())
		require.NoError(t, err)
		assert.Equal(t, Books{In: 1, Copies: 1, Collateral: 2}, toServer)
		assert.Equal(t, evidence.Collateral, fates[len(fates)-1].Stage)
	})
	t.Run("client", func(t *testing.T) {
		r := Rule{ID: "fault-1", Do: Twice, Dir: ToClient, Even: true, Count: evidence.NewCounter("messages")}
		_, err := relay.Add(r)
		require.NoError(t, err)
		require.ErrorIs(t, open().push(frame{kind: isOneWay, method: "MESSAGE", path: "news"}, []byte(">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n"), false), io.ErrClosedPipe)
		_, toClient, err := relay.Quiesce(t.Context())
		require.NoError(t, err)
		assert.Equal(t, Books{In: 1, Copies: 1, Collateral: 2}, toClient)
	})
}
