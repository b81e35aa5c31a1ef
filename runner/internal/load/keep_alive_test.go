package load

import (
	"bufio"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// runLoad runs a load against a server and returns the result of each request and the totals of the load.
// If this machine is too busy to send the requests on time, it starts another server and runs the load once more.
func runLoad(t *testing.T, start func() (address string), rate float64, length time.Duration, r scenarios.Route) (all []Result, attempts, wire int) {
	t.Helper()
	r.Share = 1
	l := &scenarios.Load{Rate: rate, Key: scenarios.HeaderKey("Idempotency-Key"), Mix: []scenarios.Route{r}, GiveUp: 30 * time.Second}
	for attempt := 1; ; attempt++ {
		address := start()
		k := &resultCollector{}
		c := NewClient(t.Context(), Config{Load: l, KeyPrefix: "run", Seed: 7, Address: at(address), Ended: k.add})
		g := Start(t.Context(), l, c, rate)
		time.Sleep(length)
		totals := g.End(func(uint64, time.Time) {})
		late := slices.ContainsFunc(k.all, func(e Result) bool { return len(e.Attempts) > 0 && e.Attempts[0].At.Sub(e.Due) > 100*time.Millisecond })
		if (late || math.Abs(totals.Requested-float64(totals.Sent)) > max(2, totals.Requested/100)) && attempt <= 4 {
			t.Logf("run again, because this machine was busy: %d of %v requests were sent, some of them late", totals.Sent, totals.Requested)
			continue
		}
		assert.InDelta(t, totals.Requested, totals.Sent, max(2, totals.Requested/100))
		return k.all, totals.Attempts, totals.Wire
	}
}

func assertAllSucceed(t *testing.T, all []Result, attempts, wire int) {
	t.Helper()
	assert.NotEmpty(t, all)
	late := 0
	for _, e := range all {
		if e.Unsent && e.Kind == "own: a kept connection was used too late" { // this machine paused in between
			late++
			continue
		}
		assert.Equal(t, "", e.Kind, "request %d", e.N)
		assert.Equal(t, 1, e.Wire, "request %d", e.N)
	}
	assert.LessOrEqual(t, late, 1+len(all)/50)
	assert.Equal(t, attempts, wire)
	assert.Len(t, all, wire)
}

// newIdleClosingServer starts a server that closes idle connections after a time, and counts its
// requests and connections.
func newIdleClosingServer(t *testing.T, idle time.Duration) (address string, requests, connections *atomic.Int64) {
	t.Helper()
	requests, connections = &atomic.Int64{}, &atomic.Int64{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		requests.Add(1)
	}))
	server.Config.IdleTimeout = idle
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), requests, connections
}

// No request fails, whatever the server's timeout and however close it is to the time between two
// requests.
func TestServerClosingIdleConnections(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	for _, idle := range []time.Duration{20 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond} {
		for _, near := range []float64{0.9, 1, 1.02} {
			for body, method := range map[string]string{"": "GET", `{"n":{{n}}}`: "POST"} {
				all.Go(func() {
					var requests *atomic.Int64
					start := func() (address string) { address, requests, _ = newIdleClosingServer(t, idle); return address }
					all, attempts, wire := runLoad(t, start, near/idle.Seconds(), 5*time.Second, scenarios.Route{Method: method, Path: "/", Body: body})
					assertAllSucceed(t, all, attempts, wire)
					assert.InDelta(t, wire, requests.Load(), 1+float64(wire)/50, "%s, %v", idle, near)
				})
			}
		}
	}
	all.Wait()
}

// Requests that follow each other quickly share connections.
func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	var requests, connections *atomic.Int64
	start := func() (address string) {
		address, requests, connections = newIdleClosingServer(t, time.Minute)
		return address
	}
	all, attempts, wire := runLoad(t, start, 100, 3*time.Second, scenarios.Route{Method: "GET", Path: "/"})
	assertAllSucceed(t, all, attempts, wire)
	assert.Less(t, connections.Load(), requests.Load()/5)
}

// TestNginxWithShortKeepAlive tests a real server at the rate that matches its timeout.
func TestNginxWithShortKeepAlive(t *testing.T) {
	t.Parallel()
	nginx, err := exec.LookPath("nginx")
	require.NoError(t, err, "make test installs it")
	dir := t.TempDir()
	address := machine.FreeAddr(t)
	conf := `daemon off; worker_processes 1; error_log stderr; pid nginx.pid; events { worker_connections 64; }
http { access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  keepalive_timeout 1s; server { listen ` + address + `; location / { return 200 "ok\n"; } } }`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o600))
	cmd := exec.CommandContext(t.Context(), nginx, "-p", dir, "-c", "nginx.conf", "-e", "stderr")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	var both sync.WaitGroup
	for _, r := range []scenarios.Route{{Method: "GET", Path: "/a"}, {Method: "POST", Path: "/a"}, {Method: "POST", Path: "/a", Body: "{}"}} {
		both.Go(func() {
			all, attempts, wire := runLoad(t, func() string { return address }, 1, 22*time.Second, r)
			assertAllSucceed(t, all, attempts, wire)
			assert.GreaterOrEqual(t, len(all), 21)
		})
	}
	both.Wait()
}

// Some servers close the connection after an answer without announcing it.
func TestServerClosingWithoutNotice(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}()
		}
	}()
	all, attempts, wire := runLoad(t, ln.Addr().String, 300, 3*time.Second, scenarios.Route{Method: "GET", Path: "/"})
	assertAllSucceed(t, all, attempts, wire)
}
