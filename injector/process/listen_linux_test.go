package process

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestListeningOfMany: each port is found once, in order, with the program that listens.
func TestListeningOfMany(t *testing.T) {
	ports := map[uint16]bool{}
	for range 200 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer ln.Close()
		ports[netip.MustParseAddrPort(ln.Addr().String()).Port()] = true
	}
	all := Listening()
	for _, l := range all {
		if ports[l.Port] {
			assert.NotEmpty(t, l.Program)
			delete(ports, l.Port)
		}
	}
	assert.Empty(t, ports)
	assert.True(t, slices.IsSortedFunc(all, func(a, b Listener) int { return int(a.Port) - int(b.Port) }))
}
