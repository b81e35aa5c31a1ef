package services

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
)

func TestRunNeedsAName(t *testing.T) {
	for _, args := range [][]string{nil, {"shop"}} {
		require.EqualError(t, run(t.Context(), args), "name a service: backend, bookings, counter, etcd, front, haproxy, ledger, nats, nginx, orders, postgres, publisher, rabbitmq, receiver, register, replicator, sender, worker")
	}
	require.Error(t, run(t.Context(), []string{"ledger", "--nothing"}))
	require.ErrorContains(t, run(t.Context(), []string{"register", "--node", "etcd-1"}), `invalid value "etcd-1" for flag -node`)
}

// TestRunServesUntilCancelled also checks that the service is healthy meanwhile.
func TestRunServesUntilCancelled(t *testing.T) {
	addr := machine.FreeAddr(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"ledger", "--listen", addr}) }()
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

// TestBackendRecordsEffects checks that every request with a key is recorded, duplicates included.
func TestBackendRecordsEffects(t *testing.T) {
	ledger, err := newLedger(t.Context(), config{})
	require.NoError(t, err)
	server := httptest.NewServer(ledger)
	defer server.Close()
	backend, err := newBackend(t.Context(), config{direct: server.Listener.Addr().String()})
	require.NoError(t, err)
	defer backend.close()
	for _, key := range []string{"a", "a", "", "b"} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/any", nil)
		req.Header.Set("Idempotency-Key", key)
		w := httptest.NewRecorder()
		backend.ServeHTTP(w, req)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
	}
	w := httptest.NewRecorder()
	ledger.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/ledger", nil))
	var all []effect
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &all))
	require.Equal(t, []effect{{"a", "1"}, {"a", "2"}, {"b", "3"}}, all)
}

// TestErrorStatus checks that only a refusal is answered with a status that means that nothing was done.
func TestErrorStatus(t *testing.T) {
	s := service{ServeMux: http.NewServeMux()}
	s.handle("/refused", func(context.Context, string) error { return refusal("denied") })
	s.handle("/unknown", func(context.Context, string) error { return context.DeadlineExceeded })
	for path, want := range map[string]int{"/refused": http.StatusUnprocessableEntity, "/unknown": http.StatusInternalServerError} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil))
		require.Equal(t, want, w.Code)
	}
}

// TestMissingGateway checks the error for a program that is not installed, and the configuration file.
func TestMissingGateway(t *testing.T) {
	c := config{listen: "127.0.0.1:1", link: "127.0.0.1:2", second: "127.0.0.1:3", dir: t.TempDir()}
	_, err := c.exec("no-such-gateway", "{user} {listen} {a} {b} {dir}", "user x;", "-f")
	require.ErrorContains(t, err, "no-such-gateway")
	raw, err := os.ReadFile(filepath.Join(c.dir, "no-such-gateway.conf"))
	require.NoError(t, err)
	require.Equal(t, "user x; 127.0.0.1:1 127.0.0.1:2 127.0.0.1:3 "+c.dir, string(raw))
}
