package shop

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// pageParts serves the parts of a page and returns their addresses. Those in other are used instead.
func pageParts(t *testing.T, other map[string]string) map[string]string {
	t.Helper()
	links := map[string]string{}
	for _, name := range []string{"content", "comments", "ads", "stats"} {
		if links[name] = other[name]; links[name] == "" {
			links[name] = serveFake(t, text(name+"; "))
		}
	}
	if other["cache"] != "" {
		links["cache"] = other["cache"]
	}
	return links
}

// serveHanging serves a dependency that does not answer before the test ends. entered receives a value for each request.
func serveHanging(t *testing.T) (address string, entered chan bool) {
	t.Helper()
	entered, release := make(chan bool, 100), make(chan bool)
	address = serveFake(t, func(_ http.ResponseWriter, r *http.Request) {
		entered <- true
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(release) })
	return address, entered
}

func TestPagesContainTheirParts(t *testing.T) {
	c, front := client(t), start(t, "front", "", pageParts(t, nil))
	for path, parts := range map[string][]string{
		"/": {"content", "comments", "ads", "stats"}, "/article/1": {"content", "ads", "stats"}, "/article/1/comments": {"content", "comments"},
	} {
		got := ask(t, c, http.MethodGet, front+path, "", "")
		assert.Equal(t, http.StatusOK, got.status, path)
		assert.Empty(t, got.header.Get("X-Degraded"))
		for _, part := range parts {
			assert.Contains(t, got.body, part)
		}
	}
	assert.NotContains(t, ask(t, c, http.MethodGet, front+"/article/1", "", "").body, "comments")
	assert.Contains(t, ask(t, c, http.MethodGet, front+"/metrics", "", "").body, "pages_served_total 4")
}

func TestFallbacks(t *testing.T) {
	c := client(t)
	for _, part := range optional {
		links := pageParts(t, map[string]string{part: machine.FreeAddr(t)})
		got := ask(t, c, http.MethodGet, start(t, "front", "", links)+"/", "", "")
		assert.Equal(t, http.StatusOK, got.status, got.body)
		assert.Equal(t, "true", got.header.Get("X-Degraded"))
		assert.Equal(t, part, got.header.Get("X-Degraded-Parts"))
		assert.Equal(t, http.StatusBadGateway, ask(t, c, http.MethodGet, start(t, "front", fallbacks, links)+"/", "", "").status, "without %s", part)
	}
	links := pageParts(t, map[string]string{"content": machine.FreeAddr(t)})
	assert.Equal(t, http.StatusBadGateway, ask(t, c, http.MethodGet, start(t, "front", "", links)+"/", "", "").status, "a page needs its content")
}

func TestTimeouts(t *testing.T) {
	comments, _ := serveHanging(t)
	links := pageParts(t, map[string]string{"comments": comments})
	got := ask(t, client(t), http.MethodGet, start(t, "front", "", links)+"/", "", "")
	assert.Contains(t, got.header.Get("X-Degraded-Parts"), "comments")

	ctx, cancel := context.WithTimeout(t.Context(), 4*optionalLimit)
	defer cancel()
	_, err := try(ctx, client(t), http.MethodGet, start(t, "front", timeouts, links)+"/", "", "")
	assert.ErrorIs(t, err, context.DeadlineExceeded, "without time-outs the page waits forever")
}

// TestIsolation requests a page without comments while calls to comments hang. Time-outs are off, so that the calls keep
// their slots.
func TestIsolation(t *testing.T) {
	for name, c := range map[string]struct {
		without string
		starves bool
	}{
		"on":  {timeouts, false},
		"off": {timeouts + "," + isolation, true},
	} {
		t.Run(name, func(t *testing.T) {
			comments, entered := serveHanging(t)
			front := start(t, "front", c.without, pageParts(t, map[string]string{"comments": comments}))
			readers, stop := context.WithCancel(t.Context())
			ended := make(chan bool)
			for range 4 * bulkhead {
				go func() {
					_, _ = try(readers, client(t), http.MethodGet, front+"/article/1/comments", "", "")
					ended <- true
				}()
			}
			for range bulkhead {
				<-entered
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			if c.starves {
				ctx, cancel = context.WithTimeout(t.Context(), 500*time.Millisecond)
			}
			defer cancel()
			got, err := try(ctx, client(t), http.MethodGet, front+"/article/1", "", "")
			if c.starves {
				assert.ErrorIs(t, err, context.DeadlineExceeded, "all workers wait for comments")
			} else {
				require.NoError(t, err)
				assert.Equal(t, http.StatusOK, got.status)
				assert.Empty(t, got.header.Get("X-Degraded"))
			}
			stop()
			for range 4 * bulkhead {
				<-ended
			}
		})
	}
}

func TestCacheBypass(t *testing.T) {
	c := client(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts connections, but nothing answers
	require.NoError(t, err)
	defer silent.Close()
	for name, address := range map[string]string{"closed": machine.FreeAddr(t), "silent": silent.Addr().String()} {
		links := pageParts(t, map[string]string{"cache": address})
		with := start(t, "front", "", links)
		for range 3 {
			got := ask(t, c, http.MethodGet, with+"/article/1", "", "")
			assert.Equal(t, http.StatusOK, got.status, name)
			assert.Contains(t, got.body, "content")
		}
		assert.Equal(t, http.StatusBadGateway, ask(t, c, http.MethodGet, start(t, "front", cacheBypass, links)+"/article/1", "", "").status, name)
	}
}
