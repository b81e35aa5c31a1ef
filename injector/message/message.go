// Package message relays the traffic of a link message by message and applies fault rules to individual
// messages.
//
// New returns a Relay for one link. Its Serve method relays one client connection over an upstream connection of
// its own. While no rule is live, both directions pass unchanged: the relay parses the traffic to find message
// boundaries and rewrites only the addresses in NATS's INFO, which would make clients bypass the link. Add makes
// a Rule live. Effects are reported to Config.Sink, Config.Calls and the rule's Count; Quiesce returns the
// accounting.
//
// The relay never repeats a request, adds a header or generates an answer unless a rule asks for it. Traffic
// that it cannot parse (another protocol after an upgrade, a head of more than 256 KiB, a message with ambiguous
// framing) passes through unchanged until the connection ends, and is reported as a skipped call.
//
// While a rule holds a message back, the server's connection is idle, and the server may close it. With HTTP,
// the relay then redials before it forwards the held request; it never resends a request once a byte of it has
// been written. Framed protocols keep session state in the connection, so the relay cannot redial: messages that
// fail because the server closed the connection while they were held are counted as broken by the rule
// (evidence.Tally.Broken).
//
// A caller that sends FIN or RST while an answer is pending has given up. HTTP clients that half-close are rare
// enough that a FIN counts as giving up, but the answer is still delivered to them.
package message

import (
	"context"
	"net"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Client is the client side of a connection, such as a link.Conn.
type Client interface {
	net.Conn
	CloseWrite() error
	Reset() error            // at once
	ResetAfterWrites() error // once the client has everything written so far
	ID() uint64
}

// Dial opens a connection to the upstream.
type Dial func(context.Context) (net.Conn, error)

// Ending is how the connection of a lost message ends. Each ending leads to a different outcome in real clients,
// so a rule always names one.
type Ending string

// The ways in which a connection can end.
const (
	EndReset   Ending = "reset"   // RST
	EndClosed  Ending = "closed"  // FIN
	EndSilence Ending = "silence" // no more data; both sockets stay open
	EndHeld    Ending = "held"    // the message is held back until the fault is healed, then delivered
)

// Action is what a rule does to a message that it chose.
type Action string

// The actions.
const (
	Delay       Action = "delay"
	LoseRequest Action = "lose request" // or a message that has no answer, in either direction
	LoseReply   Action = "lose reply"   // after the request was processed
	Answer      Action = "answer"       // with an error of the protocol, without contacting the upstream
	Twice       Action = "twice"
	Reorder     Action = "reorder"
	Corrupt     Action = "corrupt"  // the payload; the framing stays valid
	Truncate    Action = "truncate" // the payload; the framing stays valid

	// DelayReply delays the answer after the request was processed; later output of the server on the same
	// connection waits too.
	DelayReply    Action = "delay reply"
	CorruptReply  Action = "corrupt reply"
	TruncateReply Action = "truncate reply"

	EditRequest  Action = "change header"       // headers of requests are added, replaced or removed
	EditReply    Action = "change reply header" // as EditRequest; trailers are not changed
	ReplaceReply Action = "replace reply"       // the body; the framing stays valid
	// CutReply ends or stalls the connection after an event of an answer: an event of text/event-stream, a chunk, or
	// a message of gRPC.
	CutReply Action = "cut reply"
)

// AllActions returns the actions of protocols whose messages can be read, changed and answered.
func AllActions() []Action {
	return []Action{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder, Corrupt, Truncate, DelayReply, CorruptReply, TruncateReply}
}

// OfReply reports whether the action applies to the answer to the chosen message.
func (d Action) OfReply() bool {
	switch d {
	case LoseReply, DelayReply, CorruptReply, TruncateReply, EditReply, ReplaceReply, CutReply:
		return true
	}
	return false
}

// Dir is a direction of travel.
type Dir uint8

// The directions.
const (
	ToServer Dir = iota
	ToClient
)

func (d Dir) String() string {
	if d == ToClient {
		return "to client"
	}
	return "to server"
}

// Rule is one live message fault. The zero values of the selection fields match every message.
type Rule struct {
	ID     string // of the injection; part of the decision
	Seed   uint64
	Action Action
	// Dir is the direction of the chosen messages, for protocols whose server sends messages of its own. Rules
	// for replies use ToServer, the direction of the request.
	Dir            Dir
	Match          Match
	AllowViolation bool // also act where a real server of this protocol never behaves like this

	Share    float64 // the probability for each message, decided by hash; 0 means all
	First    uint64  // only the first N matching messages of each class; 0 means no limit
	Every    uint64  // only every Nth message; 0 means each
	From, To uint64  // only messages number From to To, counted from 1; 0, 0 means no limit
	// Sticky makes Share apply to the key instead of the occurrence: a message chosen once is chosen on every
	// retry.
	Sticky bool

	// Quota makes the rule act only on the chosen messages beyond so many in a second, of all operations together; 0
	// means on each. Seconds are counted from the injection and not rolling, so that exactly Quota messages pass in
	// each, and up to twice as many around the turn of one. Unlike all other decisions it depends on time.
	Quota uint64

	By, Jitter time.Duration // Delay, DelayReply: By ± at most Jitter, uniformly distributed
	// EndWith applies to LoseRequest, LoseReply and CutReply. "" means EndReset or, for a message whose loss does not end
	// its connection (NATS, messages pushed by a server), that only the message is lost.
	EndWith Ending
	Status  int // Answer: the HTTP status; for gRPC without Code, the status of a proxy
	// Code applies to Answer in other protocols: "LOADING" (Redis), "UNAVAILABLE" (gRPC), "57P01" (PostgreSQL),
	// "503" (NATS), "SERVFAIL" (DNS). For "lines" and "lengths" it is the text of the answer.
	Code string
	// RetryAfter applies to Answer. It is sent as Retry-After in whole seconds, or with a gRPC code as
	// grpc-retry-pushback-ms. 0 means no header.
	RetryAfter time.Duration
	// Second applies to Twice: the copy is sent after the first answer arrived, and the client gets the answer
	// to the copy. Otherwise both are sent at once, and the client gets the first answer.
	Second bool
	// Late applies to Twice: the copy is sent after this delay or on healing, and the client gets the first
	// answer.
	Late time.Duration
	// Headers are "Name: value". Answer adds them; EditRequest and EditReply let them replace all headers of the same
	// name, and remove a header that is given as "Name".
	Headers []string
	Body    string        // Answer: "" means a short text that names the status; ReplaceReply: "" means no bytes
	Events  uint64        // CutReply: how many events arrive
	Wait    time.Duration // Reorder: the longest time to hold the message until another has passed it

	Count *evidence.Counter
}

// Match selects messages. The zero value matches all.
type Match struct {
	Method string // "POST", "INCR" (Redis), "PUB" (NATS), "INSERT" (PostgreSQL); "" matches any
	// Path is the object of the message: "/charge", "/orders/{id}" or "/static/*" (HTTP), a key (Redis), a
	// subject such as "orders.>" (NATS), a table (PostgreSQL). "" matches any.
	Path   string
	Key    string // idempotency key or message ID; "" matches any
	Header string // "Name: value", for requests of HTTP, gRPC or NATS; "" matches any
	// CausedBy is the route of the load's requests that caused the message, such as "POST /orders". It matches only
	// messages that carry the trace context or the key of such a request; see Trace. "" matches any.
	CausedBy string
}

// Call is one exchange as the link observed it. It shows the load on a dependency and how long its caller
// waited.
type Call struct {
	Start, End time.Time
	Sent       time.Time // when it was sent to the upstream; zero if it was not
	Op         string    // method and path without query
	Status     int       // 0 if the caller did not get a complete answer
	// GaveUp means that the caller closed its connection at End, before it had the answer. The answer may still
	// have been sent.
	GaveUp   bool
	Affected bool   // a rule acted on it
	Fault    string // the ID of the first rule that chose it; "" if none did
	Cause    evidence.Cause
	Skipped  string // why the rule that chose it could not act
	// Shared means that other requests waited on the same connection. A caller that gave up on one of them may have
	// left the connection open, so that End is not a sign of how long it waited.
	Shared bool
	// Blocking means that the answer comes when something happens elsewhere, as with BLPOP of Redis: how long the
	// caller waits for it says nothing about the server.
	Blocking bool
	// Stream means that the answer was a stream, whose beginning the caller had; see Config.Streams.
	Stream bool
}

// MaxBuffered limits the messages that are buffered completely, as content faults need, in bytes. Rules skip
// larger messages.
const MaxBuffered = 1 << 20

// Config configures a Relay. All fields except Link may be zero.
type Config struct {
	Link  string
	Sink  evidence.Sink // receives the evidence of each effect; may be nil
	Calls func(Call)    // called for each exchange when it has ended; may be nil
	Trace Trace
	// Streams is called when the caller has the beginning of an answer that may not end, such as server-sent events: it no
	// longer waits. End is that time, and what rules do is not known yet. Calls follows when the answer has ended. May be nil.
	Streams func(Call)
	// Told is called with what a server tells its client about where other servers are, such as the answer to CLUSTER
	// SLOTS or the address of a redirect; may be nil. The text is valid during the call. If it could not be read, unread is
	// the reason.
	Told func(text []byte, unread string)

	Framing Framing // for the protocols "lines" and "lengths"
}
