package protocols_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// serverCase is a protocol of the matrix with a server that counts executions by key.
type serverCase struct {
	protocol     string
	Cfg          message.Config
	match        message.Match
	Code         string // of errors
	Request      func(key string) string
	answerText   func(number string) string // returns the exact answer, and the text that identifies an error
	warm         [2]string                  // another message, which no rule matches, and its answer
	separateConn bool                       // a copy is sent on another connection and may overtake the first
	serve        func(testing.TB) (addr string, executed func(key string) int)
}

var serverCases = []serverCase{
	{
		protocol: "http", match: message.Match{Method: "POST"}, separateConn: true, serve: countHTTP,
		Request: func(key string) string { return relaytest.HTTPPost("/"+key, "10 EUR") },
		answerText: func(number string) string {
			if number == "error" {
				return "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n503 injected\n"
			}
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(number), number)
		},
		warm: [2]string{relaytest.HTTPRequest("GET", "/warm"), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwarm"},
	},
	{
		protocol: "redis", match: message.Match{Method: "INCR"}, Code: "LOADING", serve: countRedis,
		Request: func(key string) string { return fmt.Sprintf("*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n", len(key), key) },
		answerText: func(number string) string {
			if number == "error" {
				return "-LOADING Redis is loading the dataset in memory\r\n"
			}
			return ":" + number + "\r\n"
		},
		warm: [2]string{"*1\r\n$4\r\nPING\r\n", "+PONG\r\n"},
	},
	{
		protocol: "lines", Cfg: message.Config{Framing: message.Framing{Lockstep: true}}, match: message.Match{Method: "COUNT"}, Code: "error", serve: relaytest.CountLines,
		Request:    func(key string) string { return "COUNT " + key + "\n" },
		answerText: func(number string) string { return number + "\n" },
		warm:       [2]string{"WARM\n", "warm\n"},
	},
}

// countHTTP starts a net/http server whose answers contain only the count.
func countHTTP(t testing.TB) (addr string, executed func(string) int) {
	c := &relaytest.ExecutionCount{N: map[string]int{}}
	addr = relaytest.ServeOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		text := "warm"
		if r.Method == http.MethodPost {
			text = fmt.Sprint(c.Add(r.URL.Path[1:]))
		}
		w.Header()["Date"], w.Header()["Content-Type"] = nil, nil
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = io.WriteString(w, text)
	}))
	return addr, c.Of
}

// countRedis starts redis-server; executed asks it directly.
func countRedis(t testing.TB) (addr string, executed func(string) int) {
	addr = relaytest.RedisServer(t)
	direct := goredis.NewClient(&goredis.Options{Addr: addr})
	t.Cleanup(func() { _ = direct.Close() })
	return addr, func(key string) int {
		n, err := direct.Get(context.Background(), key).Int()
		require.True(t, err == nil || errors.Is(err, goredis.Nil), "%v", err)
		return n
	}
}
