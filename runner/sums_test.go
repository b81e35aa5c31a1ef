package runner_test

import (
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// bank moves money between two accounts.
type bank struct {
	overwrites bool // the deliberate bug: the balance that is written back was read before other transfers changed it

	mu        sync.Mutex
	transfers int
	cents     [2]int
}

// reset undoes all transfers, before the same drill is run again.
func (s *bank) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transfers, s.cents = 0, [2]int{100_000, 100_000}
}

func (s *bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/accounts" {
		var list []map[string]any
		for i, c := range s.cents {
			list = append(list, map[string]any{"id": i, "balance": float64(c) / 100})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"accounts": list})
		return
	}
	s.transfers++
	from := 0
	if s.transfers%3 == 0 { // fewer than the others, so that both balances have changed whenever the load ends
		from = 1
	}
	to := s.cents[1-from]
	s.cents[from] -= 10
	s.mu.Unlock()
	time.Sleep(30 * time.Millisecond) // the transaction is under way
	s.mu.Lock()
	if s.overwrites {
		s.cents[1-from] = to + 10
	} else {
		s.cents[1-from] += 10
	}
}

// A bank that writes back a balance from before other transfers loses money.
func TestConservedSums(t *testing.T) {
	t.Parallel()
	load := scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Rate: 100, Mix: []scenarios.Route{{Method: "POST", Path: "/transfers"}}}
	c := check.Conserved{SumOf: check.SumOf{Field: "balance", Route: "GET /accounts"}}
	var es []*scenarios.Experiment
	for name, s := range map[string]*bank{"sound": {}, "overwrites": {overwrites: true}} {
		s.reset()
		es = append(es, build(t, drill(name, s, load).EffectsSettle(time.Second).Wait(time.Second).Check(c)))
	}
	all := runAll(t, es...)
	v := verdict(t, all["sound"], c)
	assert.Equal(t, "passed", stated(v), v.Reason)
	assert.Contains(t, v.Observed, "2000 before and 2000 after the load")
	v = verdict(t, all["overwrites"], c)
	assert.Equal(t, "failed", stated(v), v.Reason)
	assert.Regexp(t, `the sum of "balance" changed by [+-]\d`, v.Reason)
}
