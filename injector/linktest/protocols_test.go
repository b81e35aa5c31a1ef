package linktest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	golog "log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/linktest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// dependency is a server that keeps what it was asked to do, and how a client asks it.
type dependency struct {
	protocol string
	options  []linktest.Option
	addr     string
	pick     message.Match // the calls that do: not those that open a connection
	// do asks for something through a connection of its own. ca verifies the server; nil without TLS.
	do   func(ctx context.Context, addr string, ca *x509.CertPool, what string) error
	done func() []string // what was done, in order
}

// doneList is what a server in this process did.
type doneList struct {
	mu   sync.Mutex
	list []string
}

func (d *doneList) add(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, what)
}

func (d *doneList) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.list...)
}

func trusting(ca *x509.CertPool) *tls.Config {
	if ca == nil {
		return nil
	}
	return &tls.Config{RootCAs: ca, ServerName: "127.0.0.1"}
}

// overHTTP is an HTTPS server; its clients offer HTTP/2 if h2 is set.
func overHTTP(h2 bool) func(testing.TB) dependency {
	return func(t testing.TB) dependency {
		var log doneList
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { log.add(r.URL.RawQuery) }))
		s.EnableHTTP2 = h2
		s.Config.ErrorLog = golog.New(io.Discard, "", 0) // it would log the connections on which TLS fails
		s.StartTLS()
		t.Cleanup(s.Close)
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		return dependency{"http", []linktest.Option{linktest.TLS(roots)}, s.Listener.Addr().String(), message.Match{Method: "POST"},
			func(ctx context.Context, addr string, ca *x509.CertPool, what string) error {
				transport := &http.Transport{TLSClientConfig: trusting(ca), ForceAttemptHTTP2: h2}
				defer transport.CloseIdleConnections()
				req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+addr+"/do?"+what, nil)
				resp, err := (&http.Client{Transport: transport}).Do(req)
				if err != nil {
					return err
				}
				if want := map[bool]int{false: 1, true: 2}[h2]; resp.ProtoMajor != want {
					return fmt.Errorf("HTTP/%d, want %d", resp.ProtoMajor, want)
				}
				return resp.Body.Close()
			}, log.all}
	}
}

func overGRPC(t testing.TB) dependency {
	id := relaytest.NewIdentity(t)
	s := relaytest.StartPayments(t, grpc.Creds(credentials.NewTLS(id.Server())))
	return dependency{"grpc", []linktest.Option{linktest.TLS(id.Pool)}, s.Addr, message.Match{},
		func(ctx context.Context, addr string, ca *x509.CertPool, what string) error {
			p, err := relaytest.NewPaymentClient(addr, credentials.NewTLS(trusting(ca)))
			if err != nil {
				return err
			}
			defer p.Close()
			if answer := p.ChargeUntil(ctx, what); !strings.HasSuffix(answer, " "+what) {
				return fmt.Errorf("charge: %s", answer)
			}
			return nil
		}, s.Executed}
}

// overRedis is a real redis-server, whose list "done" is the record.
func overRedis(secure bool) func(testing.TB) dependency {
	return func(t testing.TB) dependency {
		id := relaytest.NewIdentity(t)
		serve, options, direct := relaytest.RedisServer, []linktest.Option(nil), &goredis.Options{}
		if secure {
			serve, options, direct.TLSConfig = relaytest.RedisServerTLS, []linktest.Option{linktest.TLS(id.Pool)}, id.Client()
		}
		addr := serve(t)
		direct.Addr = addr
		reader := goredis.NewClient(direct)
		t.Cleanup(func() { _ = reader.Close() })
		return dependency{"redis", options, addr, message.Match{Method: "RPUSH"},
			func(ctx context.Context, addr string, ca *x509.CertPool, what string) error {
				c := goredis.NewClient(&goredis.Options{Addr: addr, TLSConfig: trusting(ca), MaxRetries: -1, ContextTimeoutEnabled: true, ReadTimeout: -1})
				defer c.Close()
				return c.RPush(ctx, "done", what).Err()
			}, func() []string {
				list, err := reader.LRange(context.Background(), "done", 0, -1).Result()
				require.NoError(t, err)
				return list
			}}
	}
}

// overPostgres is a real PostgreSQL that accepts only TLS, whose table "done" is the record.
func overPostgres(t testing.TB) dependency {
	id := relaytest.NewIdentity(t)
	connect := func(ctx context.Context, addr string, ca *x509.CertPool) (*pgx.Conn, error) {
		cfg, err := pgx.ParseConfig("postgres://postgres@" + addr + "/postgres?sslmode=require&default_query_exec_mode=simple_protocol")
		if err != nil {
			return nil, err
		}
		cfg.TLSConfig = trusting(ca)
		return pgx.ConnectConfig(ctx, cfg)
	}
	addr := relaytest.PostgresServerTLS(t)
	reader, err := connect(context.Background(), addr, id.Pool)
	require.NoError(t, err)
	t.Cleanup(func() { _ = reader.Close(context.Background()) })
	_, err = reader.Exec(context.Background(), "CREATE TABLE done (n serial, what text)")
	require.NoError(t, err)
	return dependency{"postgres", []linktest.Option{linktest.TLS(id.Pool)}, addr, message.Match{Method: "INSERT"},
		func(ctx context.Context, addr string, ca *x509.CertPool, what string) error {
			c, err := connect(ctx, addr, ca)
			if err != nil {
				return err
			}
			defer c.Close(context.Background())
			_, err = c.Exec(ctx, "INSERT INTO done (what) VALUES ('"+what+"')")
			return err
		}, func() []string {
			rows, err := reader.Query(context.Background(), "SELECT what FROM done ORDER BY n")
			require.NoError(t, err)
			list, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			return list
		}}
}

// overLines is a protocol of the user's own, within TLS.
func overLines(t testing.TB) dependency {
	id := relaytest.NewIdentity(t)
	var log doneList
	addr := relaytest.AnswerEach(t, func(c net.Conn) {
		s := tls.Server(c, id.Server())
		for in := bufio.NewScanner(s); in.Scan(); {
			log.add(strings.TrimPrefix(in.Text(), "DO "))
			_, _ = io.WriteString(s, "OK\n")
		}
	})
	return dependency{"lines", []linktest.Option{linktest.TLS(id.Pool), linktest.Framing(message.Framing{Lockstep: true})}, addr, message.Match{Method: "DO"},
		func(ctx context.Context, addr string, ca *x509.CertPool, what string) error {
			c, err := (&tls.Dialer{Config: trusting(ca)}).DialContext(ctx, "tcp", addr)
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err = io.WriteString(c, "DO "+what+"\n"); err == nil {
				_, err = io.ReadFull(c, make([]byte, len("OK\n")))
			}
			return err
		}, log.all}
}

// TestFaultsOnEachProtocol injects faults on calls of real servers, most of them within TLS, and verifies what each
// fault does to the caller and to the server.
func TestFaultsOnEachProtocol(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB) dependency{
		"https": overHTTP(false), "http2": overHTTP(true), "grpc over TLS": overGRPC, "redis": overRedis(false), "redis over TLS": overRedis(true),
		"postgres over TLS": overPostgres, "lines over TLS": overLines,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			l := linktest.New(t, d.protocol, d.addr, d.options...)
			var ca *x509.CertPool
			if strings.Contains(name, "TLS") || d.protocol == "http" {
				ca = l.CA()
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			do := func(what string) error { return d.do(ctx, l.Addr(), ca, what) }
			began := func(what string) <-chan error {
				result := make(chan error, 1)
				go func() { result <- do(what) }()
				return result
			}
			pick := injector.Pick{Match: d.pick, First: 1}
			want := []string{"plain"}
			require.NoError(t, do("plain"))
			require.Equal(t, want, d.done())

			lost := l.Inject(injector.LoseReplies{Pick: pick})
			require.Error(t, do("unheard"))
			require.NoError(t, do("heard"))
			want = append(want, "unheard", "heard")
			require.Equal(t, want, d.done(), "the work was done")
			require.EqualValues(t, 1, lost.Affected())
			lost.Heal()

			lost = l.Inject(injector.LoseRequests{Pick: pick})
			require.Error(t, do("unseen"))
			require.Equal(t, want, d.done(), "the request was lost")
			require.EqualValues(t, 1, lost.Affected())
			lost.Heal()

			twice := l.Inject(injector.Twice{Pick: pick})
			require.NoError(t, do("twice"))
			want = append(want, "twice", "twice")
			require.Eventually(t, func() bool { return len(d.done()) == len(want) }, patience, time.Millisecond)
			require.Equal(t, want, d.done())
			require.Eventually(t, func() bool { return twice.Affected() == 1 }, patience, time.Millisecond)
			twice.Heal()

			slow := l.Inject(injector.SlowCalls{By: time.Hour, Pick: pick})
			waits := began("slow")
			require.Eventually(t, func() bool { return slow.Tally().Seen > 0 }, patience, time.Millisecond)
			require.Equal(t, want, d.done(), "the call is held")
			slow.Heal()
			require.NoError(t, <-waits)
			want = append(want, "slow")
			require.Equal(t, want, d.done())
			require.EqualValues(t, 1, slow.Affected())

			order := l.Inject(injector.Reorder{Wait: time.Hour, Pick: pick})
			waits = began("first")
			require.Eventually(t, func() bool { return order.Tally().Seen > 0 }, patience, time.Millisecond)
			require.NoError(t, do("second"))
			require.NoError(t, <-waits)
			require.Equal(t, append(want, "second", "first"), d.done())
			require.EqualValues(t, 1, order.Affected())
			order.Heal()
		})
	}
}

// TestReasonsWhyNothingWasAffected verifies that a fault that could not act because of TLS says so, and what to do.
func TestReasonsWhyNothingWasAffected(t *testing.T) {
	lose := injector.LoseReplies{Pick: injector.Pick{First: 1}}
	for name, open := range map[string]func(testing.TB) dependency{
		"http": overHTTP(false), "http2": overHTTP(true), "grpc": overGRPC, "redis": overRedis(true), "postgres": overPostgres, "lines": overLines,
	} {
		t.Run("passed through/"+name, func(t *testing.T) {
			d := open(t)
			lines := record(t, func(r *recorder) {
				l := linktest.New(r, d.protocol, d.addr, d.options[1:]...) // without TLS
				l.Inject(lose)
				roots := relaytest.NewIdentity(t).Pool // that of httptest
				require.NoError(t, d.do(t.Context(), l.Addr(), roots, "unseen"))
			})
			require.Len(t, lines, 1)
			require.Contains(t, lines[0], "acted on none of the 0 ")
			require.Contains(t, lines[0], " passed as bytes: ")
			require.Contains(t, lines[0], "; if it is TLS, pass linktest.TLS to linktest.New")
		})
	}
	d := overHTTP(false)(t)
	t.Run("client does not trust", func(t *testing.T) {
		lines := record(t, func(r *recorder) {
			l := linktest.New(r, "http", d.addr, d.options...)
			l.Inject(lose)
			require.ErrorContains(t, d.do(t.Context(), l.Addr(), x509.NewCertPool(), "unseen"), "unknown authority")
			require.Eventually(t, func() bool { return l.TLSErrors() == 1 }, patience, time.Millisecond, "the client's alert arrives later")
		})
		require.Len(t, lines, 1)
		require.Contains(t, lines[0], "TLS failed on 1 connection: ")
		require.Contains(t, lines[0], "clients have to trust Link.CA")
	})
	t.Run("upstream is not trusted", func(t *testing.T) {
		lines := record(t, func(r *recorder) {
			l := linktest.New(r, "http", d.addr, linktest.TLS(x509.NewCertPool()))
			l.Inject(lose)
			require.Error(t, d.do(t.Context(), l.Addr(), l.CA(), "unseen"))
		})
		require.Len(t, lines, 1)
		require.Contains(t, lines[0], "unknown authority; clients have to trust Link.CA, and linktest.TLS has to be passed the CA of the dependency")
	})
	t.Run("logged if the test failed", func(t *testing.T) {
		var r *recorder
		lines := record(t, func(own *recorder) {
			r = own
			l := linktest.New(r, "http", d.addr)
			l.Inject(lose)
			require.NoError(t, d.do(t.Context(), l.Addr(), relaytest.NewIdentity(t).Pool, "unseen"))
			r.Errorf("no reply was lost")
		})
		require.Equal(t, []string{"no reply was lost"}, lines)
		require.Contains(t, r.logged[len(r.logged)-1], "it is TLS, which the link does not end; if it is TLS, pass linktest.TLS")
	})
}

// TestCAFile verifies that a client that reads certificates from a file can use a link: what libpq and others do.
func TestCAFile(t *testing.T) {
	addr := relaytest.PostgresServerTLS(t)
	l := linktest.New(t, "postgres", addr, linktest.TLS(relaytest.NewIdentity(t).Pool))
	c, err := pgx.Connect(t.Context(), "postgres://postgres@"+l.Addr()+"/postgres?sslmode=verify-full&sslrootcert="+l.CAFile())
	require.NoError(t, err)
	require.NoError(t, c.Close(context.Background()))
	// a client that insists on TLS gets none from a server without it
	plain := linktest.New(t, "postgres", relaytest.PostgresServer(t), linktest.TLS(nil))
	_, err = pgx.Connect(t.Context(), "postgres://postgres@"+plain.Addr()+"/postgres?sslmode=verify-full&sslrootcert="+plain.CAFile())
	require.Error(t, err)
}
