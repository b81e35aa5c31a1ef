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

// jobs is a queue, first in, first out.
type jobs struct {
	peeks bool // a deliberate bug: an item is removed a moment after it was handed out
	loses bool // another: some items are acknowledged and not kept

	mu   sync.Mutex
	puts int
	held []string
}

// reset forgets all items, before the same drill is run again.
func (s *jobs) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.puts, s.held = 0, nil
}

func (s *jobs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.URL.Path == "/jobs" {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.puts++; !s.loses || s.puts%10 != 5 {
			s.held = append(s.held, string(body))
		}
		w.WriteHeader(http.StatusCreated)
		return
	}
	s.mu.Lock()
	if len(s.held) == 0 {
		s.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
		return
	}
	item := s.held[0]
	if s.peeks {
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
	}
	if len(s.held) > 0 {
		s.held = s.held[1:]
	}
	s.mu.Unlock()
	_, _ = fmt.Fprint(w, item)
}

// A queue is linearizable even if clients get no answer to some puts and takes. One that hands an item out twice, or
// loses one, is not.
func TestQueues(t *testing.T) {
	t.Parallel()
	load := scenarios.Load{Shape: scenarios.Counted, GiveUp: 30 * time.Second, Mix: []scenarios.Route{
		{Method: "POST", Path: "/jobs", Body: `{"value": {{n}}}`, Share: 0.5}, {Method: "POST", Path: "/jobs/take", Share: 0.5},
	}}
	c := check.LinearizableQueue{Queue: "jobs"}
	var es []*scenarios.Experiment
	for name, s := range map[string]*jobs{"right": {}, "peeks": {peeks: true}, "loses": {loses: true}} {
		b := scenarios.New(name).
			System(scenarios.System{
				Services: []scenarios.Service{{Name: "jobs", Handler: s, Serves: []string{"/"}}},
				Links:    []scenarios.Link{{From: "clients", To: "jobs", Protocol: "http"}},
			}).
			Load(load).Queue("jobs", "POST /jobs", "POST /jobs/take")
		es = append(es, build(t, b.Inject("clients", "jobs", injector.LoseReplies{Pick: injector.Pick{Share: 0.01}}).Send(400, 4).Check(c)))
	}
	all := runAll(t, es...)
	v := verdict(t, all["right"], c)
	assert.Equal(t, "passed", stated(v), v.Reason)
	assert.Regexp(t, `\d+ puts, \d+ of them not acknowledged; \d+ takes`, v.Observed)
	v = verdict(t, all["peeks"], c)
	require.Equal(t, "failed", stated(v), v.Reason)
	assert.Regexp(t, `"\d+" was taken \d+ times and put 1 times`, v.Details[0])
	v = verdict(t, all["loses"], c)
	require.Equal(t, "failed", stated(v), v.Reason)
	assert.Regexp(t, `"\d+" was put \S+ \S+ and \S+ and never taken, although|a take found nothing`, v.Details[0])
	assert.NotEmpty(t, v.Evidence)
}
