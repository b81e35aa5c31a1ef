package relaytest

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// OpenLink starts a relay in front of upstream. It is closed after the test, when its accounts must add up.
func OpenLink(t testing.TB, upstream string, cfg message.Config) *TestLink {
	t.Helper()
	return OpenLinkFor(t, "http", upstream, cfg)
}

func OpenLinkFor(t testing.TB, protocol, upstream string, cfg message.Config) *TestLink {
	t.Helper()
	all := table
	i := slices.IndexFunc(all, func(p message.Protocol) bool { return p.Name == protocol })
	require.GreaterOrEqual(t, i, 0, protocol)
	return OpenProtocol(t, all[i], upstream, cfg)
}

// table holds the protocols that the functions below know by name.
var table []message.Protocol

func ProtocolOf(name string) (p message.Protocol, ok bool) {
	for _, p := range table {
		if p.Name == name {
			return p, true
		}
	}
	return message.Protocol{}, false
}

func NewRelay(name string, cfg message.Config) (*message.Relay, error) {
	p, _ := ProtocolOf(name)
	return message.New(p, cfg)
}
