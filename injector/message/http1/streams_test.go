package http1

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// The caller of a stream of events waits until it has its head. Other answers are waited for until they end.
func TestStreamsAreNotAwaited(t *testing.T) {
	s := serveEvents(t)
	for path, streams := range map[string]int{"/sse": 1, "/old": 1, "/encoded": 1, "/short": 1, "/chunked": 0, "/sized": 0} {
		t.Run(path, func(t *testing.T) {
			f := relaytest.OpenLink(t, s, message.Config{})
			p := relaytest.Connect(t, f.Addr)
			p.Send(request(path), false)
			head := p.Before("\r\n\r\n")
			assert.Contains(t, head, " 200 OK")
			ends := path == "/short" || path == "/encoded" || path == "/sized"
			if ends {
				relaytest.WaitUntil(t, "the call is reported", func() bool { return len(f.FinishedCalls()) == 1 })
			}
			require.Len(t, f.BegunStreams(), streams)
			if streams > 0 {
				begun := f.BegunStreams()[0]
				assert.True(t, !begun.Sent.IsZero() && !begun.End.Before(begun.Start))
				assert.Equal(t, message.Call{Op: "GET " + path, Status: 200, Stream: true}, relaytest.WithoutTimes(begun))
				f.CheckAccounts(t) // the answer counts as delivered, although it has not ended
			}
			_ = p.Close()
			relaytest.WaitUntil(t, "the call is reported", func() bool { return len(f.FinishedCalls()) == 1 })
			want := message.Call{Op: "GET " + path, Stream: streams > 0, GaveUp: !ends}
			if ends {
				want.Status = 200
			}
			assert.Equal(t, want, relaytest.WithoutTimes(f.FinishedCalls()[0]))
			assert.Len(t, f.BegunStreams(), streams)
		})
	}
}

// While a rule holds the head of a stream back, its caller waits. One that leaves meanwhile has given up.
func TestHeldStreamsAreAwaited(t *testing.T) {
	s := serveEvents(t)
	for name, leaves := range map[string]bool{"it waits": false, "it leaves": true} {
		t.Run(name, func(t *testing.T) {
			f := relaytest.OpenLink(t, s, message.Config{})
			_, heal := f.AddRule(t, message.Rule{Action: message.DelayReply, By: time.Hour})
			p := relaytest.Connect(t, f.Addr)
			p.Send(request("/sse"), false)
			f.WaitAnswerPending(t)
			assert.Empty(t, f.BegunStreams())
			if leaves {
				_ = p.Close()
				f.WaitClosed(t, message.ToServer)
			}
			heal()
			if !leaves {
				p.Before("\r\n\r\n")
				require.Len(t, f.BegunStreams(), 1)
				_ = p.Close()
			}
			relaytest.WaitUntil(t, "the call is reported", func() bool { return len(f.FinishedCalls()) == 1 })
			call := f.FinishedCalls()[0]
			assert.True(t, call.GaveUp)
			assert.Equal(t, !leaves, call.Stream)
		})
	}
}
