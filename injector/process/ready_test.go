package process

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// TestNotReadyIncludesLastAnswer checks that the error contains the result of the last attempt,
// besides the condition.
func TestNotReadyIncludesLastAnswer(t *testing.T) {
	addr := machine.FreeAddr(t)
	sp := spec(filepath.Join(t.TempDir(), "log"), "server", addr)
	sp.Ready = Ready{HTTP: "http://" + addr + "/nothing", Within: 5 * time.Second}
	_, err := Start(t.Context(), sp)
	require.ErrorContains(t, err, "not ready within 5s: GET http://"+addr+"/nothing was last answered with 404, not 2xx")
	sp.Ready = Ready{Line: regexp.MustCompile("^up$"), Within: 300 * time.Millisecond}
	_, err = Start(t.Context(), sp)
	require.ErrorContains(t, err, `not ready within 300ms: no line of its log matches "^up$"`)
}

func TestReadyCheckErrors(t *testing.T) {
	nobody := machine.FreeAddr(t)
	require.EqualError(t, Ready{HTTP: "http://" + nobody + "/"}.check(t.Context(), nil), "GET http://"+nobody+"/: dial tcp "+nobody+": connect: connection refused")
	require.EqualError(t, Ready{TCP: nobody}.check(t.Context(), nil), "dial tcp "+nobody+": connect: connection refused")
	require.ErrorContains(t, Ready{HTTP: "http://" + answering(t, "hello\r\n\r\n")}.check(t.Context(), nil), `malformed HTTP response "hello"`)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, Ready{HTTP: "http://" + answering(t, "")}.check(ctx, nil), ": the last attempt was not answered")
}

// answering returns the address of a server that answers each request with text, or never if text is
// "".
func answering(t *testing.T, text string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil && text == "" {
					_, _ = c.Read(make([]byte, 1))
				}
				_, _ = c.Write([]byte(text))
			}()
		}
	}()
	return l.Addr().String()
}
