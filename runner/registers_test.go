package runner_test

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// replicated holds a value on a primary and on a replica that follows it.
type replicated struct {
	lag time.Duration // of the replica, which answers reads; 0 lets the primary answer them

	mu     sync.Mutex
	writes []write
}

type write struct {
	at   time.Time
	body string
}

// reset forgets all writes, before the same drill is run again.
func (s *replicated) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes = nil
}

func (s *replicated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPut {
		s.writes = append(s.writes, write{time.Now(), string(body)})
		return
	}
	value := `{"value": "none"}`
	for _, one := range s.writes {
		if time.Since(one.at) >= s.lag {
			value = one.body
		}
	}
	_, _ = fmt.Fprint(w, value)
}

// A register is linearizable if the primary answers, even if clients get no answers to some of their writes. Reads of
// a replica that lags behind are stale, and named. Answers that a fault replaced prove nothing.
func TestRegisters(t *testing.T) {
	t.Parallel()
	load := scenarios.Load{Rate: 60, GiveUp: time.Second, Mix: []scenarios.Route{
		{Method: "PUT", Path: "/greeting", Body: `{"value": {{n}}}`}, {Method: "GET", Path: "/greeting"},
	}}
	c := check.Linearizable{Register: "greeting"}
	declare := func(name string, s *replicated) *scenarios.Builder {
		return drill(name, s, load).Register("greeting", "PUT /greeting", "GET /greeting")
	}
	all := runAll(t,
		build(t, declare("primary", &replicated{}).Inject("clients", "orders", injector.LoseReplies{Pick: injector.Pick{Share: 0.3}}).For(1500*time.Millisecond).Check(c)),
		build(t, declare("maintenance", &replicated{}).Inject("clients", "orders", injector.ReplaceReplies{Body: "maintenance"}).For(1500*time.Millisecond).Check(c)),
		build(t, declare("replica", &replicated{lag: 100 * time.Millisecond}).Wait(time.Second).Check(c)))
	v := verdict(t, all["primary"], c)
	assert.Equal(t, "passed", stated(v), v.Reason)
	assert.Regexp(t, `[1-9]\d* of them not acknowledged`, v.Observed)
	v = verdict(t, all["maintenance"], c)
	assert.Equal(t, "inconclusive", stated(v), v.Reason)
	assert.Contains(t, v.Reason, `have the body \"maintenance\"" changed what they contain`)
	v = verdict(t, all["replica"], c)
	require.Equal(t, "failed", stated(v), v.Reason)
	require.NotEmpty(t, v.Details)
	assert.Regexp(t, `a read returned "\d+" between \S+ and \S+, written between \S+ and \S+, although "\d+" had been written between`, v.Details[len(v.Details)-1])
	assert.NotEmpty(t, v.Evidence)
}
