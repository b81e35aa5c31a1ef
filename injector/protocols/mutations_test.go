package protocols_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// With -full, tests that count messages use the numbers of the goals: a million mutated messages, ten million
// relayed ones. Use it with -timeout 0.
var full = flag.Bool("full", false, "1,000,000 mutated messages and 10,000,000 carried ones, instead of 100 times less")

// mutations are faults that servers would treat as protocol errors if they were not applied at message
// boundaries.
var mutations = []message.Rule{
	{ID: "twice", Action: message.Twice, Share: .4}, {ID: "again", Action: message.Twice, Second: true, Share: .3}, {ID: "late", Action: message.Twice, Late: 2 * time.Millisecond, Share: .4},
	{ID: "out of order", Action: message.Reorder, Wait: 50 * time.Millisecond, Share: .05},
}

// mutationCounts holds a counter for each mutation.
type mutationCounts []*evidence.Counter

// addMutations adds rules for all mutations but one, for messages that match.
func addMutations(t testing.TB, f *relaytest.TestLink, match message.Match, without string) (counts mutationCounts) {
	for _, r := range mutations {
		if r.ID != without {
			r.Match, r.Seed = match, 3
			count, _ := f.AddRule(t, r)
			counts = append(counts, count)
		}
	}
	return counts
}

func (m mutationCounts) each() (all []int64) {
	for _, c := range m {
		all = append(all, c.Tally().Affected)
	}
	return all
}

func (m mutationCounts) sum() (n int64) {
	for _, touched := range m.each() {
		n += touched
	}
	return n
}

// mutationTotal returns the required number of mutated messages.
func mutationTotal() int64 {
	if *full {
		return 1_000_000
	}
	return 10_000
}

// discard returns a configuration that does not keep the evidence.
func discard() message.Config {
	return message.Config{Sink: func(evidence.Event) {}, Calls: func(message.Call) {}}
}

// redis-server reports no error while commands are duplicated, delayed and reordered, and each client gets its
// own answers in order.
func TestRedisSeesNoProtocolErrors(t *testing.T) {
	addr := relaytest.RedisServer(t)
	direct := goredis.NewClient(&goredis.Options{Addr: addr, PoolSize: 1})
	defer direct.Close()
	errors := func() (n int) {
		info, err := direct.Info(t.Context(), "stats").Result()
		require.NoError(t, err)
		_, after, _ := strings.Cut(info, "total_error_replies:")
		_, err = fmt.Sscan(after, &n)
		require.NoError(t, err)
		return n
	}
	before := errors() // from the greeting of a client made for newer servers
	f := relaytest.OpenLinkFor(t, "redis", addr, discard())
	touched := addMutations(t, f, message.Match{}, "")
	var all sync.WaitGroup
	for c := range 8 {
		all.Go(func() { echoes(t, f.Addr, c, func() bool { return touched.sum() >= mutationTotal() }) })
	}
	all.Wait()
	f.CheckAccounts(t)
	t.Logf("%d mutated, by rule %v", touched.sum(), touched.each())
	assert.NotContains(t, touched.each(), int64(0))
	require.Equal(t, before, errors())
	p := relaytest.Connect(t, addr) // checks that an error would be counted
	p.Send("*1\r\n!nonsense\r\n", false)
	p.Expect("-ERR Protocol error")
	require.Equal(t, before+1, errors())
}

// echoes sends commands with known answers, 100 at a time, until over returns true.
func echoes(t *testing.T, addr string, client int, over func() bool) {
	p := relaytest.Connect(t, addr)
	defer p.Close()
	in := bufio.NewReader(p)
	for row := 0; !over(); row++ {
		var say, hear strings.Builder
		for i := range 50 {
			text := fmt.Sprintf("%d,%d,%d", client, row, i)
			fmt.Fprintf(&say, "*2\r\n$4\r\nECHO\r\n$%d\r\n%s\r\n*3\r\n$3\r\nSET\r\n$4\r\nk:%02d\r\n$%d\r\n%s\r\n", len(text), text, i, len(text), text)
			fmt.Fprintf(&hear, "$%d\r\n%s\r\n+OK\r\n", len(text), text)
		}
		_, err := p.WriteText(say.String(), false)
		if !assert.NoError(t, err) {
			return
		}
		_ = p.SetReadDeadline(time.Now().Add(relaytest.Patience))
		got := make([]byte, hear.Len())
		if _, err = io.ReadFull(in, got); !assert.NoError(t, err) || !assert.Equal(t, hear.String(), string(got)) {
			return
		}
	}
}

// errorLog records the warnings and errors of a NATS server.
type errorLog struct {
	mu  sync.Mutex
	all []string
}

func (c *errorLog) Errorf(format string, v ...any) {
	c.mu.Lock()
	c.all = append(c.all, fmt.Sprintf(format, v...))
	c.mu.Unlock()
}

func (c *errorLog) Warnf(format string, v ...any)  { c.Errorf(format, v...) }
func (c *errorLog) Fatalf(format string, v ...any) { c.Errorf(format, v...) }
func (c *errorLog) Noticef(string, ...any)         {}
func (c *errorLog) Debugf(string, ...any)          {}
func (c *errorLog) Tracef(string, ...any)          {}

func (c *errorLog) list() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.all...)
}

// nats-server reports no error either, no client is disconnected, each request gets its own answer, and
// subscribers receive each copy.
func TestNATSSeesNoProtocolErrors(t *testing.T) {
	log := &errorLog{}
	addr := relaytest.NATSServer(t, natsd.Options{}, log)
	direct := relaytest.NATSClient(t, addr)
	_, err := direct.Subscribe("echo.>", func(m *natsgo.Msg) { _ = m.Respond(m.Data) })
	require.NoError(t, err)
	var received atomic.Int64
	_, err = direct.Subscribe("news.>", func(*natsgo.Msg) { received.Add(1) })
	require.NoError(t, err)
	require.NoError(t, direct.Flush())
	f := relaytest.OpenLinkFor(t, "nats", addr, discard())
	touched := append(addMutations(t, f, message.Match{Path: "news.>"}, "again"), addMutations(t, f, message.Match{Path: "echo.>"}, "out of order")...)
	var sent atomic.Int64
	var all sync.WaitGroup
	for c := range 8 {
		through := relaytest.NATSClient(t, f.Addr, natsgo.NoReconnect())
		all.Go(func() {
			for i := 0; touched.sum() < mutationTotal(); i++ {
				for range 100 {
					sent.Add(1)
					assert.NoError(t, through.Publish(fmt.Sprintf("news.%d", c), []byte("hello")))
				}
				text := fmt.Sprint(c, " ", i)
				ctx, cancel := context.WithTimeout(t.Context(), relaytest.Patience)
				m, err := through.RequestWithContext(ctx, "echo.a", []byte(text))
				cancel()
				if !assert.NoError(t, err) || !assert.Equal(t, text, string(m.Data)) {
					return
				}
			}
			assert.NoError(t, through.FlushTimeout(relaytest.Patience))
			assert.NoError(t, through.LastError())
		})
	}
	all.Wait()
	f.CheckAccounts(t)
	t.Logf("%d mutated, by rule %v", touched.sum(), touched.each())
	assert.NotContains(t, touched.each(), int64(0))
	relaytest.WaitUntil(t, "all is heard", func() bool { return received.Load() >= sent.Load() })
	require.Empty(t, log.list())
	p := relaytest.Connect(t, addr) // checks that an error would be logged
	p.Send("NONSENSE\r\n", false)
	relaytest.WaitUntil(t, "it complains", func() bool { return len(log.list()) > 0 })
}
