package injector

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serveTests is the service that the tests start. /events is a stream of three events.
func serveTests(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/events" {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i+1)
			w.(http.Flusher).Flush()
		}
		return
	}
	switch tenant := r.Header.Get("X-Tenant"); {
	case tenant == "acme" || r.Method == http.MethodGet: // the check of readiness has no tenant
		_, _ = io.WriteString(w, "done")
	case tenant == "":
		_, _ = io.WriteString(w, "done for nobody")
	default:
		_, _ = io.WriteString(w, "done for "+tenant)
	}
}

// answersWith reports whether calls on one connection get these answers. What follows them does not matter.
func answersWith(want ...string) func(*testing.T, *target) bool {
	return func(_ *testing.T, tg *target) bool {
		got, _ := tg.ask(len(want), patience)
		return slices.Equal(want, got)
	}
}

// replyHeader returns a header of an answer.
func (tg *target) replyHeader(t *testing.T, name string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	res, err := client.Get("http://" + tg.Link.Addr() + "/")
	require.NoError(t, err)
	_ = res.Body.Close()
	return res.Header.Get(name)
}

// events reads the stream, and returns the events and how it ended: "over", "broken" or "silence".
func (tg *target) events(t *testing.T) string {
	t.Helper()
	c, err := net.Dial("tcp", tg.Link.Addr())
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	_ = c.SetDeadline(time.Now().Add(patience))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	begin := make([]byte, len("data: 1\n\ndata: 2\n\n")) // which each stream has
	_, err = io.ReadFull(res.Body, begin)
	require.NoError(t, err)
	_ = c.SetDeadline(time.Now().Add(300 * time.Millisecond))
	body, err := io.ReadAll(res.Body)
	body = append(begin, body...)
	got := strings.NewReplacer("data: ", "", "\n", "").Replace(string(body))
	switch {
	case err == nil:
		return got + " over"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return got + " silence"
	}
	return got + " broken"
}
