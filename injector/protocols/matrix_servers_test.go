package protocols_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	natsd "github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
)

// backend is the server of a transport.
type backend struct {
	addr     string
	executed func(key string) int // how often it has received the message; nil if the clients count
	push     func(key string)     // makes it send the message to its clients with this key; nil if they send it
	gone     func()               // ends the server of datagrams
	pid      uint32               // of the session that notifies, of PostgreSQL
}

func newCount() *relaytest.ExecutionCount { return &relaytest.ExecutionCount{N: map[string]int{}} }

// countNATS starts nats-server with a responder.
func countNATS(t testing.TB) *backend {
	c := newCount()
	addr := natsServer(t)
	responder := relaytest.NATSClient(t, addr)
	_, err := responder.Subscribe("count.*", func(m *natsgo.Msg) { _ = m.Respond([]byte(fmt.Sprint(c.Add(strings.TrimPrefix(m.Subject, "count."))))) })
	require.NoError(t, err)
	require.NoError(t, responder.Flush())
	return &backend{addr: addr, executed: c.Of}
}

// natsServer starts nats-server for clients that do not answer PING.
func natsServer(t testing.TB) string {
	return relaytest.NATSServer(t, natsd.Options{DisableShortFirstPing: true})
}

// pushNATS starts nats-server with a publisher.
func pushNATS(t testing.TB) *backend {
	addr := natsServer(t)
	publisher := relaytest.NATSClient(t, addr)
	return &backend{addr: addr, push: func(key string) {
		require.NoError(t, publisher.Publish("news."+key, []byte("hello")))
		require.NoError(t, publisher.Flush())
	}}
}

// grpcPath is the method whose executions countGRPC counts by the message.
const grpcPath = "/shop.Counter/Count"

// grpcBody returns a message with its prefix.
func grpcBody(text string) string {
	return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text)))) + text //nolint:gosec // small
}

// countGRPC starts a server of gRPC whose answers contain only the count.
func countGRPC(t testing.TB) *backend {
	c := newCount()
	addr := relaytest.ServeOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	return &backend{addr: addr, executed: c.Of}
}

// countHTTP starts a net/http server whose answers contain only the count.
func countHTTP(t testing.TB) *backend {
	c := newCount()
	addr := relaytest.ServeOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		text := "warm"
		if r.Method == http.MethodPost {
			text = fmt.Sprint(c.Add(r.URL.Path[1:]))
		}
		w.Header()["Date"], w.Header()["Content-Type"] = nil, nil
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = io.WriteString(w, text)
	}))
	return &backend{addr: addr, executed: c.Of}
}

// redisDirect starts redis-server and returns a client that is connected directly.
func redisDirect(t testing.TB) (addr string, direct *goredis.Client) {
	addr = relaytest.RedisServer(t)
	direct = goredis.NewClient(&goredis.Options{Addr: addr})
	t.Cleanup(func() { _ = direct.Close() })
	return addr, direct
}

// countRedis starts redis-server; executed asks it directly.
func countRedis(t testing.TB) *backend {
	addr, direct := redisDirect(t)
	return &backend{addr: addr, executed: func(key string) int {
		n, err := direct.Get(context.Background(), key).Int()
		require.True(t, err == nil || errors.Is(err, goredis.Nil), "%v", err)
		return n
	}}
}

// pushRedis starts redis-server with a publisher.
func pushRedis(t testing.TB) *backend {
	addr, direct := redisDirect(t)
	return &backend{addr: addr, push: func(key string) { require.NoError(t, direct.Publish(context.Background(), key, "hello").Err()) }}
}

// countLines starts a server that answers each line with one line.
func countLines(t testing.TB) *backend {
	addr, executed := relaytest.CountLines(t)
	return &backend{addr: addr, executed: executed}
}

// withLength returns a message that begins with its length.
func withLength(text string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(text)))) + text //nolint:gosec // small
}

// countLengths starts a server that answers each message that begins with its length with another.
func countLengths(t testing.TB) *backend {
	c := newCount()
	addr := relaytest.AnswerEach(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for {
			var size uint32
			if binary.Read(in, binary.BigEndian, &size) != nil {
				return
			}
			body := make([]byte, size)
			if _, err := io.ReadFull(in, body); err != nil {
				return
			}
			text := "warm"
			if key := string(body); key != text {
				text = fmt.Sprint(c.Add(key))
			}
			if _, err := io.WriteString(conn, withLength(text)); err != nil {
				return
			}
		}
	})
	return &backend{addr: addr, executed: c.Of}
}

// postgresDirect starts PostgreSQL. do calls a function with a connection to it.
func postgresDirect(t testing.TB) (addr string, do func(func(context.Context, *pgx.Conn) error)) {
	addr = relaytest.PostgresServer(t)
	direct, err := relaytest.PGDial(context.Background(), addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = direct.Close(context.Background()) })
	var mu sync.Mutex
	return addr, func(f func(context.Context, *pgx.Conn) error) {
		mu.Lock()
		defer mu.Unlock()
		require.NoError(t, f(context.Background(), direct))
	}
}

// countPostgres starts PostgreSQL with a table of counts.
func countPostgres(t testing.TB) *backend {
	addr, do := postgresDirect(t)
	do(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "CREATE TABLE counts (key text PRIMARY KEY, n int)")
		return err
	})
	return &backend{addr: addr, executed: func(key string) (n int) {
		do(func(ctx context.Context, c *pgx.Conn) error {
			return c.QueryRow(ctx, "SELECT coalesce(max(n), 0) FROM counts WHERE key = $1", key).Scan(&n)
		})
		return n
	}}
}

// pushPostgres starts PostgreSQL with a session that notifies others.
func pushPostgres(t testing.TB) *backend {
	addr, do := postgresDirect(t)
	b := &backend{addr: addr, push: func(key string) {
		do(func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, "NOTIFY "+key+", 'hello'")
			return err
		})
	}}
	do(func(_ context.Context, c *pgx.Conn) error { b.pid = c.PgConn().PID(); return nil })
	return b
}

// serveDatagrams starts a server of datagrams that answers with what handle returns, if anything.
func serveDatagrams(t testing.TB, handle func([]byte) []byte) (addr string, gone func()) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if answer := handle(buf[:n]); answer != nil {
				_, _ = conn.WriteToUDPAddrPort(answer, from)
			}
		}
	})
	gone = func() { _ = conn.Close(); all.Wait() }
	t.Cleanup(gone)
	return conn.LocalAddr().String(), gone
}

// countDatagrams starts a server that counts datagrams by content.
func countDatagrams(t testing.TB) *backend {
	c := newCount()
	addr, gone := serveDatagrams(t, func(b []byte) []byte { c.Add(string(b)); return nil })
	return &backend{addr: addr, executed: c.Of, gone: gone}
}

// countDNS starts a server that answers A with 192.0.2.n, where n is the number of questions for the name.
func countDNS(t testing.TB) *backend {
	c := newCount()
	addr, gone := serveDatagrams(t, func(b []byte) []byte {
		var m dnsmessage.Message
		if m.Unpack(b) != nil || len(m.Questions) != 1 {
			return nil
		}
		q := m.Questions[0]
		n := byte(c.Add(q.Name.String())) //nolint:gosec // small
		m.Response = true
		m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, n}}}}
		answer, err := m.Pack()
		if err != nil {
			return nil
		}
		return answer
	})
	return &backend{addr: addr, executed: c.Of, gone: gone}
}
