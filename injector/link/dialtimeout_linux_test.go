package link

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fullBacklog returns the address of a listener with a full backlog, to which connects hang.
func fullBacklog(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	full := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}
	for {
		c, err := net.DialTimeout("tcp", full.String(), 100*time.Millisecond)
		if err != nil {
			return full.String()
		}
		t.Cleanup(func() { c.Close() })
	}
}

func TestDialTimeoutIsReset(t *testing.T) {
	l, err := Open(Config{Name: "a -> b", Upstream: fullBacklog(t), dialTimeout: 100 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	began := time.Now()
	require.ErrorIs(t, firstRead(l), syscall.ECONNRESET)
	require.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond)
	require.EqualValues(t, 1, l.Counters().DialErrors)
}

func TestOutageOfUnreachableUpstream(t *testing.T) {
	l, err := Open(Config{Name: "a -> b", Upstream: fullBacklog(t), dialTimeout: 2 * time.Second})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	c := dial(t, l)
	require.Eventually(t, func() bool { return l.Waiting(20*time.Millisecond) == 1 }, 20*time.Second, time.Millisecond)
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.Equal(t, Outage{Unreached: 1}, l.Outage())
}
