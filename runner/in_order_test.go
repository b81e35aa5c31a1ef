package runner_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// queue accepts orders at once and applies them later.
type queue struct {
	pools bool   // the deliberate bug: some orders are applied after later ones of the same customer
	log   string // a file to which applied orders are appended; "" for none

	mu       sync.Mutex
	accepted int
	waiting  map[int]func() // they apply orders, by the number of accepted orders at which they do
	applied  []map[string]any
}

// reset forgets all orders, before the same drill is run again.
func (s *queue) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted, s.waiting, s.applied = 0, map[int]func(){}, nil
	if s.log != "" {
		_ = os.Remove(s.log)
	}
}

func (s *queue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/ledger" {
		_ = json.NewEncoder(w).Encode(append([]map[string]any{}, s.applied...))
		return
	}
	s.accepted++
	key, customer, slow := r.Header.Get("Idempotency-Key"), "c"+strconv.Itoa(s.accepted%3), s.pools && s.accepted%10 == 0
	apply := func() {
		s.applied = append(s.applied, map[string]any{"key": key, "id": len(s.applied), "customer_id": customer})
		s.write("applied " + key + " of " + customer + "\n")
	}
	w.WriteHeader(http.StatusAccepted)
	if late := s.waiting[s.accepted]; late != nil {
		late()
	}
	if !slow {
		apply()
		return
	}
	at, once := s.accepted+30, sync.OnceFunc(apply) // so late that some of those were sent after the answer, even in bursts
	s.waiting[at] = once
	time.AfterFunc(3*time.Second, func() { // the load has ended
		s.mu.Lock()
		defer s.mu.Unlock()
		once()
	})
}

// write appends a line to the log, if there is one.
func (s *queue) write(line string) {
	if s.log == "" {
		return
	}
	f, err := os.OpenFile(s.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, _ = f.WriteString(line)
		_ = f.Close()
	}
}

// The order of effects is read from a log as well, in which each line comes after those before it.
func TestEffectsInOrderOfADeclaredSource(t *testing.T) {
	t.Parallel()
	c := check.InOrder{Group: "customer_id"}
	load := scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Rate: 30}
	dir := t.TempDir()
	var es []*scenarios.Experiment
	for name, s := range map[string]*queue{"one consumer": {waiting: map[int]func(){}}, "a pool": {pools: true, waiting: map[int]func(){}}} {
		s.log = filepath.Join(dir, name)
		log := scenarios.DeclaredSource{Name: "log", Kind: "file", At: s.log, Settings: map[string]string{"format": `applied (?P<key>\S+) of (?P<customer_id>\S+)`}}
		es = append(es, build(t, drill(name, s, load, log).EffectsFrom("log").EffectsSettle(5*time.Second).Wait(time.Second).Check(c)))
	}
	all := runAll(t, es...)
	v := verdict(t, all["one consumer"], c)
	assert.Equal(t, "passed", stated(v), v.Reason)
	v = verdict(t, all["a pool"], c)
	require.Equal(t, "failed", stated(v), v.Reason)
	assert.Regexp(t, `group "c\d": key \S+, sent at \S+, was applied before key`, v.Details[0])
}

// A queue with one consumer keeps the order of each customer. One with a pool of consumers does not.
func TestEffectsInOrder(t *testing.T) {
	t.Parallel()
	c := check.InOrder{Group: "customer_id"}
	load := scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Rate: 30}
	var es []*scenarios.Experiment
	for name, s := range map[string]*queue{"one consumer": {waiting: map[int]func(){}}, "a pool": {pools: true, waiting: map[int]func(){}}} {
		es = append(es, build(t, drill(name, s, load).EffectsFrom("GET /ledger").EffectsSettle(5*time.Second).Wait(time.Second).Check(c, check.NoneLost{})))
	}
	all := runAll(t, es...)
	v := verdict(t, all["one consumer"], c)
	assert.Equal(t, "passed", stated(v), v.Reason)
	assert.Contains(t, v.Observed, "3 groups with several effects")
	v = verdict(t, all["a pool"], c)
	require.Equal(t, "failed", stated(v), v.Reason)
	assert.Regexp(t, `group "c\d": key \S+, sent at \S+, was applied before key \S+, which was sent at \S+ and acknowledged at`, v.Details[0])
	for name, h := range all {
		assert.Equal(t, "passed", stated(verdict(t, h, check.NoneLost{})), name)
	}
}
