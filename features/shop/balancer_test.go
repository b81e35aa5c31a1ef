package shop

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// startWeb serves an instance until the returned function stops it and waits for its end.
func startWeb(t *testing.T, addr, without string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"web", "--listen", addr, "--without", without}) }()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)
	var stopped atomic.Bool
	stop = func() {
		if stopped.CompareAndSwap(false, true) {
			cancel()
			assert.NoError(t, <-ended)
		}
	}
	t.Cleanup(stop)
	return stop
}

// TestDraining restarts one of two instances while a client asks one request after the other.
func TestDraining(t *testing.T) {
	for name, c := range map[string]struct{ without string }{"on": {""}, "off": {draining}} {
		t.Run(name, func(t *testing.T) {
			first, second := machine.FreeAddr(t), machine.FreeAddr(t)
			stop := startWeb(t, first, c.without)
			startWeb(t, second, c.without)
			balancer := start(t, "balancer", "", map[string]string{"instances": first + "," + second})
			stopped := make(chan struct{})
			go func() { defer close(stopped); stop() }()
			failed, asker := 0, client(t)
			probe := func() {
				if got := ask(t, asker, http.MethodGet, balancer+"/x", "", ""); got.status != http.StatusOK {
					failed++
				}
			}
			for gone := false; !gone; {
				probe()
				select {
				case <-stopped:
					gone = true
				default:
				}
			}
			probe()
			probe()
			startWeb(t, first, c.without)
			require.Eventually(t, func() bool {
				probe()
				return !strings.Contains(ask(t, asker, http.MethodGet, "http://"+first+"/metrics", "", "").body, "pages_served_total 0")
			}, 20*time.Second, 5*time.Millisecond, "it gets requests again")
			if c.without == "" {
				assert.Zero(t, failed)
			} else {
				assert.Positive(t, failed)
			}
		})
	}
}

func TestBalancer(t *testing.T) {
	var sick atomic.Bool
	instance := func(name string) string {
		return serveFake(t, func(w http.ResponseWriter, r *http.Request) {
			if sick.Load() && name == "a" {
				if r.URL.Path == "/readyz" {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				w.Header().Set(drainHeader, "true")
			}
			fmt.Fprint(w, name)
		})
	}
	balancer := start(t, "balancer", "", map[string]string{"instances": instance("a") + "," + instance("b")})
	c := client(t)
	seen := func() (all string) {
		for range 6 {
			all += ask(t, c, http.MethodGet, balancer+"/x", "", "").body
		}
		return all
	}
	assert.Equal(t, 3, strings.Count(seen(), "a"), "evenly")
	sick.Store(true)
	assert.LessOrEqual(t, strings.Count(seen(), "a"), 1, "one answer tells it")
	assert.Equal(t, "bbbbbb", seen())
	sick.Store(false)
	require.Eventually(t, func() bool { return strings.Count(seen(), "a") == 3 }, 10*time.Second, 10*time.Millisecond)

	none := start(t, "balancer", "", map[string]string{"instances": machine.FreeAddr(t)})
	assert.Equal(t, http.StatusBadGateway, ask(t, c, http.MethodGet, none+"/x", "", "").status)
	assert.Equal(t, http.StatusServiceUnavailable, ask(t, c, http.MethodGet, none+"/x", "", "").status, "it was taken out")
}
