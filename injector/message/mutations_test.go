package message

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
)

// With -full tests that count messages count as many as the goals say: a million that were mutated, ten million that were carried; give it -timeout 0.
var full = flag.Bool("full", false, "1,000,000 mutated messages and 10,000,000 carried ones, instead of 100 times less")

// mutations are the faults that servers would take for errors of the protocol if they were not done at the boundaries of messages.
var mutations = []Rule{
	{ID: "twice", Do: Twice, Share: .4}, {ID: "again", Do: Twice, Second: true, Share: .3}, {ID: "late", Do: Twice, Late: 2 * time.Millisecond, Share: .4},
	{ID: "out of order", Do: Reorder, Wait: 50 * time.Millisecond, Share: .05},
}

// mutated counts what each mutation touched.
type mutated []*evidence.Counter

// mutate makes them live on messages that match, but one.
func (f *front) mutate(t testing.TB, match Match, without string) (counts mutated) {
	for _, r := range mutations {
		if r.ID != without {
			r.Match, r.Seed = match, 3
			count, _ := f.live(t, r)
			counts = append(counts, count)
		}
	}
	return counts
}

func (m mutated) each() (all []int64) {
	for _, c := range m {
		all = append(all, c.Tally().Affected)
	}
	return all
}

func (m mutated) sum() (n int64) {
	for _, touched := range m.each() {
		n += touched
	}
	return n
}

// enough is how many messages are to be mutated.
func enough() int64 {
	if *full {
		return 1_000_000
	}
	return 10_000
}

// discard is a configuration whose evidence is not kept.
func discard() Config { return Config{Sink: func(evidence.Fate) {}, Calls: func(Call) {}} }

// redis-server sees no error while commands come twice, late and out of order, and each client gets its own answers in their order.
func TestRedisSeesNoProtocolErrors(t *testing.T) {
	addr := redisServer(t)
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
	before := errors() // of the greeting of a client that knows newer servers
	f := openAs(t, "redis", addr, discard())
	touched := f.mutate(t, Match{}, "")
	var all sync.WaitGroup
	for c := range 8 {
		all.Go(func() { echoes(t, f.addr, c, func() bool { return touched.sum() >= enough() }) })
	}
	all.Wait()
	f.balanced(t)
	t.Logf("%d mutated, by rule %v", touched.sum(), touched.each())
	assert.NotContains(t, touched.each(), int64(0))
	require.Equal(t, before, errors())
	p := connect(t, addr) // it would have told
	p.send("*1\r\n!nonsense\r\n", false)
	p.expect("-ERR Protocol error")
	require.Equal(t, before+1, errors())
}

// echoes sends commands ahead in rows of 100 whose answers are known, until it is enough.
func echoes(t *testing.T, addr string, client int, over func() bool) {
	p := connect(t, addr)
	defer p.Close()
	in := bufio.NewReader(p)
	for row := 0; !over(); row++ {
		var say, hear strings.Builder
		for i := range 50 {
			text := fmt.Sprintf("%d,%d,%d", client, row, i)
			fmt.Fprintf(&say, "*2\r\n$4\r\nECHO\r\n$%d\r\n%s\r\n*3\r\n$3\r\nSET\r\n$4\r\nk:%02d\r\n$%d\r\n%s\r\n", len(text), text, i, len(text), text)
			fmt.Fprintf(&hear, "$%d\r\n%s\r\n+OK\r\n", len(text), text)
		}
		_, err := p.write(say.String(), false)
		if !assert.NoError(t, err) {
			return
		}
		_ = p.SetReadDeadline(time.Now().Add(patience))
		got := make([]byte, hear.Len())
		if _, err = io.ReadFull(in, got); !assert.NoError(t, err) || !assert.Equal(t, hear.String(), string(got)) {
			return
		}
	}
}

// complaints keeps what a NATS server logs as warnings and errors.
type complaints struct {
	mu  sync.Mutex
	all []string
}

func (c *complaints) Errorf(format string, v ...any) {
	c.mu.Lock()
	c.all = append(c.all, fmt.Sprintf(format, v...))
	c.mu.Unlock()
}

func (c *complaints) Warnf(format string, v ...any)  { c.Errorf(format, v...) }
func (c *complaints) Fatalf(format string, v ...any) { c.Errorf(format, v...) }
func (c *complaints) Noticef(string, ...any)         {}
func (c *complaints) Debugf(string, ...any)          {}
func (c *complaints) Tracef(string, ...any)          {}

func (c *complaints) list() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.all...)
}

// nats-server sees no error either, nobody is disconnected, each request gets its own answer, and subscribers hear each copy.
func TestNATSSeesNoProtocolErrors(t *testing.T) {
	log := &complaints{}
	addr := natsServer(t, natsd.Options{}, log)
	direct := natsClient(t, addr)
	_, err := direct.Subscribe("echo.>", func(m *natsgo.Msg) { _ = m.Respond(m.Data) })
	require.NoError(t, err)
	var heard atomic.Int64
	_, err = direct.Subscribe("news.>", func(*natsgo.Msg) { heard.Add(1) })
	require.NoError(t, err)
	require.NoError(t, direct.Flush())
	f := openAs(t, "nats", addr, discard())
	touched := append(f.mutate(t, Match{Path: "news.>"}, "again"), f.mutate(t, Match{Path: "echo.>"}, "out of order")...)
	var said atomic.Int64
	var all sync.WaitGroup
	for c := range 8 {
		through := natsClient(t, f.addr, natsgo.NoReconnect())
		all.Go(func() {
			for i := 0; touched.sum() < enough(); i++ {
				for range 100 {
					said.Add(1)
					assert.NoError(t, through.Publish(fmt.Sprintf("news.%d", c), []byte("hello")))
				}
				text := fmt.Sprint(c, " ", i)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				m, err := through.RequestWithContext(ctx, "echo.a", []byte(text))
				cancel()
				if !assert.NoError(t, err) || !assert.Equal(t, text, string(m.Data)) {
					return
				}
			}
			assert.NoError(t, through.FlushTimeout(patience))
			assert.NoError(t, through.LastError())
		})
	}
	all.Wait()
	f.balanced(t)
	t.Logf("%d mutated, by rule %v", touched.sum(), touched.each())
	assert.NotContains(t, touched.each(), int64(0))
	until(t, "all is heard", func() bool { return heard.Load() >= said.Load() })
	require.Empty(t, log.list())
	p := connect(t, addr) // it would have told
	p.send("NONSENSE\r\n", false)
	until(t, "it complains", func() bool { return len(log.list()) > 0 })
}
