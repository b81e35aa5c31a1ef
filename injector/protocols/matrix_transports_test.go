package protocols_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/protocols"
)

// transport is a row of the conformance matrix: one way in which messages of a protocol travel.
type transport struct {
	name     string // of the protocol, or of the protocol and its messages
	protocol string
	cfg      message.Config
	dir      message.Dir
	match    message.Match // the messages that are counted; zero matches all
	code     string        // of errors
	serve    func(testing.TB) *backend
	connect  func(t *testing.T, addr, key string, b *backend) conversation

	oneWay      bool             // messages have no answers
	stays       []message.Ending // endings after which the connection stays usable: only the message is lost
	errorCloses bool             // an error ends the connection
	separate    bool             // a copy is sent on another connection, so that it may overtake the first
	redials     bool             // a held message outlives its server's connection, and a copy its client's
	multiplexed bool             // other messages of the connection pass one that a rule holds or has lost
	anyOrder    bool             // a message passes another when it is sent: the server may still take them in either order
	unicast     bool             // messages of the server that another client caused do not come to this one
	datagrams   bool
}

var (
	endsWithout = []message.Ending{"", message.EndSilence} // the loss of a message whose connection is not affected
	streams     = []message.Ending{message.EndSilence}     // silence concerns one stream of several
)

func counted(key string) string { return "count." + key }

var transports = []transport{
	{
		name: "http", protocol: "http", match: message.Match{Method: "POST"}, serve: countHTTP, separate: true, redials: true,
		connect: connectRaw(text{
			warm:    [2]string{relaytest.HTTPRequest("GET", "/warm"), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwarm"},
			request: func(key string) string { return relaytest.HTTPPost("/"+key, "10 EUR") },
			answer: func(_, number string) string {
				if number == "error" {
					return "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n503 injected\n"
				}
				return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(number), number)
			},
		}),
	},
	{name: "http2", protocol: "http", match: message.Match{Method: "POST"}, serve: countHTTP, connect: connectHTTP2(false), stays: streams, separate: true, redials: true, multiplexed: true},
	{name: "grpc", protocol: "grpc", match: message.Match{Path: grpcPath}, code: "UNAVAILABLE", serve: countGRPC, connect: connectHTTP2(true), stays: streams, separate: true, redials: true, multiplexed: true},
	{
		name: "redis", protocol: "redis", match: message.Match{Method: "INCR"}, code: "LOADING", serve: countRedis,
		connect: connectRaw(text{
			warm:    [2]string{"*1\r\n$4\r\nPING\r\n", "+PONG\r\n"},
			request: func(key string) string { return fmt.Sprintf("*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n", len(key), key) },
			answer: func(_, number string) string {
				if number == "error" {
					return "-LOADING Redis is loading the dataset in memory\r\n"
				}
				return ":" + number + "\r\n"
			},
		}),
	},
	{
		name: "redis, published", protocol: "redis", dir: message.ToClient, match: message.Match{Method: "MESSAGE"}, serve: pushRedis, oneWay: true, stays: endsWithout,
		connect: connectRaw(text{
			open: func(p relaytest.Peer, key string) {
				p.Send(fmt.Sprintf("*2\r\n$9\r\nSUBSCRIBE\r\n$%d\r\n%s\r\n", len(key), key), false)
				p.Expect(fmt.Sprintf("*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n", len(key), key))
			},
			warm: [2]string{"*1\r\n$4\r\nPING\r\n", "*2\r\n$4\r\npong\r\n$0\r\n\r\n"},
			pushed: func(key string) string {
				return fmt.Sprintf("*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$5\r\nhello\r\n", len(key), key)
			},
		}),
	},
	{
		name: "lines", protocol: "lines", cfg: message.Config{Framing: message.Framing{Lockstep: true}}, match: message.Match{Method: "COUNT"}, code: "error", serve: countLines,
		connect: connectRaw(text{
			warm:    [2]string{"WARM\n", "warm\n"},
			request: func(key string) string { return "COUNT " + key + "\n" },
			answer:  func(_, number string) string { return number + "\n" },
		}),
	},
	{
		name: "lengths", protocol: "lengths", cfg: message.Config{Framing: message.Framing{Width: 4, Lockstep: true}}, code: "error", serve: countLengths,
		connect: connectRaw(text{
			warm:    [2]string{withLength("warm"), withLength("warm")},
			request: withLength,
			answer:  func(_, number string) string { return withLength(number) },
		}),
	},
	{
		name: "nats", protocol: "nats", match: message.Match{Method: "PUB", Path: "count.>"}, code: "503", serve: countNATS, stays: endsWithout, anyOrder: true,
		connect: func(t *testing.T, addr, key string, b *backend) conversation {
			inbox := fmt.Sprintf("_INBOX.%s.%d", key, natsSessions.Add(1))
			return connectRaw(text{
				open:    func(p relaytest.Peer, _ string) { openNATS(p, inbox) },
				warm:    [2]string{"PING\r\n", "PONG\r\n"},
				request: func(key string) string { return "PUB " + counted(key) + " " + inbox + " 0\r\n\r\n" },
				answer: func(key, number string) string {
					if number == "error" {
						head := "NATS/1.0 503\r\nNats-Subject: " + counted(key) + "\r\n\r\n"
						return fmt.Sprintf("HMSG %s 1 %d %d\r\n%s\r\n", inbox, len(head), len(head), head)
					}
					return fmt.Sprintf("MSG %s 1 %d\r\n%s\r\n", inbox, len(number), number)
				},
			})(t, addr, key, b)
		},
	},
	{
		name: "nats, delivered", protocol: "nats", dir: message.ToClient, match: message.Match{Method: "MSG", Path: "news.>"}, serve: pushNATS, oneWay: true, stays: endsWithout,
		connect: connectRaw(text{
			open:   func(p relaytest.Peer, key string) { openNATS(p, "news."+key) },
			warm:   [2]string{"PING\r\n", "PONG\r\n"},
			pushed: func(key string) string { return "MSG news." + key + " 1 5\r\nhello\r\n" },
		}),
	},
	{
		name: "postgres", protocol: "postgres", match: message.Match{Method: "INSERT", Path: "counts"}, code: "57P01", serve: countPostgres, errorCloses: true,
		connect: connectRaw(text{
			open: func(p relaytest.Peer, _ string) { openPostgres(p) },
			warm: [2]string{relaytest.PGMessage("Q", "\x00"), relaytest.PGMessage("I", "") + relaytest.PGMessage("Z", "I")},
			request: func(key string) string {
				return relaytest.PGMessage("Q", "INSERT INTO counts VALUES ('"+key+"', 1) ON CONFLICT (key) DO UPDATE SET n = counts.n + 1 RETURNING n\x00")
			},
			answer: func(_, number string) string { // how it ends
				return relaytest.PGMessage("D", "\x00\x01\x00\x00\x00\x01"+number) + relaytest.PGMessage("C", "INSERT 0 1\x00") + relaytest.PGMessage("Z", "I")
			},
			read: readPostgres,
		}),
	},
	{
		name: "postgres, notified", protocol: "postgres", dir: message.ToClient, match: message.Match{Method: "NOTIFY"}, serve: pushPostgres, oneWay: true,
		connect: func(t *testing.T, addr, key string, b *backend) conversation {
			return connectRaw(text{
				open: func(p relaytest.Peer, key string) {
					openPostgres(p)
					p.Send(relaytest.PGMessage("Q", "LISTEN "+key+"\x00"), false)
					p.Expect(relaytest.PGMessage("C", "LISTEN\x00") + relaytest.PGMessage("Z", "I"))
				},
				warm: [2]string{relaytest.PGMessage("Q", "\x00"), relaytest.PGMessage("I", "") + relaytest.PGMessage("Z", "I")},
				pushed: func(key string) string {
					return relaytest.PGMessage("A", string(binary.BigEndian.AppendUint32(nil, b.pid))+key+"\x00hello\x00")
				},
			})(t, addr, key, b)
		},
	},
	{name: "dns", protocol: "dns", match: message.Match{Path: "*.count.test"}, code: "SERVFAIL", serve: countDNS, connect: connectDNS, stays: endsWithout, multiplexed: true, datagrams: true},
	{name: "dns, answers", protocol: "dns", dir: message.ToClient, match: message.Match{Path: "*.count.test"}, serve: countDNS, connect: connectDNSAnswers, oneWay: true, stays: endsWithout, multiplexed: true, unicast: true, datagrams: true},
	{
		name: "statsd", protocol: "statsd", match: message.Match{Path: "count.*"}, serve: countDatagrams, oneWay: true, stays: endsWithout, multiplexed: true, datagrams: true,
		connect: connectDatagrams(func(key string) string {
			if strings.HasPrefix(key, "warm") {
				return key + ":1|c"
			}
			return counted(key) + ":1|c"
		}),
	},
	{name: "udp", protocol: "udp", serve: countDatagrams, connect: connectDatagrams(counted), oneWay: true, stays: endsWithout, datagrams: true},
}

// natsSessions numbers the inboxes: sessions with the same key get their own answers only.
var natsSessions atomic.Int64

// openNATS begins a session and subscribes.
func openNATS(p relaytest.Peer, subject string) {
	p.Before("\r\n") // INFO
	p.Send("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB "+subject+" 1\r\nPING\r\n", false)
	p.Expect("PONG\r\n")
}

// openPostgres begins a session without authentication.
func openPostgres(p relaytest.Peer) {
	p.Send(relaytest.PGFirst(3<<16, "user\x00postgres\x00database\x00postgres\x00\x00"), false)
	for {
		kind, body, err := readPGMessage(p)
		require.NoError(p.T, err)
		require.NotEqual(p.T, byte('E'), kind, body)
		if kind == 'Z' {
			return
		}
	}
}

// readPGMessage reads a message of a PostgreSQL server.
func readPGMessage(p relaytest.Peer) (kind byte, body string, err error) {
	head := make([]byte, 5)
	if _, err = io.ReadFull(p, head); err != nil {
		return 0, "", err
	}
	rest := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
	_, err = io.ReadFull(p, rest)
	return head[0], string(rest), err
}

// absence is a reason why transports lack cells of the matrix.
type absence struct {
	transports, cells []string
	// refused is part of the error with which a relay refuses the rule of the cell; "" means that there is no such
	// case, for the reason why.
	refused, why string
}

var (
	ofUDP     = []string{"dns", "dns, answers", "statsd", "udp"}
	pushes    = []string{"redis, published", "nats, delivered", "postgres, notified"}
	sessions  = append([]string{"http2", "grpc", "nats", "postgres"}, pushes...) // which begin before a message
	ofReplies = []string{"reply lost", "reply lost, reset", "reply lost, closed", "reply lost, silence", "reply lost, held", "reply delayed"}
	ofCopies  = []string{"twice", "twice, second answer", "twice, late"}
)

// absences lists all cells that transports lack. A cell without an entry is run.
var absences = []absence{
	{transports: ofUDP, cells: []string{"lost, reset", "lost, closed", "lost, silence", "lost, held"}, refused: "a datagram has no connection that could end"},
	{transports: []string{"dns", "statsd", "udp"}, cells: ofReplies, refused: "has no fault"},
	{transports: ofUDP, cells: []string{"twice, second answer"}, refused: "nothing tells which answer of a datagram is whose"},
	{transports: []string{"statsd", "udp"}, cells: []string{"answered"}, refused: `has no fault "answer"`},
	{transports: append([]string{"dns, answers"}, pushes...), cells: append([]string{"answered"}, ofReplies...), refused: "answers are lost, and given, to requests"},
	{transports: []string{"redis, published"}, cells: append([]string{"out of order"}, ofCopies...), refused: "Redis never sends a published message twice or out of order"},
	{transports: []string{"nats, delivered"}, cells: ofCopies, refused: "NATS never delivers a message twice on one connection"},
	{transports: []string{"postgres, notified"}, cells: []string{"lost", "lost, reset", "lost, closed", "lost, silence"}, refused: "PostgreSQL loses a notification only with its connection"},
	{transports: []string{"postgres, notified"}, cells: append([]string{"out of order"}, ofCopies...), refused: "PostgreSQL never sends a notification twice or out of order"},
	{transports: ofUDP, cells: []string{"refused"}, why: "no connection is reset; the port refuses each datagram (TestRefuse of package datagram)"},
	{transports: ofUDP, cells: []string{"accepted and closed"}, why: "no connection is accepted"},
	{transports: sessions, cells: []string{"accepted and closed" + unused}, why: "the session begins before the message and is closed then"},
}

// absent returns the entry of a cell, or nil.
func absent(tr *transport, cell string) *absence {
	for i, a := range absences {
		if slices.Contains(a.transports, tr.name) && slices.Contains(a.cells, cell) {
			return &absences[i]
		}
	}
	return nil
}

// Every protocol has a row, and every entry of the list names cells.
func TestMatrixIsComplete(t *testing.T) {
	var names []string
	for _, tr := range transports {
		names = append(names, tr.name)
	}
	for _, p := range protocols.All() {
		require.True(t, slices.ContainsFunc(transports, func(tr transport) bool { return tr.protocol == p.Name }), "protocol %q needs a row in transports", p.Name)
	}
	seen := map[string]bool{}
	for _, a := range absences {
		require.Subset(t, names, a.transports)
		for _, cell := range a.cells {
			require.True(t, slices.ContainsFunc(matrix, func(c matrixCell) bool { return cell == c.name || cell == c.name+unused }), "%q is not a cell", cell)
			for _, name := range a.transports {
				require.False(t, seen[name+cell], "%s, %s: twice in the list", name, cell)
				seen[name+cell] = true
			}
		}
	}
}
