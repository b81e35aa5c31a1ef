package http1

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// serveEvents starts a server that sends 5 events of its kind at /sse, /old and /chunked, and does not
// end them before its client leaves. /short ends behind 5 events, /sized and /encoded are not streams whose events can be
// counted. The server's cleanup waits until all clients have left.
func serveEvents(t *testing.T) (addr string) {
	return relaytest.ServeOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ends := false
		switch r.URL.Path {
		case "/sized":
			_, _ = io.WriteString(w, "data: 1\n\n")
			return
		case "/encoded":
			w.Header().Set("Content-Encoding", "gzip")
			ends = true
		case "/short":
			ends = true
		}
		if r.URL.Path != "/chunked" {
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		}
		for i := range 5 {
			_, _ = io.WriteString(w, eventText(r.URL.Path, i+1))
			w.(http.Flusher).Flush()
		}
		if !ends {
			<-r.Context().Done()
		}
	}))
}

// request returns a request for a stream. The server sends no chunks to a client of HTTP/1.0.
func request(path string) string {
	if path == "/old" {
		return "GET /old HTTP/1.0\r\n\r\n"
	}
	return relaytest.HTTPRequest("GET", path)
}

// eventText returns an event, whose lines end in several ways, behind a comment.
func eventText(path string, i int) string {
	if path == "/chunked" {
		return fmt.Sprintf("chunk %d\n\n", i)
	}
	end := []string{"\n", "\r", "\r\n"}[i%3]
	return ": keep-alive" + end + end + "id: 1" + end + fmt.Sprintf("data: %d", i) + end + end
}

func eventTexts(path string, n int) (text string) {
	for i := range n {
		text += eventText(path, i+1)
	}
	return text
}

// dechunk returns the data of a chunked body that may be incomplete.
func dechunk(body string) string {
	data := strings.Builder{}
	r := bufio.NewReader(strings.NewReader(body))
	for {
		var size int
		if _, err := fmt.Fscanf(r, "%x\r\n", &size); err != nil {
			return data.String()
		}
		n, _ := io.CopyN(&data, r, int64(size))
		_, _ = r.Discard(2)
		if n < int64(size) {
			return data.String()
		}
	}
}

// readUntilSilent appends to text what a peer sends until nothing comes for a while after so many bytes of the body, or until
// the connection ends.
func readUntilSilent(p relaytest.Peer, text string, body func(text string) string, least int) (all, how string) {
	for end := time.Now().Add(relaytest.Patience); ; {
		more, how := p.ReadToEnd(relaytest.Quiet)
		if text += more; how != "silence" || len(body(text)) >= least || time.Now().After(end) {
			return text, how
		}
	}
}

// Behind an event a stream ends as the rule says. The client has got all events before it, and nothing else.
func TestStreamsAreCut(t *testing.T) {
	s := serveEvents(t)
	for _, path := range []string{"/sse", "/old", "/chunked"} {
		for _, how := range []message.Ending{"", message.EndClosed, message.EndSilence} {
			for _, events := range []uint64{1, 3} { // their last lines end with CR and LF
				t.Run(fmt.Sprint(path, " ", how, events), func(t *testing.T) {
					f := relaytest.OpenLink(t, s, message.Config{})
					count, heal := f.AddRule(t, message.Rule{Action: message.CutReply, Events: events, EndWith: how})
					p := relaytest.Connect(t, f.Addr)
					p.Send(request(path), false)
					p.Before("\r\n\r\n")
					body := dechunk
					if path == "/old" {
						body = func(text string) string { return text }
					}
					want := eventTexts(path, int(events)) //nolint:gosec // 1 or 3
					var rest, ended string
					if how == message.EndSilence {
						rest, ended = readUntilSilent(p, "", body, len(want))
					} else {
						rest, ended = p.ReadToEnd(relaytest.Patience)
					}
					assert.Equal(t, want, body(rest))
					assert.Equal(t, cmp.Or(string(how), "reset"), ended)
					_ = p.Close()
					relaytest.WaitUntil(t, "the call is reported", func() bool { return len(f.FinishedCalls()) == 1 })
					assert.Equal(t, 0, f.FinishedCalls()[0].Status)
					assert.True(t, f.FinishedCalls()[0].Affected)
					assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1, Affected: 1}, relaytest.PlainTally(count))
					heal()
					fresh := relaytest.Connect(t, f.Addr)
					fresh.Send(request(path), false)
					fresh.Before(map[bool]string{true: "chunk 5", false: "data: 5"}[path == "/chunked"])
				})
			}
		}
	}
}

// A stream stalls behind an event, and goes on when the fault is healed.
func TestStreamsStall(t *testing.T) {
	s := serveEvents(t)
	for _, path := range []string{"/sse", "/chunked", "/short"} {
		t.Run(path, func(t *testing.T) {
			f := relaytest.OpenLink(t, s, message.Config{})
			count, heal := f.AddRule(t, message.Rule{Action: message.CutReply, Events: 2, EndWith: message.EndHeld})
			p := relaytest.Connect(t, f.Addr)
			p.Send(relaytest.HTTPRequest("GET", path), false)
			p.Before("\r\n\r\n")
			first, ended := readUntilSilent(p, "", dechunk, len(eventTexts(path, 2)))
			assert.Equal(t, eventTexts(path, 2), dechunk(first))
			assert.Equal(t, "silence", ended)
			assert.EqualValues(t, 1, count.Tally().Affected)
			heal()
			whole, _ := readUntilSilent(p, first, dechunk, len(eventTexts(path, 5)))
			assert.Equal(t, eventTexts(path, 5), dechunk(whole))
			assert.Len(t, f.Recorded(evidence.Released), 1)
			if path == "/short" {
				p.Send(relaytest.HTTPRequest("GET", "/sized"), false)
				assert.Contains(t, p.ReadReply(), "data: 1", "the connection remains usable")
			}
		})
	}
}

// Answers that have no event of that number pass unchanged, and are reported as skipped.
func TestAnswersThatCannotBeCut(t *testing.T) {
	s := serveEvents(t)
	for path, why := range map[string]string{
		"/sized": "", "/encoded": "its events are encoded: gzip", "/short": "it ended or its caller left after 5 of its events",
	} {
		for version, client := range bothVersions(t) {
			t.Run(version+path, func(t *testing.T) {
				f := relaytest.OpenLink(t, s, message.Config{})
				count, _ := f.AddRule(t, message.Rule{Action: message.CutReply, Events: 6})
				res, err := client.Get("http://" + f.Addr + path)
				require.NoError(t, err)
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				if path == "/sized" {
					assert.Equal(t, "data: 1\n\n", string(body))
				} else {
					assert.Equal(t, eventTexts(path, 5), string(body))
				}
				relaytest.WaitUntil(t, "the call is reported", func() bool { return len(f.FinishedCalls()) == 1 })
				if why == "" || version == "h2" && path == "/encoded" {
					assert.Equal(t, "it is not a stream of events", f.FinishedCalls()[0].Skipped)
				} else {
					assert.Equal(t, why, f.FinishedCalls()[0].Skipped)
				}
				assert.Equal(t, 200, f.FinishedCalls()[0].Status)
				assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1}, relaytest.PlainTally(count))
			})
		}
	}
}

// A client may leave before the event, and the server while the stream stalls.
func TestPeersLeaveStreams(t *testing.T) {
	f := relaytest.OpenLink(t, serveEvents(t), message.Config{})
	count, _ := f.AddRule(t, message.Rule{Action: message.CutReply, Events: 9})
	for range 2 {
		p := relaytest.Connect(t, f.Addr)
		p.Send(relaytest.HTTPRequest("GET", "/sse"), false)
		p.Before("data: 4")
		p.Reset()
	}
	relaytest.WaitUntil(t, "the calls are told", func() bool { return len(f.FinishedCalls()) == 2 })
	assert.Zero(t, count.Tally().Affected)

	script := relaytest.StartScript(t)
	f = relaytest.OpenLink(t, script.Addr, message.Config{})
	_, heal := f.AddRule(t, message.Rule{Action: message.CutReply, Events: 1, EndWith: message.EndHeld})
	p := relaytest.Connect(t, f.Addr)
	server := script.Accept(t)
	p.Send(relaytest.HTTPRequest("GET", "/"), false)
	server.Before("\r\n\r\n")
	server.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\none\r\n3\r\ntw", false)
	p.Before("one\r\n")
	relaytest.WaitUntil(t, "it stalls", func() bool { return len(f.Recorded(evidence.Held)) == 1 })
	_ = server.Close()
	heal()
	rest, how := p.ReadToEnd(relaytest.Patience)
	assert.Equal(t, "3\r\ntw", rest)
	assert.NotEqual(t, "silence", how)
}
