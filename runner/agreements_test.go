package runner_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// billed keeps orders, and bills each of them a moment later.
type billed struct {
	skips, miscounts bool // the deliberate bugs: some orders are not billed, or with another amount

	mu             sync.Mutex
	known          map[string]bool
	orders, billed []map[string]any
}

// reset forgets all orders, before the same drill is run again.
func (s *billed) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known, s.orders, s.billed = nil, nil, nil
}

func (s *billed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodGet {
		list := s.orders
		if r.URL.Path == "/billing" {
			list = s.billed
		}
		_ = json.NewEncoder(w).Encode(append([]map[string]any{}, list...))
		return
	}
	key := r.Header.Get("Idempotency-Key")
	w.WriteHeader(http.StatusCreated)
	if s.known[key] {
		return
	}
	if s.known == nil {
		s.known = map[string]bool{}
	}
	s.known[key] = true
	n, amount := len(s.orders), "10.50"
	s.orders = append(s.orders, map[string]any{"key": key, "value": 10.5})
	if s.miscounts && n%10 == 5 {
		amount = "10.05"
	}
	if s.skips && n%10 == 5 {
		return
	}
	time.AfterFunc(500*time.Millisecond, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.billed = append(s.billed, map[string]any{"key": key, "value": amount})
	})
}

// Two sources agree when the slower one has caught up, and the moment is stated. They do not if one of them lacks
// effects, or has other values.
func TestSourcesAgree(t *testing.T) {
	t.Parallel()
	load := scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Rate: 40, Retries: 3}
	c := check.Agree{Sources: [2]string{"ledger", "GET /billing"}, Within: 2 * time.Second}
	ledger := scenarios.DeclaredSource{Name: "ledger", Kind: "http", At: "orders GET /ledger"}
	var es []*scenarios.Experiment
	for name, s := range map[string]*billed{"right": {}, "skips": {skips: true}, "miscounts": {miscounts: true}} {
		es = append(es, build(t, drill(name, s, load, ledger).Inject("clients", "orders", injector.LoseReplies{Pick: injector.Pick{Share: 0.3}}).For(1500*time.Millisecond).Check(c)))
	}
	all := runAll(t, es...)
	v := verdict(t, all["right"], c)
	assert.Equal(t, "passed", stated(v), v.Reason)
	require.NotEmpty(t, all["right"].Agreements, v.Reason)
	a := all["right"].Agreements[0]
	require.Positive(t, a.Since)
	assert.Equal(t, a.Keys, a.Valued)
	assert.Equal(t, all["right"].Faults[0].Healed, a.Healed)
	t.Log(v.Observed)
	v = verdict(t, all["skips"], c)
	assert.Equal(t, "failed", stated(v), v.Reason)
	require.NotEmpty(t, v.Details)
	assert.Regexp(t, `^key \S+: ledger has 1 effect, and GET /billing lacks it$`, v.Details[0])
	v = verdict(t, all["miscounts"], c)
	assert.Equal(t, "failed", stated(v), v.Reason)
	assert.Regexp(t, `^key \S+: ledger has 1 effect \(10.5\), and GET /billing has 1 effect \(10.05\)$`, v.Details[0])
}

// Effects are read when a command says so. A command that never does leaves it open what is missing.
func TestEffectsOnceACommandSays(t *testing.T) {
	t.Parallel()
	shell, err := exec.LookPath("sh")
	require.NoError(t, err)
	counter := filepath.Join(t.TempDir(), "runs")
	load := scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Rate: 40}
	system := func(command ...string) scenarios.System {
		return scenarios.System{
			Services: []scenarios.Service{{Name: "orders", Handler: &billed{skips: true}, Serves: []string{"/"}}},
			Commands: []scenarios.Command{{Name: "lag", Run: command}},
		}
	}
	one := func(name string, settle time.Duration, command ...string) *scenarios.Experiment {
		load.Mix = []scenarios.Route{{Method: "POST", Path: "/orders", Body: "{}", Share: 1}}
		return build(t, scenarios.New(name).System(system(command...)).Load(load).Baseline(time.Second).
			EffectsFrom("GET /billing").EffectsOnceCommand("lag", "0").EffectsSettle(settle).Wait(time.Second).Check(check.NoneLost{}))
	}
	all := runAll(t,
		one("catches up", 6*time.Second, shell, "-c", "echo >> "+counter+"; test $(wc -l < "+counter+") -lt 4 || { echo ' 0'; exit 0; }; echo 10"),
		one("lags", time.Second, shell, "-c", "echo 10"), one("breaks", time.Second, shell, "-c", "echo no replica; exit 2"))
	v := verdict(t, all["catches up"], check.NoneLost{})
	assert.Equal(t, "failed", stated(v), v.Reason)
	v = verdict(t, all["lags"], check.NoneLost{})
	assert.Equal(t, "inconclusive", stated(v))
	assert.Contains(t, v.Reason, `the command "lag" says "0" was awaited until 1s after the load: the last answer was "10"`)
	v = verdict(t, all["breaks"], check.NoneLost{})
	assert.Equal(t, "inconclusive", stated(v))
	assert.Contains(t, v.Reason, "the last answer is not known: exit status 2: no replica")
}
