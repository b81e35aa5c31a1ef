package protocols_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	natsd "github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// tlsLink is a shop that uses TLS, a link that terminates it, and the client configuration.
type tlsLink struct {
	*relaytest.TestLink
	shop  *relaytest.TestShop
	trust *tls.Config
}

// openTLS starts a tlsLink; h2 enables HTTP/2 in the shop.
func openTLS(t testing.TB, h2 bool) *tlsLink {
	t.Helper()
	s := &tlsLink{shop: startShopTLS(t, h2)}
	s.TestLink, s.trust = openTLSFor(t, "http", s.shop.Addr, message.Config{})
	return s
}

// startShopTLS starts a shop that accepts only TLS.
func startShopTLS(t testing.TB, h2 bool) *relaytest.TestShop {
	t.Helper()
	s := &relaytest.TestShop{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		text := fmt.Sprintf("%d %s", s.Done.Add(1), r.URL.Path)
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = io.WriteString(w, text)
	}))
	srv.EnableHTTP2 = h2
	srv.TLS = relaytest.NewIdentity(t).Server()
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it would log clients that open more connections than they use
	srv.StartTLS()
	t.Cleanup(srv.Close)
	s.Addr = srv.Listener.Addr().String()
	return s
}

// openTLSFor opens a relay on a link that terminates TLS in front of an upstream, and returns the trust
// configuration of its clients.
func openTLSFor(t testing.TB, protocol, upstream string, cfg message.Config) (f *relaytest.TestLink, trust *tls.Config) {
	t.Helper()
	ca, err := link.NewCA()
	require.NoError(t, err)
	ours := x509.NewCertPool()
	require.True(t, ours.AppendCertsFromPEM(ca.PEM()))
	p, ok := relaytest.ProtocolOf(protocol)
	require.True(t, ok, protocol)
	f = relaytest.OpenLinkOn(t, p, link.Config{Upstream: upstream, TLS: &link.TLS{CA: ca, Roots: relaytest.NewIdentity(t).Pool, Request: p.TLSRequest, Grant: p.TLSGrant}}, cfg)
	return f, &tls.Config{RootCAs: ours, ServerName: "127.0.0.1"}
}

// Client returns a net/http client, which offers HTTP/2 first.
func (s *tlsLink) Client(t testing.TB) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: s.trust, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: relaytest.Patience}
}

// TestFaultsInsideTLS repeats the conformance matrix, with the endings as seen by a TLS client.
func TestFaultsInsideTLS(t *testing.T) {
	for _, row := range []struct {
		rule message.Rule
		want relaytest.FaultOutcome
	}{
		{message.Rule{Action: message.Delay, By: 10 * time.Millisecond}, relaytest.FaultOutcome{Answer: "1 /charge", How: "silence", Executed: 1}},
		{message.Rule{Action: message.LoseRequest}, relaytest.FaultOutcome{Answer: "", How: "reset", Executed: 0}},
		{message.Rule{Action: message.LoseRequest, EndWith: message.EndClosed}, relaytest.FaultOutcome{Answer: "", How: "closed", Executed: 0}},
		{message.Rule{Action: message.LoseRequest, EndWith: message.EndSilence}, relaytest.FaultOutcome{Answer: "", How: "silence", Executed: 0}},
		{message.Rule{Action: message.LoseReply}, relaytest.FaultOutcome{Answer: "", How: "reset", Executed: 1}},
		{message.Rule{Action: message.LoseReply, EndWith: message.EndClosed}, relaytest.FaultOutcome{Answer: "", How: "closed", Executed: 1}},
		{message.Rule{Action: message.LoseReply, EndWith: message.EndSilence}, relaytest.FaultOutcome{Answer: "", How: "silence", Executed: 1}},
		{message.Rule{Action: message.Answer, Status: 503}, relaytest.FaultOutcome{Answer: "503 injected", How: "silence", Executed: 0}},
		{message.Rule{Action: message.Twice}, relaytest.FaultOutcome{Answer: "1 /charge", How: "silence", Executed: 2}},
		{message.Rule{Action: message.Twice, Second: true}, relaytest.FaultOutcome{Answer: "2 /charge", How: "silence", Executed: 2}},
	} {
		t.Run(strings.TrimSuffix(fmt.Sprintf("%s/%s/%v", row.rule.Action, row.rule.EndWith, row.rule.Second), "/false"), func(t *testing.T) {
			s := openTLS(t, false)
			count, heal := s.AddRule(t, relaytest.WithMatch(row.rule))
			raw := relaytest.Connect(t, s.Addr)
			c := tls.Client(raw, s.trust)
			_, err := io.WriteString(c, relaytest.HTTPPost("/charge", "10 EUR"))
			require.NoError(t, err)
			relaytest.WaitUntil(t, "it is executed", func() bool { return s.shop.Done.Load() == int64(row.want.Executed) })
			within := relaytest.Patience
			if row.want.How == "silence" {
				within = 5 * relaytest.Quiet
			}
			if row.want.Answer != "" {
				relaytest.WaitUntil(t, "it is answered", func() bool { return len(s.FinishedCalls()) == 1 })
			}
			rest, how := tlsEnds(t, raw, c, within)
			require.Equal(t, row.want.How, how)
			lines := strings.Split(strings.TrimSpace(rest), "\n")
			answer := lines[len(lines)-1]
			if row.rule.Action == message.Twice && !row.rule.Second && answer == "2 /charge" {
				answer = "1 /charge" // both were sent at once, and the copy was faster
			}
			require.Equal(t, row.want.Answer, answer)
			require.EqualValues(t, row.want.Executed, s.shop.Done.Load())
			require.EqualValues(t, 1, count.Tally().Affected)
			heal()
		})
	}
}

// tlsEnds is like ReadToEnd, inside TLS.
func tlsEnds(t testing.TB, raw relaytest.Peer, c *tls.Conn, within time.Duration) (rest, how string) {
	t.Helper()
	var got strings.Builder
	require.NoError(t, raw.SetReadDeadline(time.Now().Add(within)))
	_, err := io.Copy(&got, c)
	switch {
	case err == nil:
		how = "closed"
	case errors.Is(err, syscall.ECONNRESET):
		how = "reset"
	case errors.Is(err, os.ErrDeadlineExceeded):
		how = "silence"
	default:
		how = err.Error()
	}
	return got.String(), how
}

func TestRealClientInsideTLS(t *testing.T) {
	s := openTLS(t, false)
	client := s.Client(t)
	count, heal := s.AddRule(t, message.Rule{Action: message.Answer, Status: 503, Every: 2})
	var statuses []int
	for range 6 {
		resp, err := client.Get("https://" + s.Addr + "/a")
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		require.Equal(t, 1, resp.ProtoMajor, "the shop speaks no HTTP/2, so nobody does")
		statuses = append(statuses, resp.StatusCode)
	}
	heal()
	assert.Equal(t, []int{200, 503, 200, 503, 200, 503}, statuses)
	assert.EqualValues(t, 3, count.Tally().Affected)
	assert.EqualValues(t, 3, s.shop.Done.Load())
	for _, c := range s.FinishedCalls() {
		assert.Empty(t, c.Skipped)
	}
}

// TestHTTP2InsideTLS checks that the negotiated protocol is preserved and that faults act on HTTP/2 streams.
func TestHTTP2InsideTLS(t *testing.T) {
	s := openTLS(t, true)
	client := s.Client(t)
	get := func(path string) (int, string, error) {
		resp, err := client.Get("https://" + s.Addr + path)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		assert.Equal(t, 2, resp.ProtoMajor)
		body, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body), err
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			status, _, err := get("/a")
			assert.NoError(t, err)
			assert.Equal(t, 200, status)
		})
	}
	all.Wait()
	assert.EqualValues(t, 20, s.shop.Done.Load())
	for i, row := range []struct {
		rule     message.Rule
		want     string
		executed int64
	}{
		{message.Rule{Action: message.Answer, Status: 503}, "503 injected\n", 0},
		{message.Rule{Action: message.Delay, By: 10 * time.Millisecond}, "21 /b", 1},
		{message.Rule{Action: message.Twice, Second: true}, "23 /b", 2},
		{message.Rule{Action: message.Twice}, " /b", 2},
		// net/http does not retry an HTTP/2 request that may have been processed.
		{message.Rule{Action: message.LoseReply, EndWith: message.EndReset, First: 1}, "", 1},
	} {
		before := s.shop.Done.Load()
		row.rule.ID = fmt.Sprint("fault-", i)
		count, heal := s.AddRule(t, row.rule)
		_, body, err := get("/b")
		assert.Equal(t, row.want == "", err != nil, "%v %v", row.rule, err)
		assert.True(t, strings.HasSuffix(body, row.want), "%v %q", row.rule, body)
		relaytest.WaitUntil(t, "it is executed", func() bool { return s.shop.Done.Load() == before+row.executed })
		heal()
		s.CheckAccounts(t)
		assert.EqualValues(t, 1, count.Tally().Affected)
	}
	for _, c := range s.FinishedCalls() {
		assert.Empty(t, c.Skipped)
	}
}

// TestEachProtocolInsideTLS checks that faults act on every protocol within TLS that the link terminates, also
// with a common client.
func TestEachProtocolInsideTLS(t *testing.T) {
	id := relaytest.NewIdentity(t)
	for _, c := range []struct {
		protocol string
		cfg      message.Config
		rule     message.Rule
		serve    func(testing.TB) (addr string)
		join     func(t testing.TB, addr string, trust *tls.Config) asker
	}{
		{"grpc", message.Config{}, message.Rule{Action: message.Answer, Code: "UNAVAILABLE"}, func(t testing.TB) string {
			return relaytest.StartPayments(t, grpc.Creds(credentials.NewTLS(id.Server()))).Addr
		}, func(t testing.TB, addr string, trust *tls.Config) asker {
			lengthenQuietTime(t)
			p, err := relaytest.NewPaymentClient(addr, credentials.NewTLS(trust))
			require.NoError(t, err)
			t.Cleanup(func() { _ = p.Close() })
			return func(_, id string) bool {
				result := p.Charge(relaytest.Patience, id)
				assert.True(t, result == "Unavailable" || strings.HasSuffix(result, " "+id), result)
				return result == "Unavailable"
			}
		}},
		{"redis", message.Config{}, message.Rule{Action: message.Answer, Code: "LOADING", Match: message.Match{Method: "INCR"}}, relaytest.RedisServerTLS, func(t testing.TB, addr string, trust *tls.Config) asker {
			return askRedis(t, goredis.Options{Addr: addr, TLSConfig: trust})
		}},
		{"nats", message.Config{}, message.Rule{Action: message.Answer, Code: "503", Match: message.Match{Path: "echo.>"}}, func(t testing.TB) string {
			return natsEcho(t, natsd.Options{TLS: true, TLSConfig: id.Server(), TLSHandshakeFirst: true, TLSTimeout: 5}, natsgo.Secure(id.Client()), natsgo.TLSHandshakeFirst())
		}, func(t testing.TB, addr string, trust *tls.Config) asker {
			return askNATS(t, relaytest.NATSClient(t, addr, natsgo.Secure(trust), natsgo.TLSHandshakeFirst()))
		}},
		{"postgres", message.Config{}, message.Rule{Action: message.Answer, Code: "57P01", Match: message.Match{Method: "SELECT"}}, relaytest.PostgresServerTLS, func(t testing.TB, addr string, trust *tls.Config) asker {
			return func(_, id string) bool { // each with a connection of its own, because the error ends it
				cfg, err := pgx.ParseConfig("postgres://postgres@" + addr + "/postgres?sslmode=require&default_query_exec_mode=simple_protocol")
				require.NoError(t, err)
				cfg.TLSConfig = trust
				c, err := pgx.ConnectConfig(t.Context(), cfg)
				require.NoError(t, err)
				defer c.Close(t.Context())
				var got string
				err = c.QueryRow(t.Context(), "SELECT '"+id+"'").Scan(&got)
				assert.True(t, err != nil || got == id, got)
				return err != nil
			}
		}},
		{"lines", message.Config{Framing: message.Framing{Lockstep: true}}, message.Rule{Action: message.Answer, Code: "error"}, func(t testing.TB) string {
			return relaytest.AnswerEach(t, func(c net.Conn) { s := tls.Server(c, id.Server()); _, _ = io.Copy(s, s) })
		}, func(t testing.TB, addr string, trust *tls.Config) asker {
			return askLines(t, tls.Client(relaytest.Connect(t, addr), trust))
		}},
	} {
		t.Run(c.protocol, func(t *testing.T) {
			f, trust := openTLSFor(t, c.protocol, c.serve(t), c.cfg)
			ask := c.join(t, f.Addr, trust)
			assert.False(t, ask("a", "0"))
			c.rule.Every = 2
			count, heal := f.AddRule(t, c.rule)
			var hits []bool
			for i := range 4 {
				hits = append(hits, ask("a", fmt.Sprint(i)))
			}
			heal()
			assert.Equal(t, []bool{false, true, false, true}, hits)
			assert.False(t, ask("a", "0"))
			assert.EqualValues(t, 2, count.Tally().Affected)
			for _, call := range f.FinishedCalls() {
				assert.Empty(t, call.Skipped)
			}
		})
	}
}

// TestPostgresWithoutTLS checks that a client of PostgreSQL that does not request TLS gets an error at once from a
// link that terminates TLS.
func TestPostgresWithoutTLS(t *testing.T) {
	s := relaytest.StartScript(t)
	f, _ := openTLSFor(t, "postgres", s.Addr, message.Config{})
	c := relaytest.Connect(t, f.Addr)
	c.Send(relaytest.PGFirst(3<<16, "user\x00postgres\x00\x00"), false)
	rest, how := c.ReadToEnd(relaytest.Patience)
	assert.Empty(t, rest)
	assert.Equal(t, "reset", how)
	relaytest.WaitUntil(t, "it is reported", func() bool { return f.Link.Counters().TLSErrors == 1 })
}

// TestPassedThroughTLSIsReported checks that a link that does not terminate TLS passes it through.
func TestPassedThroughTLSIsReported(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(srv.Close)
	f := relaytest.OpenLink(t, srv.Listener.Addr().String(), message.Config{})
	count, heal := f.AddRule(t, message.Rule{Action: message.LoseReply})
	client := srv.Client()
	resp, err := client.Get("https://" + f.Addr)
	require.NoError(t, err)
	resp.Body.Close()
	client.CloseIdleConnections()
	heal()
	assert.Zero(t, count.Tally().Affected)
	require.Len(t, f.FinishedCalls(), 1)
	assert.Equal(t, "it is TLS, which the link does not end", f.FinishedCalls()[0].Skipped)
}

// TestBinaryInputIsNotBuffered checks that a protocol that does not start with a method passes at once.
func TestBinaryInputIsNotBuffered(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	c := relaytest.Connect(t, f.Addr)
	up := s.Accept(t)
	c.Send("\x00\x00\x00\x08\x04\xd2\x16\x2f", true) // PostgreSQL's SSLRequest
	up.Expect("\x00\x00\x00\x08\x04\xd2\x16\x2f")
	up.Send("N", false)
	c.Expect("N")
}
