package framed

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// If a server closes its connection while a message or an answer is held, the relay cannot redial, and records
// that holding caused it.
func TestConnectionsBrokenByHoldingAreCounted(t *testing.T) {
	soon := message.CrossingTime
	ping, pong := "*1\r\n$4\r\nPING\r\n", "+PONG\r\n"
	for name, c := range map[string]struct {
		rule   message.Rule
		play   func(server relaytest.Peer, f *relaytest.TestLink, heal func())
		broken int64
	}{
		"a message is held":     {message.Rule{Action: message.Delay, By: time.Hour}, func(s relaytest.Peer, _ *relaytest.TestLink, _ func()) { _ = s.Close() }, 1},
		"a message met the end": {message.Rule{Action: message.Delay, By: time.Millisecond}, func(s relaytest.Peer, _ *relaytest.TestLink, _ func()) { s.Expect(ping); s.Reset() }, 1},
		"an answer is held": {message.Rule{Action: message.LoseReply, EndWith: message.EndHeld}, func(s relaytest.Peer, f *relaytest.TestLink, heal func()) {
			s.Expect(ping)
			s.Send(pong, false)
			_ = s.Close()
			relaytest.WaitUntil(t, "it is held", func() bool { return len(f.Recorded(evidence.Held)) == 1 })
			heal()
		}, 1},
		"an answer is late": {message.Rule{Action: message.DelayReply, By: relaytest.Quiet}, func(s relaytest.Peer, _ *relaytest.TestLink, _ func()) {
			s.Expect(ping)
			s.Send(pong, false)
			_ = s.Close()
		}, 1},
		"the server's own end": {message.Rule{Action: message.DelayReply, By: relaytest.Quiet}, func(s relaytest.Peer, _ *relaytest.TestLink, _ func()) { s.Expect(ping); _ = s.Close() }, 0},
		"the server's own end later": {message.Rule{Action: message.Delay, By: time.Millisecond}, func(s relaytest.Peer, _ *relaytest.TestLink, _ func()) {
			s.Expect(ping)
			time.Sleep(2 * soon)
			_ = s.Close()
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if c.broken > 0 { // a slow machine may take longer to notice the end
				relaytest.Set(t, &message.CrossingTime, relaytest.Patience)
			}
			s := relaytest.StartScript(t)
			f := relaytest.OpenLinkFor(t, "redis", s.Addr, message.Config{})
			count, heal := f.AddRule(t, c.rule)
			client := relaytest.Connect(t, f.Addr)
			server := s.Accept(t)
			client.Send(ping, false)
			relaytest.WaitUntil(t, "it is seen", func() bool { return count.Tally().Seen == 1 })
			if c.rule.By == time.Hour {
				f.WaitPending(t, 1)
			}
			c.play(server, f, heal)
			client.ReadToEnd(relaytest.Patience)
			relaytest.WaitUntil(t, "it is over", func() bool { return f.Link.Counters().Live == 0 || c.broken == count.Tally().Broken })
			assert.Equal(t, c.broken, count.Tally().Broken)
		})
	}
}

// Redis closes connections that are idle for a second; commands are held for three.
func TestRedisClosesIdleHeldConnection(t *testing.T) {
	addr := relaytest.StartServer(t, relaytest.FindProgram(t, "redis-server", "redis-server"), "--port", "{port}", "--bind", "127.0.0.1", "--dir", "{dir}", "--save", "", "--timeout", "1")
	f := relaytest.OpenLinkFor(t, "redis", addr, message.Config{})
	client := goredis.NewClient(&goredis.Options{Addr: f.Addr, MaxRetries: -1, PoolSize: 1, DisableIdentity: true})
	defer client.Close()
	require.NoError(t, client.Set(t.Context(), "a", "b", 0).Err())
	count, heal := f.AddRule(t, message.Rule{Action: message.Delay, By: 4 * time.Second, Match: message.Match{Method: "GET"}})
	defer heal()
	ctx, cancel := context.WithTimeout(t.Context(), relaytest.Patience)
	defer cancel()
	require.Error(t, client.Get(ctx, "a").Err())
	assert.EqualValues(t, 1, count.Tally().Broken)
}

// A copy that is due after the server has ended its connection does not arrive, and does not count as delivered.
func TestLateCopyNeedsTheServer(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLinkFor(t, "redis", s.Addr, message.Config{})
	count, heal := f.AddRule(t, message.Rule{Action: message.Twice, Late: time.Hour})
	client := relaytest.Connect(t, f.Addr)
	ping, pong := "*1\r\n$4\r\nPING\r\n", "+PONG\r\n"
	client.Send(ping, false)
	server := s.Accept(t)
	server.Expect(ping)
	server.Send(pong, false)
	require.NoError(t, server.CloseWrite())
	client.Expect(pong)
	f.WaitClosed(t, message.ToClient)
	heal()
	toServer, _ := f.CheckAccounts(t)
	assert.Zero(t, toServer.Copies)
	assert.Zero(t, count.Tally().Affected)
	require.Len(t, f.Recorded(evidence.Skipped), 1)
	assert.Equal(t, "the connection ended before the copy was sent", f.Recorded(evidence.Skipped)[0].Detail)
}

// A server sends output that cannot be parsed while the relay answers a request itself: both write to the client.
func TestAnswerBesideUnparsedOutput(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLinkFor(t, "redis", s.Addr, message.Config{})
	_, release := f.AddRule(t, message.Rule{Action: message.Delay, By: time.Hour})
	f.AddRule(t, message.Rule{ID: "fault-2", Action: message.Answer, Code: "LOADING"})
	client := relaytest.Connect(t, f.Addr)
	client.Send("*1\r\n$4\r\nPING\r\n", false)
	server := s.Accept(t)
	f.WaitPending(t, 1)
	const chunk, answer = "not RESP", "-LOADING Redis is loading the dataset in memory\r\n"
	server.Send(chunk, false)
	client.Expect(chunk)
	var sending sync.WaitGroup
	var answered atomic.Bool
	chunks := 0
	sending.Go(func() {
		for ; !answered.Load(); chunks++ {
			server.Send(chunk, false)
		}
	})
	release()
	before := client.Before(answer)
	answered.Store(true)
	sending.Wait()
	require.NoError(t, server.CloseWrite())
	after, _ := client.ReadToEnd(relaytest.Patience)
	assert.Len(t, before+after, len(chunk)*chunks)
}
