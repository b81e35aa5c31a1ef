package shop

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
)

func TestMonitor(t *testing.T) {
	var pages, degraded atomic.Int64
	front := serveFake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, "# HELP pages_served_total pages\npages_served_total %d\npages_degraded_total %d\n", pages.Add(10), degraded.Load())
	})
	monitor := start(t, "monitor", "", map[string]string{"front": front})
	blind := start(t, "monitor", alerting, map[string]string{"front": front})
	c := client(t)
	firing := func(url string) string {
		return strings.TrimSpace(ask(t, c, http.MethodGet, url+"/alerts", "", "").body)
	}
	require.Eventually(t, func() bool { return pages.Load() > 200 }, 20*time.Second, 10*time.Millisecond)
	assert.Equal(t, `{"firing":[]}`, firing(monitor))
	degraded.Store(pages.Load() / 2)
	require.Eventually(t, func() bool { return firing(monitor) == `{"firing":["PagesDegraded"]}` }, 20*time.Second, 10*time.Millisecond)
	assert.Equal(t, `{"firing":[]}`, firing(blind), "without alerting")
	require.Eventually(t, func() bool { return firing(monitor) == `{"firing":[]}` }, 20*time.Second, 10*time.Millisecond)

	down := start(t, "monitor", alerting, map[string]string{"front": machine.FreeAddr(t)})
	require.Eventually(t, func() bool { return firing(down) == `{"firing":["FrontDown"]}` }, 20*time.Second, 10*time.Millisecond)
}
