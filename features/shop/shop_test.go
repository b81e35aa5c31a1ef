package shop

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// TestMain makes the test binary act as the shop, for tests that kill it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "shop" {
		os.Exit(Main(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

// start serves a part in this process and returns its URL.
func start(t *testing.T, name, without string, links map[string]string) string {
	t.Helper()
	by, err := parseWithout(without)
	require.NoError(t, err)
	p, err := parts[name].build(config{dir: t.TempDir(), links: links, protected: by})
	require.NoError(t, err)
	server := httptest.NewServer(p.handler())
	t.Cleanup(func() {
		server.Close()
		assert.NoError(t, p.close())
	})
	return server.URL
}

// serveFake serves a fake dependency and returns its address.
func serveFake(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// text answers with a text.
func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

// fail answers that something is broken.
func fail(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }

// client returns a client that shares no connections with other tests.
func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

type answered struct {
	status int
	body   string
	header http.Header
}

func ask(t *testing.T, c *http.Client, method, url, key, body string) answered {
	t.Helper()
	a, err := try(t.Context(), c, method, url, key, body)
	require.NoError(t, err)
	return a
}

func try(ctx context.Context, c *http.Client, method, url, key, body string) (answered, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answered{}, err
	}
	req.GetBody = nil // so that net/http does not retry
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.Do(req)
	if err != nil {
		return answered{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return answered{resp.StatusCode, string(raw), resp.Header}, err
}

// ledger counts the effects of each key.
func ledger(t *testing.T, url string) map[string]int {
	t.Helper()
	var lines []struct{ Key, ID string }
	got := ask(t, client(t), http.MethodGet, url, "", "")
	require.Equal(t, http.StatusOK, got.status, got.body)
	require.NoError(t, json.Unmarshal([]byte(got.body), &lines))
	count := map[string]int{}
	for _, l := range lines {
		require.NotEmpty(t, l.ID)
		count[l.Key]++
	}
	return count
}

func TestWithout(t *testing.T) {
	by, err := parseWithout("")
	require.NoError(t, err)
	for _, p := range Protections() {
		assert.True(t, by[p.Name], p.Name)
	}
	by, err = parseWithout(" isolation ,fallbacks")
	require.NoError(t, err)
	assert.False(t, by[isolation])
	assert.False(t, by[fallbacks])
	assert.True(t, by[timeouts])

	_, err = parseWithout("seat belts")
	require.Error(t, err)
	assert.Contains(t, err.Error(), `"seat belts"`)
	for _, p := range Protections() {
		assert.Contains(t, err.Error(), p.Name)
	}
}

func TestWrongArguments(t *testing.T) {
	for name, args := range map[string][]string{
		"none":               nil,
		"unknown part":       {"kitchen"},
		"unknown protection": {"content", "--without", "seat belts"},
		"unknown flag":       {"content", "--loud"},
		"no content":         {"front"},
		"no payments":        {"orders"},
	} {
		t.Run(name, func(t *testing.T) { assert.Error(t, run(t.Context(), args)) })
	}
}

func TestGracefulStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"payments", "--dir", t.TempDir()}) }()
	cancel()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(20 * time.Second):
		t.Fatal("it did not end")
	}
}

func TestHealthAndMetrics(t *testing.T) {
	c := client(t)
	ready := start(t, "orders", "", map[string]string{"payments": serveFake(t, text("alive"))})
	unready := start(t, "orders", "", map[string]string{"payments": machine.FreeAddr(t)})
	assert.Equal(t, http.StatusOK, ask(t, c, http.MethodGet, ready+"/livez", "", "").status)
	assert.Equal(t, http.StatusOK, ask(t, c, http.MethodGet, ready+"/readyz", "", "").status)
	assert.Equal(t, http.StatusOK, ask(t, c, http.MethodGet, unready+"/livez", "", "").status, "the shallow check ignores dependencies")
	assert.Equal(t, http.StatusServiceUnavailable, ask(t, c, http.MethodGet, unready+"/readyz", "", "").status, "the deep check requires them")
	broken := start(t, "orders", "", map[string]string{"payments": serveFake(t, fail)})
	assert.Contains(t, ask(t, c, http.MethodGet, broken+"/readyz", "", "").body, "payments: status 500", "an answer is not enough")
	shallow := start(t, "orders", deepCheck, map[string]string{"payments": machine.FreeAddr(t)})
	assert.Equal(t, http.StatusOK, ask(t, c, http.MethodGet, shallow+"/readyz", "", "").status, "without the deep check")
	assert.Contains(t, ask(t, c, http.MethodGet, ready+"/metrics", "", "").body, "orders_placed_total 0")
}
