package process

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestListeningOfMany: the processes of the machine are examined once, and not once for each port.
func TestListeningOfMany(t *testing.T) {
	began := time.Now()
	holders(nil)
	once := time.Since(began)
	ports := map[uint16]bool{}
	for range 200 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer ln.Close()
		ports[netip.MustParseAddrPort(ln.Addr().String()).Port()] = true
	}
	began = time.Now()
	all := Listening()
	assert.Less(t, time.Since(began), 50*once+time.Second)
	for _, l := range all {
		if ports[l.Port] {
			assert.NotEmpty(t, l.Program)
			delete(ports, l.Port)
		}
	}
	assert.Empty(t, ports)
	assert.True(t, slices.IsSortedFunc(all, func(a, b Listener) int { return int(a.Port) - int(b.Port) }))
}
