package relaytest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestShop is a real net/http server that counts its executions. It replies "<n> <path>" to the n-th.
type TestShop struct {
	Addr string
	Done atomic.Int64
	mu   sync.Mutex
	Log  []string
}

func StartShop(t testing.TB) *TestShop {
	s := &TestShop{}
	s.Addr = ServeOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size, _ := io.Copy(io.Discard, r.Body)
		n := s.Done.Add(1)
		s.mu.Lock()
		s.Log = append(s.Log, fmt.Sprintf("%s %s %d", r.Method, r.URL.Path, size))
		s.mu.Unlock()
		if r.URL.Path == "/large" {
			_, _ = w.Write(make([]byte, 1<<20))
			return
		}
		text := fmt.Sprintf("%d %s", n, r.URL.Path)
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		if n > 1 && r.URL.Path == "/once" {
			w.WriteHeader(http.StatusConflict)
		}
		_, _ = io.WriteString(w, text)
	}))
	return s
}

// ServeOn starts a server of HTTP/1.1 and h2c with small windows, which it enforces.
func ServeOn(t testing.TB, handler http.Handler) (addr string) {
	srv := httptest.NewUnstartedServer(handler)
	srv.Config.Protocols = &http.Protocols{}
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Config.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 64 << 10}
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

func (s *TestShop) Executed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.Log...)
}

func HTTPRequest(method, path string, more ...string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: payments\r\n%s\r\n", method, path, strings.Join(more, ""))
}

func HTTPPost(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: payments\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}
