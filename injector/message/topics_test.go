package message

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A single word in a match is an operation if the protocol has one of that name, in any case.
func TestOperationsIgnoreCase(t *testing.T) {
	for _, c := range []struct {
		protocol, word string
		want           Match
	}{
		{"redis", "incr", Match{Method: "incr"}},
		{"redis", "JSON.SET", Match{Method: "JSON.SET"}},
		{"redis", "stock:1", Match{Path: "stock:1"}},
		{"postgres", "insert", Match{Method: "insert"}},
		{"postgres", "orders", Match{Path: "orders"}},
		{"nats", "pub", Match{Method: "pub"}},
		{"nats", "orders.>", Match{Path: "orders.>"}},
		{"dns", "aaaa", Match{Method: "aaaa"}},
		{"dns", "example.com", Match{Path: "example.com"}},
		{"statsd", "counter", Match{Method: "counter"}},
		{"statsd", "requests.total", Match{Path: "requests.total"}},
		{"lines", "incr", Match{Method: "incr"}},
		{"http", "/charge", Match{Path: "/charge"}},
	} {
		p, ok := ProtocolOf(c.protocol)
		require.True(t, ok)
		assert.Equal(t, c.want, p.topic(Match{Path: c.word}), fmt.Sprint(c.protocol, " ", c.word))
	}
}

func TestLowerCaseOperationTakesEffect(t *testing.T) {
	for protocol, c := range map[string]struct{ word, message, answer string }{
		"redis": {"incr", "*2\r\n$4\r\nINCR\r\n$1\r\na\r\n", ":5\r\n"},
		"lines": {"INCR", "incr a\n", "5 is it\n"},
	} {
		t.Run(protocol, func(t *testing.T) {
			s := startScript(t)
			f := openLinkFor(t, protocol, s.addr, dialects[protocol].cfg)
			count, _ := f.addRule(t, Rule{Action: CorruptReply, Match: Match{Path: c.word}})
			client := connect(t, f.addr)
			server := s.accept(t)
			client.send(c.message, false)
			server.expect(c.message)
			server.send(c.answer, false)
			waitUntil(t, "it acts", func() bool { return count.Tally().Affected == 1 })
		})
	}
}
