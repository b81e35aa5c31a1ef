package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// What is said in the suite of message protocols: small requests whose answers have a fixed length.
const (
	get      = "GET /orders/17 HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
	redisGet = "*2\r\n$3\r\nGET\r\n$8\r\norder:17\r\n"
	redisSet = "*3\r\n$3\r\nSET\r\n$8\r\norder:17\r\n$5\r\nhello\r\n"
	redisOK  = "+OK\r\n"
	redisHas = "$5\r\nhello\r\n"
)

var post = "POST /orders HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024)

// Targets with a rule that never fires: one that another method would meet, and one that every message is asked about.
const (
	otherMethod = "rule: other method"
	neverDrawn  = "rule: never drawn"
	bytewise    = "firedrill, bytes" // the same link without a protocol
)

// relays are the targets of ours, and what they are told of their rule.
var relays = []struct{ target, rule string }{{"firedrill", ""}, {otherMethod, "other"}, {neverDrawn, "never"}}

const (
	getCase      = "HTTP GET, 64 connections"
	postCase     = "HTTP POST of 1 KiB, answer of 4 KiB, 64 connections"
	h2Case       = "HTTP/2 GET, 4 connections with 16 streams"
	redisCase    = "Redis GET, 1 connection"
	redisMany    = "Redis GET, 64 connections"
	datagramCase = "datagrams there and back, 16 clients with 8 under way"
	floodCase    = "datagrams one way, as many as go"
)

// startRelays starts the suite of message protocols.
func startRelays(b *bench) error {
	if _, err := b.server("http"); err != nil {
		return err
	}
	if err := b.redisServer(); err != nil {
		return err
	}
	for _, name := range []string{"h2", "datagrams"} {
		var err error
		if b.counts, err = b.server(name); err != nil {
			return err
		}
	}
	b.direct()
	only := func(names string, words ...string) func(server) []string {
		return func(s server) []string {
			if !strings.Contains(names, s.name) {
				return nil
			}
			return words
		}
	}
	for _, r := range relays {
		kinds := func(s server) []string {
			protocol, there := map[string]string{"http": "http", "redis": "redis", "h2": "http", "datagrams": "udp"}[s.name]
			if !there || (s.name == "datagrams" && r.rule == "other") || (s.name == "h2" && r.rule != "") {
				return nil
			}
			return []string{"relay", protocol, r.rule}
		}
		if err := b.child(&target{name: r.target}, kinds); err != nil {
			return err
		}
	}
	for _, other := range []struct {
		name  string
		kinds func(server) []string
	}{
		{bytewise, only("http redis h2", "firedrill")}, {"toxiproxy", only("redis", "toxiproxy")}, {"copy loop", only("redis", "copy loop")},
		{"ReverseProxy", only("http", "ReverseProxy")}, {"plain forwarder", only("datagrams", "forwarder")},
	} {
		if err := b.child(&target{name: other.name}, other.kinds); err != nil {
			return err
		}
	}
	b.external(func() error { return b.haproxyIn("mode http", b.servers[:1]) })
	return nil
}

// redisServer starts a real one where it is installed, else one of ours that knows one answer.
func (b *bench) redisServer() error {
	ports, _ := ways([]server{{}})
	_, err := b.program("redis-server", "redis-server", ports, "redis-server", "--bind", "127.0.0.1", "--port", ports[0], "--save", "", "--appendonly", "no")
	if err != nil {
		b.skipped = append(b.skipped, err.Error()+"; a server that knows one answer stood in for it")
		_, err := b.server("redis")
		return err
	}
	addr := "127.0.0.1:" + ports[0]
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_, _ = io.WriteString(c, redisSet)
	said := make([]byte, len(redisOK))
	if _, err := io.ReadFull(c, said); err != nil || string(said) != redisOK {
		return fmt.Errorf("redis-server on %s: it answers %q to SET: %w", addr, said, err)
	}
	b.servers = append(b.servers, server{"redis", addr})
	return nil
}

// onWay leaves out targets that have no way to a server.
func onWay(name string) func(*target) bool {
	return func(t *target) bool { return t.at[name] != "" }
}

func messageCases() []kase {
	list := []kase{}
	for _, k := range []talk{
		{getCase, "http", 64, []byte(get), 0, "requests/s", "request"},
		{postCase, "http", 64, []byte(post), 0, "requests/s", "request"},
		{redisCase, "redis", 1, []byte(redisGet), len(redisHas), "commands/s", "command"},
		{redisMany, "redis", 64, []byte(redisGet), len(redisHas), "commands/s", "command"},
	} {
		list = append(list, kase{name: k.name, fits: onWay(k.way), run: k.run})
	}
	return append(list,
		kase{name: h2Case, fits: onWay("h2"), run: streams},
		kase{name: datagramCase, fits: onWay("datagrams"), run: thereAndBack},
		kase{name: floodCase, fits: onWay("datagrams"), run: flood},
	)
}

// messageAims are the project's goals for message protocols. That a rule costs at most 10 % is a rate without it of at most 1 / 0.9 of that with it.
func messageAims() []goal {
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
		{"datagrams there and back at least 0.8x a plain forwarder", datagramCase, "datagrams/s", "plain forwarder", true, 0.8},
		{"datagrams one way at least 0.8x a plain forwarder", floodCase, "datagrams/s", "plain forwarder", true, 0.8},
		{"datagrams: a rule that is never drawn costs at most 10 %", datagramCase, "datagrams/s", neverDrawn, false, off},
		{"no datagram lost that the kernel did not drop", floodCase, "lost otherwise", "", false, 0},
		{"no datagram dropped by the kernel that the link does not tell", floodCase, "dropped and not told by the link", "", false, 0},
	}
}

// streams is HTTP/2: 64 requests at once on 4 connections.
func streams(b *bench, t *target) error {
	before, began := t.usage(), time.Now()
	end := began.Add(b.lasts())
	var mu sync.Mutex
	var times []time.Duration
	err := each(4, func(int) error {
		over := h2c()
		defer over.CloseIdleConnections()
		return each(16, func(int) error {
			var mine []time.Duration
			defer func() { mu.Lock(); times = append(times, mine...); mu.Unlock() }()
			for now := time.Now(); now.Before(end); {
				resp, err := over.Get("http://" + t.at["h2"] + "/orders/17") //nolint:noctx // it ends by itself
				if err != nil {
					return err
				}
				_, err = io.Copy(io.Discard, resp.Body)
				if _ = resp.Body.Close(); err != nil {
					return err
				}
				then := now
				now = time.Now()
				mine = append(mine, now.Sub(then))
			}
			return nil
		})
	})
	b.note(h2Case, t, "requests/s", float64(len(times))/time.Since(began).Seconds())
	b.cpu(h2Case, t, "CPU us per request", before, float64(len(times)), 1e6)
	b.note(h2Case, t, "p50 us", quantile(times, 0.5).Seconds()*1e6)
	return err
}
