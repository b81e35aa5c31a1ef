package testbed

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// The framing of a link is passed to its relay: only with a lockstep framing can faults act on
// answers.
func TestLinkPassesFramingToRelay(t *testing.T) {
	s := newSystem(Config{})
	s.Addresses["b"] = "127.0.0.1:1"
	l := scenarios.Link{From: "a", To: "b", Protocol: "lengths", Framing: message.Framing{Width: 4, Lockstep: true}}
	require.ErrorContains(t, s.open(t.Context(), l), `protocol "lengths" is not resolved`, "not relayed as bytes")
	l.Resolve(protocols.All())
	require.NoError(t, s.open(t.Context(), l))
	t.Cleanup(func() { require.NoError(t, s.Links[l.Name()].Close()) })
	_, err := s.Relays[l.Name()].Add(message.Rule{Action: message.LoseReply})
	require.NoError(t, err)
}
