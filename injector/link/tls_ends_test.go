package link

import (
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEndsArePreservedThroughTLS(t *testing.T) {
	notify := func(c tlsPeer) { _ = c.CloseWrite() }
	for name, e := range map[string]struct {
		end      func(from tlsPeer)
		bare     bool  // the other end sees FIN without close_notify
		want     error // nil means a graceful end
		halfOpen bool  // the other direction stays open
	}{
		"close_notify": {notify, false, nil, true},
		"a bare FIN":   {func(c tlsPeer) { _ = c.raw.CloseWrite() }, true, nil, true},
		"both":         {func(c tlsPeer) { _ = c.CloseWrite(); _ = c.raw.CloseWrite() }, false, nil, true},
		"reset":        {tlsPeer.reset, false, syscall.ECONNRESET, false},
	} {
		for kind, change := range map[string]func(*Config){"pump": nil, "relay": relayed} {
			for _, fromClient := range []bool{true, false} {
				t.Run(name+", "+kind+", "+map[bool]string{true: "client's", false: "server's"}[fromClient], func(t *testing.T) {
					_, client, server, failed := pairTLS(t, change)
					from, to := client, server
					if !fromClient {
						from, to = server, client
					}
					send(t, from, "last words")
					expect(t, to, "last words")
					e.end(from)
					rest, err := io.ReadAll(to)
					require.Empty(t, rest)
					if e.want != nil {
						require.ErrorIs(t, err, e.want)
					} else {
						require.NoError(t, err)
						require.Equal(t, e.bare, to.wire.bareFIN.Load())
					}
					if e.halfOpen {
						send(t, to, "answer")
						expect(t, from, "answer")
					}
					require.Empty(t, failed.list())
				})
			}
		}
	}
}

func TestResetAfterCloseNotify(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the peer would notice at its next write only")
	}
	for _, fromClient := range []bool{true, false} {
		t.Run(map[bool]string{true: "client's", false: "server's"}[fromClient], func(t *testing.T) {
			_, client, server, _ := pairTLS(t, nil)
			from, to := client, server
			if !fromClient {
				from, to = server, client
			}
			_ = from.CloseWrite()
			rest, err := io.ReadAll(to)
			require.NoError(t, err)
			require.Empty(t, rest)
			from.reset()
			reset, err := awaitReset(to.raw) // without a write, which would detect a reset in any case
			require.NoError(t, err)
			require.True(t, reset)
		})
	}
}

func TestCloseNotifyBothWaysEndsConnection(t *testing.T) {
	l, client, server, _ := pairTLS(t, nil)
	_ = client.CloseWrite() // neither side sends FIN
	_ = server.CloseWrite()
	_, err := io.ReadAll(client)
	require.NoError(t, err)
	require.False(t, client.wire.bareFIN.Load())
	require.Eventually(t, func() bool { return l.Counters().Live == 0 }, 20*time.Second, time.Millisecond)
	_, err = server.raw.Read(make([]byte, 1))
	for err == nil {
		_, err = server.raw.Read(make([]byte, 1))
	}
	require.ErrorIs(t, err, io.EOF, "the end was orderly")
}

func TestClientClosesDuringUpstreamHandshake(t *testing.T) {
	ts := newCerts(t)
	for name, leave := range map[string]func(*net.TCPConn){
		"closes": func(c *net.TCPConn) { c.Close() },
		"resets": func(c *net.TCPConn) { _ = c.SetLinger(0); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			begun, ended := make(chan struct{}), make(chan struct{})
			l, failed := ts.terminating(t, serve(t, func(c *net.TCPConn) {
				_, _ = c.Read(make([]byte, 1))
				close(begun)
				_, _ = io.Copy(io.Discard, c) // reads the rest of the hello and sends nothing
				close(ended)
			}), nil)
			c := dial(t, l)
			go func() { _ = tls.Client(c, ts.client(t, "payments.test")).Handshake() }()
			<-begun
			leave(c)
			<-ended
			require.Eventually(t, func() bool { return l.Counters().Live == 0 }, 20*time.Second, time.Millisecond)
			require.Empty(t, failed.list())
		})
	}
}

func TestCloseIsBoundedInsideTLS(t *testing.T) {
	ts := newCerts(t)
	release := make(chan struct{})
	upstream := serveTLS(t, ts.server(t), func(c tlsPeer) {
		_, _ = c.Write(make([]byte, 16<<20)) // the client does not read it
		<-release
	})
	defer close(release)
	failed := &failures{}
	l, err := Open(Config{Name: "a -> b", Upstream: upstream, TLS: &TLS{CA: ts.run, Roots: pool(t, ts.other), Failed: failed.add}})
	require.NoError(t, err)
	for range 8 {
		dialTLS(t, l, ts.client(t, ""))
	}
	hung := dial(t, l) // sends nothing
	_, err = l.CutOff(Cut{On: On{ID: "f1"}, Dir: ToClient})
	require.NoError(t, err)
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	select {
	case err := <-closed:
		require.NoError(t, err)
	case <-time.After(20 * time.Second):
		t.Fatal("close hangs")
	}
	_, err = hung.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.Empty(t, failed.list())
}
