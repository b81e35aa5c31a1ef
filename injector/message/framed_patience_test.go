package message

import (
	"context"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// If a server closes its connection while a message or an answer is held, the relay cannot redial, and records
// that holding caused it.
func TestConnectionsBrokenByHoldingAreCounted(t *testing.T) {
	ping, pong := "*1\r\n$4\r\nPING\r\n", "+PONG\r\n"
	for name, c := range map[string]struct {
		rule   Rule
		play   func(client, server peer, heal func())
		broken int64
	}{
		"a message is held":     {Rule{Action: Delay, By: time.Hour}, func(_, s peer, _ func()) { _ = s.Close() }, 1},
		"a message met the end": {Rule{Action: Delay, By: time.Millisecond}, func(_, s peer, _ func()) { s.expect(ping); s.reset() }, 1},
		"an answer is held": {Rule{Action: LoseReply, EndWith: EndHeld}, func(_, s peer, heal func()) {
			s.expect(ping)
			s.send(pong, false)
			_ = s.Close()
			time.Sleep(quiet)
			heal()
		}, 1},
		"an answer is late":          {Rule{Action: DelayReply, By: quiet}, func(_, s peer, _ func()) { s.expect(ping); s.send(pong, false); _ = s.Close() }, 1},
		"the server's own end":       {Rule{Action: DelayReply, By: quiet}, func(_, s peer, _ func()) { s.expect(ping); _ = s.Close() }, 0},
		"the server's own end later": {Rule{Action: Delay, By: time.Millisecond}, func(_, s peer, _ func()) { s.expect(ping); time.Sleep(2 * crossingTime); _ = s.Close() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := startScript(t)
			f := openLinkFor(t, "redis", s.addr, Config{})
			count, heal := f.addRule(t, c.rule)
			client := connect(t, f.addr)
			server := s.accept(t)
			client.send(ping, false)
			waitUntil(t, "it is seen", func() bool { return count.Tally().Seen == 1 })
			c.play(client, server, heal)
			client.readToEnd(patience)
			waitUntil(t, "it is over", func() bool { return f.link.Counters().Live == 0 || c.broken == count.Tally().Broken })
			assert.Equal(t, c.broken, count.Tally().Broken)
		})
	}
}

// Redis closes connections that are idle for a second; commands are held for three.
func TestRedisClosesIdleHeldConnection(t *testing.T) {
	addr := server(t, program(t, "redis-server", "redis-server"), "--port", "{port}", "--bind", "127.0.0.1", "--dir", "{dir}", "--save", "", "--timeout", "1")
	f := openLinkFor(t, "redis", addr, Config{})
	client := goredis.NewClient(&goredis.Options{Addr: f.addr, MaxRetries: -1, PoolSize: 1, DisableIdentity: true})
	defer client.Close()
	require.NoError(t, client.Set(t.Context(), "a", "b", 0).Err())
	count, heal := f.addRule(t, Rule{Action: Delay, By: 4 * time.Second, Match: Match{Method: "GET"}})
	defer heal()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.Error(t, client.Get(ctx, "a").Err())
	assert.EqualValues(t, 1, count.Tally().Broken)
}
