package runner

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// The framing of a link is passed to its relay: only with a lockstep framing can faults act on
// answers.
func TestLinkPassesFramingToRelay(t *testing.T) {
	s := &system{addresses: map[string]string{"b": "127.0.0.1:1"}, links: map[string]*link.Link{}, relays: map[string]*message.Relay{}}
	l := scenarios.Link{From: "a", To: "b", Protocol: "lengths", Framing: message.Framing{Width: 4, Lockstep: true}}
	require.ErrorContains(t, s.open(t.Context(), l, hooks{}), `protocol "lengths" is not resolved`, "not relayed as bytes")
	l.Resolve(protocols.All())
	require.NoError(t, s.open(t.Context(), l, hooks{}))
	t.Cleanup(func() { require.NoError(t, s.links[l.Name()].Close()) })
	_, err := s.relays[l.Name()].Add(message.Rule{Action: message.LoseReply})
	require.NoError(t, err)
}
