package message

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// serverCase is a protocol of the matrix with a server that counts executions by key.
type serverCase struct {
	protocol     string
	cfg          Config
	match        Match
	code         string // of errors
	request      func(key string) string
	answerText   func(number string) string // returns the exact answer, and the text that identifies an error
	warm         [2]string                  // another message, which no rule matches, and its answer
	separateConn bool                       // a copy is sent on another connection and may overtake the first
	serve        func(testing.TB) (addr string, executed func(key string) int)
}

var serverCases = []serverCase{
	{
		protocol: "http", match: Match{Method: "POST"}, separateConn: true, serve: countHTTP,
		request: func(key string) string { return post("/"+key, "10 EUR") },
		answerText: func(number string) string {
			if number == "error" {
				return "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n503 injected\n"
			}
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(number), number)
		},
		warm: [2]string{request("GET", "/warm"), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwarm"},
	},
	{
		protocol: "redis", match: Match{Method: "INCR"}, code: "LOADING", serve: countRedis,
		request: func(key string) string { return fmt.Sprintf("*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n", len(key), key) },
		answerText: func(number string) string {
			if number == "error" {
				return "-LOADING Redis is loading the dataset in memory\r\n"
			}
			return ":" + number + "\r\n"
		},
		warm: [2]string{"*1\r\n$4\r\nPING\r\n", "+PONG\r\n"},
	},
	{
		protocol: "lines", cfg: Config{Framing: Framing{Lockstep: true}}, match: Match{Method: "COUNT"}, code: "error", serve: countLines,
		request:    func(key string) string { return "COUNT " + key + "\n" },
		answerText: func(number string) string { return number + "\n" },
		warm:       [2]string{"WARM\n", "warm\n"},
	},
}

// executionCount counts executions by key.
type executionCount struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *executionCount) add(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[key]++
	return c.n[key]
}

func (c *executionCount) of(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[key]
}

// countHTTP starts a net/http server whose answers contain only the count.
func countHTTP(t testing.TB) (addr string, executed func(string) int) {
	c := &executionCount{n: map[string]int{}}
	addr = serveOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		text := "warm"
		if r.Method == http.MethodPost {
			text = fmt.Sprint(c.add(r.URL.Path[1:]))
		}
		w.Header()["Date"], w.Header()["Content-Type"] = nil, nil
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = io.WriteString(w, text)
	}))
	return addr, c.of
}

// countLines starts a server that answers each line with one line.
func countLines(t testing.TB) (addr string, executed func(string) int) {
	c := &executionCount{n: map[string]int{}}
	addr = answerEach(t, func(conn net.Conn) {
		in := bufio.NewScanner(conn)
		for in.Scan() {
			text := "warm"
			if key, ok := strings.CutPrefix(in.Text(), "COUNT "); ok {
				text = fmt.Sprint(c.add(key))
			}
			if _, err := io.WriteString(conn, text+"\n"); err != nil {
				return
			}
		}
	})
	return addr, c.of
}

// countRedis starts redis-server; executed asks it directly.
func countRedis(t testing.TB) (addr string, executed func(string) int) {
	addr = redisServer(t)
	direct := goredis.NewClient(&goredis.Options{Addr: addr})
	t.Cleanup(func() { _ = direct.Close() })
	return addr, func(key string) int {
		n, err := direct.Get(context.Background(), key).Int()
		require.True(t, err == nil || errors.Is(err, goredis.Nil), "%v", err)
		return n
	}
}

// answerEach starts a server that handles each connection with serve.
func answerEach(t testing.TB, serve func(net.Conn)) (addr string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { defer c.Close(); serve(c) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); all.Wait() })
	return ln.Addr().String()
}
