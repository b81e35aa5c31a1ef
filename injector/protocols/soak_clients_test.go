package protocols_test

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

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// soakClient is a protocol of the soak test: a server, and a client that performs typical operations until ctx
// ends and ignores errors.
type soakClient struct {
	protocol, Name string
	Cfg            message.Config
	codes          []string
	tls            bool // the link terminates TLS
	serve          func(testing.TB) (addr string)
	Client         func(ctx context.Context, t testing.TB, addr string, trust *tls.Config, random *rand.Rand)
}

var soakClients = []soakClient{
	{protocol: "http", serve: shopAddr, Client: soakConns(relaytest.Misbehave)},
	{protocol: "http", Name: "HTTP/2", serve: shopAddr, Client: soakConns(relaytest.MisbehaveHTTP2)},
	{protocol: "http", Name: "TLS", tls: true, serve: func(t testing.TB) string { return startShopTLS(t, true).Addr }, Client: soakHTTPS},
	{protocol: "grpc", codes: []string{"UNAVAILABLE", "DEADLINE_EXCEEDED"}, serve: func(t testing.TB) string { return relaytest.StartPayments(t).Addr }, Client: soakGRPC},
	{protocol: "redis", codes: []string{"LOADING", "OOM"}, serve: relaytest.RedisServer, Client: soakRedis},
	{protocol: "redis", Name: "TLS", tls: true, codes: []string{"READONLY"}, serve: relaytest.RedisServerTLS, Client: soakRedis},
	{protocol: "nats", codes: []string{"503", "10008"}, serve: func(t testing.TB) string { return natsSoaked(t, natsd.Options{}) }, Client: soakNATS},
	{protocol: "nats", Name: "TLS", tls: true, codes: []string{"503"}, serve: func(t testing.TB) string {
		return natsSoaked(t, natsd.Options{TLSConfig: relaytest.NewIdentity(t).Server(), TLS: true, TLSHandshakeFirst: true, TLSTimeout: 5})
	}, Client: soakNATS},
	{protocol: "postgres", codes: []string{"57P01"}, serve: relaytest.PostgresServer, Client: soakPostgres},
	{protocol: "lines", Cfg: message.Config{Framing: message.Framing{Lockstep: true}}, codes: []string{"error"}, serve: func(t testing.TB) string { addr, _ := relaytest.CountLines(t); return addr }, Client: soakConns(repeatMessage("COUNT n\n"))},
	{protocol: "lengths", Cfg: message.Config{Framing: message.Framing{Width: 2, Lockstep: true}}, codes: []string{"error"}, serve: echoTCP, Client: soakConns(repeatMessage("\x00\x05hello"))},
}

// soakConns connects clients that run each until ctx ends.
func soakConns(each func(relaytest.Peer, *rand.Rand)) func(context.Context, testing.TB, string, *tls.Config, *rand.Rand) {
	return func(ctx context.Context, t testing.TB, addr string, _ *tls.Config, random *rand.Rand) {
		for pause(ctx, random) {
			if c, err := net.DialTimeout("tcp", addr, soakPatience); err == nil {
				each(relaytest.Peer{TCPConn: c.(*net.TCPConn), T: t}, random)
			}
		}
	}
}

// pause gives the clients of other links CPU time, and reports whether to continue. Without it, the busiest
// clients would keep the others from sending anything between two faults.
func pause(ctx context.Context, random *rand.Rand) bool {
	time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond)
	return ctx.Err() == nil
}

// soakPatience is how long a client of the soak test waits for an answer.
const soakPatience = 50 * time.Millisecond

func soakHTTPS(ctx context.Context, _ testing.TB, addr string, trust *tls.Config, random *rand.Rand) {
	tr := &http.Transport{TLSClientConfig: trust.Clone(), ForceAttemptHTTP2: random.IntN(2) == 0}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr, Timeout: soakPatience}
	for pause(ctx, random) {
		res, err := c.Post("https://"+addr+"/a", "", strings.NewReader(strings.Repeat("x", random.IntN(10_000))))
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	}
}

func soakGRPC(ctx context.Context, t testing.TB, addr string, _ *tls.Config, random *rand.Rand) {
	for pause(ctx, random) {
		c, err := relaytest.NewPaymentClient(addr, insecure.NewCredentials())
		if !assert.NoError(t, err) {
			return
		}
		for i := 0; i < 1+random.IntN(200) && pause(ctx, random); i++ {
			c.Charge(soakPatience, "once", "idempotency-key", fmt.Sprint(random.IntN(100)))
		}
		_ = c.Close()
	}
}

func soakRedis(ctx context.Context, _ testing.TB, addr string, trust *tls.Config, random *rand.Rand) {
	c := goredis.NewClient(&goredis.Options{
		Addr: addr, TLSConfig: trust, ReadTimeout: 4 * soakPatience, WriteTimeout: soakPatience, DialTimeout: 40 * soakPatience, MaxRetries: random.IntN(3) - 1, Protocol: 2 + random.IntN(2),
		// Clients that back off after errors would miss most faults.
		PoolSize: 10_000, DialerRetries: 1, MinRetryBackoff: time.Millisecond, MaxRetryBackoff: 10 * time.Millisecond,
	})
	defer c.Close()
	for pause(ctx, random) {
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

// natsSoaked starts a server with a stream and a responder.
func natsSoaked(t testing.TB, o natsd.Options) (addr string) {
	addr = relaytest.NATSServer(t, o)
	var secure []natsgo.Option
	if o.TLSConfig != nil {
		secure = []natsgo.Option{natsgo.Secure(&tls.Config{InsecureSkipVerify: true}), natsgo.TLSHandshakeFirst()} //nolint:gosec // the test's own
	}
	c := relaytest.NATSClient(t, addr, secure...)
	relaytest.NATSOrders(t, c, time.Second)
	_, err := c.Subscribe("echo", func(m *natsgo.Msg) { _ = m.Respond(m.Data) })
	require.NoError(t, err)
	require.NoError(t, c.Flush())
	return addr
}

func soakNATS(ctx context.Context, _ testing.TB, addr string, trust *tls.Config, random *rand.Rand) {
	for pause(ctx, random) {
		closed, dialled := make(chan struct{}), &dialedConns{}
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
		for i := 0; i < 1+random.IntN(200) && pause(ctx, random); i++ {
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

// dialedConns closes the connections that nats.go leaks: those of a reconnect whose handshake failed
// (doReconnect in v1.55.0 replaces them without closing).
type dialedConns struct{ all []net.Conn }

// Dial implements natsgo.CustomDialer. The client calls it under its lock.
func (d *dialedConns) Dial(network, addr string) (net.Conn, error) {
	c, err := net.DialTimeout(network, addr, 40*soakPatience)
	if err == nil {
		d.all = append(d.all, c)
	}
	return c, err
}

func (d *dialedConns) close() {
	for _, c := range d.all {
		_ = c.Close()
	}
}

func soakPostgres(ctx context.Context, t testing.TB, addr string, _ *tls.Config, random *rand.Rand) {
	var c *pgx.Conn
	for pause(ctx, random) {
		within, cancel := context.WithTimeout(context.Background(), 20*soakPatience)
		var err error
		if c == nil || c.IsClosed() {
			c, err = relaytest.PGDial(within, addr)
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
		within, cancel := context.WithTimeout(context.Background(), relaytest.Patience)
		defer cancel()
		_ = c.Close(within)
	}
}

// repeatMessage sends sequences of a message and reads what it receives within a moment, until it disconnects in
// one way or another.
func repeatMessage(message string) func(relaytest.Peer, *rand.Rand) {
	return func(p relaytest.Peer, random *rand.Rand) {
		defer p.Close()
		for range 1 + random.IntN(20) {
			_ = p.SetDeadline(time.Now().Add(time.Duration(1+random.IntN(20)) * time.Millisecond))
			_, _ = p.WriteText(strings.Repeat(message, 1+random.IntN(20)), false)
			_, _ = p.Read(make([]byte, 1+random.IntN(500)))
		}
		switch random.IntN(3) {
		case 0:
			p.Reset()
		case 1:
			_ = p.CloseWrite()
			_, _ = io.Copy(io.Discard, p)
		}
	}
}

// echoTCP starts an echo server. It does not use io.Copy, whose pipes the standard library keeps until they are
// collected.
func echoTCP(t testing.TB) (addr string) {
	return relaytest.AnswerEach(t, func(c net.Conn) { _, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) })
}
