package shop

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOrders(t *testing.T) {
	c := client(t)
	payments := start(t, "payments", "", nil)
	orders := start(t, "orders", "", map[string]string{"payments": strings.TrimPrefix(payments, "http://")})
	assert.Equal(t, http.StatusBadRequest, ask(t, c, http.MethodPost, orders+"/orders", "", `{"n":1}`).status, "no key")
	first := ask(t, c, http.MethodPost, orders+"/orders", "k-1", `{"n":1}`)
	assert.Equal(t, http.StatusCreated, first.status, first.body)
	again := ask(t, c, http.MethodPost, orders+"/orders", "k-1", `{"n":1}`)
	assert.Equal(t, first.status, again.status)
	assert.Equal(t, first.body, again.body, "the same response")
	assert.Equal(t, http.StatusUnprocessableEntity, ask(t, c, http.MethodPost, orders+"/orders", "k-1", `{"n":2}`).status, "another body")
	assert.Equal(t, http.StatusCreated, ask(t, c, http.MethodPost, orders+"/orders", "k-2", `{"n":1}`).status)
	assert.Equal(t, map[string]int{"k-1": 1, "k-2": 1}, ledger(t, orders+"/ledger"))
	assert.Equal(t, map[string]int{"k-1": 1, "k-2": 1}, ledger(t, payments+"/charges"))
	assert.Contains(t, ask(t, c, http.MethodGet, orders+"/metrics", "", "").body, "orders_placed_total 2")
}

func TestConflictWhileFirstRequestRuns(t *testing.T) {
	c := client(t)
	payments, entered := serveHanging(t)
	orders := start(t, "orders", "", map[string]string{"payments": payments})
	ended := make(chan answered, 1)
	go func() {
		a, _ := try(context.Background(), client(t), http.MethodPost, orders+"/orders", "k", `{}`)
		ended <- a
	}()
	<-entered
	assert.Equal(t, http.StatusConflict, ask(t, c, http.MethodPost, orders+"/orders", "k", `{}`).status)
	assert.Equal(t, http.StatusGatewayTimeout, (<-ended).status)
	assert.Empty(t, ledger(t, orders+"/ledger"), "an order that was not charged is not stored")
}

// TestIdempotencyKeys loses the answers to every other charge, after the charge was made, and sends each order twice.
func TestIdempotencyKeys(t *testing.T) {
	for name, c := range map[string]struct {
		without string
		twice   bool
	}{
		"on":  {"", false},
		"off": {idempotencyKeys, true},
	} {
		t.Run(name, func(t *testing.T) {
			payments := start(t, "payments", "", nil)
			var calls atomic.Int64
			lossy := serveFake(t, func(w http.ResponseWriter, r *http.Request) {
				lost := calls.Add(1)%2 == 1
				resp, err := forward(r, payments)
				if err != nil || lost {
					panic(http.ErrAbortHandler) // closes the connection
				}
				w.WriteHeader(resp.status)
				_, _ = fmt.Fprint(w, resp.body)
			})
			orders := start(t, "orders", c.without, map[string]string{"payments": lossy})
			for i := range 5 {
				for range 2 {
					assert.Equal(t, http.StatusCreated, ask(t, client(t), http.MethodPost, orders+"/orders", fmt.Sprint("k-", i), "{}").status)
				}
			}
			placed, charged := ledger(t, orders+"/ledger"), ledger(t, payments+"/charges")
			require.Len(t, placed, 5)
			for key, n := range placed {
				if c.twice {
					assert.Equal(t, 2, n, "a repeated order is a new order")
					assert.Greater(t, charged[key], 2, "a repeated charge is a new charge")
				} else {
					assert.Equal(t, 1, n)
					assert.Equal(t, 1, charged[key])
				}
			}
		})
	}
}

func forward(r *http.Request, to string) (answered, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	req := r.Clone(context.WithoutCancel(r.Context()))
	req.URL.Scheme, req.URL.Host, req.RequestURI = "http", strings.TrimPrefix(to, "http://"), ""
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return answered{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answered{status: resp.StatusCode, body: string(body)}, err
}

// TestAcknowledgedOrdersSurviveSIGKILL kills orders under load, restarts it in the same directory, and checks that all
// acknowledged orders are stored.
func TestAcknowledgedOrdersSurviveSIGKILL(t *testing.T) {
	payments, dir := start(t, "payments", "", nil), t.TempDir()
	links := []string{"--payments", strings.TrimPrefix(payments, "http://"), "--dir", dir, "--fsync=false"}
	url, kill := startProcess(t, append([]string{"orders"}, links...)...)
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	var clients sync.WaitGroup
	for worker := range 4 {
		c := client(t)
		clients.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("k-%d-%d", worker, i)
				got, err := try(t.Context(), c, http.MethodPost, url+"/orders", key, "{}")
				if err != nil {
					return // orders was killed
				}
				if got.status == http.StatusCreated {
					mu.Lock()
					acknowledged[key] = true
					mu.Unlock()
				}
			}
		})
	}
	require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(acknowledged) > 50 }, 20*time.Second, time.Millisecond)
	kill()
	clients.Wait()
	url, _ = startProcess(t, append([]string{"orders"}, links...)...)
	stored := ledger(t, url+"/ledger")
	for key := range acknowledged {
		assert.Equal(t, 1, stored[key], "order %s was acknowledged", key)
	}
}

// startProcess starts a part in a process of its own and returns its URL and a function that kills it.
func startProcess(t *testing.T, args ...string) (url string, kill func()) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, append([]string{"shop"}, args...)...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	kill = sync.OnceFunc(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	t.Cleanup(kill)
	line := make([]byte, 200)
	n, err := out.Read(line)
	require.NoError(t, err)
	_, address, ok := strings.Cut(strings.TrimSpace(string(line[:n])), " listens on ")
	require.True(t, ok, "%q", line[:n])
	return "http://" + address, kill
}
