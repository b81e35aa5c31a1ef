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

// Bodies of every framing arrive damaged but with valid framing, in HTTP/1.1 and HTTP/2: the server reads them
// to the end, and the connection remains usable.
func TestDamagedBodies(t *testing.T) {
	body := strings.Repeat("a", 50)
	for name, raw := range map[string]string{
		"sized":   "POST /a HTTP/1.1\r\nHost: x\r\ncontent-LENGTH:  50\r\nX-A: b\r\n\r\n" + body,
		"chunked": "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n14;x=y\r\n" + body[:20] + "\r\n1e\r\n" + body[20:] + "\r\n0\r\nX-T: z\r\n\r\n",
		"h2":      "", "h2 without a length": "",
	} {
		for _, do := range []Action{Corrupt, Truncate} {
			t.Run(fmt.Sprintf("%s/%s", name, do), func(t *testing.T) {
				got := make(chan string, 2)
				s := serveEcho(t, got)
				f := openLink(t, s, Config{})
				count, _ := f.addRule(t, Rule{Action: do, Seed: 2, Match: Match{Path: "/a"}})
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
					assert.Contains(t, p.readReply(), "200 OK")
					assert.Contains(t, p.readReply(), "200 OK")
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
				require.Len(t, f.recorded(evidence.Applied), 1)
			})
		}
	}
}

// serveEcho starts a server of HTTP/1.1 and h2c that sends the bodies it reads to got.
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

func TestMessagesWithoutPayloadAreNotDamaged(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	count, _ := f.addRule(t, Rule{Action: Truncate})
	p := connect(t, f.addr)
	for _, text := range []string{request("GET", "/a"), post("/a", ""), "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"} {
		p.send(text, false)
		assert.Contains(t, p.readReply(), "/a")
	}
	h := connectH2(t, f.addr)
	assert.Equal(t, "200 4 /a", h.response(h.request("GET", "/a", "")).String())
	assert.Zero(t, count.Tally().Affected)
}

// The damaged byte depends only on the occurrence, not on earlier traffic, in framed protocols too.
func TestDamagedByteDependsOnOccurrence(t *testing.T) {
	damaged := func(seed uint64, before int) string {
		s := startScript(t)
		f := openLinkFor(t, "lines", s.addr, Config{})
		f.addRule(t, Rule{Action: Corrupt, Seed: seed, Match: Match{Method: "set"}})
		client := connect(t, f.addr)
		server := s.accept(t)
		client.send(strings.Repeat("ping\n", before)+"set "+strings.Repeat("a", 200)+"\n", false)
		server.expect(strings.Repeat("ping\n", before))
		return server.before("\n")
	}
	one := damaged(1, 0)
	assert.Equal(t, one, damaged(1, 3))
	assert.NotEqual(t, one, damaged(2, 0))
}

// Truncation keeps the first half of the payload.
func TestTruncationKeepsFirstHalf(t *testing.T) {
	s := startScript(t)
	f := openLinkFor(t, "lines", s.addr, Config{})
	f.addRule(t, Rule{Action: Truncate})
	client := connect(t, f.addr)
	server := s.accept(t)
	client.send("12345678\nabcde\n", false)
	assert.Equal(t, "1234", server.before("\n"))
	assert.Equal(t, "ab", server.before("\n"))
}
