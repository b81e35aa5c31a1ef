package datagram

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// metricServer is a receiver that adds up counters, as StatsD does.
type metricServer struct {
	addr string
	mu   sync.Mutex
	sums map[string]int
	seen map[string]int // number of datagrams by content
}

func startMetrics(t testing.TB) *metricServer {
	s := serve(t)
	y := &metricServer{addr: s.addr(), sums: map[string]int{}, seen: map[string]int{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			n, err := s.Read(s.buf)
			if err != nil {
				return
			}
			y.take(s.buf[:n])
		}
	})
	t.Cleanup(func() { _ = s.Close(); all.Wait() })
	return y
}

func (y *metricServer) take(b []byte) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.seen[string(b)]++
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		name, value, _ := strings.Cut(string(line), ":")
		n, err := strconv.Atoi(strings.TrimSuffix(value, "|c"))
		if err == nil {
			y.sums[name] += n
		}
	}
}

func (y *metricServer) sum(name string) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.sums[name]
}

// Lost datagrams are not counted and duplicates are counted twice, exactly as often as the evidence says.
func TestCountsMatchEvidence(t *testing.T) {
	for do, sign := range map[message.Action]int{message.LoseRequest: -1, message.Twice: 1} {
		t.Run(string(do), func(t *testing.T) {
			y := startMetrics(t)
			f := openLink(t, y.addr, Config{Protocol: "statsd"})
			acted, _ := f.AddRule(t, message.Rule{Action: do, Share: .3, Seed: 4, Match: message.Match{Method: "counter", Path: "orders.*"}})
			c := connect(t, f.Addr())
			const sent = 200
			for range sent {
				c.send("orders.total:1|c|#a:b")
				c.send("other:1|c\nlatency:3|ms")
			}
			c.send("end:1|c")
			relaytest.WaitUntil(t, "all came", func() bool { return y.sum("end") == 1 })
			affected := int(acted.Tally().Affected)
			assert.InDelta(t, .3*sent, affected, 40)
			assert.Len(t, f.Recorded(evidence.Applied), affected)
			assert.Zero(t, f.Loss().Unattributed())
			assert.Equal(t, sent, y.sum("other"))
			y.mu.Lock()
			defer y.mu.Unlock()
			assert.Equal(t, sent+sign*affected, y.seen["orders.total:1|c|#a:b"])
		})
	}
}

// A rule for one metric acts on the whole datagram.
func TestRuleForOneMetricTakesTheDatagram(t *testing.T) {
	y := startMetrics(t)
	f := openLink(t, y.addr, Config{Protocol: "statsd"})
	f.AddRule(t, message.Rule{Action: message.LoseRequest, Match: message.Match{Method: "timer", Path: "latency"}})
	c := connect(t, f.Addr())
	c.send("a:1|c\nlatency:3|ms\nb:1|c")
	c.send("latency:3|c\nother:3|ms") // not a timer of that name
	c.send("end:1|c")
	relaytest.WaitUntil(t, "all came", func() bool { return y.sum("end") == 1 })
	assert.Equal(t, 0, y.sum("a")+y.sum("b"))
	assert.Equal(t, 3, y.sum("latency"))
	require.Len(t, f.Recorded(evidence.Applied), 1)
	assert.Equal(t, "counter a and 2 more", f.Recorded(evidence.Applied)[0].Op)
}

func TestReadStatsD(t *testing.T) {
	for text, want := range map[string]message.Message{
		"a.b:1|c":                          {Topic: message.Topic{Method: "counter", Path: "a.b"}, Op: "counter a.b"},
		"a:-1.5|g|@0.1|#x:y,z":             {Topic: message.Topic{Method: "gauge", Path: "a"}, Op: "gauge a"},
		"a:1|ms\n":                         {Topic: message.Topic{Method: "timer", Path: "a"}, Op: "timer a"},
		"a:1:2:3|h":                        {Topic: message.Topic{Method: "histogram", Path: "a"}, Op: "histogram a"},
		"a:1|d":                            {Topic: message.Topic{Method: "distribution", Path: "a"}, Op: "distribution a"},
		"a:x|s\nb:1|m":                     {Topic: message.Topic{Method: "set", Path: "a"}, More: []message.Topic{{Method: "meter", Path: "b"}}, Op: "set a and 1 more"},
		"_e{5,4}:title|text":               {Topic: message.Topic{Method: "event"}, Op: "event"},
		"_sc|db|0|m:down":                  {Topic: message.Topic{Method: "check", Path: "db"}, Op: "check db"},
		"bad\nalso bad|c\na:1|c":           {Topic: message.Topic{Method: "counter", Path: "a"}, Op: "counter a"},
		"":                                 {Op: "datagram that is no StatsD"},
		":1|c":                             {Op: "datagram that is no StatsD"},
		"a:1|nothing":                      {Op: "datagram that is no StatsD"},
		"a:1":                              {Op: "datagram that is no StatsD"},
		strings.Repeat("n", 3000):          {Op: "datagram that is no StatsD"},
		strings.Repeat("n", 3000) + ":1|c": {Topic: message.Topic{Method: "counter", Path: strings.Repeat("n", 3000)}, Op: "counter " + strings.Repeat("n", maxNameLen)},
	} {
		var d message.Message
		readStatsD([]byte(text), &d)
		assert.Equal(t, want, d, "%.40q", text)
	}
	for _, kind := range metrics {
		assert.Contains(t, metricKinds(), kind)
	}
	f := openLink(t, "127.0.0.1:9", Config{Protocol: "statsd"})
	_, err := f.Add(message.Rule{ID: "f", Action: message.LoseRequest, Match: message.Match{Method: "GET"}})
	require.ErrorContains(t, err, `no metrics of kind "GET": write one of counter, gauge`)
}

// The same seed chooses the same metrics, however 16 senders interleave: metrics of a single sender by their
// number, shared ones by their occurrence.
func TestSameSeedChoosesSameUnderConcurrency(t *testing.T) {
	run := func(seed uint64) (own map[string]int, shared int) {
		y := startMetrics(t)
		f := openLink(t, y.addr, Config{Protocol: "statsd"})
		f.AddRule(t, message.Rule{Action: message.LoseRequest, Share: .2, Seed: seed})
		var all sync.WaitGroup
		for s := range 16 {
			c := connect(t, f.Addr())
			all.Go(func() {
				for i := range 50 {
					_, _ = fmt.Fprintf(c, "sender%c.count:%d|c", 'a'+s, 1<<20+i)
					_, _ = fmt.Fprintf(c, "shared.count:1|c")
				}
			})
		}
		all.Wait()
		relaytest.WaitUntil(t, "all came", func() bool {
			to, _, err := f.Quiesce(t.Context())
			y.mu.Lock()
			defer y.mu.Unlock()
			arrived := 0
			for _, n := range y.seen {
				arrived += n
			}
			return err == nil && to.Received == 16*100 && int64(arrived) == to.Delivered
		})
		require.Zero(t, f.Loss().Unattributed())
		y.mu.Lock()
		defer y.mu.Unlock()
		shared = y.seen["shared.count:1|c"]
		delete(y.seen, "shared.count:1|c")
		return y.seen, shared
	}
	own, shared := run(1)
	again, sharedAgain := run(1)
	other, _ := run(2)
	assert.InDelta(t, 16*50*.8, len(own), 70)
	assert.Equal(t, own, again)
	assert.Equal(t, shared, sharedAgain)
	assert.NotEqual(t, own, other)
}
