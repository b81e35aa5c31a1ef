package services

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRunNeedsAName(t *testing.T) {
	for _, args := range [][]string{nil, {"shop"}} {
		require.EqualError(t, run(t.Context(), args), "name a service: backend, books, counter, front, haproxy, nginx, orders, postgres, publisher, worker")
	}
	require.Error(t, run(t.Context(), []string{"books", "--nothing"}))
}

// A service is served until it is asked to end, and then ends.
func TestAServiceIsServed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := ln.Addr().String()
	require.NoError(t, ln.Close())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"books", "--listen", addr}) }()
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://" + addr + "/livez")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	}, 10*time.Second, 10*time.Millisecond)
	http.DefaultClient.CloseIdleConnections()
	cancel()
	require.NoError(t, <-ended)
}

// What a backend has done stands in the books, as often as it was done; a request without a key is answered only.
func TestBackendsWriteDownWhatTheyHaveDone(t *testing.T) {
	books, err := newBooks(t.Context(), config{})
	require.NoError(t, err)
	kept := httptest.NewServer(books)
	defer kept.Close()
	backend, err := newBackend(t.Context(), config{direct: kept.Listener.Addr().String()})
	require.NoError(t, err)
	defer backend.end()
	for _, key := range []string{"a", "a", "", "b"} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/any", nil)
		req.Header.Set("Idempotency-Key", key)
		w := httptest.NewRecorder()
		backend.ServeHTTP(w, req)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
	}
	w := httptest.NewRecorder()
	books.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/ledger", nil))
	var all []effect
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &all))
	require.Equal(t, []effect{{"a", "1"}, {"a", "2"}, {"b", "3"}}, all)
}

// Whoever says that nothing was done says so; any other error may mean anything.
func TestErrorsAreToldAsWhatTheyAre(t *testing.T) {
	s := service{ServeMux: http.NewServeMux()}
	s.handle("/refused", func(context.Context, string) error { return refusal("denied") })
	s.handle("/unknown", func(context.Context, string) error { return context.DeadlineExceeded })
	for path, want := range map[string]int{"/refused": http.StatusUnprocessableEntity, "/unknown": http.StatusInternalServerError} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil))
		require.Equal(t, want, w.Code)
	}
}

// The configuration holds what the run decided, and a missing program is told.
func TestAGatewayThatIsNotInstalled(t *testing.T) {
	c := config{listen: "127.0.0.1:1", link: "127.0.0.1:2", second: "127.0.0.1:3", dir: t.TempDir()}
	_, err := c.become("no-such-gateway", "{user} {listen} {a} {b} {dir}", "user x;", "-f")
	require.ErrorContains(t, err, "no-such-gateway")
	raw, err := os.ReadFile(filepath.Join(c.dir, "no-such-gateway.conf"))
	require.NoError(t, err)
	require.Equal(t, "user x; 127.0.0.1:1 127.0.0.1:2 127.0.0.1:3 "+c.dir, string(raw))
}
