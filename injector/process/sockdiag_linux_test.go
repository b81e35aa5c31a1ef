package process

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The kernel lists over netlink what it lists in /proc.
func TestListeningSocketsAreThoseOfProc(t *testing.T) {
	var open []netip.AddrPort
	for _, at := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		ln, err := net.Listen("tcp", at)
		require.NoError(t, err)
		defer ln.Close()
		open = append(open, ln.Addr().(*net.TCPAddr).AddrPort())
	}
	conn, err := net.Dial("tcp", open[0].String()) // no listening socket
	require.NoError(t, err)
	defer conn.Close()
	list := map[string]func() ([]socket, error){
		"netlink": listeningTCP,
		"proc":    func() ([]socket, error) { return readProcNetwork("tcp"), nil },
	}
	inodes := map[netip.AddrPort]map[string]string{}
	for name, list := range list {
		sockets, err := list()
		require.NoError(t, err, name)
		for _, at := range open {
			i := slices.IndexFunc(sockets, func(s socket) bool { return s.at == netip.AddrPortFrom(at.Addr().Unmap(), at.Port()) })
			require.GreaterOrEqual(t, i, 0, "%s lacks %s", name, at)
			if inodes[at] == nil {
				inodes[at] = map[string]string{}
			}
			inodes[at][name] = sockets[i].inode
		}
		local := conn.LocalAddr().(*net.TCPAddr).AddrPort()
		assert.False(t, slices.ContainsFunc(sockets, func(s socket) bool { return s.at == local }), name)
	}
	for at, of := range inodes {
		assert.Equal(t, of["proc"], of["netlink"], at)
	}
}
