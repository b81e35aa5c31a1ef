package link

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// halfCloser is what TCP and Unix sockets have in common.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// serveAt is serve for any kind of address, in the syntax of Config.
func serveAt(t testing.TB, addr string, do func(halfCloser)) string {
	t.Helper()
	kind, address := network(addr)
	ln, err := net.Listen(kind, address)
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				do(c.(halfCloser))
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	if kind == "unix" {
		return addr
	}
	return ln.Addr().String()
}

func echoAny(c halfCloser) { _, _ = io.Copy(c, c); _ = c.CloseWrite() }

func dialAt(t testing.TB, l *Link) halfCloser {
	t.Helper()
	kind, address := network(l.Addr())
	c, err := net.DialTimeout(kind, address, 5*time.Second)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(30*time.Second)))
	return c.(halfCloser)
}

func openAt(t testing.TB, listen, upstream string) *Link {
	t.Helper()
	l, err := Open(Config{Name: "a -> b", Listen: listen, Upstream: upstream, dialTimeout: time.Minute})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// requireIPv6 skips the test if the machine has no IPv6.
func requireIPv6(t testing.TB) {
	t.Helper()
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("this machine has no IPv6: ", err)
	}
	ln.Close()
}

// TestAllKindsOfAddresses transfers bytes in bulk, with half-closes, between all kinds of addresses.
func TestAllKindsOfAddresses(t *testing.T) {
	for name, at := range map[string]struct{ listen, upstream string }{
		"IPv6 to IPv6": {"[::1]:0", "[::1]:0"},
		"IPv6 to IPv4": {"[::1]:0", "127.0.0.1:0"},
		"Unix to Unix": {"unix:%/front", "unix:%/back"},
		"Unix to TCP":  {"unix:%/front", "127.0.0.1:0"},
		"TCP to Unix":  {"", "unix:%/back"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "IPv6") {
				requireIPv6(t)
			}
			dir := t.TempDir()
			place := func(addr string) string { return strings.Replace(addr, "%", dir, 1) }
			l := openAt(t, place(at.listen), serveAt(t, place(at.upstream), echoAny))
			c := dialAt(t, l)
			const size = 8 << 20
			go func() { _, _ = io.Copy(c, &source{left: size}); _ = c.CloseWrite() }()
			read, err := (&exactness{each: size}).compare(t, c, 0, size)
			require.NoError(t, err)
			require.EqualValues(t, size, read)
		})
	}
}

func TestRefuseOnAllKindsOfAddresses(t *testing.T) {
	for name, listen := range map[string]string{"IPv6": "[::1]:0", "Unix": "unix:%/front"} {
		t.Run(name, func(t *testing.T) {
			if name == "IPv6" {
				requireIPv6(t)
			}
			l := openAt(t, strings.Replace(listen, "%", t.TempDir(), 1), serve(t, echo))
			kind, address := network(l.Addr())
			live := dialAt(t, l)
			send(t, live, "x")
			expect(t, live, "x")
			count := evidence.NewCounter("connections")
			heal, err := l.Refuse(count)
			require.NoError(t, err)
			_, err = live.Read(make([]byte, 1))
			require.Error(t, err)
			_, err = net.Dial(kind, address)
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			require.EqualValues(t, 1, count.Tally().Connections, "the live one, and not our own attempt")
			if kind == "tcp" {
				for range 200 {
					ln, err := net.Listen("tcp", "[::1]:0")
					require.NoError(t, err)
					require.NotEqual(t, l.Addr(), ln.Addr().String(), "the port is held")
					ln.Close()
				}
			}
			require.NoError(t, heal(t.Context()))
			c := dialAt(t, l)
			send(t, c, "again")
			expect(t, c, "again")
		})
	}
}

func TestUnixSocketFile(t *testing.T) {
	upstream := serve(t, echo)
	path := filepath.Join(t.TempDir(), "front")
	missing := func() { t.Helper(); _, err := os.Lstat(path); require.ErrorIs(t, err, os.ErrNotExist) }

	l := openAt(t, "unix:"+path, upstream)
	require.Equal(t, "unix:"+path, l.Addr())
	_, err := Open(Config{Name: "c -> b", Listen: "unix:" + path, Upstream: upstream})
	require.ErrorContains(t, err, "another process listens there")
	require.NoError(t, l.Close())
	missing()

	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	dead.SetUnlinkOnClose(false)
	require.NoError(t, dead.Close())
	require.FileExists(t, path, "as a process that was killed leaves it")
	l = openAt(t, "unix:"+path, upstream)
	c := dialAt(t, l)
	send(t, c, "x")
	expect(t, c, "x")
	_, err = l.Refuse(nil)
	require.NoError(t, err)
	require.NoError(t, l.Close(), "while it refuses")
	missing()

	l = openAt(t, "unix:"+path, upstream)
	require.NoError(t, os.Remove(path))
	other, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer other.Close()
	require.NoError(t, l.Close())
	require.FileExists(t, path, "the file of another listener")
}

func TestInvalidUnixPaths(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("precious"), 0o600))
	for name, c := range map[string]struct{ path, want string }{
		"too long":          {filepath.Join(dir, strings.Repeat("x", maxSocketPath)), "allows only"},
		"a plain file":      {file, "not a socket"},
		"missing directory": {filepath.Join(dir, "none", "front"), "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(Config{Name: "a -> b", Listen: "unix:" + c.path, Upstream: "127.0.0.1:1"})
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, `open link "a -> b"`)
		})
	}
	require.FileExists(t, file)
	longest := filepath.Join(dir, strings.Repeat("x", maxSocketPath-len(dir)-1))
	l, err := Open(Config{Name: "a -> b", Listen: "unix:" + longest, Upstream: "127.0.0.1:1"})
	require.NoError(t, err, "the bound is the system's own")
	require.NoError(t, l.Close())
}

func TestUnixUpstreamEnds(t *testing.T) {
	dir := t.TempDir()
	l := openAt(t, "", "unix:"+dir+"/none")
	require.ErrorIs(t, firstRead(l), syscall.ECONNRESET, "nothing listens there")
	require.EqualValues(t, 1, l.Counters().DialErrors)
	l = openAt(t, "", serveAt(t, "unix:"+dir+"/back", func(c halfCloser) { _, _ = c.Read(make([]byte, 1)) })) // closing with unread bytes is a reset
	c := dial(t, l)
	send(t, c, "xyz")
	_, err := io.ReadAll(c)
	require.ErrorIs(t, err, syscall.ECONNRESET)
	l = openAt(t, "", serveAt(t, "unix:"+dir+"/orderly", func(halfCloser) {}))
	_, err = io.ReadAll(dial(t, l))
	require.NoError(t, err)
}

func TestFaultsActOnUnixSockets(t *testing.T) {
	l := openAt(t, "unix:"+t.TempDir()+"/front", serve(t, echo))
	c := dialAt(t, l)
	send(t, c, "one")
	expect(t, c, "one")
	heal, err := l.CutOff(Cut{On: On{ID: "f1"}})
	require.NoError(t, err)
	send(t, c, "two")
	expectSilence(t, c)
	require.NoError(t, heal(t.Context()))
	expect(t, c, "two")
	heal, err = l.Reset(Reset{On: On{ID: "f2"}})
	require.NoError(t, err)
	_, err = c.Read(make([]byte, 1))
	require.Error(t, err, "a Unix socket knows no reset, and ends")
	require.NoError(t, heal(t.Context()))
}
