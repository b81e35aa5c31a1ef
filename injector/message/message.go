// Package message relays a link's traffic message by message and decides each message's fate.
//
// New returns a Relay for one link; its Serve carries a connection on the client's socket and one upstream connection of its own. With no rule
// live both directions pass byte for byte: the relay reads where messages begin and end and changes nothing but the addresses in NATS's INFO, which
// would lead clients around the link. Add makes a Rule live; what it did is told to Config.Sink, Config.Calls and the rule's Count, and Quiesce
// balances the books.
//
// The relay never repeats a request, adds no header and invents no answer but the one that a rule asks for. What it cannot follow (another
// protocol after an upgrade, a head of more than 256 KiB, a message that two readers could frame differently) goes through untouched
// from there on, and is told as a skipped call.
//
// A caller that sends FIN or RST while it is owed an answer has given up: half-closing HTTP clients are rare enough that the FIN counts, but
// the answer is still delivered to those.
package message

import (
	"context"
	"net"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Client is the client's side of a connection; link.Conn is one.
type Client interface {
	net.Conn
	CloseWrite() error
	Reset() error
	ID() uint64
}

// Dial opens a connection to the upstream.
type Dial func(context.Context) (net.Conn, error)

// Ending is how a lost message's connection ends. The four lead to different outcomes in real clients, so a rule always names one.
type Ending string

// The endings.
const (
	ThenReset   Ending = "reset"   // RST
	ThenClosed  Ending = "closed"  // FIN
	ThenSilence Ending = "silence" // nothing more, sockets stay open
	ThenHeld    Ending = "held"    // kept until the fault is healed, then delivered
)

// Do is what happens to a chosen message.
type Do string

// What can be done to a message.
const (
	Delay       Do = "delay"
	LoseRequest Do = "lose request" // or a message that owes no answer, in either direction
	LoseReply   Do = "lose reply"   // after the work was done
	Answer      Do = "answer"       // with an error in the protocol's own words, without the upstream
	Twice       Do = "twice"
	Reorder     Do = "reorder"
	Corrupt     Do = "corrupt"  // bytes of the payload, framing kept right
	Truncate    Do = "truncate" // the payload, framing kept right
)

// Dir is a direction of travel.
type Dir uint8

// Directions.
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

// Rule is one live message fault. The zero values of the selection mean "every message".
type Rule struct {
	ID    string // the injection's id; part of the decision
	Seed  uint64
	Do    Do
	Dir   Dir // of the messages it acts on, where a protocol has messages of its own both ways; LoseReply acts on answers and is ToServer, as their request
	Match Match
	Even  bool // also where the protocol never does this

	Share    float64 // 0 means all; else the probability, per message, by hash
	First    uint64  // only the first N of those that match, per class; 0 means no limit
	Every    uint64  // only each Nth; 0 means each
	From, To uint64  // only from the From-th to the To-th, counted from 1; 0, 0 means no limit
	Sticky   bool    // Share is drawn for the key and not for each occurrence: a message that is chosen once is chosen at every retry

	By, Jitter time.Duration // Delay: By plus or minus up to Jitter, uniform
	Then       Ending        // LoseRequest, LoseReply; "" means reset, and for a message that nothing stands behind (NATS, what a server publishes) that no more is lost
	Status     int           // Answer, of HTTP; of gRPC without a Code, as a proxy on the way gives it
	Code       string        // Answer, of other protocols: "LOADING" (Redis), "UNAVAILABLE" (gRPC), "57P01" (PostgreSQL), "503" (NATS), "SERVFAIL" (DNS); of a framing, the text itself
	RetryAfter time.Duration // Answer: sent as Retry-After in whole seconds, with a code of gRPC's as grpc-retry-pushback-ms; 0 means no header
	Second     bool          // Twice: the copy leaves when the first answer is there, and its answer is returned; false means that both leave at once, and the first is
	Late       time.Duration // Twice: the copy leaves so much later, or on heal; the first answer is returned
	Wait       time.Duration // Reorder: at most so long
	Others     int           // Reorder: until so many others passed; 0 means 1

	Count *evidence.Counter
}

// Match picks messages. The zero value matches all.
type Match struct {
	Method string // "POST", "INCR" (Redis), "PUB" (NATS), "INSERT" (PostgreSQL); "" any
	Path   string // what it is about: "/charge", "/orders/{id}", "/static/*"; a key (Redis), subject (NATS: "orders.>"), table (PostgreSQL); "" any
	Key    string // idempotency key or message id; "" any
	Header string // "Name: value", of a request of HTTP, gRPC or NATS; "" any
}

// Call is one exchange as the link saw it, for the load on a dependency and the patience of its caller.
type Call struct {
	Start, End time.Time
	Op         string // method and path without query
	Status     int    // 0 when no whole answer went to the caller
	GaveUp     bool   // the caller closed before it had its answer, at End; the answer may have gone out behind it
	Affected   bool   // a rule acted on it
	Skipped    string // why no rule could act on it, when one chose it
}

// Config of a relay. All fields but Link may be zero.
type Config struct {
	Link  string
	Sink  evidence.Sink // each fate
	Calls func(Call)    // each exchange when it is over
	Whole int64         // content faults need the whole message in memory; larger ones are skipped. 0 means 1 MiB

	Framing Framing // of the protocols "lines" and "lengths"
}

// Books are a relay's accounts for one direction. At quiesce In + Copies + Injected = Out + Dropped + Swallowed + Withheld + Collateral.
type Books struct {
	In, Copies, Injected, Out, Dropped, Swallowed, Withheld, Collateral, Held int64
}

// settled tells whether nothing is held or between two entries.
func (b Books) settled() bool {
	return b.Held == 0 && b.In+b.Copies+b.Injected == b.Out+b.Dropped+b.Swallowed+b.Withheld+b.Collateral
}
