package shop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// collected asks an aggregate, with a time-out if it is not "".
func collected(t *testing.T, url, timeout string) (c collection, took time.Duration) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/customers/7", nil)
	require.NoError(t, err)
	if timeout != "" {
		req.Header.Set(timeoutHeader, timeout)
	}
	began := time.Now()
	resp, err := client(t).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&c))
	return c, time.Since(began)
}

// startCustomer starts customer and loyalty, with the part points as given.
func startCustomer(t *testing.T, points http.HandlerFunc, without string) string {
	t.Helper()
	loyalty := start(t, "loyalty", without, map[string]string{"points": serveFake(t, points), "coupons": serveFake(t, text("no coupons"))})
	return start(t, "customer", without, map[string]string{"profile": serveFake(t, text("Ann")), "loyalty": strings.TrimPrefix(loyalty, "http://")})
}

func TestAggregateCollectsAll(t *testing.T) {
	var mu sync.Mutex
	var left []string
	c, _ := collected(t, startCustomer(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		left = append(left, r.Header.Get(timeoutHeader))
		mu.Unlock()
		fmt.Fprint(w, "12 points")
	}, ""), "10s")
	assert.False(t, c.Partial)
	assert.Equal(t, map[string]any{
		"profile": "Ann",
		"loyalty": map[string]any{"partial": false, "parts": map[string]any{"points": "12 points", "coupons": "no coupons"}},
	}, c.Parts)
	require.Len(t, left, 1)
	rest, err := time.ParseDuration(left[0])
	require.NoError(t, err)
	assert.LessOrEqual(t, rest, 10*time.Second-2*reserve, "each of two services keeps something for itself")
	assert.Greater(t, rest, 5*time.Second)
}

// TestDeadlinePropagation has points hang for ever.
func TestDeadlinePropagation(t *testing.T) {
	var asked atomic.Int64
	hang := func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-r.Context().Done()
	}
	loyalty := start(t, "loyalty", "", map[string]string{"points": serveFake(t, hang), "coupons": serveFake(t, text("no coupons"))})
	c, took := collected(t, loyalty, "400ms")
	assert.True(t, c.Partial)
	assert.Equal(t, map[string]any{"coupons": "no coupons"}, c.Parts)
	assert.Less(t, took, sourceAttempts*sourceTimeout, "the time without a deadline")
	assert.EqualValues(t, 1, asked.Load(), "there is no time for a second attempt")

	asked.Store(0)
	c, took = collected(t, startCustomer(t, hang, deadlinePropagation), "300ms")
	assert.True(t, c.Partial)
	assert.NotContains(t, c.Parts, "loyalty", "customer gives up on all of it")
	assert.GreaterOrEqual(t, took, sourceAttempts*sourceTimeout)
	assert.GreaterOrEqual(t, asked.Load(), int64(sourceAttempts))
}

func TestAggregateAsksAgainAfterAnError(t *testing.T) {
	var asked atomic.Int64
	c, _ := collected(t, startCustomer(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, "12 points")
	}, ""), "")
	assert.False(t, c.Partial)
	assert.EqualValues(t, 2, asked.Load())
}
