package load

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

// receivedRequest is a request as seen by a server.
type receivedRequest struct {
	method, path, key, body, kind string
	length                        int64
	chunked                       bool
}

// clientOn returns a client of a server that gives the given answers, one per attempt; the last one
// repeats.
func clientOn(t *testing.T, l scenarios.Load, answers ...http.HandlerFunc) (*Client, *resultCollector, func() []receivedRequest) {
	t.Helper()
	var mu sync.Mutex
	var all []receivedRequest
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		all = append(all, receivedRequest{
			r.Method, r.URL.RequestURI(), r.Header.Get("Idempotency-Key"), string(body), r.Header.Get("Content-Type"), r.ContentLength, len(r.TransferEncoding) > 0,
		})
		answer := answers[min(len(all), len(answers))-1]
		mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	if l.GiveUp == 0 {
		l.GiveUp = 30 * time.Second
	}
	k := &resultCollector{}
	c := NewClient(t.Context(), Config{Load: &l, KeyPrefix: "run", Seed: 7, Address: at(strings.TrimPrefix(server.URL, "http://")), Ended: k.add})
	t.Cleanup(c.Close)
	return c, k, func() []receivedRequest { mu.Lock(); defer mu.Unlock(); return all }
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
		expect   []int
		answers  []http.HandlerFunc
		outcome  Outcome
		kind     string
		attempts int
	}{
		{"success", 3, nil, []http.HandlerFunc{status(200)}, Acknowledged, "", 1},
		{"another success", 3, nil, []http.HandlerFunc{status(202)}, Acknowledged, "", 1},
		{"not the expected success", 0, []int{201}, []http.HandlerFunc{status(200)}, Ambiguous, "status 200", 1},
		{"an expected refusal", 3, []int{422}, []http.HandlerFunc{status(422)}, Acknowledged, "", 1},
		{"a redirect is not followed", 0, []int{302}, []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }}, Acknowledged, "", 1},
		{"one of two that are expected", 0, []int{201, 303}, []http.HandlerFunc{status(303)}, Acknowledged, "", 1},
		{"bad request", 3, nil, []http.HandlerFunc{status(400)}, Refused, "status 400", 1},
		{"too many, then success", 3, nil, []http.HandlerFunc{status(429), status(200)}, Acknowledged, "", 2},
		{"unavailable for ever", 2, nil, []http.HandlerFunc{status(503)}, Ambiguous, "status 503", 3},
		{"error for ever", 1, nil, []http.HandlerFunc{status(500)}, Ambiguous, "status 500", 2},
		{"too early, then success", 3, nil, []http.HandlerFunc{status(425), status(200)}, Acknowledged, "", 2},
		{"in conflict, then success", 3, nil, []http.HandlerFunc{status(409), status(200)}, Acknowledged, "", 2},
		{"a success that is not expected is no error to repeat", 3, []int{201}, []http.HandlerFunc{status(200)}, Ambiguous, "status 200", 1},
		{"error, then refusal", 1, nil, []http.HandlerFunc{status(500), status(400)}, Ambiguous, "status 400", 2},
		{"hang-up, then success", 3, nil, []http.HandlerFunc{hangUp, status(200)}, Acknowledged, "", 2},
		{"hang-up", 0, nil, []http.HandlerFunc{hangUp}, Ambiguous, "closed", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client, k, requests := clientOn(t, scenarios.Load{
				Retries: c.retries, Key: scenarios.HeaderKey("Idempotency-Key"), Mix: []scenarios.Route{{Method: "POST", Path: "/orders", Body: "{}", Share: 1, Expect: c.expect}},
			}, c.answers...)
			client.Do(5, time.Now())
			require.Len(t, k.all, 1)
			e := k.all[0]
			assert.Equal(t, c.outcome.String(), e.Outcome.String())
			assert.Equal(t, c.kind, e.Kind)
			assert.Len(t, e.Attempts, c.attempts)
			assert.Equal(t, c.attempts, e.Wire)
			assert.Len(t, requests(), c.attempts)
			for _, a := range requests() {
				assert.Equal(t, "run-5", a.key)
			}
		})
	}
}

// The meaning of a status applies to all attempts, and determines whether there is another one.
func TestStatusMeaningsOfTheScenario(t *testing.T) {
	t.Parallel()
	means := map[int]scenarios.Outcome{503: scenarios.Refused, 409: scenarios.Acknowledged, 404: scenarios.NotKnown}
	for _, c := range []struct {
		answers  []http.HandlerFunc
		outcome  Outcome
		attempts int
	}{
		{[]http.HandlerFunc{status(503)}, Refused, 1},
		{[]http.HandlerFunc{hangUp, status(503)}, Ambiguous, 2},
		{[]http.HandlerFunc{status(404), status(200)}, Acknowledged, 2},
		{[]http.HandlerFunc{status(404)}, Ambiguous, 3},
		{[]http.HandlerFunc{hangUp, status(409)}, Acknowledged, 2},
	} {
		client, k, requests := clientOn(t, scenarios.Load{
			Retries: 2, Means: means, Key: scenarios.HeaderKey("Idempotency-Key"), Mix: []scenarios.Route{{Method: "POST", Path: "/orders", Body: "{}", Share: 1}},
		}, c.answers...)
		client.Do(5, time.Now())
		assert.Equal(t, c.outcome.String(), k.all[0].Outcome.String())
		assert.Len(t, requests(), c.attempts)
	}
}

func TestDialRefused(t *testing.T) {
	t.Parallel()
	client, k, _ := clientOn(t, scenarios.Load{Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}}, status(200))
	closed := httptest.NewServer(status(200))
	closed.Close()
	client.Address = func(string) string { return strings.TrimPrefix(closed.URL, "http://") }
	client.Do(0, time.Now())
	assert.Equal(t, Refused, k.all[0].Outcome, "it did not happen")
	assert.Equal(t, "refused", k.all[0].Kind)
	assert.Zero(t, k.all[0].Wire)
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	client, k, _ := clientOn(t, scenarios.Load{GiveUp: 100 * time.Millisecond, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}},
		func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	client.Do(0, time.Now())
	assert.Equal(t, Ambiguous, k.all[0].Outcome)
	assert.Equal(t, "timeout", k.all[0].Kind)
}

// A request that ends because the run is interrupted is not a failure of the system, whatever the
// cause and even between two attempts.
func TestRequestsAbortedByTheRunner(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"under way":        func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"between attempts": status(http.StatusInternalServerError),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, k, requests := clientOn(t, scenarios.Load{Retries: 100, GiveUp: time.Minute, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}}, answer)
			ctx, cancel := context.WithCancelCause(t.Context())
			client.ctx = ctx
			done := make(chan struct{})
			go func() { defer close(done); client.Do(0, time.Now()) }()
			require.Eventually(t, func() bool { return len(requests()) > 0 }, 10*time.Second, time.Millisecond)
			cancel(errors.New("a stop rule acted"))
			<-done
			assert.Equal(t, Aborted, k.all[0].Kind)
			assert.Equal(t, Ambiguous, k.all[0].Outcome)
		})
	}
}

// net/http retries a request by itself if a kept connection breaks and the request is idempotent. Such
// retries would violate the policy.
func TestTransportNeverRetries(t *testing.T) {
	t.Parallel()
	for _, r := range []scenarios.Route{
		{Method: "GET", Path: "/"}, {Method: "HEAD", Path: "/"}, {Method: "OPTIONS", Path: "/"}, {Method: "DELETE", Path: "/"}, {Method: "POST", Path: "/"},
		{Method: "POST", Path: "/", Body: "{}"}, {Method: "PUT", Path: "/", Body: "{}"},
	} {
		t.Run(r.Method+r.Body, func(t *testing.T) {
			t.Parallel()
			r.Share = 1
			for _, key := range []scenarios.Key{{}, scenarios.HeaderKey("Idempotency-Key")} {
				client, k, requests := clientOn(t, scenarios.Load{Key: key, Mix: []scenarios.Route{r}}, status(200), status(200), hangUp, status(200))
				for n := range uint64(3) {
					client.Do(n, time.Now())
				}
				require.Len(t, requests(), 3, key)
				assert.Equal(t, "closed", k.all[2].Kind)
				for i, a := range requests() {
					assert.Equal(t, r.Body, a.body)
					assert.Equal(t, int64(len(r.Body)), a.length)
					assert.False(t, a.chunked)
					assert.Equal(t, 1, k.all[i].Wire)
				}
			}
		})
	}
}

// Head and body must be written together: some gateways treat a split request differently.
func TestRequestIsWrittenAtOnce(t *testing.T) {
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
	k := &resultCollector{}
	c := NewClient(t.Context(), Config{
		Load:    &scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), GiveUp: 30 * time.Second, Mix: []scenarios.Route{{Method: "POST", Path: "/", Body: "the body"}}},
		Address: at(ln.Addr().String()), Ended: k.add,
	})
	defer c.Close()
	c.Do(1, time.Now())
	require.True(t, strings.HasSuffix(<-pieces, "the body"))
	require.Equal(t, Acknowledged, k.all[0].Outcome)
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	client, _, requests := clientOn(t, scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Mix: []scenarios.Route{
		{Method: "PUT", Path: "/orders/{{n}}", Body: `{"key":"{{key}}","seed":{{seed}},"n":{{n}}}`, Type: "application/json", Share: 1},
	}}, status(200))
	client.Do(42, time.Now())
	client.Try(42, 43)
	want := requests()
	require.Len(t, want, 2)
	assert.Equal(t, `{"key":"run-42","seed":7,"n":42}`, want[0].body)
	assert.Equal(t, "/orders/42", want[0].path)
	assert.Equal(t, "application/json", want[0].kind)
	assert.Equal(t, "run-42", want[1].key, "another body with the same key")
	assert.Equal(t, `{"key":"run-42","seed":7,"n":43}`, want[1].body, "the key in the body stays")
	assert.Equal(t, "/orders/42", want[1].path)
}

func TestDigestsAndFallbacks(t *testing.T) {
	t.Parallel()
	client, k, _ := clientOn(t, scenarios.Load{Marker: &scenarios.Mark{Name: "X-Degraded", Value: "true"}, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}},
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Degraded", "TRUE")
			_, _ = io.WriteString(w, "a")
		},
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a") },
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "b") })
	for n := range uint64(3) {
		client.Do(n, time.Now())
	}
	assert.True(t, k.all[0].Fallback)
	assert.False(t, k.all[1].Fallback)
	assert.Equal(t, k.all[0].digest, k.all[1].digest)
	assert.NotEqual(t, k.all[1].digest, k.all[2].digest)
}

func TestRetryAfterIsBounded(t *testing.T) {
	t.Parallel()
	client, k, _ := clientOn(t, scenarios.Load{Retries: 1, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}},
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
		}, status(200))
	client.Do(0, time.Now())
	require.Len(t, k.all[0].Attempts, 2)
	gap := k.all[0].Attempts[1].At.Sub(k.all[0].Attempts[0].At)
	assert.GreaterOrEqual(t, gap, time.Second)
	assert.Less(t, gap, time.Minute)
	assert.True(t, client.retryAfter.Load(), "requests may have taken that much longer")
}

func TestRetryAfterIsNoted(t *testing.T) {
	t.Parallel()
	for header, valid := range map[string]bool{"": false, "soon": false, "-1": false, "0": true, "2": true, "Sun, 06 Nov 1994 08:49:37 GMT": true} {
		client, k, _ := clientOn(t, scenarios.Load{Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		client.Do(0, time.Now())
		assert.Equal(t, valid, k.all[0].Attempts[0].Answer.HasRetryAfter, header)
	}
}

// The upper bound on the duration of a request is computed from the actual pauses.
func TestPausesAreWithinPatience(t *testing.T) {
	t.Parallel()
	l := scenarios.Load{Retries: 2, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}}
	client, k, _ := clientOn(t, l, status(503), status(503), status(200))
	client.Do(0, time.Now())
	require.Len(t, k.all[0].Attempts, 3)
	for i := range 2 {
		gap := k.all[0].Attempts[i+1].At.Sub(k.all[0].Attempts[i].At) - k.all[0].Attempts[i].Took
		assert.GreaterOrEqual(t, gap, scenarios.DefaultBackOff().Pause(i)/2)
		assert.Less(t, gap, scenarios.DefaultBackOff().Pause(i)+time.Second, "a slow machine adds to it")
	}
	assert.False(t, client.retryAfter.Load())
}

func TestTheMixIsDrawnByHash(t *testing.T) {
	t.Parallel()
	l := &scenarios.Load{Mix: []scenarios.Route{{Path: "a", Share: 0.7}, {Path: "b", Share: 0.3}}}
	one, same, other := NewClient(t.Context(), Config{Load: l, Seed: 1}), NewClient(t.Context(), Config{Load: l, Seed: 1}), NewClient(t.Context(), Config{Load: l, Seed: 2})
	a, differ := 0, 0
	for n := range uint64(10000) {
		require.Equal(t, one.Route(n), same.Route(n))
		if one.Route(n).Path == "a" {
			a++
		}
		if one.Route(n).Path != other.Route(n).Path {
			differ++
		}
	}
	assert.InDelta(t, 7000, a, 200)
	assert.Positive(t, differ)
}

// at is Config.Address for a load on a single server.
func at(address string) func(service string) string { return func(string) string { return address } }

// resultCollector collects the results of requests.
type resultCollector struct {
	mu  sync.Mutex
	all []Result
}

func (k *resultCollector) add(e Result) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, e)
}
