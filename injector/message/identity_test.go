package message

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
)

// line is one turn of a conversation: text sent by the client (">") or the server ("<").
type line struct{ from, text string }

func messages(text ...string) []line {
	var lines []line
	for _, s := range text {
		lines = append(lines, line{s[:1], s[1:]})
	}
	return lines
}

// ok is a small answer.
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// corpus holds conversations. Those marked last end their connection; the others can follow each other.
var corpus = []struct {
	name  string
	last  bool
	lines []line
}{
	{"get", false, messages(">"+request("GET", "/a"), "<"+ok)},
	{"get with odd spelling", false, messages(">GET /a HTTP/1.1\r\nhOsT:x\r\nX-B:  two  words \r\nx-b: again\r\n\r\n", "<HTTP/1.1 200\r\ncontent-LENGTH: 2\r\nX: \xff\r\n\r\nok")},
	{"odd target", false, messages(">GET //a%2Fb/../c?q=%zz;&a=b#f HTTP/1.1\r\nHost: x\r\n\r\n", "<"+ok)},
	{"absolute-form", false, messages(">GET http://payments:80/a?b HTTP/1.1\r\nHost: payments\r\n\r\n", "<"+ok)},
	{"options *", false, messages(">OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "<HTTP/1.1 204 No Content\r\nAllow: GET\r\n\r\n")},
	{"bare line feeds", false, messages(">GET /a HTTP/1.1\nHost: x\n\n", "<HTTP/1.1 200 OK\nContent-Length: 2\n\nok")},
	{"empty lines before", false, messages(">\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", "<"+ok)},
	{"obs-fold", false, messages(">GET /a HTTP/1.1\r\nHost: x\r\nX-Long: a\r\n b\r\n\tc\r\n\r\n", "<HTTP/1.1 200 OK\r\nX-Long: a\r\n b\r\nContent-Length: 2\r\n\r\nok")},
	{"post", false, messages(">"+post("/a", "hello"), "<"+ok)},
	{"empty post", false, messages(">"+post("/a", ""), "<HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")},
	{"chunked", false, messages(">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"<HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")},
	{"chunks with extensions and trailers", false, messages(
		">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;a=\"b;c\"\r\nhello\r\n00a;x\r\n0123456789\r\n000;last\r\nX-Sum: 1\r\nX-T: \r\n\r\n",
		"<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\nA: b\r\n\r\n")},
	{"body that looks like a request", false, messages(">"+post("/a", request("GET", "/inner")+"0\r\n\r\n"), "<HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")},
	{"head", false, messages(">"+request("HEAD", "/a"), "<HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")},
	{"head of chunks", false, messages(">"+request("HEAD", "/a"), "<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")},
	{"204", false, messages(">"+request("DELETE", "/a"), "<HTTP/1.1 204 No Content\r\n\r\n")},
	{"304 with a length", false, messages(">"+request("GET", "/a"), "<HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n")},
	{"interim answers", false, messages(">"+request("GET", "/a"), "<HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "<HTTP/1.1 102 Processing\r\n\r\n", "<"+ok)},
	{"expect continue", false, messages(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "<HTTP/1.1 100 Continue\r\n\r\n", ">hello", "<"+ok)},
	{"expect refused, body still sent", false, messages(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "<HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", ">hello")},
	{"answer before the body", false, messages(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello", "<"+ok, ">world")},
	{"answer in parts while the body comes", false, messages(">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHELLO\r\n",
		">1\r\n!\r\n", "<1\r\n!\r\n", ">0\r\n\r\n", "<0\r\n\r\n")},
	{"http/1.0 kept alive", false, messages(">GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "<HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")},

	{"head of many lines", true, messages(">GET /a HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("X-Fill: 0123456789\r\n", 500)+"\r\n", "<"+ok)},
	{"http/1.0 until close", true, messages(">GET /a HTTP/1.0\r\n\r\n", "<HTTP/1.0 200 OK\r\n\r\nall that comes", "< and more")},
	{"until close", true, messages(">"+request("GET", "/a", "Connection: close\r\n"), "<HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall that comes", "< and more")},
	{"two codings until close", true, messages(">"+request("GET", "/a"), "<HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nall that comes")},
	{"body longer than promised", true, messages(">"+request("GET", "/a"), "<HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more")},
	{"upgrade", true, messages(">GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", "<HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello", ">\x00\x01\r\n\r\n", "<\xff\x00", ">more")},
	{"upgrade refused", false, messages(">GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "<"+ok)},
	{"upgrade with early data", true, messages(">GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n\x81\x02hi", "<HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n\x81\x02ho", ">x")},
	{"connect", true, messages(">CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n", "<HTTP/1.1 200 OK\r\n\r\n", "<welcome", ">\x16\x03\x01", "<\x16\x03\x03")},
	{"connect refused", false, messages(">CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n", "<HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno")},
	{"two lengths", true, messages(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\nhello", "<"+ok)},
	{"length and chunks", true, messages(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n", "<"+ok)},
	{"space before a colon", true, messages(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello", "<"+ok)},
	{"folded coding", true, messages(">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "<"+ok)},
	{"chunks in http/1.0", true, messages(">POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nx", "<"+ok)},
	{"broken chunk size", true, messages(">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\nwhat", "<"+ok)},
	{"chunk without its end", true, messages(">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloworld\r\n", "<"+ok)},
	{"another protocol", true, messages(">SSH-2.0-client\r\n", "<SSH-2.0-server\r\n", ">\x00\x00\x01", "<\x02")},
	{"http/2 with prior knowledge", true, messages(">PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "<\x00\x00\x00\x04\x00\x00\x00\x00\x00")},
	{"answer that is none", true, messages(">"+request("GET", "/a"), "<ICY 200 OK\r\n\r\nmusic", ">x", "<y")},
	{"server speaks first", true, messages("<220 ready\r\n", ">"+request("GET", "/a"), "<"+ok)},
	{"answer without a request", true, messages("<HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")},
}

// exchange plays a conversation through the relay; each end checks every byte that it receives.
func exchange(client, server peer, lines []line, single bool) {
	for _, l := range lines {
		from, to := client, server
		if l.from == "<" {
			from, to = server, client
		}
		sent := make(chan struct{})
		go func() { defer close(sent); _, _ = from.write(l.text, single) }()
		to.expect(l.text)
		<-sent
	}
}

func (p peer) write(text string, single bool) (int, error) {
	if !single {
		return io.WriteString(p, text)
	}
	for i := range len(text) {
		if _, err := io.WriteString(p, text[i:i+1]); err != nil {
			return i, err
		}
	}
	return len(text), nil
}

// closeBoth closes a connection gracefully, one side after the other.
func closeBoth(first, second peer) {
	_ = first.CloseWrite()
	rest, how := second.readToEnd(patience)
	assert.Equal(second.t, "closed", how)
	assert.Empty(second.t, rest)
	_ = second.CloseWrite()
	rest, how = first.readToEnd(patience)
	assert.Equal(first.t, "closed", how)
	assert.Empty(first.t, rest)
}

func TestWithoutRulesBytesAreUnchanged(t *testing.T) {
	for _, c := range corpus {
		for _, single := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/single=%v", c.name, single), func(t *testing.T) {
				s := startScript(t)
				f := openLink(t, s.addr, Config{})
				client := connect(t, f.addr)
				server := s.accept(t)
				exchange(client, server, c.lines, single)
				closeBoth(client, server)
			})
			t.Run(fmt.Sprintf("%s/single=%v/server ends", c.name, single), func(t *testing.T) {
				s := startScript(t)
				f := openLink(t, s.addr, Config{})
				client := connect(t, f.addr)
				server := s.accept(t)
				exchange(client, server, c.lines, single)
				closeBoth(server, client)
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
					up.WriteString(c.lines[0].text)
					down.WriteString(c.lines[1].text)
					n++
				}
			}
			s := startScript(t)
			f := openLink(t, s.addr, Config{})
			client := connect(t, f.addr)
			server := s.accept(t)
			exchange(client, server, []line{{">", up.String()}, {"<", down.String()}}, single)
			closeBoth(client, server)
			waitUntil(t, "all calls are told", func() bool { return len(f.finishedCalls()) == n })
			for _, c := range f.finishedCalls() {
				assert.NotZero(t, c.Status, c.Op)
				assert.Empty(t, c.Skipped)
			}
			toServer, toClient := f.checkAccounts(t)
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
		lines []line
	}{ // rows with "in" something are buffered until it is complete or the stream ends
		{"at once", nil},
		{"in a head", messages(">GET /a HTT")},
		{"in a field", messages(">GET /a HTTP/1.1\r\nHost: x\r\n")},
		{"in a body", messages(">POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\nhello")},
		{"in a chunk line", messages(">POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1")},
		{"after a request", messages(">" + request("GET", "/a"))},
		{"in an answer's head", messages(">"+request("GET", "/a"), "<HTTP/1.1 200 OK\r\nContent-")},
		{"in an answer's body", messages(">"+request("GET", "/a"), "<HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")},
		{"in an answer without a length", messages(">"+request("GET", "/a"), "<HTTP/1.1 200 OK\r\n\r\nhello")},
		{"after an answer", messages(">"+request("GET", "/a"), "<"+ok)},
		{"after an upgrade", messages(">GET /a HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "<HTTP/1.1 101 Yes\r\n\r\n", ">a", "<b")},
	}
	for _, p := range points {
		for _, who := range []string{"client", "server"} {
			t.Run(p.name+"/"+who+" resets", func(t *testing.T) {
				client, server := connPair(t)
				for i, l := range p.lines {
					from, to := client, server
					if l.from == "<" {
						from, to = server, client
					}
					if from.send(l.text, false); i < len(p.lines)-1 || !strings.HasPrefix(p.name, "in ") {
						to.expect(l.text)
					}
				}
				a, b := client, server
				if who == "server" {
					a, b = server, client
				}
				a.reset()
				_, how := b.readToEnd(patience)
				assert.Equal(t, "reset", how)
			})
			t.Run(p.name+"/"+who+" closes its half, the other answers", func(t *testing.T) {
				client, server := connPair(t)
				a, b, fromA, fromB := client, server, "", ""
				if who == "server" {
					a, b = server, client
				}
				for i, l := range p.lines {
					from, to := client, server
					if l.from == "<" {
						from, to = server, client
					}
					from.send(l.text, false)
					switch {
					case i < len(p.lines)-1 || !strings.HasPrefix(p.name, "in "):
						to.expect(l.text)
					case from == a:
						fromA = l.text
					default:
						fromB = l.text
					}
				}
				require.NoError(t, a.CloseWrite())
				got, how := b.readToEnd(patience)
				assert.Equal(t, "closed", how)
				assert.Equal(t, fromA, got)
				b.send("the other half still speaks", false)
				require.NoError(t, b.CloseWrite())
				got, how = a.readToEnd(patience)
				assert.Equal(t, "closed", how)
				assert.Equal(t, fromB+"the other half still speaks", got)
			})
		}
	}
}

// conversation is what the two peers of a protocol send to each other.
type conversation struct {
	name  string
	lines []line
}

// conversations of the framed protocols, as between real servers and clients. Every protocol in the table needs
// some. The last two turns of the first conversation are a message and its answer, for testing faults (see
// checkConforms).
var conversations = map[string][]conversation{
	"lengths": {
		{"four bytes, lowest first", messages(">\x05\x00\x00\x00hello", "<\x02\x00\x00\x00ok")},
		{"nothing in it", messages(">\x00\x00\x00\x00", "<\x00\x00\x00\x00", ">\x01\x00\x00\x00\n", "<\x00\x00\x00\x00")},
		{"ahead", messages(">\x01\x00\x00\x00a\x01\x00\x00\x00b", "<\x01\x00\x00\x00A\x01\x00\x00\x00B")},
		{"greeting", messages("<\x03\x00\x00\x00hi!", ">\x01\x00\x00\x00a", "<\x01\x00\x00\x00A", "<\x01\x00\x00\x00B")},
		{"large", messages(">\x00\x00\x20\x00"+strings.Repeat("x", 2<<20), "<\x00\x00\x20\x00"+strings.Repeat("y", 2<<20))},
	},
	"lines": {
		{"put", messages(">PUT k hello\n", "<OK\n")},
		{"odd", messages(">\r\n", "<\n", "> \t \n", "<a\rb\r\n", ">\x00\xff\n", "<\n")},
		{"ahead", messages(">A\nB\nC\n", "<a\nb\nc\n")},
		{"greeting", messages("<220 ready\r\n", ">QUIT\r\n", "<221 bye\r\n")},
		{"large", messages(">"+strings.Repeat("x", 2<<20)+"\n", "<"+strings.Repeat("y", 2<<20)+"\n")},
	},
	"nats": {
		{"publish and its acknowledgement", messages(">"+natsConnect, "<PONG\r\n", ">SUB _INBOX.a.* 1\r\n", ">PUB orders.new _INBOX.a.1 5\r\nhello\r\n", "<MSG _INBOX.a.1 1 27\r\n{\"stream\":\"ORDERS\",\"seq\":3}\r\n")},
		{"heads", messages(">"+natsConnect, "<PONG\r\n", ">HPUB a 26 28\r\nNATS/1.0\r\nNats-Msg-Id:7\r\n\r\nhi\r\n", ">HPUB a _INBOX.b 12 12\r\nNATS/1.0\r\n\r\n\r\n", "<HMSG _INBOX.b 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n")},
		{"without CONNECT", messages(">PING\r\n", "<PONG\r\n", ">PUB a 0\r\n\r\n", "<+OK\r\n", ">sub  a\t q 1\r\nunsub 1 5\r\nUNSUB 1\nUNSUB 1\r\n", "<+OK\r\n+OK\r\n")},
		{"payload that looks like a message", messages(">PUB a 13\r\nPUB b 1\r\nx\r\n \r\n", "<MSG a 1 b.c 14\r\nMSG b 1 1\r\nx\r\n\r\n", "<PING\r\n", ">PONG\r\n")},
		{"error", messages(">PUB a..b 0\r\n\r\n", "<-ERR 'Invalid Publish Subject'\r\n")},
		{"large", messages(">PUB a 2097152\r\n"+strings.Repeat("x", 2<<20)+"\r\n", "<MSG a 1 2097152\r\n"+strings.Repeat("x", 2<<20)+"\r\n")},
		{"TLS", messages(">\x16\x03\x01\x02\x00", "<\x16\x03\x03", ">PUB", "<MSG")},
		{"a leaf node", messages(">CONNECT {}\r\n", ">LS+ a\r\n", "<LS+ b\r\n", ">LMSG a 2\r\nhi\r\n")},
		{"nonsense", messages(">PUB a b c d e\r\n", "<MSG\r\n", ">HPUB a 9 5\r\n", "<x")},
	},
	"postgres": {
		{"insert", messages(">"+pgStart, "<"+pgReady, ">"+pg("Q", "INSERT INTO orders VALUES (1)\x00"), "<"+pg("C", "INSERT 0 1\x00")+pg("Z", "I"))},
		{"encryption refused", messages(">"+pgFirst(pgGSS, ""), "<N", ">"+pgFirst(pgTLS, ""), "<N", ">"+pgStart, "<"+pgReady)},
		{"encryption granted", messages(">"+pgFirst(pgTLS, ""), "<S", ">\x16\x03\x01\x00\x01Q", "<\x16\x03\x03Z\x00", ">x")},
		{"encryption answered with an error", messages(">"+pgFirst(pgTLS, ""), "<"+pg("E", "SFATAL\x00C0A000\x00Mno\x00\x00"))},
		{"cancel", messages(">" + pgFirst(pgCancel, "\x00\x00\x00\x01\x00\x00\x00\x02"))},
		{"password", messages(">"+pgStart, "<"+pg("R", "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00"), ">"+pg("p", "SCRAM-SHA-256\x00"), "<"+pg("R", "\x00\x00\x00\x0br="), ">"+pg("p", "c="),
			"<"+pg("R", "\x00\x00\x00\x0cv=")+pgReady, ">"+pg("X", ""))},
		{"extended", messages(">"+pgStart, "<"+pgReady, ">"+pg("P", "s\x00SELECT $1\x00\x00\x00")+pg("D", "Ss\x00")+pg("S", ""), "<"+pg("1", "")+pg("t", "\x00\x00")+pg("T", "\x00\x00")+pg("Z", "I"),
			">"+pg("B", "\x00s\x00")+pg("E", "\x00\x00\x00\x00\x00")+pg("S", ""), "<"+pg("2", "")+pg("D", "\x00\x00"), "<"+pg("C", "SELECT 1\x00")+pg("Z", "I"))},
		{"flushed", messages(">"+pgStart, "<"+pgReady, ">"+pg("P", "\x00SELECT\x00\x00\x00")+pg("D", "S\x00")+pg("H", ""), "<"+pg("1", "")+pg("t", "\x00\x00")+pg("n", ""),
			">"+pg("B", "\x00\x00")+pg("E", "\x00")+pg("H", ""), "<"+pg("2", "")+pg("C", "SELECT 1\x00"), ">"+pg("S", ""), "<"+pg("Z", "I"))},
		{"sent ahead", messages(">"+pgStart, "<"+pgReady, ">"+pg("Q", "BEGIN\x00")+pg("Q", "SELECT\x00")+pg("S", "")+pg("Q", "COMMIT\x00"),
			"<"+pg("C", "BEGIN\x00")+pg("Z", "T")+pg("E", "SERROR\x00C42601\x00\x00")+pg("Z", "E")+pg("Z", "E")+pg("C", "ROLLBACK\x00")+pg("Z", "I"))},
		{"copy in", messages(">"+pgStart, "<"+pgReady, ">"+pg("Q", "COPY t FROM STDIN\x00"), "<"+pg("G", "\x00\x00\x00"), ">"+pg("d", "1\n")+pg("d", "2\n")+pg("c", ""), "<"+pg("C", "COPY 2\x00")+pg("Z", "I"))},
		{"copy in, extended", messages(">"+pgStart, "<"+pgReady, ">"+pg("P", "\x00COPY t FROM STDIN\x00\x00\x00")+pg("B", "\x00\x00")+pg("E", "\x00")+pg("S", ""),
			"<"+pg("1", "")+pg("2", "")+pg("G", "\x00\x00\x00"), ">"+pg("d", "1\n"), ">"+pg("f", "no\x00")+pg("S", ""), "<"+pg("E", "SERROR\x00C57014\x00\x00")+pg("Z", "I"))},
		{"copy out", messages(">"+pgStart, "<"+pgReady, ">"+pg("Q", "COPY t TO STDOUT\x00"), "<"+pg("H", "\x00\x00\x00")+pg("d", "1\n")+pg("c", "")+pg("C", "COPY 1\x00")+pg("Z", "I"))},
		{"of its own accord", messages(">"+pgStart, "<"+pgReady, "<"+pg("A", "\x00\x00\x00\x01news\x00hello\x00"), "<"+pg("N", "SNOTICE\x00\x00"), "<"+pg("S", "TimeZone\x00UTC\x00"), "<"+pg("E", "SFATAL\x00C57P01\x00\x00"))},
		{"replication", messages(">"+pgFirst(3<<16, "user\x00u\x00replication\x00database\x00\x00"), "<"+pgReady, ">"+pg("Q", "START_REPLICATION\x00"), "<"+pg("W", "\x00\x00\x00")+pg("d", "w"), ">"+pg("d", "r"), "<"+pg("d", "w"))},
		{"large", messages(">"+pgStart, "<"+pgReady, ">"+pg("Q", "SELECT '"+strings.Repeat("x", 2<<20)+"'\x00"), "<"+pg("D", strings.Repeat("x", 2<<20))+pg("C", "SELECT 1\x00")+pg("Z", "I"),
			">"+pg("B", "\x00\x00"+strings.Repeat("x", 2<<20))+pg("E", "\x00")+pg("S", ""), "<"+pg("2", "")+pg("C", "INSERT 0 1\x00")+pg("Z", "I"))},
		{"version 2", messages(">"+pgFirst(2<<16, "u"), "<"+pg("E", "no\x00"), ">x")},
		{"no postgres at all", messages(">GET / HTTP/1.1\r\n\r\n", "<HTTP/1.1 200 OK\r\n\r\n", ">x")},
		{"nonsense", messages(">"+pgStart, "<"+pgReady, ">"+pg("y", ""), "<?", ">x")},
	},
	"redis": {
		{"set and get", messages(">*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\n", "<+OK\r\n", ">*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "<$5\r\nhello\r\n")},
		{"pipelined", messages(">*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*1\r\n$4\r\nPING\r\n", "<+PONG\r\n:1\r\n+PONG\r\n")},
		{"bulk that looks like a command", messages(">*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$14\r\n*1\r\n$4\r\nPING\r\n\r\n", "<+OK\r\n")},
		{"nested, empty, nil", messages(">*2\r\n$4\r\nEVAL\r\n$0\r\n\r\n", "<*4\r\n*2\r\n:1\r\n$-1\r\n*0\r\n*-1\r\n$0\r\n\r\n")},
		{"RESP3", messages(">*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n", "<%2\r\n+server\r\n+redis\r\n+proto\r\n:3\r\n", ">*1\r\n$4\r\nINFO\r\n", "<=7\r\ntxt:abc\r\n",
			"<>3\r\n+message\r\n+c\r\n+hi\r\n", ">*1\r\n$4\r\nPING\r\n", "<|1\r\n+a\r\n:1\r\n,1.5\r\n", ">*1\r\n$4\r\nPING\r\n", "<~2\r\n#t\r\n_\r\n", ">*1\r\n$4\r\nPING\r\n", "<(349\r\n")},
		{"inline", messages(">PING\r\n", "<+PONG\r\n", ">\r\nset k v\n", "<+OK\r\n")},
		{"subscribed", messages(">*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n", "<*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "<*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n", ">*1\r\n$4\r\nPING\r\n", "<*2\r\n$4\r\npong\r\n$0\r\n\r\n")},
		{"no answers", messages(">*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n*1\r\n$4\r\nPING\r\n", ">*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n", "<+OK\r\n")},
		{"monitor", messages(">*1\r\n$7\r\nMONITOR\r\n", "<+OK\r\n", "<+1 [0] \"ping\"\r\n", "<+2 [0] \"ping\"\r\n")},
		{"large", messages(">*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2097152\r\n"+strings.Repeat("x", 2<<20)+"\r\n", "<+OK\r\n")},
		{"no redis at all", messages("> \x16\x03\x01\n*x\r\n", "<what?", ">$never\r\n", "<*again")},
	},
}

// connPair returns a client and a server with a relay between them.
func connPair(t testing.TB) (client, server peer) {
	s := startScript(t)
	f := openLink(t, s.addr, Config{})
	client = connect(t, f.addr)
	return client, s.accept(t)
}

func TestRefusedUpstreamResetsClient(t *testing.T) {
	addr := openLink(t, "127.0.0.1:1", Config{}).addr // no service listens on port 1
	c, err := net.Dial("tcp", addr)
	if err == nil { // otherwise the reset came first
		defer c.Close()
		_, err = io.ReadAll(c)
	}
	assert.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestEndlessHeadPasses(t *testing.T) {
	client, server := connPair(t)
	text := "GET /a HTTP/1.1\r\n" + strings.Repeat("X-Fill: 0123456789\r\n", 2*maxHead/20)
	go func() { _, _ = client.write(text, false) }()
	server.expect(text)
	exchange(client, server, messages("<anything", ">goes"), false)
	closeBoth(client, server)
}

// Large bodies are streamed, in both directions at once, in pieces of any size.
func TestLargeBodiesStreamBothWays(t *testing.T) {
	size := 8 << 20
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(rand.Uint32()) //nolint:gosec // test data
	}
	client, server := connPair(t)
	up := fmt.Sprintf("POST /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s", size, body)
	down := fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, body)
	// The answer starts once the head has arrived.
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = client.write(up, false) })
	head := up[:strings.Index(up, "\r\n\r\n")+4]
	server.expect(head)
	wg.Go(func() { _, _ = server.write(down, false) })
	wg.Go(func() { server.expect(up[len(head):]) })
	client.expect(down)
	wg.Wait()
	closeBoth(client, server)
}

// Skipped traffic is reported with the reason, once for each connection.
func TestUnparsableTrafficIsReported(t *testing.T) {
	s := startScript(t)
	f := openLink(t, s.addr, Config{})
	client := connect(t, f.addr)
	server := s.accept(t)
	exchange(client, server, messages(">POST /a HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "<"+ok, ">"+request("GET", "/b"), "<"+ok), false)
	closeBoth(client, server)
	waitUntil(t, "it is told", func() bool { return len(f.finishedCalls()) > 0 })
	calls := f.finishedCalls()
	require.Len(t, calls, 1)
	assert.NotEmpty(t, calls[0].Skipped)
	assert.WithinDuration(t, time.Now(), calls[0].End, time.Hour)
}
