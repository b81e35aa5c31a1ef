package runner_test

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
	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// charger is an order service that charges payments, and repeats a charge without an answer.
type charger struct {
	payments string // address
	forgets  bool   // the deliberate bug: each repetition carries another idempotency key
	asks     bool   // for a route that payments does not have
	charges  atomic.Int64
}

func (s *charger) reset() {}

func (s *charger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	if s.asks {
		if resp, err := http.Head("http://" + s.payments + "/status"); err == nil {
			_ = resp.Body.Close()
		}
	}
	for range 8 {
		once := key
		if n := s.charges.Add(1); s.forgets {
			once = fmt.Sprint(key, " ", n)
		}
		req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://"+s.payments+"/charge", strings.NewReader(fmt.Sprintf(`{"order": %q}`, key)))
		if err != nil {
			break
		}
		req.Header.Set("Idempotency-Key", once)
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusCreated {
			w.WriteHeader(http.StatusCreated)
			return
		}
	}
	w.WriteHeader(http.StatusServiceUnavailable)
}

// charging returns a drill in which replies of a stand-in are lost after it has done the work.
func charging(t *testing.T, name string, s *charger) *scenarios.Builder {
	t.Helper()
	s.payments = machine.FreeAddr(t)
	payments := scenarios.StandIn{Key: "$.order", Once: "Idempotency-Key", Routes: []scenarios.StandInRoute{{Method: "POST", Path: "/charge", Status: 201, Body: `{"id": {{n}}}`, Delay: time.Millisecond}}}
	return scenarios.New(name).
		System(scenarios.System{
			Services: []scenarios.Service{{Name: "orders", Handler: s, Serves: []string{"/"}}, {Name: "payments", StandIn: &payments}},
			Links:    []scenarios.Link{{From: "orders", To: "payments", Protocol: "http", Listen: s.payments}},
			Effects:  []scenarios.DeclaredSource{{Name: "charges", Kind: "stand_in", At: "payments"}},
		}).
		Load(scenarios.Load{Shape: scenarios.Counted, Key: scenarios.HeaderKey("Idempotency-Key"), GiveUp: 30 * time.Second, Mix: []scenarios.Route{{Method: "POST", Path: "/orders", Body: "{}", Share: 1}}}).
		EffectsFrom("charges").EffectsSettle(time.Second)
}

// A service that repeats a charge with another idempotency key charges twice. A stand-in counts both.
func TestStandInCountsCharges(t *testing.T) {
	t.Parallel()
	var es []*scenarios.Experiment
	for name, s := range map[string]*charger{"right": {asks: true}, "forgets": {forgets: true}} {
		es = append(es, build(t, charging(t, name, s).Inject("orders", "payments", injector.LoseReplies{Pick: injector.Pick{Share: 0.3}}).Send(150, 5).
			Check(check.ExactlyOnce{}, check.NoPhantom{})))
	}
	all := runAll(t, es...)
	v := verdict(t, all["right"], check.ExactlyOnce{})
	assert.Equal(t, "passed", stated(v), v.Reason)
	assert.Equal(t, "passed", stated(verdict(t, all["right"], check.NoPhantom{})))
	v = verdict(t, all["forgets"], check.ExactlyOnce{})
	assert.Equal(t, "failed", stated(v), v.Reason)
	assert.Contains(t, v.Reason, "applied more than once")
	assert.Positive(t, all["right"].Faults[0].Affected)
	require.Len(t, all["right"].Notes, 1)
	assert.Regexp(t, `^the stand-in "payments" answered requests of routes that it does not have with status 404: HEAD /status \(\d+\)$`, all["right"].Notes[0].Text)
	assert.Empty(t, all["forgets"].Notes)
}
