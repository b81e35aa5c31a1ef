package sources

import (
	"context"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	framing "github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// loadRow is a kind of load with a real server.
type loadRow struct {
	kind         string
	start        func(t *testing.T) (addr string, u *url.URL) // u may be nil
	works, fails scenarios.Route                              // requests that are acknowledged and refused
	word         string                                       // of the answer to fails
	answers      []scenarios.AnswerMeaning
	framing      framing.Framing
	proto        string
	udp          bool                                // datagrams: there is no connection that could be cut
	applied      func(t *testing.T, addr string) int // how often works was applied
}

// ordersInRedis returns the length of the list orders.
func ordersInRedis(t *testing.T, addr string) int {
	c := redis.NewClient(&redis.Options{Addr: addr})
	defer c.Close()
	n, err := c.LLen(t.Context(), "orders").Result()
	require.NoError(t, err)
	return int(n)
}

// login returns a login without an address.
func login(t *testing.T, text string) *url.URL {
	u, err := url.Parse(text)
	require.NoError(t, err)
	return u
}

// ordersServer starts PostgreSQL with a table of orders.
func ordersServer(t *testing.T) (string, *url.URL) {
	addr := postgresServer(t)
	c, err := pgx.Connect(t.Context(), "postgres://postgres@"+addr+"/postgres?sslmode=disable")
	require.NoError(t, err)
	defer c.Close(t.Context())
	_, err = c.Exec(t.Context(), "create table orders (key text, number int check (number >= 0))")
	require.NoError(t, err)
	return addr, login(t, "postgres://postgres@/postgres")
}

// streamServer starts NATS with the stream orders, and a stream for small messages. Its user may not publish to denied.
func streamServer(t *testing.T) (string, *url.URL) {
	user := &natsd.User{Username: "shop", Password: "secret", Permissions: &natsd.Permissions{Publish: &natsd.SubjectPermission{Deny: []string{"denied"}}}}
	s, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), Users: []*natsd.User{user}})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(time.Minute))
	withStream(t, s.Addr().String(), func(js jetstream.JetStream) {
		for _, cfg := range []jetstream.StreamConfig{{Name: "ORDERS", Subjects: []string{"orders"}}, {Name: "SMALL", Subjects: []string{"small"}, MaxMsgSize: 1}} {
			_, err = js.CreateStream(t.Context(), cfg)
			require.NoError(t, err)
		}
	})
	return s.Addr().String(), login(t, "nats://shop:secret@")
}

func withStream(t *testing.T, addr string, do func(js jetstream.JetStream)) {
	conn, err := nats.Connect("nats://shop:secret@" + addr)
	require.NoError(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	do(js)
}

func ordersInStream(t *testing.T, addr string) (n int) {
	withStream(t, addr, func(js jetstream.JetStream) {
		s, err := js.Stream(t.Context(), "ORDERS")
		require.NoError(t, err)
		n = int(s.CachedInfo().State.Msgs) //nolint:gosec // a few
	})
	return n
}

var loadRows = []loadRow{
	{
		kind:  "redis",
		start: func(t *testing.T) (string, *url.URL) { return redisServer(t), nil },
		works: scenarios.Route{Body: `RPUSH orders "{{key}}"`}, fails: scenarios.Route{Body: "INCR orders"}, word: "WRONGTYPE",
		applied: ordersInRedis,
	},
	{
		kind: "postgres", start: ordersServer,
		works: scenarios.Route{Body: "insert into orders values ('{{key}}', {{n}})"}, fails: scenarios.Route{Body: "insert into orders values ('{{key}}', -1)"}, word: "23514",
		applied: func(t *testing.T, addr string) (n int) {
			c, err := pgx.Connect(t.Context(), "postgres://postgres@"+addr+"/postgres?sslmode=disable")
			require.NoError(t, err)
			defer c.Close(t.Context())
			require.NoError(t, c.QueryRow(t.Context(), "select count(*) from orders").Scan(&n))
			return n
		},
	},
	{
		kind: "nats message", start: streamServer,
		works: scenarios.Route{Path: "orders", Body: `{"key": "{{key}}"}`}, fails: scenarios.Route{Path: "denied", Body: "x"}, word: "permissions",
		applied: ordersInStream,
	},
	{
		kind: "nats request", start: streamServer,
		works: scenarios.Route{Path: "orders", Body: `{"key": "{{key}}"}`}, fails: scenarios.Route{Path: "small", Body: "too large"}, word: "10054",
		applied: ordersInStream,
	},
	{
		// Redis understands lines, too.
		kind:  "lines",
		start: func(t *testing.T) (string, *url.URL) { return redisServer(t), nil },
		works: scenarios.Route{Body: "RPUSH orders {{key}}"}, fails: scenarios.Route{Body: "INCR orders"}, word: "-",
		answers: []scenarios.AnswerMeaning{{Begins: "-", Is: scenarios.Refused}},
		applied: ordersInRedis,
	},
	{
		kind:  "lengths",
		start: func(t *testing.T) (string, *url.URL) { return noLogin(lengthsServer(t, &orders{})) },
		works: scenarios.Route{Body: "order {{key}}"}, fails: scenarios.Route{Body: "cancel {{key}}"}, word: "ERR",
		answers: []scenarios.AnswerMeaning{{Begins: "ERR", Is: scenarios.Refused}}, framing: framing.Framing{Width: 2, Little: true, Includes: true},
		applied: appliedAt,
	},
	{
		kind:  "datagram",
		start: func(t *testing.T) (string, *url.URL) { return noLogin(datagramServer(t, &orders{}, false)) },
		works: scenarios.Route{Body: "order {{key}}"}, fails: scenarios.Route{Body: "cancel {{key}}"}, word: "ERR",
		answers: []scenarios.AnswerMeaning{{Begins: "ERR", Is: scenarios.Refused}}, udp: true,
		applied: appliedAt,
	},
	{
		kind:  "grpc",
		start: func(t *testing.T) (string, *url.URL) { return noLogin(grpcServer(t, &orders{}, true)) },
		works: scenarios.Route{Path: "shop.Orders/Create", Body: `{"key": "{{key}}", "quantity": 1}`}, fails: scenarios.Route{Path: "shop.Orders/Create", Body: `{"quantity": -3}`}, word: "INVALID_ARGUMENT",
		applied: appliedAt,
	},
}

// network forwards connections to a server, and loses or cuts what the server says.
type network struct {
	mode  atomic.Int32
	conns atomic.Int32
	cuts  atomic.Int32
}

const (
	passing int32 = iota
	muted         // answers are lost
	cutting       // a connection is closed instead of the next answer
)

func (n *network) forward(t *testing.T, addr string) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			n.conns.Add(1)
			all.Go(func() { n.serve(client, addr, &all) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); all.Wait() })
	return ln.Addr().String()
}

// through forwards to a server as its kind of load needs it.
func (r loadRow) through(t *testing.T, n *network, addr string) string {
	if r.udp {
		return n.forwardDatagrams(t, addr)
	}
	return n.forward(t, addr)
}

// forwardDatagrams forwards datagrams and their answers, and counts each new sender as a connection.
func (n *network) forwardDatagrams(t *testing.T, addr string) string {
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	var all sync.WaitGroup
	servers := map[string]net.Conn{}
	all.Go(func() {
		defer func() {
			for _, s := range servers {
				_ = s.Close()
			}
		}()
		b := make([]byte, 64<<10)
		for {
			got, client, err := front.ReadFromUDP(b)
			if err != nil {
				return
			}
			server := servers[client.String()]
			if server == nil {
				if server, err = net.Dial("udp", addr); err != nil {
					return
				}
				servers[client.String()] = server
				n.conns.Add(1)
				all.Go(func() {
					b := make([]byte, 64<<10)
					for {
						got, err := server.Read(b)
						if err != nil {
							return
						}
						if n.mode.Load() == passing {
							_, _ = front.WriteToUDP(b[:got], client)
						}
					}
				})
			}
			_, _ = server.Write(b[:got])
		}
	})
	t.Cleanup(func() { _ = front.Close(); all.Wait() })
	return front.LocalAddr().String()
}

func (n *network) serve(client net.Conn, addr string, all *sync.WaitGroup) {
	server, err := net.Dial("tcp", addr)
	if err != nil {
		_ = client.Close()
		return
	}
	all.Go(func() {
		defer server.Close()
		b := make([]byte, 64<<10)
		for {
			got, err := client.Read(b)
			if err != nil {
				return
			}
			_, _ = server.Write(b[:got])
		}
	})
	defer client.Close()
	b := make([]byte, 64<<10)
	for {
		got, err := server.Read(b)
		if err != nil {
			return
		}
		switch n.mode.Load() {
		case passing:
			_, _ = client.Write(b[:got])
		case cutting:
			n.cuts.Add(1)
			return
		}
	}
}

// other is a load of one route of a kind, and its results.
type other struct {
	*load.Client
	results chan load.Result
}

func (r loadRow) client(t *testing.T, ctx context.Context, rt scenarios.Route, addr string, u *url.URL, change func(*load.Config)) *other {
	rt.Kind, rt.Service, rt.Share = r.kind, "service", 1
	o := &other{results: make(chan load.Result, 10)}
	l := &scenarios.Load{Mix: []scenarios.Route{rt}, Key: scenarios.Key{In: scenarios.InText}, Answers: r.answers, GiveUp: 10 * time.Second}
	cfg := load.Config{
		Load: l, KeyPrefix: "a1b2c3-0d4e5f60", Seed: 7, Kinds: slices.Concat(load.Kinds(), Loads()),
		Address: func(string) string { return addr }, Knows: func(string) load.Known { return load.Known{URL: u, Framing: r.framing, Proto: r.proto} },
		Ended: func(e load.Result) { o.results <- e },
	}
	if change != nil {
		change(&cfg)
	}
	o.Client = load.NewClient(ctx, cfg)
	t.Cleanup(o.Close)
	return o
}

// requireApplied waits until works was applied so often: a stream stores a message after its server has acknowledged it.
func (r loadRow) requireApplied(t *testing.T, addr string, times int) {
	t.Helper()
	require.Eventually(t, func() bool { return r.applied(t, addr) >= times }, 10*time.Second, time.Millisecond)
	assert.Equal(t, times, r.applied(t, addr))
}

// open opens the session by request 0, and returns how often works has then been applied.
func (r loadRow) open(t *testing.T, c *other, addr string) int {
	t.Helper()
	before := r.applied(t, addr)
	_, _ = c.send(0)
	r.requireApplied(t, addr, before+1)
	return before + 1
}

// send sends request n and returns its result with its last attempt.
func (o *other) send(n uint64) (load.Result, load.Attempt) {
	o.Do(n, time.Now())
	e := <-o.results
	return e, e.Attempts[len(e.Attempts)-1]
}

// Each kind of load says what became of a request: over a real server, and over a network that fails.
func TestKindsOfLoad(t *testing.T) {
	for _, r := range loadRows {
		t.Run(r.kind, func(t *testing.T) {
			addr, u := r.start(t)
			t.Run("acknowledged and refused", func(t *testing.T) {
				var n network
				via := r.through(t, &n, addr)
				before := r.applied(t, addr)
				c := r.client(t, t.Context(), r.works, via, u, nil)
				for i := range uint64(3) {
					e, a := c.send(i)
					require.Equal(t, load.Acknowledged, e.Outcome, "%+v", e)
					assert.Empty(t, a.Kind)
					assert.NotEmpty(t, a.Answer.Digest)
					assert.Equal(t, 1, e.Wire)
					assert.Equal(t, "a1b2c3-0d4e5f60-"+strconv.FormatUint(i, 10), e.Key)
				}
				assert.EqualValues(t, 1, n.conns.Load(), "the session is reused")
				r.requireApplied(t, addr, before+3)
				e, a := r.client(t, t.Context(), r.fails, via, u, func(cfg *load.Config) { cfg.Load.Retries = 2 }).send(0)
				assert.Equal(t, load.Refused, e.Outcome)
				assert.Equal(t, "error "+r.word, a.Kind)
				assert.Len(t, e.Attempts, 1, "it would be refused again")
				r.requireApplied(t, addr, before+3)
			})
			t.Run("no answer", func(t *testing.T) {
				var n network
				c := r.client(t, t.Context(), r.works, r.through(t, &n, addr), u, func(cfg *load.Config) { cfg.Load.GiveUp = 2 * time.Second })
				before := r.open(t, c, addr)
				n.mode.Store(muted)
				e, a := c.send(1)
				assert.Equal(t, load.Ambiguous, e.Outcome)
				assert.Equal(t, load.TimedOut, a.Kind)
				assert.Equal(t, 1, e.Wire)
				r.requireApplied(t, addr, before+1)
			})
			if !r.udp {
				t.Run("connection cut", func(t *testing.T) {
					var n network
					c := r.client(t, t.Context(), r.works, r.through(t, &n, addr), u, nil)
					before := r.open(t, c, addr)
					n.mode.Store(cutting)
					e, a := c.send(1)
					assert.Equal(t, load.Ambiguous, e.Outcome)
					assert.Contains(t, []string{"closed", "reset"}, a.Kind)
					assert.Equal(t, 1, e.Wire)
					r.requireApplied(t, addr, before+1)
				})
				t.Run("retried after a cut", func(t *testing.T) {
					var n network
					c := r.client(t, t.Context(), r.works, r.through(t, &n, addr), u, func(cfg *load.Config) {
						cfg.Load.Retries, cfg.Load.Policy.BackOff = 10, scenarios.BackOff{First: time.Second}
					})
					before := r.open(t, c, addr)
					n.mode.Store(cutting)
					cfgEnded := make(chan load.Result, 1)
					go func() {
						e, _ := c.send(1)
						cfgEnded <- e
					}()
					require.Eventually(t, func() bool { return n.cuts.Load() > 0 && r.applied(t, addr) > before }, 10*time.Second, time.Millisecond)
					n.mode.Store(passing)
					e := <-cfgEnded
					assert.Equal(t, load.Acknowledged, e.Outcome)
					assert.GreaterOrEqual(t, e.Wire, 2)
					require.Eventually(t, func() bool { return r.applied(t, addr) >= before+2 }, 10*time.Second, time.Millisecond, "it was applied twice")
				})
			}
			t.Run("connection refused", func(t *testing.T) {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
				require.NoError(t, ln.Close())
				e, a := r.client(t, t.Context(), r.works, ln.Addr().String(), u, nil).send(0)
				assert.Equal(t, load.Refused, e.Outcome)
				assert.Equal(t, "refused", a.Kind)
				assert.Equal(t, r.udp, e.Wire == 1, "a datagram is sent without asking")
			})
			t.Run("interrupted", func(t *testing.T) {
				var n network
				ctx, cancel := context.WithCancel(t.Context())
				c := r.client(t, ctx, r.works, r.through(t, &n, addr), u, func(cfg *load.Config) { cfg.Load.GiveUp = time.Hour })
				before := r.open(t, c, addr)
				n.mode.Store(muted)
				go c.Do(1, time.Now())
				require.Eventually(t, func() bool { return r.applied(t, addr) > before }, 10*time.Second, time.Millisecond)
				cancel()
				e := <-c.results
				assert.Equal(t, load.Aborted, e.Kind)
				assert.Equal(t, load.Ambiguous, e.Outcome)
			})
			t.Run("an error of its own", func(t *testing.T) {
				e, a := r.client(t, t.Context(), r.works, addr, u, func(cfg *load.Config) { cfg.Kinds = nil }).send(0)
				assert.True(t, e.Unsent)
				assert.Equal(t, load.Refused, e.Outcome)
				assert.Contains(t, a.Kind, "own: the kind of load "+r.kind+" is not linked")
				assert.Zero(t, e.Wire)
			})
		})
	}
}

// The tables of sentences and of clients have the same kinds, and each has a server here.
func TestEveryKindOfLoadIsTested(t *testing.T) {
	var named, sent, tested []string
	for _, k := range scenarios.LoadKinds() {
		if !k.Local {
			named = append(named, k.Name)
		}
	}
	for _, k := range slices.Concat(load.Kinds(), Loads()) {
		sent = append(sent, k.Name)
	}
	for _, r := range loadRows {
		tested = append(tested, r.kind)
	}
	assert.ElementsMatch(t, named, sent)
	assert.ElementsMatch(t, named, tested)
}
