package relaytest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	natsd "github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// ExecutionCount counts executions by key.
type ExecutionCount struct {
	mu sync.Mutex
	N  map[string]int
}

func (c *ExecutionCount) Add(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.N[key]++
	return c.N[key]
}

func (c *ExecutionCount) Of(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.N[key]
}

// CountLines starts a server that answers each line with one line.
func CountLines(t testing.TB) (addr string, executed func(string) int) {
	c := &ExecutionCount{N: map[string]int{}}
	addr = AnswerEach(t, func(conn net.Conn) {
		in := bufio.NewScanner(conn)
		for in.Scan() {
			text := "warm"
			if key, ok := strings.CutPrefix(in.Text(), "COUNT "); ok {
				text = fmt.Sprint(c.Add(key))
			}
			if _, err := io.WriteString(conn, text+"\n"); err != nil {
				return
			}
		}
	})
	return addr, c.Of
}

// AnswerEach starts a server that handles each connection with serve.
func AnswerEach(t testing.TB, serve func(net.Conn)) (addr string) {
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

// NATSServer starts a real server with JetStream in the test's process, with a directory of its own. It logs to
// log, if given.
func NATSServer(t testing.TB, o natsd.Options, log ...natsd.Logger) (addr string) {
	t.Helper()
	o.Host, o.Port, o.NoSigs, o.NoLog, o.JetStream, o.StoreDir = "127.0.0.1", -1, true, true, true, t.TempDir()
	s, err := natsd.NewServer(&o)
	require.NoError(t, err)
	for _, l := range log {
		s.SetLogger(l, false, false)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(Patience))
	return s.Addr().String()
}

func NATSClient(t testing.TB, addr string, o ...natsgo.Option) *natsgo.Conn {
	t.Helper()
	closed := make(chan struct{})
	c, err := natsgo.Connect("nats://"+addr, append(o, natsgo.ClosedHandler(func(*natsgo.Conn) { close(closed) }), natsgo.ErrorHandler(func(*natsgo.Conn, *natsgo.Subscription, error) {}))...)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close(); <-closed })
	return c
}

// NginxServer starts nginx with a page and an endpoint that logs the work it does. listens is added to its
// listen directive.
func NginxServer(t *testing.T, listens string) (addr string, page []byte, worked func() int) {
	dir := t.TempDir()
	page = bytes.Repeat([]byte("0123456789abcdef"), 16<<10)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "page"), page, 0o600))
	user := ""
	if os.Geteuid() == 0 {
		user = "user root; "
	}
	temp := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += kind + "_temp_path " + dir + "/" + kind + "; "
	}
	// the port is known only when the command starts
	addr = StartServer(t, "sh", "-c", `printf %s "$2" > "$1/conf" && exec "$0" -e stderr -p "$1" -c "$1/conf"`, FindProgram(t, "nginx", "nginx-light"), dir, user+"daemon off; pid "+dir+"/pid; events {} http { "+temp+
		"access_log off; keepalive_requests 100000; server { listen 127.0.0.1:{port} "+listens+"; root "+dir+"; location /work { access_log "+dir+"/work; return 200 done; } } }")
	return addr, page, func() int {
		raw, err := os.ReadFile(filepath.Join(dir, "work"))
		require.NoError(t, err)
		return bytes.Count(raw, []byte("\n"))
	}
}

// PGDial connects pgx through an address. It may be refused.
func PGDial(ctx context.Context, addr string, with ...string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, "postgres://postgres@"+addr+"/postgres?sslmode=prefer&connect_timeout=20&"+strings.Join(with, "&"))
}

func JetStream(t testing.TB, c *natsgo.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(c)
	require.NoError(t, err)
	return js
}

// NATSOrders creates a stream that forgets message IDs after a window.
func NATSOrders(t testing.TB, direct *natsgo.Conn, window time.Duration) jetstream.Stream {
	t.Helper()
	s, err := JetStream(t, direct).CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, Duplicates: window})
	require.NoError(t, err)
	return s
}
