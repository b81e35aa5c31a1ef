package message

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

	natsd "github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// tlsLink is a shop that uses TLS, a link that terminates it, and the client configuration.
type tlsLink struct {
	*testLink
	shop  *testShop
	trust *tls.Config
}

// openTLS starts a tlsLink; h2 enables HTTP/2 in the shop.
func openTLS(t testing.TB, h2 bool) *tlsLink {
	t.Helper()
	s := &tlsLink{shop: startShopTLS(t, h2)}
	s.testLink, s.trust = openTLSFor(t, "http", s.shop.addr, Config{})
	return s
}

// startShopTLS starts a shop that accepts only TLS.
func startShopTLS(t testing.TB, h2 bool) *testShop {
	t.Helper()
	s := &testShop{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		text := fmt.Sprintf("%d %s", s.done.Add(1), r.URL.Path)
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = io.WriteString(w, text)
	}))
	srv.EnableHTTP2 = h2
	srv.TLS = newIdentity(t).server()
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it would log clients that open more connections than they use
	srv.StartTLS()
	t.Cleanup(srv.Close)
	s.addr = srv.Listener.Addr().String()
	return s
}

// openTLSFor opens a relay on a link that terminates TLS in front of an upstream, and returns the trust
// configuration of its clients.
func openTLSFor(t testing.TB, protocol, upstream string, cfg Config) (f *testLink, trust *tls.Config) {
	t.Helper()
	ca, err := link.NewCA()
	require.NoError(t, err)
	ours := x509.NewCertPool()
	require.True(t, ours.AppendCertsFromPEM(ca.PEM()))
	p, ok := ProtocolOf(protocol)
	require.True(t, ok, protocol)
	f = openLinkOn(t, p, link.Config{Upstream: upstream, TLS: &link.TLS{CA: ca, Roots: newIdentity(t).pool}}, cfg)
	return f, &tls.Config{RootCAs: ours, ServerName: "127.0.0.1"}
}

// client returns a net/http client, which offers HTTP/2 first.
func (s *tlsLink) client(t testing.TB) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: s.trust, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// TestFaultsInsideTLS repeats the conformance matrix, with the endings as seen by a TLS client.
func TestFaultsInsideTLS(t *testing.T) {
	for _, row := range []struct {
		rule Rule
		want outcome
	}{
		{Rule{Action: Delay, By: 10 * time.Millisecond}, outcome{"1 /charge", "silence", 1}},
		{Rule{Action: LoseRequest}, outcome{"", "reset", 0}},
		{Rule{Action: LoseRequest, EndWith: EndClosed}, outcome{"", "closed", 0}},
		{Rule{Action: LoseRequest, EndWith: EndSilence}, outcome{"", "silence", 0}},
		{Rule{Action: LoseReply}, outcome{"", "reset", 1}},
		{Rule{Action: LoseReply, EndWith: EndClosed}, outcome{"", "closed", 1}},
		{Rule{Action: LoseReply, EndWith: EndSilence}, outcome{"", "silence", 1}},
		{Rule{Action: Answer, Status: 503}, outcome{"503 injected", "silence", 0}},
		{Rule{Action: Twice}, outcome{"1 /charge", "silence", 2}},
		{Rule{Action: Twice, Second: true}, outcome{"2 /charge", "silence", 2}},
	} {
		t.Run(strings.TrimSuffix(fmt.Sprintf("%s/%s/%v", row.rule.Action, row.rule.EndWith, row.rule.Second), "/false"), func(t *testing.T) {
			s := openTLS(t, false)
			count, heal := s.addRule(t, withMatch(row.rule))
			raw := connect(t, s.addr)
			c := tls.Client(raw, s.trust)
			_, err := io.WriteString(c, post("/charge", "10 EUR"))
			require.NoError(t, err)
			waitUntil(t, "it is executed", func() bool { return s.shop.done.Load() == int64(row.want.executed) })
			within := patience
			if row.want.how == "silence" {
				within = 5 * quiet
			}
			rest, how := tlsEnds(t, raw, c, within)
			require.Equal(t, row.want.how, how)
			lines := strings.Split(strings.TrimSpace(rest), "\n")
			answer := lines[len(lines)-1]
			if row.rule.Action == Twice && !row.rule.Second && answer == "2 /charge" {
				answer = "1 /charge" // both were sent at once, and the copy was faster
			}
			require.Equal(t, row.want.answer, answer)
			require.EqualValues(t, row.want.executed, s.shop.done.Load())
			require.EqualValues(t, 1, count.Tally().Affected)
			heal()
		})
	}
}

// tlsEnds is like readToEnd, inside TLS.
func tlsEnds(t testing.TB, raw peer, c *tls.Conn, within time.Duration) (rest, how string) {
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
	client := s.client(t)
	count, heal := s.addRule(t, Rule{Action: Answer, Status: 503, Every: 2})
	var statuses []int
	for range 6 {
		resp, err := client.Get("https://" + s.addr + "/a")
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		require.Equal(t, 1, resp.ProtoMajor, "the shop speaks no HTTP/2, so nobody does")
		statuses = append(statuses, resp.StatusCode)
	}
	heal()
	assert.Equal(t, []int{200, 503, 200, 503, 200, 503}, statuses)
	assert.EqualValues(t, 3, count.Tally().Affected)
	assert.EqualValues(t, 3, s.shop.done.Load())
	for _, c := range s.finishedCalls() {
		assert.Empty(t, c.Skipped)
	}
}

// TestHTTP2InsideTLS checks that the negotiated protocol is preserved and that faults act on HTTP/2 streams.
func TestHTTP2InsideTLS(t *testing.T) {
	s := openTLS(t, true)
	client := s.client(t)
	get := func(path string) (int, string, error) {
		resp, err := client.Get("https://" + s.addr + path)
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
	assert.EqualValues(t, 20, s.shop.done.Load())
	for i, row := range []struct {
		rule     Rule
		want     string
		executed int64
	}{
		{Rule{Action: Answer, Status: 503}, "503 injected\n", 0},
		{Rule{Action: Delay, By: 10 * time.Millisecond}, "21 /b", 1},
		{Rule{Action: Twice, Second: true}, "23 /b", 2},
		{Rule{Action: Twice}, " /b", 2},
		// net/http does not retry an HTTP/2 request that may have been processed.
		{Rule{Action: LoseReply, EndWith: EndReset, First: 1}, "", 1},
	} {
		before := s.shop.done.Load()
		row.rule.ID = fmt.Sprint("fault-", i)
		count, heal := s.addRule(t, row.rule)
		_, body, err := get("/b")
		assert.Equal(t, row.want == "", err != nil, "%v %v", row.rule, err)
		assert.True(t, strings.HasSuffix(body, row.want), "%v %q", row.rule, body)
		waitUntil(t, "it is executed", func() bool { return s.shop.done.Load() == before+row.executed })
		heal()
		s.checkAccounts(t)
		assert.EqualValues(t, 1, count.Tally().Affected)
	}
	for _, c := range s.finishedCalls() {
		assert.Empty(t, c.Skipped)
	}
}

// TestEachProtocolInsideTLS checks that faults act on every protocol within TLS that the link terminates, also
// with a common client.
func TestEachProtocolInsideTLS(t *testing.T) {
	id := newIdentity(t)
	for _, c := range []struct {
		protocol string
		cfg      Config
		rule     Rule
		serve    func(testing.TB) (addr string)
		join     func(t testing.TB, addr string, trust *tls.Config) asker
	}{
		{"grpc", Config{}, Rule{Action: Answer, Code: "UNAVAILABLE"}, func(t testing.TB) string { return startPayments(t, grpc.Creds(credentials.NewTLS(id.server()))).addr }, func(t testing.TB, addr string, trust *tls.Config) asker {
			lengthenQuietTime(t)
			p, err := newPaymentClient(addr, credentials.NewTLS(trust))
			require.NoError(t, err)
			t.Cleanup(func() { _ = p.Close() })
			return func(_, id string) bool {
				result := p.charge(patience, id)
				assert.True(t, result == "Unavailable" || strings.HasSuffix(result, " "+id), result)
				return result == "Unavailable"
			}
		}},
		{"redis", Config{}, Rule{Action: Answer, Code: "LOADING", Match: Match{Method: "INCR"}}, redisServerTLS, func(t testing.TB, addr string, trust *tls.Config) asker {
			return askRedis(t, goredis.Options{Addr: addr, TLSConfig: trust})
		}},
		{"nats", Config{}, Rule{Action: Answer, Code: "503", Match: Match{Path: "echo.>"}}, func(t testing.TB) string {
			return natsEcho(t, natsd.Options{TLS: true, TLSConfig: id.server(), TLSHandshakeFirst: true, TLSTimeout: 5}, natsgo.Secure(id.client()), natsgo.TLSHandshakeFirst())
		}, func(t testing.TB, addr string, trust *tls.Config) asker {
			return askNATS(t, natsClient(t, addr, natsgo.Secure(trust), natsgo.TLSHandshakeFirst()))
		}},
		{"lines", Config{Framing: Framing{Lockstep: true}}, Rule{Action: Answer, Code: "error"}, func(t testing.TB) string {
			return answerEach(t, func(c net.Conn) { s := tls.Server(c, id.server()); _, _ = io.Copy(s, s) })
		}, func(t testing.TB, addr string, trust *tls.Config) asker {
			return askLines(t, tls.Client(connect(t, addr), trust))
		}},
	} {
		t.Run(c.protocol, func(t *testing.T) {
			f, trust := openTLSFor(t, c.protocol, c.serve(t), c.cfg)
			ask := c.join(t, f.addr, trust)
			assert.False(t, ask("a", "0"))
			c.rule.Every = 2
			count, heal := f.addRule(t, c.rule)
			var hits []bool
			for i := range 4 {
				hits = append(hits, ask("a", fmt.Sprint(i)))
			}
			heal()
			assert.Equal(t, []bool{false, true, false, true}, hits)
			assert.False(t, ask("a", "0"))
			assert.EqualValues(t, 2, count.Tally().Affected)
			for _, call := range f.finishedCalls() {
				assert.Empty(t, call.Skipped)
			}
		})
	}
}

// TestPostgresRequestsTLS checks that clients of PostgreSQL, which request TLS within the protocol, cannot use a
// link that terminates TLS, and get an error at once.
func TestPostgresRequestsTLS(t *testing.T) {
	s := startScript(t)
	f, _ := openTLSFor(t, "postgres", s.addr, Config{})
	c := connect(t, f.addr)
	c.send(pgFirst(pgTLS, ""), false)
	rest, how := c.readToEnd(patience)
	assert.Empty(t, rest)
	assert.Equal(t, "reset", how)
	waitUntil(t, "it is told", func() bool { return f.link.Counters().TLSErrors == 1 })
}

// TestPassedThroughTLSIsReported checks that a link that does not terminate TLS passes it through.
func TestPassedThroughTLSIsReported(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(srv.Close)
	f := openLink(t, srv.Listener.Addr().String(), Config{})
	count, heal := f.addRule(t, Rule{Action: LoseReply})
	client := srv.Client()
	resp, err := client.Get("https://" + f.addr)
	require.NoError(t, err)
	resp.Body.Close()
	client.CloseIdleConnections()
	heal()
	assert.Zero(t, count.Tally().Affected)
	require.Len(t, f.finishedCalls(), 1)
	assert.Equal(t, "it is TLS, which the link does not end", f.finishedCalls()[0].Skipped)
}

// TestBinaryInputIsNotBuffered checks that a protocol that does not start with a method passes at once.
func TestBinaryInputIsNotBuffered(t *testing.T) {
	s := startScript(t)
	f := openLink(t, s.addr, Config{})
	c := connect(t, f.addr)
	up := s.accept(t)
	c.send("\x00\x00\x00\x08\x04\xd2\x16\x2f", true) // PostgreSQL's SSLRequest
	up.expect("\x00\x00\x00\x08\x04\xd2\x16\x2f")
	up.send("N", false)
	c.expect("N")
}
