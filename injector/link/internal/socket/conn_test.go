package socket

import (
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestResetSeenByWriterIsNotEOF: the kernel reports a reset once, so after a failed write a reader
// would see EOF.
func TestResetSeenByWriterIsNotEOF(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a socket's state is not asked elsewhere")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	raw, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	s, err := New(raw)
	require.NoError(t, err)
	defer s.Close()
	accepted, err := ln.Accept()
	require.NoError(t, err)
	peer, err := New(accepted)
	require.NoError(t, err)
	peer.Reset()
	require.Eventually(t, func() bool { _, err := s.Write([]byte("x")); return err != nil }, 20*time.Second, time.Millisecond)
	_, err = raw.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "the kernel reports a reset only once")
	_, err = s.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	_, _, err = s.Take()
	require.ErrorIs(t, err, syscall.ECONNRESET)
}
