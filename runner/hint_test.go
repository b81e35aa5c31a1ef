package runner

import (
	"net"
	"testing"
	"time"

	"github.com/firedrill-dev/firedrill/injector/protocols"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// The hint for a fault without effect names what its link carried instead and what was probably meant.
func TestHintsNameTheCause(t *testing.T) {
	pick := func(method, path string) injector.Pick {
		return injector.Pick{Match: message.Match{Method: method, Path: path}}
	}
	busy := []message.Message{
		{Topic: message.Topic{Method: "INCR", Path: "stock:1"}, Op: "INCR stock:1"}, {Topic: message.Topic{Method: "INCR", Path: "stock:2"}, Op: "INCR stock:2"},
		{Topic: message.Topic{Method: "PING"}, Op: "PING"},
	}
	for name, c := range map[string]struct {
		fault   injector.Fault
		carried []message.Message
		tally   evidence.Tally
		want    string
	}{
		"another operation": {injector.LoseReplies{Pick: pick("INCRBY", "")}, busy, evidence.Tally{},
			`the link carried 3 calls while the fault was live, and the fault selects none of them: "INCR stock:{id}" (2), "PING" (1)`},
		"gRPC with a method of HTTP": {injector.LoseReplies{Pick: pick("POST", "/p.S/Mx")}, []message.Message{{Topic: message.Topic{Method: "POST", Path: "/p.S/M"}, Op: "/p.S/M"}}, evidence.Tally{}, `did you mean "/p.S/M"?`},
		"nearly the same":            {injector.LoseReplies{Pick: pick("INCR", "stok:{id}")}, busy, evidence.Tally{}, `did you mean "INCR stock:{id}"?`},
		"nothing at all":             {injector.LoseReplies{}, nil, evidence.Tally{}, "carried nothing that the fault could act on"},
		"no bodies": {injector.TruncateCalls{Pick: pick("", "/price")}, busy, evidence.Tally{Seen: 60, Skipped: map[string]int64{"it has no payload": 60}},
			`it selected 60 of the 60 calls that it saw and could act on none of them (60: it has no payload); did you mean: only "/price" replies from "web" to "clients" are truncated?`},
		"only idle connections": {injector.Reset{}, nil, evidence.Tally{Seen: 2, Idle: 2}, `it broke 2 idle calls and none in use: does the load cause "clients" to call "web" over them?`},
		"answered by another":   {injector.Crash{}, nil, evidence.Tally{Seen: 1, Void: "a stranger listened in its place"}, "a stranger listened in its place"},
		"too high a rate":       {injector.Bandwidth{Rate: 100_000_000}, busy, evidence.Tally{Seen: 3}, "acted on none: use a lower rate or larger messages"},
		"too large pieces":      {injector.Sliced{Size: 64_000}, busy, evidence.Tally{Seen: 3}, "acted on none: use smaller pieces"},
		"after too many bytes":  {injector.Reset{AfterBytes: 1_000_000_000}, busy, evidence.Tally{Seen: 3}, "acted on none: use a smaller number of bytes"},
		"too small a share":     {injector.CorruptReplies{}, busy, evidence.Tally{Seen: 3}, "it saw 3 calls and acted on none: use a larger share"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := message.New(*protocols.All().Find("redis"), message.Config{Link: "clients -> web"})
			require.NoError(t, err)
			r.CountOperation(message.Message{Topic: message.Topic{Method: "AUTH"}, Op: "AUTH"})
			in := &injection{Placed: scenarios.Placed{Fault: c.fault, From: "clients", To: "web"}, on: "clients -> web", unit: "calls", usageAtStart: usage{operations: r.Operations()}}
			in.target.Relay = r
			for _, m := range c.carried {
				r.CountOperation(m)
			}
			assert.Contains(t, in.noEffectHint(c.tally), c.want)
		})
	}
}

// A fault on the link to a service that does not run had nothing to act on because of that.
func TestHintNamesServiceThatDoesNotRun(t *testing.T) {
	l, err := link.Open(link.Config{Name: "clients -> web", Upstream: machine.FreeAddr(t)})
	require.NoError(t, err)
	defer l.Close()
	in := &injection{Placed: scenarios.Placed{Fault: injector.SlowReplies{}, From: "clients", To: "web"}, on: "clients -> web", unit: "calls"}
	in.target.Link = l
	assert.NotContains(t, in.noEffectHint(evidence.Tally{}), "does it run")
	if conn, err := net.Dial("tcp", l.Addr()); err == nil { // or the link has reset it already
		defer conn.Close()
	}
	require.Eventually(t, func() bool { return in.unreached() == 1 }, 10*time.Second, time.Millisecond)
	assert.Contains(t, in.noEffectHint(evidence.Tally{}), `"web" could not be reached (1 of its dials failed): does it run`)
}

// Traffic that one fault stops cannot be affected by another.
func TestHintNamesMaskingFault(t *testing.T) {
	place := func(f injector.Fault, on, from, to string, live, healing time.Duration, affected int64) *injection {
		in := &injection{Placed: scenarios.Placed{Fault: f, From: from, To: to}, on: on, sentence: f.Say(from, to), live: live, healBegan: healing, count: &evidence.Counter{}}
		in.count.Touch(affected)
		return in
	}
	const link = "web -> back"
	crash := place(injector.Crash{}, "back", "", "back", 2*time.Second, 4*time.Second, 0)
	slow := place(injector.SlowCalls{}, link, "web", "back", 2*time.Second, 4*time.Second, 0)
	for name, c := range map[string]struct {
		in, other *injection
		want      string
	}{
		"a crash behind a cut-off":   {crash, place(injector.CutOff{}, link, "web", "back", time.Second, 5*time.Second, 3), `"web" and "back" are cut off from each other at the same time`},
		"a delay behind a refusal":   {slow, place(injector.Refuse{}, link, "web", "back", time.Second, 0, 3), `"back" refuses connections from "web" at the same time`},
		"a delay of what is crashed": {slow, place(injector.Crash{}, "back", "", "back", time.Second, 5*time.Second, 3), `"back" crashes at the same time`},
		"one that was over":          {slow, place(injector.Refuse{}, link, "web", "back", time.Second, 2*time.Second, 3), ""},
		"one that came later":        {slow, place(injector.Refuse{}, link, "web", "back", 4*time.Second, 5*time.Second, 3), ""},
		"one that met nothing":       {slow, place(injector.Refuse{}, link, "web", "back", time.Second, 5*time.Second, 0), ""},
		"one on another link":        {slow, place(injector.Refuse{}, "app -> back", "app", "back", time.Second, 5*time.Second, 3), ""},
		"one that lets calls pass":   {slow, place(injector.SlowTraffic{}, link, "web", "back", time.Second, 5*time.Second, 3), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.in.maskedBy([]*injection{c.in, c.other})
			if c.want == "" {
				assert.Empty(t, got)
			}
			assert.Contains(t, got, c.want)
		})
	}
}
