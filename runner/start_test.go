package runner_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// clusterNode returns a service that is ready once another one is running.
func clusterNode(name, other string) scenarios.Service {
	s := roleService(name, "server")
	s.Ready = scenarios.Ready{Line: "^ready$", Within: 20 * time.Second}
	s.Command = []string{"sh", "-c", `touch up; until [ -e ../` + other + `/up ]; do sleep 0.01; done; exec "$0"`, "${self}"}
	return s
}

func TestClusterMembersStartTogether(t *testing.T) {
	t.Parallel()
	sys := scenarios.System{
		Services: []scenarios.Service{clusterNode("c", "c"), clusterNode("a", "b"), clusterNode("b", "a")},
		Links:    []scenarios.Link{{From: "a", To: "b"}, {From: "b", To: "a"}, {From: "c", To: "a"}},
		Groups:   []scenarios.Group{{Name: "ab", Members: []string{"a", "b"}}},
	}
	_, h := run(t, runner.Options{}, build(t, scenarios.New("a cluster").System(sys).Wait(time.Millisecond)))
	require.Empty(t, h.End.Reason)
	at := func(service, what string) time.Duration {
		i := slices.IndexFunc(h.Processes, func(p journal.TimedProcess) bool { return p.Service == service && p.What == what })
		require.GreaterOrEqual(t, i, 0, "%s %s", service, what)
		return h.Processes[i].At
	}
	assert.Greater(t, at("c", "started"), at("a", "ready"))
	assert.Less(t, max(at("a", "started"), at("b", "started")), min(at("a", "ready"), at("b", "ready")))
}

func TestFailedStartStopsFurtherStarts(t *testing.T) {
	t.Parallel()
	broken := clusterNode("a", "nobody")
	broken.Command = []string{"sh", "-c", "exit 7"}
	sys := scenarios.System{
		Services: []scenarios.Service{broken, clusterNode("b", "nobody"), clusterNode("c", "c")},
		Links:    []scenarios.Link{{From: "c", To: "a"}},
	}
	began := time.Now()
	_, h := run(t, runner.Options{}, build(t, scenarios.New("a broken one").System(sys).Wait(time.Millisecond)))
	assert.Contains(t, h.End.Reason, `start service "a"`, "the first error is the cause")
	assert.Equal(t, codes.NotStarted.String(), h.End.Code)
	assert.Less(t, time.Since(began), 15*time.Second, "b is not waited for")
	for _, p := range h.Processes {
		assert.NotEqual(t, "c", p.Service)
	}
}
