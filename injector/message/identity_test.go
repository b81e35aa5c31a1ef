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

// line is one turn of a conversation: text that the client (">") or the server ("<") sends.
type line struct{ from, text string }

func say(text ...string) []line {
	var lines []line
	for _, s := range text {
		lines = append(lines, line{s[:1], s[1:]})
	}
	return lines
}

// ok is a small answer.
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// corpus holds conversations. Those marked last end their connection; the others may be put one behind the other.
var corpus = []struct {
	name  string
	last  bool
	lines []line
}{
	{"get", false, say(">"+request("GET", "/a"), "<"+ok)},
	{"get with odd spelling", false, say(">GET /a HTTP/1.1\r\nhOsT:x\r\nX-B:  two  words \r\nx-b: again\r\n\r\n", "<HTTP/1.1 200\r\ncontent-LENGTH: 2\r\nX: \xff\r\n\r\nok")},
	{"odd target", false, say(">GET //a%2Fb/../c?q=%zz;&a=b#f HTTP/1.1\r\nHost: x\r\n\r\n", "<"+ok)},
	{"absolute-form", false, say(">GET http://payments:80/a?b HTTP/1.1\r\nHost: payments\r\n\r\n", "<"+ok)},
	{"options *", false, say(">OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "<HTTP/1.1 204 No Content\r\nAllow: GET\r\n\r\n")},
	{"bare line feeds", false, say(">GET /a HTTP/1.1\nHost: x\n\n", "<HTTP/1.1 200 OK\nContent-Length: 2\n\nok")},
	{"empty lines before", false, say(">\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", "<"+ok)},
	{"obs-fold", false, say(">GET /a HTTP/1.1\r\nHost: x\r\nX-Long: a\r\n b\r\n\tc\r\n\r\n", "<HTTP/1.1 200 OK\r\nX-Long: a\r\n b\r\nContent-Length: 2\r\n\r\nok")},
	{"post", false, say(">"+post("/a", "hello"), "<"+ok)},
	{"empty post", false, say(">"+post("/a", ""), "<HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")},
	{"chunked", false, say(">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"<HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")},
	{"chunks with extensions and trailers", false, say(
		">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;a=\"b;c\"\r\nhello\r\n00a;x\r\n0123456789\r\n000;last\r\nX-Sum: 1\r\nX-T: \r\n\r\n",
		"<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\nA: b\r\n\r\n")},
	{"body that looks like a request", false, say(">"+post("/a", request("GET", "/inner")+"0\r\n\r\n"), "<HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")},
	{"head", false, say(">"+request("HEAD", "/a"), "<HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")},
	{"head of chunks", false, say(">"+request("HEAD", "/a"), "<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")},
	{"204", false, say(">"+request("DELETE", "/a"), "<HTTP/1.1 204 No Content\r\n\r\n")},
	{"304 with a length", false, say(">"+request("GET", "/a"), "<HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n")},
	{"interim answers", false, say(">"+request("GET", "/a"), "<HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "<HTTP/1.1 102 Processing\r\n\r\n", "<"+ok)},
	{"expect continue", false, say(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "<HTTP/1.1 100 Continue\r\n\r\n", ">hello", "<"+ok)},
	{"expect refused, body still sent", false, say(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "<HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", ">hello")},
	{"answer before the body", false, say(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello", "<"+ok, ">world")},
	{"answer in parts while the body comes", false, say(">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHELLO\r\n",
		">1\r\n!\r\n", "<1\r\n!\r\n", ">0\r\n\r\n", "<0\r\n\r\n")},
	{"http/1.0 kept alive", false, say(">GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "<HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")},

	{"head of many lines", true, say(">GET /a HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("X-Fill: 0123456789\r\n", 500)+"\r\n", "<"+ok)},
	{"http/1.0 until close", true, say(">GET /a HTTP/1.0\r\n\r\n", "<HTTP/1.0 200 OK\r\n\r\nall that comes", "< and more")},
	{"until close", true, say(">"+request("GET", "/a", "Connection: close\r\n"), "<HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall that comes", "< and more")},
	{"two codings until close", true, say(">"+request("GET", "/a"), "<HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nall that comes")},
	{"body longer than promised", true, say(">"+request("GET", "/a"), "<HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more")},
	{"upgrade", true, say(">GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", "<HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello", ">\x00\x01\r\n\r\n", "<\xff\x00", ">more")},
	{"upgrade refused", false, say(">GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "<"+ok)},
	{"upgrade with early data", true, say(">GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n\x81\x02hi", "<HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n\x81\x02ho", ">x")},
	{"connect", true, say(">CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n", "<HTTP/1.1 200 OK\r\n\r\n", "<welcome", ">\x16\x03\x01", "<\x16\x03\x03")},
	{"connect refused", false, say(">CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n", "<HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno")},
	{"two lengths", true, say(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\nhello", "<"+ok)},
	{"length and chunks", true, say(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n", "<"+ok)},
	{"space before a colon", true, say(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello", "<"+ok)},
	{"folded coding", true, say(">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "<"+ok)},
	{"chunks in http/1.0", true, say(">POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nx", "<"+ok)},
	{"broken chunk size", true, say(">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\nwhat", "<"+ok)},
	{"chunk without its end", true, say(">POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloworld\r\n", "<"+ok)},
	{"another protocol", true, say(">SSH-2.0-client\r\n", "<SSH-2.0-server\r\n", ">\x00\x00\x01", "<\x02")},
	{"http/2 with prior knowledge", true, say(">PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "<\x00\x00\x00\x04\x00\x00\x00\x00\x00")},
	{"answer that is none", true, say(">"+request("GET", "/a"), "<ICY 200 OK\r\n\r\nmusic", ">x", "<y")},
	{"server speaks first", true, say("<220 ready\r\n", ">"+request("GET", "/a"), "<"+ok)},
	{"answer without a request", true, say("<HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")},
}

// talk plays a conversation through the relay, each end checking every byte that it gets.
func talk(client, server peer, lines []line, single bool) {
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

// part ends a conversation in order, from one side and then the other.
func part(first, second peer) {
	_ = first.CloseWrite()
	rest, how := second.ends(patience)
	assert.Equal(second.t, "closed", how)
	assert.Empty(second.t, rest)
	_ = second.CloseWrite()
	rest, how = first.ends(patience)
	assert.Equal(first.t, "closed", how)
	assert.Empty(first.t, rest)
}

func TestNoRuleChangesNoByte(t *testing.T) {
	for _, c := range corpus {
		for _, single := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/single=%v", c.name, single), func(t *testing.T) {
				s := play(t)
				f := open(t, s.addr, Config{})
				client := connect(t, f.addr)
				server := s.next(t)
				talk(client, server, c.lines, single)
				part(client, server)
			})
			t.Run(fmt.Sprintf("%s/single=%v/server ends", c.name, single), func(t *testing.T) {
				s := play(t)
				f := open(t, s.addr, Config{})
				client := connect(t, f.addr)
				server := s.next(t)
				talk(client, server, c.lines, single)
				part(server, client)
			})
		}
	}
}

// Pipelining: every request is sent before any answer, three times around.
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
			s := play(t)
			f := open(t, s.addr, Config{})
			client := connect(t, f.addr)
			server := s.next(t)
			talk(client, server, []line{{">", up.String()}, {"<", down.String()}}, single)
			part(client, server)
			until(t, "all calls are told", func() bool { return len(f.over()) == n })
			for _, c := range f.over() {
				assert.NotZero(t, c.Status, c.Op)
				assert.Empty(t, c.Skipped)
			}
			toServer, toClient := f.balanced(t)
			assert.EqualValues(t, n, toServer.In)
			assert.EqualValues(t, n, toServer.Out)
			assert.EqualValues(t, n, toClient.Out)
		})
	}
}

// Half-closes and resets at every point of an exchange arrive as what they are.
func TestEndsArriveAsTheyAre(t *testing.T) {
	points := []struct {
		name  string
		lines []line
	}{ // what is "in" something is kept back until it is complete or the stream ends
		{"at once", nil},
		{"in a head", say(">GET /a HTT")},
		{"in a field", say(">GET /a HTTP/1.1\r\nHost: x\r\n")},
		{"in a body", say(">POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\nhello")},
		{"in a chunk line", say(">POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1")},
		{"after a request", say(">" + request("GET", "/a"))},
		{"in an answer's head", say(">"+request("GET", "/a"), "<HTTP/1.1 200 OK\r\nContent-")},
		{"in an answer's body", say(">"+request("GET", "/a"), "<HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")},
		{"in an answer without a length", say(">"+request("GET", "/a"), "<HTTP/1.1 200 OK\r\n\r\nhello")},
		{"after an answer", say(">"+request("GET", "/a"), "<"+ok)},
		{"after an upgrade", say(">GET /a HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "<HTTP/1.1 101 Yes\r\n\r\n", ">a", "<b")},
	}
	for _, p := range points {
		for _, who := range []string{"client", "server"} {
			t.Run(p.name+"/"+who+" resets", func(t *testing.T) {
				client, server := couple(t)
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
				_, how := b.ends(patience)
				assert.Equal(t, "reset", how)
			})
			t.Run(p.name+"/"+who+" closes its half, the other answers", func(t *testing.T) {
				client, server := couple(t)
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
				got, how := b.ends(patience)
				assert.Equal(t, "closed", how)
				assert.Equal(t, fromA, got)
				b.send("the other half still speaks", false)
				require.NoError(t, b.CloseWrite())
				got, how = a.ends(patience)
				assert.Equal(t, "closed", how)
				assert.Equal(t, fromB+"the other half still speaks", got)
			})
		}
	}
}

// conversation is what the two peers of a protocol say to each other.
type conversation struct {
	name  string
	lines []line
}

// conversations of the framed protocols, as their servers and clients have them. Every row of the table of protocols needs some; the last two turns of the
// first are a message and its answer, on which faults are tried (see conforms).
var conversations = map[string][]conversation{
	"lengths": {
		{"four bytes, lowest first", say(">\x05\x00\x00\x00hello", "<\x02\x00\x00\x00ok")},
		{"nothing in it", say(">\x00\x00\x00\x00", "<\x00\x00\x00\x00", ">\x01\x00\x00\x00\n", "<\x00\x00\x00\x00")},
		{"ahead", say(">\x01\x00\x00\x00a\x01\x00\x00\x00b", "<\x01\x00\x00\x00A\x01\x00\x00\x00B")},
		{"greeting", say("<\x03\x00\x00\x00hi!", ">\x01\x00\x00\x00a", "<\x01\x00\x00\x00A", "<\x01\x00\x00\x00B")},
		{"large", say(">\x00\x00\x20\x00"+strings.Repeat("x", 2<<20), "<\x00\x00\x20\x00"+strings.Repeat("y", 2<<20))},
	},
	"lines": {
		{"put", say(">PUT k hello\n", "<OK\n")},
		{"odd", say(">\r\n", "<\n", "> \t \n", "<a\rb\r\n", ">\x00\xff\n", "<\n")},
		{"ahead", say(">A\nB\nC\n", "<a\nb\nc\n")},
		{"greeting", say("<220 ready\r\n", ">QUIT\r\n", "<221 bye\r\n")},
		{"large", say(">"+strings.Repeat("x", 2<<20)+"\n", "<"+strings.Repeat("y", 2<<20)+"\n")},
	},
	"nats": {
		{"publish and its acknowledgement", say(">"+natsConnect, "<PONG\r\n", ">SUB _INBOX.a.* 1\r\n", ">PUB orders.new _INBOX.a.1 5\r\nhello\r\n", "<MSG _INBOX.a.1 1 27\r\n{\"stream\":\"ORDERS\",\"seq\":3}\r\n")},
		{"heads", say(">"+natsConnect, "<PONG\r\n", ">HPUB a 26 28\r\nNATS/1.0\r\nNats-Msg-Id:7\r\n\r\nhi\r\n", ">HPUB a _INBOX.b 12 12\r\nNATS/1.0\r\n\r\n\r\n", "<HMSG _INBOX.b 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n")},
		{"without CONNECT", say(">PING\r\n", "<PONG\r\n", ">PUB a 0\r\n\r\n", "<+OK\r\n", ">sub  a\t q 1\r\nunsub 1 5\r\nUNSUB 1\nUNSUB 1\r\n", "<+OK\r\n+OK\r\n")},
		{"payload that looks like a message", say(">PUB a 13\r\nPUB b 1\r\nx\r\n \r\n", "<MSG a 1 b.c 14\r\nMSG b 1 1\r\nx\r\n\r\n", "<PING\r\n", ">PONG\r\n")},
		{"error", say(">PUB a..b 0\r\n\r\n", "<-ERR 'Invalid Publish Subject'\r\n")},
		{"large", say(">PUB a 2097152\r\n"+strings.Repeat("x", 2<<20)+"\r\n", "<MSG a 1 2097152\r\n"+strings.Repeat("x", 2<<20)+"\r\n")},
		{"TLS", say(">\x16\x03\x01\x02\x00", "<\x16\x03\x03", ">PUB", "<MSG")},
		{"a leaf node", say(">CONNECT {}\r\n", ">LS+ a\r\n", "<LS+ b\r\n", ">LMSG a 2\r\nhi\r\n")},
		{"nonsense", say(">PUB a b c d e\r\n", "<MSG\r\n", ">HPUB a 9 5\r\n", "<x")},
	},
	"postgres": {
		{"insert", say(">"+pgStart, "<"+pgReady, ">"+pg("Q", "INSERT INTO orders VALUES (1)\x00"), "<"+pg("C", "INSERT 0 1\x00")+pg("Z", "I"))},
		{"encryption refused", say(">"+pgFirst(pgGSS, ""), "<N", ">"+pgFirst(pgTLS, ""), "<N", ">"+pgStart, "<"+pgReady)},
		{"encryption granted", say(">"+pgFirst(pgTLS, ""), "<S", ">\x16\x03\x01\x00\x01Q", "<\x16\x03\x03Z\x00", ">x")},
		{"encryption answered with an error", say(">"+pgFirst(pgTLS, ""), "<"+pg("E", "SFATAL\x00C0A000\x00Mno\x00\x00"))},
		{"cancel", say(">" + pgFirst(pgCancel, "\x00\x00\x00\x01\x00\x00\x00\x02"))},
		{"password", say(">"+pgStart, "<"+pg("R", "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00"), ">"+pg("p", "SCRAM-SHA-256\x00"), "<"+pg("R", "\x00\x00\x00\x0br="), ">"+pg("p", "c="),
			"<"+pg("R", "\x00\x00\x00\x0cv=")+pgReady, ">"+pg("X", ""))},
		{"extended", say(">"+pgStart, "<"+pgReady, ">"+pg("P", "s\x00SELECT $1\x00\x00\x00")+pg("D", "Ss\x00")+pg("S", ""), "<"+pg("1", "")+pg("t", "\x00\x00")+pg("T", "\x00\x00")+pg("Z", "I"),
			">"+pg("B", "\x00s\x00")+pg("E", "\x00\x00\x00\x00\x00")+pg("S", ""), "<"+pg("2", "")+pg("D", "\x00\x00"), "<"+pg("C", "SELECT 1\x00")+pg("Z", "I"))},
		{"flushed", say(">"+pgStart, "<"+pgReady, ">"+pg("P", "\x00SELECT\x00\x00\x00")+pg("D", "S\x00")+pg("H", ""), "<"+pg("1", "")+pg("t", "\x00\x00")+pg("n", ""),
			">"+pg("B", "\x00\x00")+pg("E", "\x00")+pg("H", ""), "<"+pg("2", "")+pg("C", "SELECT 1\x00"), ">"+pg("S", ""), "<"+pg("Z", "I"))},
		{"sent ahead", say(">"+pgStart, "<"+pgReady, ">"+pg("Q", "BEGIN\x00")+pg("Q", "SELECT\x00")+pg("S", "")+pg("Q", "COMMIT\x00"),
			"<"+pg("C", "BEGIN\x00")+pg("Z", "T")+pg("E", "SERROR\x00C42601\x00\x00")+pg("Z", "E")+pg("Z", "E")+pg("C", "ROLLBACK\x00")+pg("Z", "I"))},
		{"copy in", say(">"+pgStart, "<"+pgReady, ">"+pg("Q", "COPY t FROM STDIN\x00"), "<"+pg("G", "\x00\x00\x00"), ">"+pg("d", "1\n")+pg("d", "2\n")+pg("c", ""), "<"+pg("C", "COPY 2\x00")+pg("Z", "I"))},
		{"copy in, extended", say(">"+pgStart, "<"+pgReady, ">"+pg("P", "\x00COPY t FROM STDIN\x00\x00\x00")+pg("B", "\x00\x00")+pg("E", "\x00")+pg("S", ""),
			"<"+pg("1", "")+pg("2", "")+pg("G", "\x00\x00\x00"), ">"+pg("d", "1\n"), ">"+pg("f", "no\x00")+pg("S", ""), "<"+pg("E", "SERROR\x00C57014\x00\x00")+pg("Z", "I"))},
		{"copy out", say(">"+pgStart, "<"+pgReady, ">"+pg("Q", "COPY t TO STDOUT\x00"), "<"+pg("H", "\x00\x00\x00")+pg("d", "1\n")+pg("c", "")+pg("C", "COPY 1\x00")+pg("Z", "I"))},
		{"of its own accord", say(">"+pgStart, "<"+pgReady, "<"+pg("A", "\x00\x00\x00\x01news\x00hello\x00"), "<"+pg("N", "SNOTICE\x00\x00"), "<"+pg("S", "TimeZone\x00UTC\x00"), "<"+pg("E", "SFATAL\x00C57P01\x00\x00"))},
		{"replication", say(">"+pgFirst(3<<16, "user\x00u\x00replication\x00database\x00\x00"), "<"+pgReady, ">"+pg("Q", "START_REPLICATION\x00"), "<"+pg("W", "\x00\x00\x00")+pg("d", "w"), ">"+pg("d", "r"), "<"+pg("d", "w"))},
		{"large", say(">"+pgStart, "<"+pgReady, ">"+pg("Q", "SELECT '"+strings.Repeat("x", 2<<20)+"'\x00"), "<"+pg("D", strings.Repeat("x", 2<<20))+pg("C", "SELECT 1\x00")+pg("Z", "I"),
			">"+pg("B", "\x00\x00"+strings.Repeat("x", 2<<20))+pg("E", "\x00")+pg("S", ""), "<"+pg("2", "")+pg("C", "INSERT 0 1\x00")+pg("Z", "I"))},
		{"version 2", say(">"+pgFirst(2<<16, "u"), "<"+pg("E", "no\x00"), ">x")},
		{"no postgres at all", say(">GET / HTTP/1.1\r\n\r\n", "<HTTP/1.1 200 OK\r\n\r\n", ">x")},
		{"nonsense", say(">"+pgStart, "<"+pgReady, ">"+pg("y", ""), "<?", ">x")},
	},
	"redis": {
		{"set and get", say(">*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\n", "<+OK\r\n", ">*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "<$5\r\nhello\r\n")},
		{"pipelined", say(">*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*1\r\n$4\r\nPING\r\n", "<+PONG\r\n:1\r\n+PONG\r\n")},
		{"bulk that looks like a command", say(">*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$14\r\n*1\r\n$4\r\nPING\r\n\r\n", "<+OK\r\n")},
		{"nested, empty, nil", say(">*2\r\n$4\r\nEVAL\r\n$0\r\n\r\n", "<*4\r\n*2\r\n:1\r\n$-1\r\n*0\r\n*-1\r\n$0\r\n\r\n")},
		{"RESP3", say(">*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n", "<%2\r\n+server\r\n+redis\r\n+proto\r\n:3\r\n", ">*1\r\n$4\r\nINFO\r\n", "<=7\r\ntxt:abc\r\n",
			"<>3\r\n+message\r\n+c\r\n+hi\r\n", ">*1\r\n$4\r\nPING\r\n", "<|1\r\n+a\r\n:1\r\n,1.5\r\n", ">*1\r\n$4\r\nPING\r\n", "<~2\r\n#t\r\n_\r\n", ">*1\r\n$4\r\nPING\r\n", "<(349\r\n")},
		{"inline", say(">PING\r\n", "<+PONG\r\n", ">\r\nset k v\n", "<+OK\r\n")},
		{"subscribed", say(">*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n", "<*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "<*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n", ">*1\r\n$4\r\nPING\r\n", "<*2\r\n$4\r\npong\r\n$0\r\n\r\n")},
		{"no answers", say(">*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n*1\r\n$4\r\nPING\r\n", ">*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n", "<+OK\r\n")},
		{"monitor", say(">*1\r\n$7\r\nMONITOR\r\n", "<+OK\r\n", "<+1 [0] \"ping\"\r\n", "<+2 [0] \"ping\"\r\n")},
		{"large", say(">*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2097152\r\n"+strings.Repeat("x", 2<<20)+"\r\n", "<+OK\r\n")},
		{"no redis at all", say("> \x16\x03\x01\n*x\r\n", "<what?", ">$never\r\n", "<*again")},
	},
}

// couple is a client and a server with a relay between them.
func couple(t testing.TB) (client, server peer) {
	s := play(t)
	f := open(t, s.addr, Config{})
	client = connect(t, f.addr)
	return client, s.next(t)
}

func TestARefusedUpstreamIsAReset(t *testing.T) {
	addr := open(t, "127.0.0.1:1", Config{}).addr // nobody serves tcpmux
	c, err := net.Dial("tcp", addr)
	if err == nil { // else the reset was there first
		defer c.Close()
		_, err = io.ReadAll(c)
	}
	assert.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestAnEndlessHeadGoesThrough(t *testing.T) {
	client, server := couple(t)
	text := "GET /a HTTP/1.1\r\n" + strings.Repeat("X-Fill: 0123456789\r\n", 2*maxHead/20)
	go func() { _, _ = client.write(text, false) }()
	server.expect(text)
	talk(client, server, say("<anything", ">goes"), false)
	part(client, server)
}

// Large bodies stream, both ways at once, in pieces of every size.
func TestLargeBodiesStreamBothWays(t *testing.T) {
	size := 8 << 20
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(rand.Uint32()) //nolint:gosec // test data
	}
	client, server := couple(t)
	up := fmt.Sprintf("POST /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s", size, body)
	down := fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, body)
	// The answer starts when the head has arrived.
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = client.write(up, false) })
	head := up[:strings.Index(up, "\r\n\r\n")+4]
	server.expect(head)
	wg.Go(func() { _, _ = server.write(down, false) })
	wg.Go(func() { server.expect(up[len(head):]) })
	client.expect(down)
	wg.Wait()
	part(client, server)
}

// What is skipped is told, with the reason, once a connection.
func TestWhatCannotBeFollowedIsTold(t *testing.T) {
	s := play(t)
	f := open(t, s.addr, Config{})
	client := connect(t, f.addr)
	server := s.next(t)
	talk(client, server, say(">POST /a HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "<"+ok, ">"+request("GET", "/b"), "<"+ok), false)
	part(client, server)
	until(t, "it is told", func() bool { return len(f.over()) > 0 })
	calls := f.over()
	require.Len(t, calls, 1)
	assert.NotEmpty(t, calls[0].Skipped)
	assert.WithinDuration(t, time.Now(), calls[0].End, time.Hour)
}
