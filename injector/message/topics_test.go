package message_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// A single word in a match is an operation if the protocol has one of that name, in any case.
func TestOperationsIgnoreCase(t *testing.T) {
	for _, c := range []struct {
		protocol, word string
		want           bool
	}{
		{"redis", "incr", true},
		{"redis", "JSON.SET", true},
		{"redis", "stock:1", false},
		{"postgres", "insert", true},
		{"postgres", "orders", false},
		{"nats", "pub", true},
		{"nats", "orders.>", false},
		{"dns", "aaaa", true},
		{"dns", "example.com", false},
		{"statsd", "counter", true},
		{"statsd", "requests.total", false},
		{"lines", "incr", true},
		{"http", "/charge", false},
	} {
		p, ok := relaytest.ProtocolOf(c.protocol)
		require.True(t, ok)
		assert.Equal(t, c.want, p.Operation != nil && p.Operation(c.word), fmt.Sprint(c.protocol, " ", c.word))
	}
}

func TestLowerCaseOperationTakesEffect(t *testing.T) {
	for protocol, c := range map[string]struct{ word, message, answer string }{
		"redis": {"incr", "*2\r\n$4\r\nINCR\r\n$1\r\na\r\n", ":5\r\n"},
		"lines": {"INCR", "incr a\n", "5 is it\n"},
	} {
		t.Run(protocol, func(t *testing.T) {
			s := relaytest.StartScript(t)
			f := relaytest.OpenLinkFor(t, protocol, s.Addr, relaytest.Cases[protocol].Cfg)
			count, _ := f.AddRule(t, message.Rule{Action: message.CorruptReply, Match: message.Match{Path: c.word}})
			client := relaytest.Connect(t, f.Addr)
			server := s.Accept(t)
			client.Send(c.message, false)
			server.Expect(c.message)
			server.Send(c.answer, false)
			relaytest.WaitUntil(t, "it acts", func() bool { return count.Tally().Affected == 1 })
		})
	}
}
