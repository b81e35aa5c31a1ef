package message

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Operations counts what a link relayed before a fault, and the tally what the fault acted on, under the same
// names.
func TestOperationsAndTallyUseSameNames(t *testing.T) {
	f := openLink(t, startShop(t).addr, Config{Trace: "00000000000000ab"})
	p := connect(t, f.addr)
	for id := range 3 {
		p.send(request("GET", fmt.Sprintf("/orders/%d?page=%d", 100+id, id)), false)
		p.readReply()
	}
	p.send(request("GET", "/health"), false)
	p.readReply()
	require.Equal(t, map[string]int64{"GET /orders/{id}": 3, "GET /health": 1}, f.Operations())

	count, _ := f.addRule(t, Rule{Action: Answer, Status: 503})
	trace := func(id string) string { return "Traceparent: 00-" + id + "0000000000000001-0000000000000001-01\r\n" }
	for _, more := range []string{"", trace("00000000000000ab"), trace("00000000000000AB"), trace("00000000000000ac"), "Traceparent: 00-ab\r\n"} {
		p.send(request("GET", "/orders/7", more), false)
		p.readReply()
	}
	tally := count.Tally()
	assert.Equal(t, map[string]int64{"GET /orders/{id}": 5}, tally.Ops)
	assert.EqualValues(t, 2, tally.Traced, "calls that carry the run's trace context, in any case")
	assert.Equal(t, map[string]int64{"GET /orders/{id}": 8, "GET /health": 1}, f.Operations())
}

func TestOperationsAreBounded(t *testing.T) {
	f := openLink(t, startShop(t).addr, Config{})
	count, _ := f.addRule(t, Rule{Action: Answer, Status: 503})
	p := connect(t, f.addr)
	for i := range 100 {
		p.send(request("GET", "/page-"+string(rune('a'+i/26))+string(rune('a'+i%26))), false)
		p.readReply()
	}
	for _, ops := range []map[string]int64{f.Operations(), count.Tally().Ops} {
		assert.Len(t, ops, 65)
		assert.EqualValues(t, 36, ops[evidence.Others])
		assert.EqualValues(t, 1, ops["GET /page-aa"])
	}
}

// Each protocol names its operations, and pushed messages have names of their own.
func TestOperationsOfProtocols(t *testing.T) {
	for protocol, c := range map[string]struct {
		turns []line
		want  map[string]int64
	}{
		"redis": {messages(">PING\r\n", "<+PONG\r\n", ">*2\r\n$4\r\nINCR\r\n$7\r\nstock:1\r\n", "<:1\r\n"), map[string]int64{"PING": 1, "INCR stock:{id}": 1}},
		"lines": {messages(">hello world\n", "<news 1\n"), map[string]int64{"hello": 1, "<- news": 1}},
		"nats": {messages(">PUB orders.1 2\r\nhi\r\n", "<MSG news 1 2\r\nhi\r\n", "<PING\r\n", ">PONG\r\n"),
			map[string]int64{"PUB orders.{id}": 1, "<- MSG news": 1}},
	} {
		t.Run(protocol, func(t *testing.T) {
			up := startScript(t)
			f := openLinkFor(t, protocol, up.addr, Config{})
			client := connect(t, f.addr)
			exchange(client, up.accept(t), c.turns, false)
			assert.Equal(t, c.want, f.Operations())
		})
	}
}

// Counting a message whose name is cached does not allocate.
func TestCountingAnOperationAllocatesNothing(t *testing.T) {
	r, err := New("http", Config{Link: "orders -> payments"})
	require.NoError(t, err)
	m := Message{method: "GET", path: "/orders/17", op: "GET /orders/17"}
	r.ops.add(r, m)
	assert.Zero(t, testing.AllocsPerRun(100, func() { r.ops.add(r, m) }))
}

func TestCollateralAndSkippedAreCounted(t *testing.T) {
	s := startScript(t)
	f := openLink(t, s.addr, Config{})
	corrupt, _ := f.addRule(t, Rule{ID: "fault-1", Action: Corrupt, Match: Match{Method: "GET"}})
	lost, _ := f.addRule(t, Rule{ID: "fault-2", Action: LoseReply, Match: charge})
	client := connect(t, f.addr)
	server := s.accept(t)
	client.send(request("GET", "/a")+post("/charge", "x")+request("GET", "/b"), false)
	server.expect(request("GET", "/a") + post("/charge", "x") + request("GET", "/b"))
	server.send(ok+ok, false)
	_, how := client.readToEnd(patience)
	require.Equal(t, "reset", how)
	assert.Equal(t, map[string]int64{noPayload: 2}, corrupt.Tally().Skipped)
	assert.EqualValues(t, 1, lost.Tally().Affected)
	assert.EqualValues(t, 1, lost.Tally().Collateral, "the call behind it")
}
