package runner_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// members is a set.
type members struct {
	cached int // a deliberate bug: how many further looks are given an answer that was kept

	mu    sync.Mutex
	held  map[string]bool
	looks map[string]look
}

type look struct {
	found bool
	left  int // further looks that are given this answer
}

// reset forgets all elements, before the same drill is run again.
func (s *members) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held, s.looks = map[string]bool{}, map[string]look{}
}

func (s *members) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	element := strings.TrimPrefix(r.URL.Path, "/members/")
	switch r.Method {
	case http.MethodPut:
		s.held[element] = true
	case http.MethodDelete:
		delete(s.held, element)
	default:
		l := s.looks[element]
		if l.left == 0 {
			l = look{s.held[element], s.cached + 1}
		}
		s.looks[element] = look{l.found, l.left - 1}
		if !l.found {
			w.WriteHeader(http.StatusNotFound)
		}
	}
}

// A set is linearizable even if clients get no answer to some additions and removals. One that answers from a cache which
// is not told of them is not.
func TestSets(t *testing.T) {
	t.Parallel()
	load := scenarios.Load{Shape: scenarios.Counted, GiveUp: 30 * time.Second, Mix: []scenarios.Route{
		{Method: "PUT", Path: "/members/{{row.id}}", Share: 0.25}, {Method: "DELETE", Path: "/members/{{row.id}}", Share: 0.25},
		{Method: "GET", Path: "/members/{{row.id}}", Share: 0.5, Expect: []int{200, 404}},
	}}
	for _, id := range []string{"ann", "ben", "cem", "dee", "eva", "fay", "gil"} {
		load.Rows = append(load.Rows, scenarios.Row{"id": scenarios.StringValue(id)})
	}
	c := check.LinearizableSet{Set: "members"}
	var es []*scenarios.Experiment
	for name, s := range map[string]*members{"right": {}, "cached": {cached: 3}} {
		s.reset()
		b := scenarios.New(name).
			System(scenarios.System{
				Services: []scenarios.Service{{Name: "members", Handler: s, Serves: []string{"/"}}},
				Links:    []scenarios.Link{{From: "clients", To: "members", Protocol: "http"}},
			}).
			Load(load).Set("members", "PUT /members/{{row.id}}", "DELETE /members/{{row.id}}", "GET /members/{{row.id}}")
		es = append(es, build(t, b.Inject("clients", "members", injector.LoseReplies{Pick: injector.Pick{Share: 0.05}}).Send(600, 4).Check(c)))
	}
	all := runAll(t, es...)
	v := verdict(t, all["right"], c)
	assert.Equal(t, "passed", stated(v), v.Reason)
	assert.Regexp(t, `7 elements; \d+ additions and \d+ removals, [1-9]\d* of them not acknowledged; \d+ looks, of which [1-9]\d* found`, v.Observed)
	v = verdict(t, all["cached"], c)
	require.Equal(t, "failed", stated(v), v.Reason)
	assert.Regexp(t, `a look (found|did not find) "[a-z]{3}" .* although (an addition|a removal) of "[a-z]{3}" was acknowledged|no place in any order`, v.Details[0])
	assert.NotEmpty(t, v.Evidence)
}
