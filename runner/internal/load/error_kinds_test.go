package load

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// respondRaw answers with the given bytes and closes the connection.
func respondRaw(raw string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = conn.Write([]byte(raw))
			_ = conn.Close()
		}
	}
}

// Each way in which an answer can be missing has its own kind, and none is a refusal.
func TestErrorKinds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ raw, kind string }{
		"rubbish":              {"hello\r\n\r\n", "malformed answer"},
		"another protocol":     {"SSH-2.0-OpenSSH_9.6\r\n", "malformed answer"},
		"no status":            {"HTTP/1.1 abc OK\r\n\r\n", "malformed answer"},
		"a header without end": {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "malformed answer"},
		"two lengths":          {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok", "malformed answer"},
		"a chunk of zz bytes":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok", "malformed answer"},
		"half a body":          {"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok", "truncated answer"},
		"no answer":            {"", "closed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, k, _ := clientOn(t, scenarios.Load{Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}}, respondRaw(c.raw))
			client.Do(0, time.Now())
			require.Len(t, k.all, 1)
			assert.Equal(t, c.kind, k.all[0].Kind)
			assert.Equal(t, Ambiguous.String(), k.all[0].Outcome.String())
		})
	}
	assert.Equal(t, "unreachable", kindOf(syscall.EHOSTUNREACH))
	assert.Equal(t, "reset", kindOf(phaseError{syscall.ECONNRESET, failedTLS}), "the connection failed, and not TLS")
	assert.Equal(t, "other error", kindOf(errors.New("new")))
}

func TestFailedHandshakeKind(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]*httptest.Server{"certificate": httptest.NewTLSServer(status(200)), "no TLS": httptest.NewServer(status(200))} {
		address := server.Listener.Addr().String()
		k := &resultCollector{}
		c := NewClient(t.Context(), Config{
			Load: &scenarios.Load{GiveUp: 30 * time.Second, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}}, Address: at(address), Ended: k.add,
			Trust: Trust{address: &tls.Config{}}, //nolint:gosec // default TLS versions
		})
		c.Do(0, time.Now())
		assert.Equal(t, "TLS failure", k.all[0].Kind, name)
		c.Close()
		server.Close()
	}
}
