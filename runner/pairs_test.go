package runner_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// till takes payments by key and lists them. It looks a key up, works for a moment, and stores it.
type till struct {
	claim bool // a key is stored before the work: another request with it gets status 409 until the work is done
	alone bool // one request works at a time

	work     sync.Mutex
	mu       sync.Mutex
	answers  map[string]string // by key; "" while the request is being processed
	payments []map[string]any
}

// reset forgets all payments, before the same drill is run again.
func (s *till) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers, s.payments = nil, nil
}

func (s *till) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ledger" {
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = json.NewEncoder(w).Encode(append([]map[string]any{}, s.payments...))
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	if s.alone {
		s.work.Lock()
		defer s.work.Unlock()
	}
	key := r.Header.Get("Idempotency-Key")
	answer, known := s.lookUp(key)
	switch {
	case known && answer == "":
		w.WriteHeader(http.StatusConflict)
		return
	case !known:
		time.Sleep(5 * time.Millisecond) // the work, such as a call of a bank
		answer = s.pay(key)
	}
	_, _ = io.WriteString(w, answer)
}

func (s *till) lookUp(key string) (answer string, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers == nil {
		s.answers = map[string]string{}
	}
	answer, known = s.answers[key]
	if !known && s.claim {
		s.answers[key] = ""
	}
	return answer, known
}

func (s *till) pay(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.payments = append(s.payments, map[string]any{"key": key, "id": len(s.payments)})
	s.answers[key] = fmt.Sprint("payment ", len(s.payments))
	return s.answers[key]
}

// A service that looks a key up and stores it in a separate step pays twice. One that claims the key first, and one
// that does one thing at a time, pay once.
func TestPairsOfRequests(t *testing.T) {
	t.Parallel()
	load := scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Rate: 30}
	effect, answer := check.OneEffect{}, check.OneAnswer{Status: 409}
	var es []*scenarios.Experiment
	for name, s := range map[string]*till{"looks up, then stores": {}, "claims": {claim: true}, "alone": {alone: true}} {
		es = append(es, build(t, drill(name, s, load).EffectsFrom("GET /ledger").EffectsSettle(time.Second).Wait(time.Second).Check(effect, answer, check.NoPhantom{})))
	}
	all := runAll(t, es...)
	for name, want := range map[string]string{"looks up, then stores": "failed", "claims": "passed", "alone": "passed"} {
		h := all[name]
		assert.Equal(t, want, stated(verdict(t, h, effect)), "%s: %s", name, verdict(t, h, effect).Reason)
		assert.Equal(t, want, stated(verdict(t, h, answer)), "%s: %s", name, verdict(t, h, answer).Reason)
		assert.Equal(t, "passed", stated(verdict(t, h, check.NoPhantom{})), name)
		assert.Len(t, h.Pairs, 20, name)
	}
	assert.Regexp(t, `key \S+: 2 effects \(\d+, \d+\); answers: status 200`, verdict(t, all["looks up, then stores"], effect).Details[0])
	assert.Regexp(t, `status 409 [1-9]\d* times`, verdict(t, all["claims"], answer).Observed)
	assert.Regexp(t, `the same answer \d+ times, status 409 0 times`, verdict(t, all["alone"], answer).Observed)
}
