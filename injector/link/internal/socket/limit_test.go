//go:build unix

package socket

import (
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIsLocalLimit(t *testing.T) {
	wrap := func(ip net.IP, err error) error {
		return &net.OpError{Op: "dial", Addr: &net.TCPAddr{IP: ip, Port: 1}, Err: os.NewSyscallError("connect", err)}
	}
	v4, v6 := net.IPv4(127, 0, 0, 1), net.IPv6loopback
	for _, c := range []struct {
		err  error
		ours bool
	}{
		{wrap(v4, syscall.EMFILE), true}, {wrap(v6, syscall.ENFILE), true}, {wrap(v4, syscall.ENOBUFS), true}, {wrap(v4, syscall.ENOMEM), true},
		{wrap(v4, syscall.EADDRNOTAVAIL), true},
		{wrap(v6, syscall.EADDRNOTAVAIL), false}, // means that there is no IPv6
		{&net.DNSError{Err: "dial udp 127.0.0.1:53: socket: too many open files", Name: "payments"}, true},
		{&net.DNSError{Err: "no such host", Name: "payments"}, false},
		{wrap(v4, syscall.ECONNREFUSED), false}, {wrap(v4, syscall.ETIMEDOUT), false}, {wrap(v4, syscall.ECONNRESET), false}, {io.EOF, false},
	} {
		require.Equal(t, c.ours, IsLocalLimit(c.err), "%v", c.err)
	}
}
