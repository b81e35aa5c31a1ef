package http1

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// Bodies of every framing arrive damaged but with valid framing, in HTTP/1.1 and HTTP/2: the server reads them
// to the end, and the connection remains usable.
func TestDamagedBodies(t *testing.T) {
	body := strings.Repeat("a", 50)
	for name, raw := range map[string]string{
		"sized":   "POST /a HTTP/1.1\r\nHost: x\r\ncontent-LENGTH:  50\r\nX-A: b\r\n\r\n" + body,
		"chunked": "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n14;x=y\r\n" + body[:20] + "\r\n1e\r\n" + body[20:] + "\r\n0\r\nX-T: z\r\n\r\n",
		"h2":      "", "h2 without a length": "",
	} {
		for _, do := range []message.Action{message.Corrupt, message.Truncate} {
			t.Run(fmt.Sprintf("%s/%s", name, do), func(t *testing.T) {
				got := make(chan string, 2)
				s := serveEcho(t, got)
				f := relaytest.OpenLink(t, s, message.Config{})
				count, _ := f.AddRule(t, message.Rule{Action: do, Seed: 2, Match: message.Match{Path: "/a"}})
				if raw == "" {
					client := relaytest.HTTP2Client(t)
					req, err := http.NewRequest(http.MethodPost, "http://"+f.Addr+"/a", io.LimitReader(strings.NewReader(body), 100))
					require.NoError(t, err)
					if name == "h2" {
						req.ContentLength = 50
					}
					res, err := client.Do(req)
					require.NoError(t, err)
					_ = res.Body.Close()
					assert.Equal(t, 200, res.StatusCode)
				} else {
					p := relaytest.Connect(t, f.Addr)
					p.Send(raw+relaytest.HTTPRequest("GET", "/after"), false)
					assert.Contains(t, p.ReadReply(), "200 OK")
					assert.Contains(t, p.ReadReply(), "200 OK")
				}
				arrived := <-got
				assert.NotEqual(t, body, arrived)
				if do == message.Corrupt {
					assert.Len(t, strings.ReplaceAll(arrived, "a", ""), 1)
					assert.Len(t, arrived, 50)
				} else {
					assert.True(t, strings.HasPrefix(body, arrived))
				}
				assert.EqualValues(t, 1, count.Tally().Affected)
				require.Len(t, f.Recorded(evidence.Applied), 1)
			})
		}
	}
}

// serveEcho starts a server of HTTP/1.1 and h2c that sends the bodies it reads to got.
func serveEcho(t *testing.T, got chan<- string) (addr string) {
	return relaytest.ServeOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			b = []byte(err.Error())
		}
		got <- string(b)
		w.WriteHeader(http.StatusOK)
	}))
}

func TestMessagesWithoutPayloadAreNotDamaged(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	count, _ := f.AddRule(t, message.Rule{Action: message.Truncate})
	p := relaytest.Connect(t, f.Addr)
	for _, text := range []string{relaytest.HTTPRequest("GET", "/a"), relaytest.HTTPPost("/a", ""), "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"} {
		p.Send(text, false)
		assert.Contains(t, p.ReadReply(), "/a")
	}
	h := relaytest.ConnectHTTP2(t, f.Addr)
	assert.Equal(t, "200 4 /a", h.Response(h.Request("GET", "/a", "")).String())
	assert.Zero(t, count.Tally().Affected)
}
