package runner

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/scenarios"
	described "github.com/firedrill-dev/firedrill/scenarios/system"
)

// What a fault on a link affected only reads if the protocol of the link says so of each operation.
func TestFaultsThatAffectOnlyReads(t *testing.T) {
	t.Parallel()
	s := &session{e: &scenarios.Experiment{System: described.System{Links: []described.Link{
		{From: "orders", To: "cache", Row: protocols.All().Find("redis")}, {From: "orders", To: "queue", Row: protocols.All().Find("nats")},
	}}}}
	for _, c := range []struct {
		to    string
		ops   map[string]int64
		reads bool
	}{
		{"cache", map[string]int64{"HGET stock": 3, "GET {id}": 1}, true},
		{"cache", map[string]int64{"HGET stock": 3, "HSET stock": 1}, false},
		{"cache", nil, false},
		{"queue", map[string]int64{"PUB orders": 1}, false},
		{"elsewhere", map[string]int64{"GET /": 1}, false},
	} {
		assert.Equal(t, c.reads, s.onlyReads(scenarios.Placed{From: "orders", To: c.to}, evidence.Tally{Ops: c.ops}), "%s %v", c.to, c.ops)
	}
}
