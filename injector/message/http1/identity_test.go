package http1

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// corpus holds conversations. Those marked last end their connection; the others can follow each other.
var corpus = []struct {
	name  string
	last  bool
	lines []relaytest.Turn
}{
	{"get", false, relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/a"), "<"+relaytest.OK)},
	{"get with odd spelling", false, relaytest.Turns(">GET /a HTTP/1.1\r\nhOsT:x\r\nX-B:  two  words \r\nx-b: again\r\n\r\n", "<HTTP/1.1 200\r\ncontent-LENGTH: 2\r\nX: \xff\r\n\r\nok")},
	{"odd target", false, relaytest.Turns(">GET //a%2Fb/../c?q=%zz;&a=b#f HTTP/1.1\r\nHost: x\r\n\r\n", "<"+relaytest.OK)},
	{"absolute-form", false, relaytest.Turns(">GET http://payments:80/a?b HTTP/1.1\r\nHost: payments\r\n\r\n", "<"+relaytest.OK)},
	{"options *", false, relaytest.Turns(">OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "<HTTP/1.1 204 No Content\r\nAllow: GET\r\n\r\n")},
	{"bare line feeds", false, relaytest.Turns(">GET /a HTTP/1.1\nHost: x\n\n", "<HTTP/1.1 200 OK\nContent-Length: 2\n\nok")},
	{"empty lines before", false, relaytest.Turns(">\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", "<"+relaytest.OK)},
	{"obs-fold", false, relaytest.Turns(">GET /a HTTP/1.1\r\nHost: x\r\nX-Long: a\r\n b\r\n\tc\r\n\r\n", "<HTTP/1.1 200 OK\r\nX-Long: a\r\n b\r\nContent-Length: 2\r\n\r\nok")},
	{"post", false, relaytest.Turns(">"+relaytest.HTTPPost("/a", "hello"), "<"+relaytest.OK)},
	{"empty post", false, relaytest.Turns(">"+relaytest.HTTPPost("/a", ""), "<HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")},
	{"chunked", false, relaytest.Turns(">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"<HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")},
	{"chunks with extensions and trailers", false, relaytest.Turns(
		">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;a=\"b;c\"\r\nhello\r\n00a;x\r\n0123456789\r\n000;last\r\nX-Sum: 1\r\nX-T: \r\n\r\n",
		"<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\nA: b\r\n\r\n")},
	{"body that looks like a request", false, relaytest.Turns(">"+relaytest.HTTPPost("/a", relaytest.HTTPRequest("GET", "/inner")+"0\r\n\r\n"), "<HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")},
	{"head", false, relaytest.Turns(">"+relaytest.HTTPRequest("HEAD", "/a"), "<HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")},
	{"head of chunks", false, relaytest.Turns(">"+relaytest.HTTPRequest("HEAD", "/a"), "<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")},
	{"204", false, relaytest.Turns(">"+relaytest.HTTPRequest("DELETE", "/a"), "<HTTP/1.1 204 No Content\r\n\r\n")},
	{"304 with a length", false, relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/a"), "<HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n")},
	{"interim answers", false, relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/a"), "<HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "<HTTP/1.1 102 Processing\r\n\r\n", "<"+relaytest.OK)},
	{"expect continue", false, relaytest.Turns(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "<HTTP/1.1 100 Continue\r\n\r\n", ">hello", "<"+relaytest.OK)},
	{"expect refused, body still sent", false, relaytest.Turns(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "<HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", ">hello")},
	{"answer before the body", false, relaytest.Turns(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello", "<"+relaytest.OK, ">world")},
	{"answer in parts while the body comes", false, relaytest.Turns(">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHELLO\r\n",
		">1\r\n!\r\n", "<1\r\n!\r\n", ">0\r\n\r\n", "<0\r\n\r\n")},
	{"http/1.0 kept alive", false, relaytest.Turns(">GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "<HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")},

	{"head of many lines", true, relaytest.Turns(">GET /a HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("X-Fill: 0123456789\r\n", 500)+"\r\n", "<"+relaytest.OK)},
	{"http/1.0 until close", true, relaytest.Turns(">GET /a HTTP/1.0\r\n\r\n", "<HTTP/1.0 200 OK\r\n\r\nall that comes", "< and more")},
	{"until close", true, relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/a", "Connection: close\r\n"), "<HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall that comes", "< and more")},
	{"two codings until close", true, relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/a"), "<HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nall that comes")},
	{"body longer than promised", true, relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/a"), "<HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more")},
	{"upgrade", true, relaytest.Turns(">GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", "<HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello", ">\x00\x01\r\n\r\n", "<\xff\x00", ">more")},
	{"upgrade refused", false, relaytest.Turns(">GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "<"+relaytest.OK)},
	{"upgrade with early data", true, relaytest.Turns(">GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n\x81\x02hi", "<HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n\x81\x02ho", ">x")},
	{"connect", true, relaytest.Turns(">CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n", "<HTTP/1.1 200 OK\r\n\r\n", "<welcome", ">\x16\x03\x01", "<\x16\x03\x03")},
	{"connect refused", false, relaytest.Turns(">CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n", "<HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno")},
	{"two lengths", true, relaytest.Turns(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\nhello", "<"+relaytest.OK)},
	{"length and chunks", true, relaytest.Turns(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n", "<"+relaytest.OK)},
	{"space before a colon", true, relaytest.Turns(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello", "<"+relaytest.OK)},
	{"folded coding", true, relaytest.Turns(">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "<"+relaytest.OK)},
	{"chunks in http/1.0", true, relaytest.Turns(">POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nx", "<"+relaytest.OK)},
	{"broken chunk size", true, relaytest.Turns(">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\nwhat", "<"+relaytest.OK)},
	{"chunk without its end", true, relaytest.Turns(">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloworld\r\n", "<"+relaytest.OK)},
	{"another protocol", true, relaytest.Turns(">SSH-2.0-client\r\n", "<SSH-2.0-server\r\n", ">\x00\x00\x01", "<\x02")},
	{"http/2 with prior knowledge", true, relaytest.Turns(">PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "<\x00\x00\x00\x04\x00\x00\x00\x00\x00")},
	{"answer that is none", true, relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/a"), "<ICY 200 OK\r\n\r\nmusic", ">x", "<y")},
	{"server speaks first", true, relaytest.Turns("<220 ready\r\n", ">"+relaytest.HTTPRequest("GET", "/a"), "<"+relaytest.OK)},
	{"answer without a request", true, relaytest.Turns("<HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")},
}

func TestWithoutRulesBytesAreUnchanged(t *testing.T) {
	for _, c := range corpus {
		for _, single := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/single=%v", c.name, single), func(t *testing.T) {
				s := relaytest.StartScript(t)
				f := relaytest.OpenLink(t, s.Addr, message.Config{})
				client := relaytest.Connect(t, f.Addr)
				server := s.Accept(t)
				relaytest.Play(client, server, c.lines, single)
				relaytest.CloseBoth(client, server)
			})
			t.Run(fmt.Sprintf("%s/single=%v/server ends", c.name, single), func(t *testing.T) {
				s := relaytest.StartScript(t)
				f := relaytest.OpenLink(t, s.Addr, message.Config{})
				client := relaytest.Connect(t, f.Addr)
				server := s.Accept(t)
				relaytest.Play(client, server, c.lines, single)
				relaytest.CloseBoth(server, client)
			})
		}
	}
}

// Pipelining: all requests are sent before any answer, three times in a row.
func TestPipelinedRequestsPassAtOnce(t *testing.T) {
	for _, single := range []bool{false, true} {
		t.Run(fmt.Sprintf("single=%v", single), func(t *testing.T) {
			var up, down strings.Builder
			var n int
			for range 3 {
				for _, c := range corpus {
					if len(c.lines) != 2 || c.last || strings.HasPrefix(c.name, "connect") || strings.HasPrefix(c.name, "upgrade") {
						continue
					}
					up.WriteString(c.lines[0].Text)
					down.WriteString(c.lines[1].Text)
					n++
				}
			}
			s := relaytest.StartScript(t)
			f := relaytest.OpenLink(t, s.Addr, message.Config{})
			client := relaytest.Connect(t, f.Addr)
			server := s.Accept(t)
			relaytest.Play(client, server, []relaytest.Turn{{From: ">", Text: up.String()}, {From: "<", Text: down.String()}}, single)
			relaytest.CloseBoth(client, server)
			relaytest.WaitUntil(t, "all calls are told", func() bool { return len(f.FinishedCalls()) == n })
			for _, c := range f.FinishedCalls() {
				assert.NotZero(t, c.Status, c.Op)
				assert.Empty(t, c.Skipped)
			}
			toServer, toClient := f.CheckAccounts(t)
			assert.EqualValues(t, n, toServer.Received)
			assert.EqualValues(t, n, toServer.Delivered)
			assert.EqualValues(t, n, toClient.Delivered)
		})
	}
}

// Half-closes and resets at every point of an exchange are forwarded as such.
func TestConnectionEndsAreForwarded(t *testing.T) {
	points := []struct {
		name  string
		lines []relaytest.Turn
	}{ // rows with "in" something are buffered until it is complete or the stream ends
		{"at once", nil},
		{"in a head", relaytest.Turns(">GET /a HTT")},
		{"in a field", relaytest.Turns(">GET /a HTTP/1.1\r\nHost: x\r\n")},
		{"in a body", relaytest.Turns(">POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\nhello")},
		{"in a chunk line", relaytest.Turns(">POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1")},
		{"after a request", relaytest.Turns(">" + relaytest.HTTPRequest("GET", "/a"))},
		{"in an answer's head", relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/a"), "<HTTP/1.1 200 OK\r\nContent-")},
		{"in an answer's body", relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/a"), "<HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")},
		{"in an answer without a length", relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/a"), "<HTTP/1.1 200 OK\r\n\r\nhello")},
		{"after an answer", relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/a"), "<"+relaytest.OK)},
		{"after an upgrade", relaytest.Turns(">GET /a HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "<HTTP/1.1 101 Yes\r\n\r\n", ">a", "<b")},
	}
	for _, p := range points {
		for _, who := range []string{"client", "server"} {
			t.Run(p.name+"/"+who+" resets", func(t *testing.T) {
				client, server := relaytest.ConnPair(t)
				for i, l := range p.lines {
					from, to := client, server
					if l.From == "<" {
						from, to = server, client
					}
					if from.Send(l.Text, false); i < len(p.lines)-1 || !strings.HasPrefix(p.name, "in ") {
						to.Expect(l.Text)
					}
				}
				a, b := client, server
				if who == "server" {
					a, b = server, client
				}
				a.Reset()
				_, how := b.ReadToEnd(relaytest.Patience)
				assert.Equal(t, "reset", how)
			})
			t.Run(p.name+"/"+who+" closes its half, the other answers", func(t *testing.T) {
				client, server := relaytest.ConnPair(t)
				a, b, fromA, fromB := client, server, "", ""
				if who == "server" {
					a, b = server, client
				}
				for i, l := range p.lines {
					from, to := client, server
					if l.From == "<" {
						from, to = server, client
					}
					from.Send(l.Text, false)
					switch {
					case i < len(p.lines)-1 || !strings.HasPrefix(p.name, "in "):
						to.Expect(l.Text)
					case from == a:
						fromA = l.Text
					default:
						fromB = l.Text
					}
				}
				require.NoError(t, a.CloseWrite())
				got, how := b.ReadToEnd(relaytest.Patience)
				assert.Equal(t, "closed", how)
				assert.Equal(t, fromA, got)
				b.Send("the other half still speaks", false)
				require.NoError(t, b.CloseWrite())
				got, how = a.ReadToEnd(relaytest.Patience)
				assert.Equal(t, "closed", how)
				assert.Equal(t, fromB+"the other half still speaks", got)
			})
		}
	}
}

func TestRefusedUpstreamResetsClient(t *testing.T) {
	addr := relaytest.OpenLink(t, "127.0.0.1:1", message.Config{}).Addr // no service listens on port 1
	c, err := net.Dial("tcp", addr)
	if err == nil { // otherwise the reset came first
		defer c.Close()
		_, err = io.ReadAll(c)
	}
	assert.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestEndlessHeadPasses(t *testing.T) {
	client, server := relaytest.ConnPair(t)
	text := "GET /a HTTP/1.1\r\n" + strings.Repeat("X-Fill: 0123456789\r\n", 2*maxHead/20)
	go func() { _, _ = client.WriteText(text, false) }()
	server.Expect(text)
	relaytest.Play(client, server, relaytest.Turns("<anything", ">goes"), false)
	relaytest.CloseBoth(client, server)
}

// Large bodies are streamed, in both directions at once, in pieces of any size.
func TestLargeBodiesStreamBothWays(t *testing.T) {
	size := 8 << 20
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(rand.Uint32()) //nolint:gosec // test data
	}
	client, server := relaytest.ConnPair(t)
	up := fmt.Sprintf("POST /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s", size, body)
	down := fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, body)
	// The answer starts once the head has arrived.
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = client.WriteText(up, false) })
	head := up[:strings.Index(up, "\r\n\r\n")+4]
	server.Expect(head)
	wg.Go(func() { _, _ = server.WriteText(down, false) })
	wg.Go(func() { server.Expect(up[len(head):]) })
	client.Expect(down)
	wg.Wait()
	relaytest.CloseBoth(client, server)
}

// Skipped traffic is reported with the reason, once for each connection.
func TestUnparsableTrafficIsReported(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	client := relaytest.Connect(t, f.Addr)
	server := s.Accept(t)
	relaytest.Play(client, server, relaytest.Turns(">POST /a HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "<"+relaytest.OK, ">"+relaytest.HTTPRequest("GET", "/b"), "<"+relaytest.OK), false)
	relaytest.CloseBoth(client, server)
	relaytest.WaitUntil(t, "it is reported", func() bool { return len(f.FinishedCalls()) > 0 })
	calls := f.FinishedCalls()
	require.Len(t, calls, 1)
	assert.NotEmpty(t, calls[0].Skipped)
	assert.WithinDuration(t, time.Now(), calls[0].End, time.Hour)
}
