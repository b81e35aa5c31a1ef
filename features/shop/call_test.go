package shop

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestFailureMetrics breaks the advertisements and mends them, and reads the metrics of the front.
func TestFailureMetrics(t *testing.T) {
	c := client(t)
	var broken atomic.Bool
	ads := serveFake(t, func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	front := start(t, "front", "", pageParts(t, map[string]string{"ads": ads}))
	metrics := func() string { return ask(t, c, http.MethodGet, front+"/metrics", "", "").body }
	load := func(n int) {
		for range n {
			ask(t, c, http.MethodGet, front+"/", "", "")
		}
	}
	load(2)
	assert.Contains(t, metrics(), `dependency_up{dependency="ads"} 1`)
	broken.Store(true)
	load(failuresUntilDown - 1)
	assert.Contains(t, metrics(), `dependency_up{dependency="ads"} 1`, "a few failures do not mean that it is down")
	load(1)
	assert.Contains(t, metrics(), `dependency_up{dependency="ads"} 0`)
	assert.Contains(t, metrics(), `dependency_failures_total{dependency="ads"} 3`)
	assert.Contains(t, metrics(), `dependency_calls_total{dependency="ads"} 5`)
	assert.Contains(t, metrics(), `dependency_up{dependency="content"} 1`, "other dependencies are not blamed")
	broken.Store(false)
	load(1)
	assert.Contains(t, metrics(), `dependency_up{dependency="ads"} 1`)

	broken.Store(true)
	front = start(t, "front", failureMetrics, pageParts(t, map[string]string{"ads": ads}))
	load(failuresUntilDown)
	assert.NotContains(t, metrics(), "dependency_")
}
