package runner

import (
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

const countedOrders = `    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And clients retry failed requests up to 5 times with the same key
    And applied effects are read from "GET /ledger"
    And effects settle within 500ms
    When 20 requests on "POST /orders" are sent, 4 at a time
    And 30% of replies from "front" to "clients" are lost after the work was done
    And 200 requests on "POST /orders" are sent, 10 at a time
    And the fault is healed
    And 30 requests on "POST /orders" are sent, 1 at a time
    Then at least 99% of requests succeed after healing
    And every acknowledged request is applied exactly once
    And no effect appears that was never requested
`

func TestCountedRequestsAreJudgedWithoutABaseline(t *testing.T) {
	t.Parallel()
	r := runShop(t, countedOrders, nil)
	h := onlyScenario(r)
	require.Equal(t, "passed", r.Outcome, failures(h))
	in := func(w journal.Window) int { total := h.Total(w, ""); return total.Sent + total.Paused }
	assert.Equal(t, []int{20, 200, 30}, []int{in(journal.Before), in(journal.During), in(journal.After)})
	assert.Equal(t, 250, h.Load.Sent)
	assert.InDelta(t, 250, h.Load.Requested, 0)
	assert.LessOrEqual(t, h.Load.Workers, 10)
	assert.Equal(t, 250, h.Requests.Len())
	assert.Greater(t, h.Faults[0].Affected, int64(30))
	_, measured := h.Phase("baseline")
	assert.False(t, measured)
}

// Planted bug: the shop forgets which keys it has seen.
func TestCountedRequestsFindOrdersThatAreAppliedTwice(t *testing.T) {
	t.Parallel()
	r := runShop(t, countedOrders, func(s *shop, o *Options) {
		o.Handlers["front"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			delete(s.seen, r.Header.Get("Idempotency-Key"))
			s.mu.Unlock()
			s.front(w, r)
		})
	})
	require.Equal(t, "failed", r.Outcome, failures(onlyScenario(r)))
	assert.Contains(t, strings.Join(failures(onlyScenario(r)), "\n"), "applied more than once")
}

func TestUsersAskThroughAFault(t *testing.T) {
	t.Parallel()
	r := runShop(t, `    And 30 users ask "GET /back", thinking 150ms in between
    And the link is known
    And a baseline is measured for 1s
    When calls from "front" to "back" are delayed by 200ms for 1s
    Then at least 20 calls from "front" to "back" were affected by the fault
    And at least 99% of requests succeed
`, nil)
	h := onlyScenario(r)
	require.Equal(t, "passed", r.Outcome, failures(h))
	assert.Equal(t, "closed", h.Load.Shape)
	assert.LessOrEqual(t, h.Load.Workers, 30)
	assert.Greater(t, h.Load.KeptAsking, 0.9)
	assert.Positive(t, h.Load.Took)
}

func TestRatesThatSpikeSwingAndFollowARecording(t *testing.T) {
	t.Parallel()
	r := runShop(t, `    And a steady load of 40 requests per second on "GET /page"
    When the load spikes from 40 to 200 requests per second for 500ms
    And the load follows the rates in "rates.csv"
    And the load swings between 20 and 80 requests per second every 1s
    And 1s pass
    And the load changes from 60 to 40 requests per second
    And the load stops
    Then at least 99% of requests succeed
`, func(_ *shop, o *Options) {
		o.FS.(fstest.MapFS)["rates.csv"] = &fstest.MapFile{Data: []byte("second,rate\n0,100\n0.4,10\n0.8,50\n")}
	})
	h := onlyScenario(r)
	require.Equal(t, "passed", r.Outcome, failures(h))
	const least = 40 + 100 + 44 + 50 - 3 // of the warm-up, the spike, the recording, and the swing
	assert.GreaterOrEqual(t, h.Load.Requested, float64(least))
	assert.Less(t, h.Load.Requested, float64(least+100), "a busy machine is late with the next step, and the load goes on")
	assert.InDelta(t, h.Load.Requested, h.Load.Sent, 2)
}
