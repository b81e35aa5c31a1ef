package link

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
)

func TestProxyHeader(t *testing.T) {
	tcp := func(s string) net.Addr { a, err := net.ResolveTCPAddr("tcp", s); require.NoError(t, err); return a }
	unix := &net.UnixAddr{Name: "/front", Net: "unix"}
	const v2 = "0d0a0d0a000d0a515549540a"
	for name, c := range map[string]struct {
		from, to net.Addr
		v1, v2   string
	}{
		"IPv4": {
			tcp("192.168.0.1:56324"), tcp("192.168.0.11:443"), "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
			"21" + "11" + "000c" + "c0a80001" + "c0a8000b" + "dc04" + "01bb",
		},
		"IPv6": {
			tcp("[2001:db8::1]:1"), tcp("[::1]:65535"), "PROXY TCP6 2001:db8::1 ::1 1 65535\r\n",
			"21" + "21" + "0024" + "20010db8000000000000000000000001" + "00000000000000000000000000000001" + "0001" + "ffff",
		},
		"IPv4 in IPv6": {
			tcp("[::ffff:10.0.0.1]:1"), tcp("[::ffff:10.0.0.2]:2"), "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
			"21" + "11" + "000c" + "0a000001" + "0a000002" + "0001" + "0002",
		},
		"a zone": {
			&net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 1, Zone: "eth0"}, &net.TCPAddr{IP: net.ParseIP("fe80::2"), Port: 2, Zone: "eth0"}, "PROXY TCP6 fe80::1 fe80::2 1 2\r\n",
			"21" + "21" + "0024" + "fe800000000000000000000000000001" + "fe800000000000000000000000000002" + "0001" + "0002",
		},
		"Unix": {unix, unix, "PROXY UNKNOWN\r\n", "20" + "00" + "0000"},
	} {
		t.Run(name, func(t *testing.T) {
			v1, err := proxyHeader("v1", c.from, c.to)
			require.NoError(t, err)
			assert.Equal(t, c.v1, string(v1))
			got, err := proxyHeader("v2", c.from, c.to)
			require.NoError(t, err)
			assert.Equal(t, v2+c.v2, hex.EncodeToString(got))
		})
	}
}

func TestUnknownProxyProtocol(t *testing.T) {
	_, err := Open(Config{Name: "a -> b", Upstream: "127.0.0.1:1", ProxyProtocol: "v3"})
	require.ErrorContains(t, err, `unknown PROXY protocol "v3": use v1 or v2`)
}

// TestProxyHeaderComesFirst checks that the header is sent before the client has sent anything, and
// before TLS.
func TestProxyHeaderComesFirst(t *testing.T) {
	ts := newCerts(t)
	headers := make(chan string, 1)
	header := func(c *net.TCPConn) {
		var line []byte
		for one := make([]byte, 1); !bytes.HasSuffix(line, []byte("\r\n")); line = append(line, one[0]) {
			if _, err := c.Read(one); err != nil {
				return
			}
		}
		headers <- string(line)
	}
	want := func(c net.Conn, l *Link) string {
		local, front := c.LocalAddr().(*net.TCPAddr), l.Addr()
		return fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d %s\r\n", local.Port, front[strings.LastIndex(front, ":")+1:])
	}
	l, err := Open(Config{Name: "a -> b", ProxyProtocol: "v1", Upstream: serve(t, func(c *net.TCPConn) { header(c); echo(c) })})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	c := dial(t, l)
	require.Equal(t, want(c, l), <-headers, "it waits for nothing")
	send(t, c, "x")
	expect(t, c, "x")

	tlsLink, _ := ts.terminating(t, serve(t, func(c *net.TCPConn) { header(c); s := tls.Server(c, ts.server(t)); _, _ = io.Copy(s, s); s.Close() }), func(cfg *Config) { cfg.ProxyProtocol = "v1" })
	secure := dialTLS(t, tlsLink, ts.client(t, "payments.test"))
	require.Equal(t, want(secure.raw, tlsLink), <-headers)
	send(t, secure, "x")
	expect(t, secure, "x")
}

// haproxy starts an HAProxy that answers each request with the addresses announced to it, and returns
// its address.
func haproxy(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("haproxy")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/haproxy") // often not in PATH
	}
	machine.Need(t, err, "apt-get install haproxy")
	dir := t.TempDir()
	at := filepath.Join(dir, "at")
	config := filepath.Join(dir, "haproxy.cfg")
	require.NoError(t, os.WriteFile(config, []byte(`global
  maxconn 64
defaults
  mode http
  timeout client 20s
  timeout server 20s
  timeout connect 20s
frontend told
  bind unix@`+at+` accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port] %[dst]:%[dst_port]"
`), 0o600))
	var log bytes.Buffer
	cmd := exec.Command(path, "-f", config, "-db")
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	require.Eventually(t, func() bool {
		c, err := net.Dial("unix", at)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, 20*time.Second, 10*time.Millisecond, "haproxy does not come up")
	return "unix:" + at
}

// TestHAProxyAcceptsHeader tests the header with HAProxy, where the protocol was defined.
func TestHAProxyAcceptsHeader(t *testing.T) {
	upstream := haproxy(t)
	for _, version := range []string{"v1", "v2"} {
		for name, listen := range map[string]string{"IPv4": "", "IPv6": "[::1]:0", "Unix": "unix:%/front"} {
			t.Run(version+" "+name, func(t *testing.T) {
				if name == "IPv6" {
					requireIPv6(t)
				}
				l, err := Open(Config{Name: "a -> b", Listen: strings.Replace(listen, "%", t.TempDir(), 1), Upstream: upstream, ProxyProtocol: version})
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, l.Close()) })
				c := dialAt(t, l)
				send(t, c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
				answer, err := io.ReadAll(c)
				require.NoError(t, err)
				require.True(t, bytes.HasPrefix(answer, []byte("HTTP/1.1 200 ")), "%s", answer)
				if tcp, ok := c.LocalAddr().(*net.TCPAddr); ok {
					front := c.RemoteAddr().(*net.TCPAddr)
					require.Contains(t, string(answer), fmt.Sprintf("\r\n\r\n%s:%d %s:%d", tcp.IP, tcp.Port, front.IP, front.Port))
				}
			})
		}
	}
}
