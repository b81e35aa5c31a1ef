package runner_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// carelessTill charges orders twice if the answer to a charge is lost: it asks again without a key. It passes the trace
// context of its callers on.
type carelessTill struct {
	payments string // address of the link

	mu      sync.Mutex
	charges []item
}

func (s *carelessTill) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.charges = nil
}

func (s *carelessTill) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for range 3 {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://"+s.payments+"/charge", http.NoBody)
		if err != nil {
			panic(err) // no test gives a wrong address
		}
		req.Header.Set("Order", r.Header.Get("Idempotency-Key"))
		req.Header.Set("Traceparent", r.Header.Get("Traceparent"))
		if resp, err := tillClient.Do(req); err == nil {
			_ = resp.Body.Close()
			w.WriteHeader(http.StatusCreated)
			return
		}
	}
	w.WriteHeader(http.StatusBadGateway)
}

// tillClient keeps a connection for each request in flight.
var tillClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}

// pay is the payments service.
func (s *carelessTill) pay(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodGet {
		_ = json.NewEncoder(w).Encode(slices.Concat([]item{}, s.charges))
		return
	}
	s.charges = append(s.charges, item{r.Header.Get("Order"), len(s.charges) + 1})
}

// A fault selects calls by the requests that cause them, and the journal tells of each request that is applied
// twice which calls it caused on which link, and what the fault did to them.
func TestAnomaliesHaveTheirCalls(t *testing.T) {
	t.Parallel()
	address := machine.FreeAddr(t)
	shop := &carelessTill{payments: address}
	e := build(t, scenarios.New("charged twice").
		System(scenarios.System{
			Services: []scenarios.Service{
				{Name: "orders", Handler: shop, Serves: []string{"/orders", "/gifts"}},
				{Name: "payments", Handler: http.HandlerFunc(shop.pay), Serves: []string{"/charges"}},
			},
			Links: []scenarios.Link{{From: "clients", To: "orders", Protocol: "http"}, {From: "orders", To: "payments", Protocol: "http", Listen: address}},
		}).
		Load(scenarios.Load{Rate: 50, Key: scenarios.HeaderKey("Idempotency-Key"), Mix: []scenarios.Route{{Method: "POST", Path: "/orders", Share: .5}, {Method: "POST", Path: "/gifts", Share: .5}}}).
		Baseline(time.Second).
		EffectsFrom("GET /charges").EffectsSettle(time.Second).
		Inject("orders", "payments", injector.LoseReplies{Pick: injector.Pick{Share: .4, Match: message.Match{CausedBy: "POST /orders"}}}).For(time.Second).
		Check(check.NoneTwice{}))
	_, h := run(t, runner.Options{Dir: t.TempDir()}, e)
	require.Equal(t, "failed", h.End.Outcome, "%+v", h.Verdicts)
	assert.Positive(t, h.Faults[0].Affected)
	assert.Zero(t, h.Faults[0].Background, "the load caused all of it")
	routes := map[string]string{}
	for _, r := range h.Requests.All() {
		routes[r.Key] = r.Route
	}
	l := check.NewLedger(h)
	require.NotEmpty(t, l.Anomalies)
	for _, a := range l.Anomalies {
		assert.Equal(t, "POST /orders", routes[a.Key], "the fault acts on the calls of orders only")
		assert.Contains(t, a.Faults, `40% of replies caused by "POST /orders" requests from "payments" to "orders" are lost`)
		calls := strings.Join(a.Calls, "\n")
		assert.NotContains(t, calls, "clients -> orders", "they are the attempts")
		charges := strings.Count(calls, `orders -> payments "POST /charge"`)
		assert.Len(t, a.Effects, charges, "each charge is an effect: %s", calls)
		answered := strings.Count(calls, `"POST /charge": status 200`)
		assert.Equal(t, charges-answered, strings.Count(calls, `no answer after`), calls)
		assert.Equal(t, charges-answered, strings.Count(calls, "(lost replies)"), calls)
	}
	v := verdict(t, h, check.NoneTwice{})
	require.NotEmpty(t, v.Details)
	assert.Contains(t, v.Details[0], "(lost replies)")
}
