package duplex

import (
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// recordingConn records how a server's connection was closed.
type recordingConn struct {
	net.Conn
	How []string
}

func (e *recordingConn) CloseWrite() error {
	e.How = append(e.How, "FIN")
	return nil
}

func (e *recordingConn) SetLinger(int) error {
	e.How = append(e.How, "reset")
	return nil
}

// idleEngine is an engine that does nothing.
type idleEngine struct{}

func (idleEngine) ServeClient() {}

func (idleEngine) ReadAnswers() error { return nil }

func (idleEngine) OutlivesClient() bool { return false }

func (idleEngine) ReportUnanswered() {}

// A client's reset is forwarded to the server, unless a message was sent after it: a reset could discard that
// message before the server reads it.
func TestResetDoesNotDiscardSentData(t *testing.T) {
	for _, c := range []struct {
		name         string
		dir          message.Dir
		disconnected bool // before the message was sent
		want         string
	}{
		{"a request after the client left", message.ToServer, true, "FIN"},
		{"a request before", message.ToServer, false, "reset"},
		{"an answer after the client left", message.ToClient, true, "reset"},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := &recordingConn{}
			p := &Conn{handler: idleEngine{}}
			require.True(t, p.Connect(t.Context(), &message.Relay{}, nil, func(context.Context) (net.Conn, error) { return up, nil }))
			if c.disconnected {
				p.MarkClientClosed()
			}
			if c.dir == message.ToServer {
				p.Outlived()
			}
			p.ClientClosed(syscall.ECONNRESET)
			assert.Equal(t, []string{c.want}, up.How)
		})
	}
}
