package message

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	natsd "github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/credentials/insecure"
)

// bather is a protocol in the soak: a server, and a client that does what its users do until ctx ends, whatever comes of it.
type bather struct {
	protocol, name string
	cfg            Config
	codes          []string
	sealed         bool // the link ends TLS
	serve          func(testing.TB) (addr string)
	client         func(ctx context.Context, t testing.TB, addr string, trust *tls.Config, random *rand.Rand)
}

var bathers = []bather{
	{protocol: "http", serve: shopAddr, client: bathe(unruly)},
	{protocol: "http", name: "HTTP/2", serve: shopAddr, client: bathe(unrulyH2)},
	{protocol: "http", name: "TLS", sealed: true, serve: func(t testing.TB) string { return tradeTLS(t, true).addr }, client: soakHTTPS},
	{protocol: "grpc", codes: []string{"UNAVAILABLE", "DEADLINE_EXCEEDED"}, serve: func(t testing.TB) string { return openTill(t).addr }, client: soakGRPC},
	{protocol: "redis", codes: []string{"LOADING", "OOM"}, serve: redisServer, client: soakRedis},
	{protocol: "redis", name: "TLS", sealed: true, codes: []string{"READONLY"}, serve: redisServerTLS, client: soakRedis},
	{protocol: "nats", codes: []string{"503", "10008"}, serve: func(t testing.TB) string { return natsSoaked(t, natsd.Options{}) }, client: soakNATS},
	{protocol: "nats", name: "TLS", sealed: true, codes: []string{"503"}, serve: func(t testing.TB) string {
		return natsSoaked(t, natsd.Options{TLSConfig: certified(t).server(), TLS: true, TLSHandshakeFirst: true, TLSTimeout: 5})
	}, client: soakNATS},
	{protocol: "postgres", codes: []string{"57P01"}, serve: postgresServer, client: soakPostgres},
	{protocol: "lines", cfg: Config{Framing: Framing{Lockstep: true}}, codes: []string{"error"}, serve: func(t testing.TB) string { addr, _ := countLines(t); return addr }, client: bathe(rows("COUNT n\n"))},
	{protocol: "lengths", cfg: Config{Framing: Framing{Width: 2, Lockstep: true}}, codes: []string{"error"}, serve: echoTCP, client: bathe(rows("\x00\x05hello"))},
}

// bathe lets clients connect and do what they do until ctx ends.
func bathe(each func(peer, *rand.Rand)) func(context.Context, testing.TB, string, *tls.Config, *rand.Rand) {
	return func(ctx context.Context, t testing.TB, addr string, _ *tls.Config, random *rand.Rand) {
		for rested(ctx, random) {
			if c, err := net.DialTimeout("tcp", addr, soakPatience); err == nil {
				each(peer{c.(*net.TCPConn), t}, random)
			}
		}
	}
}

// rested gives the clients of other links their turn, and tells whether to go on: where none rests, those who talk most leave the others no time to say a word
// between two faults.
func rested(ctx context.Context, random *rand.Rand) bool {
	time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond)
	return ctx.Err() == nil
}

// soakPatience is how long a client of the soak waits for an answer.
const soakPatience = 50 * time.Millisecond

func soakHTTPS(ctx context.Context, _ testing.TB, addr string, trust *tls.Config, random *rand.Rand) {
	tr := &http.Transport{TLSClientConfig: trust.Clone(), ForceAttemptHTTP2: random.IntN(2) == 0}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr, Timeout: soakPatience}
	for rested(ctx, random) {
		res, err := c.Post("https://"+addr+"/a", "", strings.NewReader(strings.Repeat("x", random.IntN(10_000))))
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	}
}

func soakGRPC(ctx context.Context, t testing.TB, addr string, _ *tls.Config, random *rand.Rand) {
	for rested(ctx, random) {
		c, err := newPayer(addr, insecure.NewCredentials())
		if !assert.NoError(t, err) {
			return
		}
		for i := 0; i < 1+random.IntN(200) && rested(ctx, random); i++ {
			c.charge(soakPatience, "once", "idempotency-key", fmt.Sprint(random.IntN(100)))
		}
		_ = c.Close()
	}
}

func soakRedis(ctx context.Context, _ testing.TB, addr string, trust *tls.Config, random *rand.Rand) {
	c := goredis.NewClient(&goredis.Options{
		Addr: addr, TLSConfig: trust, ReadTimeout: 4 * soakPatience, WriteTimeout: soakPatience, DialTimeout: 40 * soakPatience, MaxRetries: random.IntN(3) - 1, Protocol: 2 + random.IntN(2),
		PoolSize: 10_000, DialerRetries: 1, MinRetryBackoff: time.Millisecond, MaxRetryBackoff: 10 * time.Millisecond, // at rest after errors, it would miss most faults
	})
	defer c.Close()
	for rested(ctx, random) {
		key := fmt.Sprint("n:", random.IntN(100))
		switch random.IntN(4) {
		case 0:
			_, _ = c.TxPipelined(ctx, func(p goredis.Pipeliner) error { p.Incr(ctx, key); p.Get(ctx, key); return nil })
		case 1:
			_, _ = c.Pipelined(ctx, func(p goredis.Pipeliner) error {
				for range random.IntN(50) {
					p.Incr(ctx, key)
				}
				return nil
			})
		case 2:
			s := c.Subscribe(ctx, "news")
			_ = c.Publish(ctx, "news", "hello").Err()
			_, _ = s.ReceiveTimeout(ctx, soakPatience)
			_ = s.Close()
		case 3:
			_ = c.Set(ctx, key, strings.Repeat("x", random.IntN(5000)), 0).Err()
		}
	}
}

// natsSoaked is a server with a stream, and somebody who answers.
func natsSoaked(t testing.TB, o natsd.Options) (addr string) {
	addr = natsServer(t, o)
	var secure []natsgo.Option
	if o.TLSConfig != nil {
		secure = []natsgo.Option{natsgo.Secure(&tls.Config{InsecureSkipVerify: true}), natsgo.TLSHandshakeFirst()} //nolint:gosec // the test's own
	}
	c := natsClient(t, addr, secure...)
	orders(t, c, time.Second)
	_, err := c.Subscribe("echo", func(m *natsgo.Msg) { _ = m.Respond(m.Data) })
	require.NoError(t, err)
	require.NoError(t, c.Flush())
	return addr
}

func soakNATS(ctx context.Context, _ testing.TB, addr string, trust *tls.Config, random *rand.Rand) {
	for rested(ctx, random) {
		closed, dialled := make(chan struct{}), &dialled{}
		o := []natsgo.Option{natsgo.SetCustomDialer(dialled), natsgo.Timeout(40 * soakPatience), natsgo.ReconnectWait(time.Millisecond), natsgo.ReconnectJitter(0, 0), natsgo.MaxReconnects(-1), natsgo.ClosedHandler(func(*natsgo.Conn) { close(closed) }),
			natsgo.ErrorHandler(func(*natsgo.Conn, *natsgo.Subscription, error) {})}
		if trust != nil {
			o = append(o, natsgo.Secure(trust), natsgo.TLSHandshakeFirst())
		}
		c, err := natsgo.Connect("nats://"+addr, o...)
		if err != nil {
			dialled.close()
			continue
		}
		_, _ = c.Subscribe("orders.>", func(*natsgo.Msg) {})
		for i := 0; i < 1+random.IntN(200) && rested(ctx, random); i++ {
			_ = c.Publish("orders.a", make([]byte, random.IntN(5000)))
			_ = c.PublishRequest("orders.b", c.NewInbox(), []byte("hello"))
			if random.IntN(5) == 0 {
				_, _ = c.Request("echo", []byte("hello"), soakPatience)
			}
		}
		c.Close()
		<-closed
		dialled.close()
	}
}

// dialled closes what nats.go forgets: the connection of a reconnect whose handshake did not succeed (doReconnect in v1.55.0 dials the next over it).
type dialled struct{ all []net.Conn }

// Dial implements natsgo.CustomDialer; the client dials under its lock.
func (d *dialled) Dial(network, addr string) (net.Conn, error) {
	c, err := net.DialTimeout(network, addr, 40*soakPatience)
	if err == nil {
		d.all = append(d.all, c)
	}
	return c, err
}

func (d *dialled) close() {
	for _, c := range d.all {
		_ = c.Close()
	}
}

func soakPostgres(ctx context.Context, t testing.TB, addr string, _ *tls.Config, random *rand.Rand) {
	var c *pgx.Conn
	for rested(ctx, random) {
		within, cancel := context.WithTimeout(context.Background(), 20*soakPatience)
		var err error
		if c == nil || c.IsClosed() {
			c, err = pgDial(within, addr)
		}
		switch {
		case err != nil:
			c = nil
		case random.IntN(10) == 0:
			_ = c.Close(within)
		case random.IntN(3) == 0:
			_ = pgx.BeginFunc(within, c, func(tx pgx.Tx) error { _, err := tx.Exec(within, "SELECT 1 FROM pg_class"); return err })
		default:
			_, _ = c.Exec(within, "SELECT $1::int", random.IntN(100))
		}
		cancel()
	}
	if c != nil {
		within, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = c.Close(within)
	}
}

// rows says rows of messages and hears what it gets within a moment; then it goes on, or leaves in one way or another.
func rows(message string) func(peer, *rand.Rand) {
	return func(p peer, random *rand.Rand) {
		defer p.Close()
		for range 1 + random.IntN(20) {
			_ = p.SetDeadline(time.Now().Add(time.Duration(1+random.IntN(20)) * time.Millisecond))
			_, _ = p.write(strings.Repeat(message, 1+random.IntN(20)), false)
			_, _ = p.Read(make([]byte, 1+random.IntN(500)))
		}
		switch random.IntN(3) {
		case 0:
			p.reset()
		case 1:
			_ = p.CloseWrite()
			_, _ = io.Copy(io.Discard, p)
		}
	}
}

// echoTCP sends back whatever comes, without the pipes that the standard library keeps until they are collected.
func echoTCP(t testing.TB) (addr string) {
	return answerEach(t, func(c net.Conn) { _, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) })
}
