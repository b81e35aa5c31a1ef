package framed

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// The damaged byte depends only on the occurrence, not on earlier traffic, in framed protocols too.
func TestDamagedByteDependsOnOccurrence(t *testing.T) {
	damaged := func(seed uint64, before int) string {
		s := relaytest.StartScript(t)
		f := relaytest.OpenLinkFor(t, "lines", s.Addr, message.Config{})
		f.AddRule(t, message.Rule{Action: message.Corrupt, Seed: seed, Match: message.Match{Method: "set"}})
		client := relaytest.Connect(t, f.Addr)
		server := s.Accept(t)
		client.Send(strings.Repeat("ping\n", before)+"set "+strings.Repeat("a", 200)+"\n", false)
		server.Expect(strings.Repeat("ping\n", before))
		return server.Before("\n")
	}
	one := damaged(1, 0)
	assert.Equal(t, one, damaged(1, 3))
	assert.NotEqual(t, one, damaged(2, 0))
}

// Truncation keeps the first half of the payload.
func TestTruncationKeepsFirstHalf(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLinkFor(t, "lines", s.Addr, message.Config{})
	f.AddRule(t, message.Rule{Action: message.Truncate})
	client := relaytest.Connect(t, f.Addr)
	server := s.Accept(t)
	client.Send("12345678\nabcde\n", false)
	assert.Equal(t, "1234", server.Before("\n"))
	assert.Equal(t, "ab", server.Before("\n"))
}
