package relaytest

import (
	"strings"

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

// Turn is one turn of a conversation: text sent by the client (">") or the server ("<").
type Turn struct{ From, Text string }

func Turns(text ...string) []Turn {
	var lines []Turn
	for _, s := range text {
		lines = append(lines, Turn{s[:1], s[1:]})
	}
	return lines
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

const natsConnect = "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nPING\r\n"
