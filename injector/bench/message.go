package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// The requests and answers of the message suite. All answers to a request have the same length.
const (
	httpGet  = "GET /orders/17 HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
	redisGet = "*2\r\n$3\r\nGET\r\n$8\r\norder:17\r\n"
	redisSet = "*3\r\n$3\r\nSET\r\n$8\r\norder:17\r\n$5\r\nhello\r\n"
	redisOK  = "+OK\r\n"
	redisHas = "$5\r\nhello\r\n"
)

var httpPost = "POST /orders HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024)

// Targets with a rule that never fires: one that matches another method, and one with a tiny probability, which is drawn
// for each message.
const (
	otherMethod = "rule: other method"
	neverDrawn  = "rule: never drawn"
	bytesOnly   = "firedrill, bytes" // the same link without a protocol
)

// relays are the Firedrill targets and their rules, as understood by addRule.
var relays = []struct{ target, rule string }{{"firedrill", ""}, {otherMethod, "other"}, {neverDrawn, "never"}}

const (
	getCase      = "HTTP GET, 64 connections"
	postCase     = "HTTP POST of 1 KiB, answer of 4 KiB, 64 connections"
	h2Case       = "HTTP/2 GET, 4 connections with 16 streams"
	redisCase    = "Redis GET, 1 connection"
	redisMany    = "Redis GET, 64 connections"
	datagramCase = "datagram round trips, 16 clients with 8 in flight"
	floodCase    = "datagrams one way, as fast as possible"
)

// startRelays starts the suite of message protocols.
func startRelays(b *bench) error {
	if _, err := b.startServer("http"); err != nil {
		return err
	}
	if err := b.redisServer(); err != nil {
		return err
	}
	for _, name := range []string{"h2", "datagrams"} {
		var err error
		if b.datagrams, err = b.startServer(name); err != nil {
			return err
		}
	}
	b.addDirect()
	only := func(names string, args ...string) func(server) []string {
		return func(s server) []string {
			if !strings.Contains(names, s.name) {
				return nil
			}
			return args
		}
	}
	for _, r := range relays {
		kinds := func(s server) []string {
			protocol, ok := map[string]string{"http": "http", "redis": "redis", "h2": "http", "datagrams": "udp"}[s.name]
			if !ok || (s.name == "datagrams" && r.rule == "other") || (s.name == "h2" && r.rule != "") {
				return nil
			}
			return []string{"relay", protocol, r.rule}
		}
		if err := b.addChildren(&target{name: r.target}, kinds); err != nil {
			return err
		}
	}
	for _, other := range []struct {
		name  string
		kinds func(server) []string
	}{
		{bytesOnly, only("http redis h2", "firedrill")}, {"toxiproxy", only("redis", "toxiproxy")}, {"copy loop", only("redis", "copy loop")},
		{"ReverseProxy", only("http", "ReverseProxy")}, {"plain forwarder", only("datagrams", "forwarder")},
	} {
		if err := b.addChildren(&target{name: other.name}, other.kinds); err != nil {
			return err
		}
	}
	b.startExternal(func() error { return b.haproxyIn("mode http", b.servers[:1]) })
	return nil
}

// redisServer starts a Redis server. If none is installed, it starts a server that has only one answer.
func (b *bench) redisServer() error {
	ports, _ := freePorts([]server{{}})
	_, err := b.startProgram("redis-server", "redis-server", ports, "redis-server", "--bind", "127.0.0.1", "--port", ports[0], "--save", "", "--appendonly", "no")
	if err != nil {
		b.skipped = append(b.skipped, err.Error()+"; a server with a single answer was used instead")
		_, err := b.startServer("redis")
		return err
	}
	addr := "127.0.0.1:" + ports[0]
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_, _ = io.WriteString(c, redisSet)
	answer := make([]byte, len(redisOK))
	if _, err := io.ReadFull(c, answer); err != nil || string(answer) != redisOK {
		return fmt.Errorf("redis-server on %s: it answers %q to SET: %w", addr, answer, err)
	}
	b.servers = append(b.servers, server{"redis", addr})
	return nil
}

// reaches selects the targets that have a connection to a server.
func reaches(name string) func(*target) bool {
	return func(t *target) bool { return t.addrs[name] != "" }
}

func messageCases() []benchCase {
	list := []benchCase{}
	for _, k := range []roundTrips{
		{getCase, "http", 64, []byte(httpGet), 0, "requests/s", "request"},
		{postCase, "http", 64, []byte(httpPost), 0, "requests/s", "request"},
		{redisCase, "redis", 1, []byte(redisGet), len(redisHas), "commands/s", "command"},
		{redisMany, "redis", 64, []byte(redisGet), len(redisHas), "commands/s", "command"},
	} {
		list = append(list, benchCase{name: k.name, fits: reaches(k.server), run: k.run})
	}
	return append(list,
		benchCase{name: h2Case, fits: reaches("h2"), run: http2Streams},
		benchCase{name: datagramCase, fits: reaches("datagrams"), run: datagramRoundTrips},
		benchCase{name: floodCase, fits: reaches("datagrams"), run: datagramFlood},
	)
}

// messageGoals returns the project's goals for message protocols. A rule costs at most 10 % if the rate without it is at
// most 1/0.9 of the rate with it.
func messageGoals() []goal {
	const off = 1 / 0.9
	return []goal{
		{"HTTP requests/s at least 0.9x HAProxy in its HTTP mode", getCase, "requests/s", "haproxy", true, 0.9},
		{"HTTP requests/s at least 2x ReverseProxy", getCase, "requests/s", "ReverseProxy", true, 2},
		{"HTTP processor time per request at most 1/2 of ReverseProxy's", getCase, "CPU us per request", "ReverseProxy", false, 0.5},
		{"HTTP processor time per request at most 1/0.9 of HAProxy's", getCase, "CPU us per request", "haproxy", false, off},
		{"Redis p50 at most Toxiproxy's of plain bytes", redisCase, "p50 us", "toxiproxy", false, 1},
		{"Redis p50 at most 1.1x a copy loop's", redisCase, "p50 us", "copy loop", false, 1.1},
		{"HTTP: a rule of another method costs at most 10 %", getCase, "requests/s", otherMethod, false, off},
		{"HTTP: a rule that is never drawn costs at most 10 %", getCase, "requests/s", neverDrawn, false, off},
		{"Redis: a rule of another method costs at most 10 %", redisMany, "commands/s", otherMethod, false, off},
		{"Redis: a rule that is never drawn costs at most 10 %", redisMany, "commands/s", neverDrawn, false, off},
		{"datagram round trips at least 0.8x a plain forwarder", datagramCase, "datagrams/s", "plain forwarder", true, 0.8},
		{"datagrams one way at least 0.8x a plain forwarder", floodCase, "datagrams/s", "plain forwarder", true, 0.8},
		{"datagrams: a rule that is never drawn costs at most 10 %", datagramCase, "datagrams/s", neverDrawn, false, off},
		{"no datagram lost that the kernel did not drop", floodCase, "lost otherwise", "", false, 0},
		{"every datagram dropped by the kernel is reported by the link", floodCase, "dropped and not reported by the link", "", false, 0},
	}
}

// http2Streams makes 64 concurrent HTTP/2 requests on 4 connections.
func http2Streams(b *bench, t *target) error {
	before, began := t.usage(), time.Now()
	end := began.Add(b.roundTime())
	var mu sync.Mutex
	var times []time.Duration
	err := concurrently(4, func(int) error {
		client := h2cClient()
		defer client.CloseIdleConnections()
		return concurrently(16, func(int) error {
			var mine []time.Duration
			defer func() { mu.Lock(); times = append(times, mine...); mu.Unlock() }()
			for now := time.Now(); len(mine) == 0 || now.Before(end); { // at least once, also on a busy machine
				resp, err := client.Get("http://" + t.addrs["h2"] + "/orders/17") //nolint:noctx // the round ends it
				if err != nil {
					return err
				}
				_, err = io.Copy(io.Discard, resp.Body)
				if _ = resp.Body.Close(); err != nil {
					return err
				}
				before := now
				now = time.Now()
				mine = append(mine, now.Sub(before))
			}
			return nil
		})
	})
	b.add(h2Case, t, "requests/s", float64(len(times))/time.Since(began).Seconds())
	b.addCPU(h2Case, t, "CPU us per request", before, float64(len(times)), 1e6)
	b.add(h2Case, t, "p50 us", quantile(times, 0.5).Seconds()*1e6)
	return err
}
