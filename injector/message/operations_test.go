package message_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// Operations counts what a link relayed before a fault, and the tally what the fault acted on, under the same
// names.
func TestOperationsAndTallyUseSameNames(t *testing.T) {
	f := relaytest.OpenLink(t, relaytest.StartShop(t).Addr, message.Config{Trace: message.Trace{ID: "00000000000000ab"}})
	p := relaytest.Connect(t, f.Addr)
	for id := range 3 {
		p.Send(relaytest.HTTPRequest("GET", fmt.Sprintf("/orders/%d?page=%d", 100+id, id)), false)
		p.ReadReply()
	}
	p.Send(relaytest.HTTPRequest("GET", "/health"), false)
	p.ReadReply()
	require.Equal(t, map[string]int64{"GET /orders/{id}": 3, "GET /health": 1}, f.Operations())

	count, _ := f.AddRule(t, message.Rule{Action: message.Answer, Status: 503})
	trace := func(id string) string { return "Traceparent: 00-" + id + "0000000000000001-0000000000000001-01\r\n" }
	for _, more := range []string{"", trace("00000000000000ab"), trace("00000000000000AB"), trace("00000000000000ac"), "Traceparent: 00-ab\r\n"} {
		p.Send(relaytest.HTTPRequest("GET", "/orders/7", more), false)
		p.ReadReply()
	}
	tally := count.Tally()
	assert.Equal(t, map[string]int64{"GET /orders/{id}": 5}, tally.Ops)
	assert.EqualValues(t, 2, tally.Traced, "calls that carry the run's trace context, in any case")
	assert.Equal(t, map[string]int64{"GET /orders/{id}": 8, "GET /health": 1}, f.Operations())
}

func TestOperationsAreBounded(t *testing.T) {
	f := relaytest.OpenLink(t, relaytest.StartShop(t).Addr, message.Config{})
	count, _ := f.AddRule(t, message.Rule{Action: message.Answer, Status: 503})
	p := relaytest.Connect(t, f.Addr)
	for i := range 100 {
		p.Send(relaytest.HTTPRequest("GET", "/page-"+string(rune('a'+i/26))+string(rune('a'+i%26))), false)
		p.ReadReply()
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
		turns []relaytest.Turn
		want  map[string]int64
	}{
		"redis": {relaytest.Turns(">PING\r\n", "<+PONG\r\n", ">*2\r\n$4\r\nINCR\r\n$7\r\nstock:1\r\n", "<:1\r\n"), map[string]int64{"PING": 1, "INCR stock:{id}": 1}},
		"lines": {relaytest.Turns(">hello world\n", "<news 1\n"), map[string]int64{"hello": 1, "<- news": 1}},
		"nats": {relaytest.Turns(">PUB orders.1 2\r\nhi\r\n", "<MSG news 1 2\r\nhi\r\n", "<PING\r\n", ">PONG\r\n"),
			map[string]int64{"PUB orders.{id}": 1, "<- MSG news": 1}},
	} {
		t.Run(protocol, func(t *testing.T) {
			up := relaytest.StartScript(t)
			f := relaytest.OpenLinkFor(t, protocol, up.Addr, message.Config{})
			client := relaytest.Connect(t, f.Addr)
			relaytest.Play(client, up.Accept(t), c.turns, false)
			assert.Equal(t, c.want, f.Operations())
		})
	}
}

// Counting a message whose name is cached does not allocate.
func TestCountingAnOperationAllocatesNothing(t *testing.T) {
	r, err := relaytest.NewRelay("http", message.Config{Link: "orders -> payments"})
	require.NoError(t, err)
	m := message.Message{Topic: message.Topic{Method: "GET", Path: "/orders/17"}, Op: "GET /orders/17"}
	r.CountOperation(m)
	assert.Zero(t, testing.AllocsPerRun(100, func() { r.CountOperation(m) }))
}

func TestCollateralAndSkippedAreCounted(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	corrupt, _ := f.AddRule(t, message.Rule{ID: "fault-1", Action: message.Corrupt, Match: message.Match{Method: "GET"}})
	lost, _ := f.AddRule(t, message.Rule{ID: "fault-2", Action: message.LoseReply, Match: relaytest.Charge})
	client := relaytest.Connect(t, f.Addr)
	server := s.Accept(t)
	client.Send(relaytest.HTTPRequest("GET", "/a")+relaytest.HTTPPost("/charge", "x")+relaytest.HTTPRequest("GET", "/b"), false)
	server.Expect(relaytest.HTTPRequest("GET", "/a") + relaytest.HTTPPost("/charge", "x") + relaytest.HTTPRequest("GET", "/b"))
	server.Send(relaytest.OK+relaytest.OK, false)
	_, how := client.ReadToEnd(relaytest.Patience)
	require.Equal(t, "reset", how)
	assert.Equal(t, map[string]int64{message.NoPayload: 2}, corrupt.Tally().Skipped)
	assert.EqualValues(t, 1, lost.Tally().Affected)
	assert.EqualValues(t, 1, lost.Tally().Collateral, "the call behind it")
}
