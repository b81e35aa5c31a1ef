package message

import (
	"context"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
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
