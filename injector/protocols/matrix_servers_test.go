package protocols_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	natsd "github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
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
	Code         string                             // of errors
	open         func(p relaytest.Peer, key string) // begins a session; nil if there is nothing to do
	Request      func(key string) string
	answerText   func(key, number string) string // returns the exact answer, and the text that identifies an error
	warm         [2]string                       // another message, which no rule matches, and its answer
	separateConn bool                            // a copy is sent on another connection and may overtake the first
	keepsOpen    bool                            // silence loses only the message
	serve        func(testing.TB) (addr string, executed func(key string) int)
}

// has reports whether a case applies to the protocol. A server that begins the conversation sends before a fault of
// the link acts, and two sessions with one key would both get the answers.
func (c serverCase) has(m matrixCase) bool {
	if p, _ := relaytest.ProtocolOf(c.protocol); m.fault == nil && !slices.Contains(p.Actions, m.rule.Action) {
		return false
	}
	if c.open != nil && (m.fault != nil || m.rule.Action == message.Reorder) {
		return false
	}
	return !c.keepsOpen || m.rule.EndWith != message.EndSilence
}

var serverCases = []serverCase{
	{
		protocol: "http", match: message.Match{Method: "POST"}, separateConn: true, serve: countHTTP,
		Request: func(key string) string { return relaytest.HTTPPost("/"+key, "10 EUR") },
		answerText: func(_, number string) string {
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
		answerText: func(_, number string) string {
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
		answerText: func(_, number string) string { return number + "\n" },
		warm:       [2]string{"WARM\n", "warm\n"},
	},
	{
		protocol: "nats", match: message.Match{Method: "PUB", Path: "count.>"}, Code: "503", keepsOpen: true, serve: countNATS,
		open: func(p relaytest.Peer, key string) {
			p.Before("\r\n") // INFO
			p.Send("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB _INBOX."+key+" 1\r\nPING\r\n", false)
			p.Expect("PONG\r\n")
		},
		Request: func(key string) string { return "PUB count." + key + " _INBOX." + key + " 0\r\n\r\n" },
		answerText: func(key, number string) string {
			if number == "error" {
				head := "NATS/1.0 503\r\nNats-Subject: count." + key + "\r\n\r\n"
				return fmt.Sprintf("HMSG _INBOX.%s 1 %d %d\r\n%s\r\n", key, len(head), len(head), head)
			}
			return fmt.Sprintf("MSG _INBOX.%s 1 %d\r\n%s\r\n", key, len(number), number)
		},
		warm: [2]string{"PING\r\n", "PONG\r\n"},
	},
}

// countNATS starts nats-server with a responder.
func countNATS(t testing.TB) (addr string, executed func(string) int) {
	c := &relaytest.ExecutionCount{N: map[string]int{}}
	addr = relaytest.NATSServer(t, natsd.Options{DisableShortFirstPing: true}) // clients here do not answer PING
	responder := relaytest.NATSClient(t, addr)
	_, err := responder.Subscribe("count.*", func(m *natsgo.Msg) { _ = m.Respond([]byte(fmt.Sprint(c.Add(strings.TrimPrefix(m.Subject, "count."))))) })
	require.NoError(t, err)
	require.NoError(t, responder.Flush())
	return addr, c.Of
}

// grpcPath is the method whose executions countGRPC counts by the message.
const grpcPath = "/shop.Counter/Count"

// grpcBody returns a message with its prefix.
func grpcBody(text string) string {
	return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text)))) + text //nolint:gosec // small
}

// countGRPC starts a server of gRPC whose answers contain only the count.
func countGRPC(t testing.TB) (addr string, executed func(string) int) {
	c := &relaytest.ExecutionCount{N: map[string]int{}}
	addr = relaytest.ServeOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		text := "warm"
		if r.URL.Path == grpcPath {
			text = fmt.Sprint(c.Add(string(body[5:])))
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = io.WriteString(w, grpcBody(text))
		w.Header().Set("Grpc-Status", "0")
	}))
	return addr, c.Of
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
