package load

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// poolWithOneConn returns a pool with one reusable connection to a server that calls behave on it
// after one answer.
func poolWithOneConn(t *testing.T, behave func(conn net.Conn)) (p *pool, address string, next func() *pooledConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	first := true
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			again := !first
			first = false
			serving.Go(func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for {
					if _, err := http.ReadRequest(r); err != nil {
						return
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					if !again {
						behave(conn)
						return
					}
				}
			})
		}
	})
	p = newPool(nil, &scenarios.Load{})
	p.host(ln.Addr().String()).proven = 2 * usualIdle // so that no probe is set aside
	t.Cleanup(func() { p.close(); _ = ln.Close(); serving.Wait() })
	address = ln.Addr().String()
	return p, address, func() *pooledConn {
		k, err := p.dial(t.Context(), address)
		require.NoError(t, err)
		k.reused = true
		return k
	}
}

func get(t *testing.T, address string) func() (*http.Request, error) {
	t.Helper()
	return func() (*http.Request, error) {
		return http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/", nil)
	}
}

func ignore(resp *http.Response) error {
	_, err := io.Copy(io.Discard, resp.Body)
	return err
}

// TestUnreadAfterClose provokes the race that remains: the server has closed when the request is
// sent, and the kernel proves that it read nothing.
func TestUnreadAfterClose(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	p, address, dial := poolWithOneConn(t, func(conn net.Conn) { _ = conn.Close(); close(closed) })
	k := dial()
	req, err := get(t, address)()
	require.NoError(t, err)
	answered, err := p.roundTrip(t.Context(), address, k, req, ignore)
	require.NoError(t, err)
	require.True(t, answered)
	<-closed
	before := k.raw.wrote
	require.Positive(t, before)
	_ = k.SetDeadline(time.Time{})
	answered, err = p.roundTrip(t.Context(), address, k, req, ignore)
	require.Error(t, err)
	require.False(t, answered)
	require.Greater(t, k.raw.wrote, before, "the request went out")
	assert.True(t, k.unreadByServer(before))
}

// A server that reads a request from a kept connection and closes has failed. The request is not sent
// again.
func TestReadRequestIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(net.Conn){
		"closes": func(net.Conn) {},
		"resets": func(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, address, dial := poolWithOneConn(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 1<<10)) // the second request
				end(conn)
			})
			k := dial()
			req, err := get(t, address)()
			require.NoError(t, err)
			_, err = p.roundTrip(t.Context(), address, k, req, ignore)
			require.NoError(t, err)
			before := k.raw.wrote
			_, err = p.roundTrip(t.Context(), address, k, req, ignore)
			require.Error(t, err)
			assert.False(t, k.unreadByServer(before))
		})
	}
}

// exchange sends such a request once more and counts it as stale.
func TestStaleConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	p, address, dial := poolWithOneConn(t, func(conn net.Conn) { _ = conn.Close(); close(closed) })
	k := dial()
	req, err := get(t, address)()
	require.NoError(t, err)
	_, err = p.roundTrip(t.Context(), address, k, req, ignore)
	require.NoError(t, err)
	<-closed
	wrote, stale, err := p.exchangeOn(t.Context(), address, k, get(t, address), ignore)
	require.NoError(t, err)
	assert.True(t, wrote)
	assert.Equal(t, 1, stale)
}

// A server may answer before it has read a large body, and may send informational answers before the
// final one.
func TestEarlyAnswers(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	over := make(chan struct{})
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		<-over
	}()
	p := newPool(nil, &scenarios.Load{})
	defer p.close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	status := 0
	_, _, err = p.exchange(ctx, ln.Addr().String(), func() (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodPost, "http://x/", strings.NewReader(strings.Repeat("x", 64<<20)))
	}, func(resp *http.Response) error { status = resp.StatusCode; return ignore(resp) })
	close(over)
	require.NoError(t, err)
	assert.Equal(t, http.StatusRequestEntityTooLarge, status)
}

func TestKeepAliveHeader(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{"timeout=5": 5 * time.Second, "max=9, Timeout=1": time.Second, "": 0, "timeout=x": 0, "timeout=0": 0} {
		got, ok := announced(http.Header{"Keep-Alive": {value}})
		assert.Equal(t, want, got, value)
		assert.Equal(t, want > 0, ok, value)
	}
}

// The first half of the trace ID is that of the scenario, and the second differs for each request.
func TestRequestsCarryATraceContext(t *testing.T) {
	t.Parallel()
	var seen []string
	client, _, _ := clientOn(t, scenarios.Load{Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}}, func(_ http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Traceparent"))
	})
	client.Do(0, time.Now())
	client.Do(255, time.Now())
	assert.Equal(t, []string{
		"00-" + TracePrefix(7) + "0000000000000000-0000000000000001-01",
		"00-" + TracePrefix(7) + "00000000000000ff-0000000000000100-01",
	}, seen)
	assert.Len(t, TracePrefix(7), 16)
	assert.NotEqual(t, TracePrefix(7), TracePrefix(8))
}
