package message

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Bodies of every framing arrive damaged and well framed, in HTTP/1.1 and HTTP/2: the server reads them to their end, and the connection goes on.
func TestDamagedBodies(t *testing.T) {
	body := strings.Repeat("a", 50)
	for name, raw := range map[string]string{
		"sized":   "POST /a HTTP/1.1\r\nHost: x\r\ncontent-LENGTH:  50\r\nX-A: b\r\n\r\n" + body,
		"chunked": "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n14;x=y\r\n" + body[:20] + "\r\n1e\r\n" + body[20:] + "\r\n0\r\nX-T: z\r\n\r\n",
		"h2":      "", "h2 without a length": "",
	} {
		for _, do := range []Do{Corrupt, Truncate} {
			t.Run(fmt.Sprintf("%s/%s", name, do), func(t *testing.T) {
				got := make(chan string, 2)
				s := serveEcho(t, got)
				f := open(t, s, Config{})
				count, _ := f.live(t, Rule{Do: do, Seed: 2, Match: Match{Path: "/a"}})
				if raw == "" {
					client := h2client(t)
					req, err := http.NewRequest(http.MethodPost, "http://"+f.addr+"/a", io.LimitReader(strings.NewReader(body), 100))
					require.NoError(t, err)
					if name == "h2" {
						req.ContentLength = 50
					}
					res, err := client.Do(req)
					require.NoError(t, err)
					_ = res.Body.Close()
					assert.Equal(t, 200, res.StatusCode)
				} else {
					p := connect(t, f.addr)
					p.send(raw+request("GET", "/after"), false)
					assert.Contains(t, p.reply(), "200 OK")
					assert.Contains(t, p.reply(), "200 OK")
				}
				arrived := <-got
				assert.NotEqual(t, body, arrived)
				if do == Corrupt {
					assert.Len(t, strings.ReplaceAll(arrived, "a", ""), 1)
					assert.Len(t, arrived, 50)
				} else {
					assert.True(t, strings.HasPrefix(body, arrived))
				}
				assert.EqualValues(t, 1, count.Tally().Affected)
				require.Len(t, f.seen(evidence.Applied), 1)
			})
		}
	}
}

// serveEcho tells what bodies a server of HTTP/1.1 and h2c reads.
func serveEcho(t *testing.T, got chan<- string) (addr string) {
	return serveOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			b = []byte(err.Error())
		}
		got <- string(b)
		w.WriteHeader(http.StatusOK)
	}))
}

func TestWhatHasNoPayloadIsNotDamaged(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	count, _ := f.live(t, Rule{Do: Truncate})
	p := connect(t, f.addr)
	for _, text := range []string{request("GET", "/a"), post("/a", ""), "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"} {
		p.send(text, false)
		assert.Contains(t, p.reply(), "/a")
	}
	h := connectH2(t, f.addr)
	assert.Equal(t, "200 4 /a", h.answer(h.ask("GET", "/a", "")).String())
	assert.Zero(t, count.Tally().Affected)
}
