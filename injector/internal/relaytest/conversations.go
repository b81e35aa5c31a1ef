package relaytest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// Case holds what the conformance test needs to know about a framed protocol besides its conversations.
type Case struct {
	Conversations    []Conversation
	Cfg              message.Config
	Code             string // for Answer
	Closes           bool   // the answer ends the connection
	LosesOnlyMessage bool   // losing a message leaves its connection open
	Push             string // a message pushed by the server; "" if there are none
	Call             Turn   // a message and its answer, for faults on answers; zero means those of the first conversation
}

var Cases = map[string]Case{
	"lengths":  {Cfg: message.Config{Framing: message.Framing{Width: 4, Little: true, Lockstep: true}}, Code: "ERR"},
	"lines":    {Cfg: message.Config{Framing: message.Framing{Lockstep: true}}, Code: "ERR"},
	"nats":     {Code: "503", LosesOnlyMessage: true, Push: "MSG news 2 5\r\nhello\r\n", Call: Turn{"PUB news inbox.7 2\r\nhi\r\n", "MSG inbox.7 2 5\r\nhello\r\n"}},
	"postgres": {Code: "57P01", Closes: true},
	"redis":    {Code: "LOADING", Call: Turn{"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "$5\r\nhello\r\n"}},
	"toy":      {},
}

// Before reads up to text and returns what precedes it.
func (p Peer) Before(text string) string {
	p.T.Helper()
	require.NoError(p.T, p.SetReadDeadline(time.Now().Add(Patience)))
	var all []byte
	one := make([]byte, 1)
	for !strings.HasSuffix(string(all), text) {
		_, err := p.Read(one)
		require.NoError(p.T, err, "after %q", all)
		all = append(all, one[0])
	}
	return strings.TrimSuffix(string(all), text)
}

// Turn is one turn of a conversation: text sent by the client (">") or the server ("<").
type Turn struct{ From, Text string }

func Turns(text ...string) []Turn {
	var lines []Turn
	for _, s := range text {
		lines = append(lines, Turn{s[:1], s[1:]})
	}
	return lines
}

// OK is a small answer.
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// Play plays a conversation through the relay; each end checks every byte that it receives.
func Play(client, server Peer, lines []Turn, single bool) {
	for _, l := range lines {
		from, to := client, server
		if l.From == "<" {
			from, to = server, client
		}
		sent := make(chan struct{})
		go func() { defer close(sent); _, _ = from.WriteText(l.Text, single) }()
		to.Expect(l.Text)
		<-sent
	}
}

func (p Peer) WriteText(text string, single bool) (int, error) {
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

// CloseBoth closes a connection gracefully, one side after the other.
func CloseBoth(first, second Peer) {
	_ = first.CloseWrite()
	rest, how := second.ReadToEnd(Patience)
	assert.Equal(second.T, "closed", how)
	assert.Empty(second.T, rest)
	_ = second.CloseWrite()
	rest, how = first.ReadToEnd(Patience)
	assert.Equal(first.T, "closed", how)
	assert.Empty(first.T, rest)
}

// Conversation is what the two peers of a protocol send to each other.
type Conversation struct {
	Name  string
	Lines []Turn
}

// Conversations of the framed protocols, as between real servers and clients. Every protocol in the table needs
// some. The last two turns of the first conversation are a message and its answer, for testing faults (see
// checkConforms).
var Conversations = map[string][]Conversation{
	"lengths": {
		{"four bytes, lowest first", Turns(">\x05\x00\x00\x00hello", "<\x02\x00\x00\x00ok")},
		{"nothing in it", Turns(">\x00\x00\x00\x00", "<\x00\x00\x00\x00", ">\x01\x00\x00\x00\n", "<\x00\x00\x00\x00")},
		{"ahead", Turns(">\x01\x00\x00\x00a\x01\x00\x00\x00b", "<\x01\x00\x00\x00A\x01\x00\x00\x00B")},
		{"greeting", Turns("<\x03\x00\x00\x00hi!", ">\x01\x00\x00\x00a", "<\x01\x00\x00\x00A", "<\x01\x00\x00\x00B")},
		{"large", Turns(">\x00\x00\x20\x00"+strings.Repeat("x", 2<<20), "<\x00\x00\x20\x00"+strings.Repeat("y", 2<<20))},
	},
	"lines": {
		{"put", Turns(">PUT k hello\n", "<OK\n")},
		{"odd", Turns(">\r\n", "<\n", "> \t \n", "<a\rb\r\n", ">\x00\xff\n", "<\n")},
		{"ahead", Turns(">A\nB\nC\n", "<a\nb\nc\n")},
		{"greeting", Turns("<220 ready\r\n", ">QUIT\r\n", "<221 bye\r\n")},
		{"large", Turns(">"+strings.Repeat("x", 2<<20)+"\n", "<"+strings.Repeat("y", 2<<20)+"\n")},
	},
	"nats": {
		{"publish and its acknowledgement", Turns(">"+natsConnect, "<PONG\r\n", ">SUB _INBOX.a.* 1\r\n", ">PUB orders.new _INBOX.a.1 5\r\nhello\r\n", "<MSG _INBOX.a.1 1 27\r\n{\"stream\":\"ORDERS\",\"seq\":3}\r\n")},
		{"heads", Turns(">"+natsConnect, "<PONG\r\n", ">HPUB a 26 28\r\nNATS/1.0\r\nNats-Msg-Id:7\r\n\r\nhi\r\n", ">HPUB a _INBOX.b 12 12\r\nNATS/1.0\r\n\r\n\r\n", "<HMSG _INBOX.b 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n")},
		{"without CONNECT", Turns(">PING\r\n", "<PONG\r\n", ">PUB a 0\r\n\r\n", "<+OK\r\n", ">sub  a\t q 1\r\nunsub 1 5\r\nUNSUB 1\nUNSUB 1\r\n", "<+OK\r\n+OK\r\n")},
		{"payload that looks like a message", Turns(">PUB a 13\r\nPUB b 1\r\nx\r\n \r\n", "<MSG a 1 b.c 14\r\nMSG b 1 1\r\nx\r\n\r\n", "<PING\r\n", ">PONG\r\n")},
		{"error", Turns(">PUB a..b 0\r\n\r\n", "<-ERR 'Invalid Publish Subject'\r\n")},
		{"large", Turns(">PUB a 2097152\r\n"+strings.Repeat("x", 2<<20)+"\r\n", "<MSG a 1 2097152\r\n"+strings.Repeat("x", 2<<20)+"\r\n")},
		{"TLS", Turns(">\x16\x03\x01\x02\x00", "<\x16\x03\x03", ">PUB", "<MSG")},
		{"a leaf node", Turns(">CONNECT {}\r\n", ">LS+ a\r\n", "<LS+ b\r\n", ">LMSG a 2\r\nhi\r\n")},
		{"nonsense", Turns(">PUB a b c d e\r\n", "<MSG\r\n", ">HPUB a 9 5\r\n", "<x")},
	},
	"postgres": {
		{"insert", Turns(">"+PGStart, "<"+PGReady, ">"+PGMessage("Q", "INSERT INTO orders VALUES (1)\x00"), "<"+PGMessage("C", "INSERT 0 1\x00")+PGMessage("Z", "I"))},
		{"encryption refused", Turns(">"+PGFirst(PgGSS, ""), "<N", ">"+PGFirst(PgTLS, ""), "<N", ">"+PGStart, "<"+PGReady)},
		{"encryption granted", Turns(">"+PGFirst(PgTLS, ""), "<S", ">\x16\x03\x01\x00\x01Q", "<\x16\x03\x03Z\x00", ">x")},
		{"encryption answered with an error", Turns(">"+PGFirst(PgTLS, ""), "<"+PGMessage("E", "SFATAL\x00C0A000\x00Mno\x00\x00"))},
		{"cancel", Turns(">" + PGFirst(PgCancel, "\x00\x00\x00\x01\x00\x00\x00\x02"))},
		{"password", Turns(">"+PGStart, "<"+PGMessage("R", "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00"), ">"+PGMessage("p", "SCRAM-SHA-256\x00"), "<"+PGMessage("R", "\x00\x00\x00\x0br="), ">"+PGMessage("p", "c="),
			"<"+PGMessage("R", "\x00\x00\x00\x0cv=")+PGReady, ">"+PGMessage("X", ""))},
		{"extended", Turns(">"+PGStart, "<"+PGReady, ">"+PGMessage("P", "s\x00SELECT $1\x00\x00\x00")+PGMessage("D", "Ss\x00")+PGMessage("S", ""), "<"+PGMessage("1", "")+PGMessage("t", "\x00\x00")+PGMessage("T", "\x00\x00")+PGMessage("Z", "I"),
			">"+PGMessage("B", "\x00s\x00")+PGMessage("E", "\x00\x00\x00\x00\x00")+PGMessage("S", ""), "<"+PGMessage("2", "")+PGMessage("D", "\x00\x00"), "<"+PGMessage("C", "SELECT 1\x00")+PGMessage("Z", "I"))},
		{"flushed", Turns(">"+PGStart, "<"+PGReady, ">"+PGMessage("P", "\x00SELECT\x00\x00\x00")+PGMessage("D", "S\x00")+PGMessage("H", ""), "<"+PGMessage("1", "")+PGMessage("t", "\x00\x00")+PGMessage("n", ""),
			">"+PGMessage("B", "\x00\x00")+PGMessage("E", "\x00")+PGMessage("H", ""), "<"+PGMessage("2", "")+PGMessage("C", "SELECT 1\x00"), ">"+PGMessage("S", ""), "<"+PGMessage("Z", "I"))},
		{"sent ahead", Turns(">"+PGStart, "<"+PGReady, ">"+PGMessage("Q", "BEGIN\x00")+PGMessage("Q", "SELECT\x00")+PGMessage("S", "")+PGMessage("Q", "COMMIT\x00"),
			"<"+PGMessage("C", "BEGIN\x00")+PGMessage("Z", "T")+PGMessage("E", "SERROR\x00C42601\x00\x00")+PGMessage("Z", "E")+PGMessage("Z", "E")+PGMessage("C", "ROLLBACK\x00")+PGMessage("Z", "I"))},
		{"copy in", Turns(">"+PGStart, "<"+PGReady, ">"+PGMessage("Q", "COPY t FROM STDIN\x00"), "<"+PGMessage("G", "\x00\x00\x00"), ">"+PGMessage("d", "1\n")+PGMessage("d", "2\n")+PGMessage("c", ""), "<"+PGMessage("C", "COPY 2\x00")+PGMessage("Z", "I"))},
		{"copy in, extended", Turns(">"+PGStart, "<"+PGReady, ">"+PGMessage("P", "\x00COPY t FROM STDIN\x00\x00\x00")+PGMessage("B", "\x00\x00")+PGMessage("E", "\x00")+PGMessage("S", ""),
			"<"+PGMessage("1", "")+PGMessage("2", "")+PGMessage("G", "\x00\x00\x00"), ">"+PGMessage("d", "1\n"), ">"+PGMessage("f", "no\x00")+PGMessage("S", ""), "<"+PGMessage("E", "SERROR\x00C57014\x00\x00")+PGMessage("Z", "I"))},
		{"copy out", Turns(">"+PGStart, "<"+PGReady, ">"+PGMessage("Q", "COPY t TO STDOUT\x00"), "<"+PGMessage("H", "\x00\x00\x00")+PGMessage("d", "1\n")+PGMessage("c", "")+PGMessage("C", "COPY 1\x00")+PGMessage("Z", "I"))},
		{"of its own accord", Turns(">"+PGStart, "<"+PGReady, "<"+PGMessage("A", "\x00\x00\x00\x01news\x00hello\x00"), "<"+PGMessage("N", "SNOTICE\x00\x00"), "<"+PGMessage("S", "TimeZone\x00UTC\x00"), "<"+PGMessage("E", "SFATAL\x00C57P01\x00\x00"))},
		{"replication", Turns(">"+PGFirst(3<<16, "user\x00u\x00replication\x00database\x00\x00"), "<"+PGReady, ">"+PGMessage("Q", "START_REPLICATION\x00"), "<"+PGMessage("W", "\x00\x00\x00")+PGMessage("d", "w"), ">"+PGMessage("d", "r"), "<"+PGMessage("d", "w"))},
		{"large", Turns(">"+PGStart, "<"+PGReady, ">"+PGMessage("Q", "SELECT '"+strings.Repeat("x", 2<<20)+"'\x00"), "<"+PGMessage("D", strings.Repeat("x", 2<<20))+PGMessage("C", "SELECT 1\x00")+PGMessage("Z", "I"),
			">"+PGMessage("B", "\x00\x00"+strings.Repeat("x", 2<<20))+PGMessage("E", "\x00")+PGMessage("S", ""), "<"+PGMessage("2", "")+PGMessage("C", "INSERT 0 1\x00")+PGMessage("Z", "I"))},
		{"version 2", Turns(">"+PGFirst(2<<16, "u"), "<"+PGMessage("E", "no\x00"), ">x")},
		{"no postgres at all", Turns(">GET / HTTP/1.1\r\n\r\n", "<HTTP/1.1 200 OK\r\n\r\n", ">x")},
		{"nonsense", Turns(">"+PGStart, "<"+PGReady, ">"+PGMessage("y", ""), "<?", ">x")},
	},
	"redis": {
		{"set and get", Turns(">*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\n", "<+OK\r\n", ">*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "<$5\r\nhello\r\n")},
		{"pipelined", Turns(">*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*1\r\n$4\r\nPING\r\n", "<+PONG\r\n:1\r\n+PONG\r\n")},
		{"bulk that looks like a command", Turns(">*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$14\r\n*1\r\n$4\r\nPING\r\n\r\n", "<+OK\r\n")},
		{"nested, empty, nil", Turns(">*2\r\n$4\r\nEVAL\r\n$0\r\n\r\n", "<*4\r\n*2\r\n:1\r\n$-1\r\n*0\r\n*-1\r\n$0\r\n\r\n")},
		{"RESP3", Turns(">*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n", "<%2\r\n+server\r\n+redis\r\n+proto\r\n:3\r\n", ">*1\r\n$4\r\nINFO\r\n", "<=7\r\ntxt:abc\r\n",
			"<>3\r\n+message\r\n+c\r\n+hi\r\n", ">*1\r\n$4\r\nPING\r\n", "<|1\r\n+a\r\n:1\r\n,1.5\r\n", ">*1\r\n$4\r\nPING\r\n", "<~2\r\n#t\r\n_\r\n", ">*1\r\n$4\r\nPING\r\n", "<(349\r\n")},
		{"inline", Turns(">PING\r\n", "<+PONG\r\n", ">\r\nset k v\n", "<+OK\r\n")},
		{"subscribed", Turns(">*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n", "<*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "<*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n", ">*1\r\n$4\r\nPING\r\n", "<*2\r\n$4\r\npong\r\n$0\r\n\r\n")},
		{"no answers", Turns(">*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n*1\r\n$4\r\nPING\r\n", ">*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n", "<+OK\r\n")},
		{"monitor", Turns(">*1\r\n$7\r\nMONITOR\r\n", "<+OK\r\n", "<+1 [0] \"ping\"\r\n", "<+2 [0] \"ping\"\r\n")},
		{"large", Turns(">*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2097152\r\n"+strings.Repeat("x", 2<<20)+"\r\n", "<+OK\r\n")},
		{"no redis at all", Turns("> \x16\x03\x01\n*x\r\n", "<what?", ">$never\r\n", "<*again")},
	},
}

// ConnPair returns a client and a server with a relay between them.
func ConnPair(t testing.TB) (client, server Peer) {
	s := StartScript(t)
	f := OpenLink(t, s.Addr, message.Config{})
	client = Connect(t, f.Addr)
	return client, s.Accept(t)
}

const natsConnect = "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nPING\r\n"

// PGMessage returns a frame; PGFirst returns a message without a type.
func PGMessage(kind, body string) string {
	return kind + string(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))) + body //nolint:gosec // small
}

func PGFirst(code uint32, body string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)+8)) //nolint:gosec // small
	return string(binary.BigEndian.AppendUint32(b, code)) + body
}

var (
	PGStart = PGFirst(3<<16, "user\x00u\x00database\x00shop\x00\x00")
	PGReady = PGMessage("R", "\x00\x00\x00\x00") + PGMessage("S", "TimeZone\x00UTC\x00") + PGMessage("K", "\x00\x00\x00\x01\x00\x00\x00\x02") + PGMessage("Z", "I")
)

// HTTP2Corpus returns HTTP/2 conversations that no rule acts on. They start with the SETTINGS of both sides and
// contain unusual frames on purpose.
func HTTP2Corpus() []h2conversation {
	var all []h2conversation
	play := func(name string, turns ...func(c, s *frameBuilder)) {
		c, s := newFrameBuilder(), newFrameBuilder()
		_, _ = c.out.WriteString(Preface)
		_ = c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 8192})
		_ = s.framer.WriteSettings(http2.Setting{ID: 0x99, Val: 7}, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20})
		lines := []Turn{{">", c.sent()}, {"<", s.sent()}}
		_ = c.framer.WriteSettingsAck()
		_ = s.framer.WriteSettingsAck()
		for _, turn := range turns {
			turn(c, s)
			for _, l := range []Turn{{">", c.sent()}, {"<", s.sent()}} {
				if l.Text != "" {
					lines = append(lines, l)
				}
			}
		}
		all = append(all, h2conversation{Name: name, Lines: lines})
	}
	play("settings only")
	play("calls that fill the table of headers", func(c, s *frameBuilder) {
		for i := range 5 {
			id := uint32(2*i + 1) //nolint:gosec // small
			c.Head(id, true, append(h2get, fmt.Sprintf("x-n: %d", i), "x-long: "+strings.Repeat("v", 1000))...)
			s.Head(id, false, ":status: 200", fmt.Sprintf("etag: %d", i), "x-long: "+strings.Repeat("w", 1000))
			_ = s.framer.WriteData(id, true, []byte("ok"))
		}
	})
	play("padding, priority and continuations", func(c, _ *frameBuilder) {
		block := c.EncodeFields(append(h2get, "x-large: "+strings.Repeat("v", 3000))...)
		_ = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:7], PadLength: 9, Priority: http2.PriorityParam{StreamDep: 3, Weight: 7, Exclusive: true}})
		_ = c.framer.WriteContinuation(1, false, block[7:8])
		_ = c.framer.WriteContinuation(1, false, nil)
		_ = c.framer.WriteContinuation(1, true, block[8:])
		_ = c.framer.WriteDataPadded(1, false, []byte("hello"), make([]byte, 255))
		_ = c.framer.WriteDataPadded(1, true, nil, []byte{})
	}, func(_, s *frameBuilder) {
		s.Head(1, false, ":status: 103", "link: </x>")
		s.Head(1, false, ":status: 200")
		_ = s.framer.WriteDataPadded(1, false, []byte("ok"), make([]byte, 3))
		s.Head(1, true, "grpc-status: 0")
	})
	play("frames of every kind", func(c, s *frameBuilder) {
		_ = c.framer.WritePing(false, [8]byte{1})
		_ = s.framer.WritePing(true, [8]byte{1})
		_ = c.framer.WritePriority(5, http2.PriorityParam{StreamDep: 1, Weight: 3})
		_ = c.framer.WriteRawFrame(0x10, 0, 0, []byte("\x00\x00\x00\x01u=3"))
		_ = c.framer.WriteRawFrame(0xee, 0x55, 0, []byte("anything"))
		_ = c.framer.WriteRawFrame(0xef, 0, 9, nil)
		_ = s.framer.WriteRawFrame(0x0c, 0, 0, []byte("\x00\x00"))
		_ = c.framer.WriteWindowUpdate(0, 1<<20)
		c.Head(1, false, h2get...)
		_ = c.framer.WriteWindowUpdate(1, 0x8000ffff)
		_ = s.framer.WriteWindowUpdate(1, 10)
		_ = s.framer.WriteWindowUpdate(99, 10)
		_ = s.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
		_ = c.framer.WriteRSTStream(1, http2.ErrCodeCancel)
		_ = s.framer.WriteRSTStream(1, http2.ErrCodeStreamClosed)
		_ = s.framer.WriteData(1, true, []byte("late"))
	}, func(c, s *frameBuilder) {
		c.encode.SetMaxDynamicTableSize(0)
		c.Head(3, true, h2get...)
		c.encode.SetMaxDynamicTableSize(4096)
		c.Head(5, true, h2get...)
		s.Head(5, true, ":status: 204")
		_ = s.framer.WriteGoAway(5, http2.ErrCodeNo, []byte("bye"))
		_ = c.framer.WriteGoAway(0, http2.ErrCodeNo, nil)
	})
	play("a push", func(c, s *frameBuilder) {
		c.Head(1, true, h2get...)
		_ = s.framer.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: s.EncodeFields(h2get...), EndHeaders: true, PadLength: 4})
		s.Head(2, false, ":status: 200")
		_ = s.framer.WriteData(2, true, []byte("pushed"))
		s.Head(1, true, ":status: 200")
		_ = c.framer.WriteRSTStream(2, http2.ErrCodeRefusedStream)
	})
	play("more than windows allow, and on streams that are not there", func(c, s *frameBuilder) {
		c.Head(1, false, h2get...)
		for range 10 {
			_ = c.framer.WriteData(1, false, make([]byte, 16000))
			_ = s.framer.WriteData(7, false, make([]byte, 16000))
		}
		_ = c.framer.WriteData(0, false, []byte("on none"))
		c.Head(4, true, h2get...)
		c.Head(1, true, "x-trailer: y")
		c.Head(1, true, "x-trailer: z")
	})
	play("a large frame", func(c, _ *frameBuilder) {
		c.Head(1, false, h2get...)
		_ = c.framer.WriteData(1, true, make([]byte, 1<<20))
	})
	play("more headers than are followed", func(c, s *frameBuilder) {
		block := c.EncodeFields(append(h2get, "x-large: "+strings.Repeat("v", 2*(256<<10)))...)
		_ = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: nil, EndStream: true})
		for len(block) > 0 {
			n := min(len(block), 16<<10)
			_ = c.framer.WriteContinuation(1, n == len(block), block[:n])
			block = block[n:]
		}
		s.Head(1, true, ":status: 431")
	})
	all[len(all)-1].Odd = true
	for name, raw := range map[string]string{
		"an index that is not there": "\x00\x00\x01\x01\x05\x00\x00\x00\x01\xff", "a lone continuation": "\x00\x00\x01\x09\x04\x00\x00\x00\x01\x82", "headers of no stream": "\x00\x00\x01\x01\x05\x00\x00\x00\x00\x82",
		"too much padding": "\x00\x00\x02\x01\x0d\x00\x00\x00\x01\x09\x82", "another frame within headers": "\x00\x00\x01\x01\x01\x00\x00\x00\x01\x82\x00\x00\x00\x06\x00\x00\x00\x00\x00",
		"a window update of three bytes": "\x00\x00\x03\x08\x00\x00\x00\x00\x00abc",
	} {
		play(name, func(c, _ *frameBuilder) { _, _ = c.out.WriteString(raw + "and more") }, func(_, s *frameBuilder) { _, _ = s.out.WriteString(raw + "and more") })
		all[len(all)-1].Odd = true
	}
	return append(all,
		h2conversation{"garbage after the preface", true, Turns(">"+Preface+"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x01", "<HTTP/1.1 400 Bad Request\r\n\r\n", ">more", "<more")},
	)
}

func ReadAll(t *testing.T, p Peer) []byte {
	_ = p.SetReadDeadline(time.Now().Add(Patience))
	all, err := io.ReadAll(p)
	if err != nil {
		t.Fatalf("after %q: %v", all, err)
	}
	return all
}

// frameBuilder writes one side of an HTTP/2 conversation.
type frameBuilder struct {
	out, block bytes.Buffer
	framer     *http2.Framer
	encode     *hpack.Encoder
}

func newFrameBuilder() *frameBuilder {
	s := &frameBuilder{}
	s.framer = http2.NewFramer(&s.out, nil)
	s.framer.AllowIllegalWrites = true
	s.encode = hpack.NewEncoder(&s.block)
	return s
}

// sent returns what was written since the last call.
func (s *frameBuilder) sent() string {
	text := s.out.String()
	s.out.Reset()
	return text
}

func (s *frameBuilder) EncodeFields(list ...string) []byte {
	s.block.Reset()
	for _, l := range list {
		name, value, _ := strings.Cut(l, ": ")
		_ = s.encode.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: name == "authorization"})
	}
	return slices.Clone(s.block.Bytes())
}

func (s *frameBuilder) Head(id uint32, end bool, list ...string) {
	_ = s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: s.EncodeFields(list...), EndHeaders: true, EndStream: end})
}

type h2conversation struct {
	Name  string
	Odd   bool // it cannot be parsed to its end
	Lines []Turn
}

// HTTP2Sides returns what each side sends in the corpus.
func HTTP2Sides() (up, down []string) {
	for _, c := range HTTP2Corpus() {
		var u, d strings.Builder
		for _, l := range c.Lines {
			if l.From == ">" {
				u.WriteString(l.Text)
			} else {
				d.WriteString(l.Text)
			}
		}
		if u.Len()+d.Len() < 8<<10 {
			up, down = append(up, strings.TrimPrefix(u.String(), Preface)), append(down, d.String())
		}
	}
	return up, down
}

// What a client of PostgreSQL may send instead of a startup message (https://www.postgresql.org/docs/current/protocol-message-formats.html).
const (
	PgCancel = 80877102
	PgTLS    = 80877103
	PgGSS    = 80877104
)

var h2get = []string{":method: GET", ":scheme: http", ":authority: payments", ":path: /orders/17", "user-agent: x", "authorization: secret"}
