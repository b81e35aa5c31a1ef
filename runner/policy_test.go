package runner

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// asked is a request as a server saw it.
type asked struct {
	method, path, key, body, kind string
	length                        int64
	chunked                       bool
}

// clientOn is a client on a server that answers as told, attempt by attempt (the last answer stays).
func clientOn(t *testing.T, l scenarios.Load, answers ...http.HandlerFunc) (*client, *taker, func() []asked) {
	t.Helper()
	var mu sync.Mutex
	var all []asked
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		all = append(all, asked{
			r.Method, r.URL.RequestURI(), r.Header.Get("Idempotency-Key"), string(body), r.Header.Get("Content-Type"), r.ContentLength, len(r.TransferEncoding) > 0,
		})
		answer := answers[min(len(all), len(answers))-1]
		mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	if l.GiveUp == 0 {
		l.GiveUp = 5 * time.Second
	}
	k := &taker{}
	c := newClient(t.Context(), &l, "run", 7, func(string) string { return strings.TrimPrefix(server.URL, "http://") }, k.take)
	t.Cleanup(c.close)
	return c, k, func() []asked { mu.Lock(); defer mu.Unlock(); return all }
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// hangUp closes the connection instead of answering.
func hangUp(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func TestOutcomesOfRequests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		retries  int
		expect   int
		answers  []http.HandlerFunc
		outcome  outcome
		kind     string
		attempts int
	}{
		{"success", 3, 0, []http.HandlerFunc{status(200)}, acknowledged, "", 1},
		{"another success", 3, 0, []http.HandlerFunc{status(202)}, acknowledged, "", 1},
		{"not the expected success", 0, 201, []http.HandlerFunc{status(200)}, ambiguous, "status 200", 1},
		{"an expected refusal", 3, 422, []http.HandlerFunc{status(422)}, acknowledged, "", 1},
		{"a redirect is not followed", 0, 302, []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }}, acknowledged, "", 1},
		{"bad request", 3, 0, []http.HandlerFunc{status(400)}, refused, "status 400", 1},
		{"too many, then success", 3, 0, []http.HandlerFunc{status(429), status(200)}, acknowledged, "", 2},
		{"unavailable for ever", 2, 0, []http.HandlerFunc{status(503)}, refused, "status 503", 3},
		{"error for ever", 1, 0, []http.HandlerFunc{status(500)}, ambiguous, "status 500", 2},
		{"error, then refusal", 1, 0, []http.HandlerFunc{status(500), status(400)}, ambiguous, "status 400", 2},
		{"hang-up, then success", 3, 0, []http.HandlerFunc{hangUp, status(200)}, acknowledged, "", 2},
		{"hang-up", 0, 0, []http.HandlerFunc{hangUp}, ambiguous, "closed", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client, k, asked := clientOn(t, scenarios.Load{
				Retries: c.retries, KeyHeader: "Idempotency-Key", Mix: []scenarios.Route{{Method: "POST", Path: "/orders", Body: "{}", Share: 1, Expect: c.expect}},
			}, c.answers...)
			client.do(5, time.Now())
			require.Len(t, k.all, 1)
			e := k.all[0]
			assert.Equal(t, c.outcome.String(), e.outcome.String())
			assert.Equal(t, c.kind, e.kind)
			assert.Len(t, e.attempts, c.attempts)
			assert.Equal(t, c.attempts, e.wire)
			assert.Len(t, asked(), c.attempts)
			for _, a := range asked() {
				assert.Equal(t, "run-5", a.key)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	client, k, _ := clientOn(t, scenarios.Load{Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}}, status(200))
	closed := httptest.NewServer(status(200))
	closed.Close()
	client.address = func(string) string { return strings.TrimPrefix(closed.URL, "http://") }
	client.do(0, time.Now())
	assert.Equal(t, refused, k.all[0].outcome, "it did not happen")
	assert.Equal(t, "refused", k.all[0].kind)
	assert.Zero(t, k.all[0].wire)
}

func TestATimeOut(t *testing.T) {
	t.Parallel()
	client, k, _ := clientOn(t, scenarios.Load{GiveUp: 100 * time.Millisecond, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}},
		func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	client.do(0, time.Now())
	assert.Equal(t, ambiguous, k.all[0].outcome)
	assert.Equal(t, "timeout", k.all[0].kind)
}

// TestWhatTheRunnerCuts: what ends because the run does is no failure of the system, whatever the cause is called, and also between two attempts.
func TestWhatTheRunnerCuts(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"under way":        func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"between attempts": status(http.StatusInternalServerError),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, k, asked := clientOn(t, scenarios.Load{Retries: 100, GiveUp: time.Minute, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}}, answer)
			ctx, cancel := context.WithCancelCause(t.Context())
			client.ctx = ctx
			done := make(chan struct{})
			go func() { defer close(done); client.do(0, time.Now()) }()
			require.Eventually(t, func() bool { return len(asked()) > 0 }, 10*time.Second, time.Millisecond)
			cancel(errors.New("a stop rule acted"))
			<-done
			assert.Equal(t, cut, k.all[0].kind)
			assert.Equal(t, ambiguous, k.all[0].outcome)
		})
	}
}

// net/http repeats a request by itself when a kept connection breaks and the request seems safe to repeat. Such repeats would not be the policy's.
func TestRequestsAreNeverRepeatedBehindTheClientsBack(t *testing.T) {
	t.Parallel()
	for _, r := range []scenarios.Route{
		{Method: "GET", Path: "/"}, {Method: "HEAD", Path: "/"}, {Method: "OPTIONS", Path: "/"}, {Method: "DELETE", Path: "/"}, {Method: "POST", Path: "/"},
		{Method: "POST", Path: "/", Body: "{}"}, {Method: "PUT", Path: "/", Body: "{}"},
	} {
		t.Run(r.Method+r.Body, func(t *testing.T) {
			t.Parallel()
			r.Share = 1
			for _, header := range []string{"", "Idempotency-Key"} {
				client, k, asked := clientOn(t, scenarios.Load{KeyHeader: header, Mix: []scenarios.Route{r}}, status(200), status(200), hangUp, status(200))
				for n := range uint64(3) {
					client.do(n, time.Now())
				}
				require.Len(t, asked(), 3, header)
				assert.Equal(t, "closed", k.all[2].kind)
				for i, a := range asked() {
					assert.Equal(t, r.Body, a.body)
					assert.Equal(t, int64(len(r.Body)), a.length)
					assert.False(t, a.chunked)
					assert.Equal(t, 1, k.all[i].wire)
				}
			}
		})
	}
}

// Head and body go out in one piece: gateways treat requests that come in two in ways of their own.
func TestARequestGoesOutInOnePiece(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	pieces := make(chan string, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 4<<10)
		n, _ := c.Read(buf)
		pieces <- string(buf[:n])
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}()
	k := &taker{}
	c := newClient(t.Context(), &scenarios.Load{KeyHeader: "Idempotency-Key", GiveUp: 5 * time.Second, Mix: []scenarios.Route{{Method: "POST", Path: "/", Body: "the body"}}}, "run", 7,
		func(string) string { return ln.Addr().String() }, k.take)
	defer c.close()
	c.do(1, time.Now())
	require.True(t, strings.HasSuffix(<-pieces, "the body"))
	require.Equal(t, acknowledged, k.all[0].outcome)
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	client, _, asked := clientOn(t, scenarios.Load{KeyHeader: "Idempotency-Key", Mix: []scenarios.Route{
		{Method: "PUT", Path: "/orders/{{n}}", Body: `{"key":"{{key}}","seed":{{seed}},"n":{{n}}}`, Type: "application/json", Share: 1},
	}}, status(200))
	client.do(42, time.Now())
	client.try(client.route(42), 42, 43)
	want := asked()
	require.Len(t, want, 2)
	assert.Equal(t, `{"key":"run-42","seed":7,"n":42}`, want[0].body)
	assert.Equal(t, "/orders/42", want[0].path)
	assert.Equal(t, "application/json", want[0].kind)
	assert.Equal(t, "run-42", want[1].key, "another body with the same key")
	assert.NotEqual(t, want[0].body, want[1].body)
}

func TestAnswersAreTold(t *testing.T) {
	t.Parallel()
	client, k, _ := clientOn(t, scenarios.Load{Marker: &scenarios.Header{Name: "X-Degraded", Value: "true"}, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}},
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Degraded", "TRUE")
			_, _ = io.WriteString(w, "a")
		},
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a") },
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "b") })
	for n := range uint64(3) {
		client.do(n, time.Now())
	}
	assert.True(t, k.all[0].fallback)
	assert.False(t, k.all[1].fallback)
	assert.Equal(t, k.all[0].digest, k.all[1].digest)
	assert.NotEqual(t, k.all[1].digest, k.all[2].digest)
}

func TestRetryAfterIsHonouredWithinReason(t *testing.T) {
	t.Parallel()
	client, k, _ := clientOn(t, scenarios.Load{Retries: 1, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}},
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
		}, status(200))
	client.do(0, time.Now())
	require.Len(t, k.all[0].attempts, 2)
	gap := k.all[0].attempts[1].at.Sub(k.all[0].attempts[0].at)
	assert.GreaterOrEqual(t, gap, time.Second)
	assert.Less(t, gap, time.Minute)
}

func TestTheMixIsDrawnByHash(t *testing.T) {
	t.Parallel()
	l := &scenarios.Load{Mix: []scenarios.Route{{Path: "a", Share: 0.7}, {Path: "b", Share: 0.3}}}
	one, same, other := newClient(t.Context(), l, "", 1, nil, nil), newClient(t.Context(), l, "", 1, nil, nil), newClient(t.Context(), l, "", 2, nil, nil)
	a, differ := 0, 0
	for n := range uint64(10000) {
		require.Equal(t, one.route(n), same.route(n))
		if one.route(n).Path == "a" {
			a++
		}
		if one.route(n) != other.route(n) {
			differ++
		}
	}
	assert.InDelta(t, 7000, a, 200)
	assert.Positive(t, differ)
}

// taker collects what requests came to.
type taker struct {
	mu  sync.Mutex
	all []ended
}

func (k *taker) take(e ended) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, e)
}
