package load

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// Kind is a kind of load that is not HTTP: how its requests are sent.
type Kind struct {
	Name string // of a row of scenarios.LoadKinds
	// Open opens a session, and completes what has to precede the first request, such as a login. The context ends with
	// the attempt that needs the session.
	Open func(ctx context.Context, p Place) (Session, error)
}

// Kinds returns the table of kinds that need no client library.
func Kinds() []Kind {
	return []Kind{
		{Name: "redis", Open: openRedis},
		{Name: "lines", Open: openLines},
		{Name: "lengths", Open: openLengths},
		{Name: "datagram", Open: openDatagrams},
	}
}

// Place is where a session is opened.
type Place struct {
	Address string          // host:port
	TLS     *tls.Config     // nil means without TLS; it has a ServerName
	Framing message.Framing // of messages that begin with their length
	Proto   string          // the file that defines the methods of gRPC; "" if there is none
	About   []string        // what requests of the load to this service are about
	URL     *url.URL        // with what else clients know, such as a user and a database; its host is not the address. Never nil
	dial    func(ctx context.Context, network string) (net.Conn, error)
}

// Dial opens the connection of the session. Everything that is written to it after Open counts as part of a request, and so
// a session has one connection. It is closed with the session.
func (p Place) Dial(ctx context.Context, network string) (net.Conn, error) {
	return p.dial(ctx, network)
}

// DialTLS is like Dial and begins with TLS, if the place has it.
func (p Place) DialTLS(ctx context.Context) (net.Conn, error) {
	conn, err := p.Dial(ctx, "tcp")
	if err != nil || p.TLS == nil {
		return conn, err
	}
	secure := tls.Client(conn, p.TLS)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, phaseError{err, failedTLS}
	}
	return secure, nil
}

// Session is a connection over which one request is sent at a time.
type Session interface {
	// Send sends a request and waits for its answer. When the context ends, the deadlines of the connection end, too, so
	// that Send only has to watch the context while it waits for something else. An error means that there is no answer,
	// or none that can be read: the outcome is not known, unless nothing of the request was written. The session is then
	// closed. OwnError marks an error of the generator itself.
	Send(ctx context.Context, r Request) (Reply, error)
	Close() error
}

// Request is one attempt of a request.
type Request struct {
	N       uint64 // its number, from 0
	Key     string // its idempotency key; "" if it has none
	About   string // what it is about, such as a subject
	Text    string
	Headers []scenarios.Header // with the key, if a header carries it
	Trace   string             // the W3C trace context, for kinds whose requests carry it

	Unanswered bool // no answer is expected: Send does not wait for one, and the outcome is not known
}

// Reply is an answer.
type Reply struct {
	Outcome   Outcome
	Text      []byte // what is compared between the answers to one key
	Word      string // what names an answer that does not acknowledge, such as WRONGTYPE: one word
	Transient bool   // the same request may succeed later, so that clients retry even if this one was refused
	None      bool   // it says that there is nothing, such as no item in a queue and no element of that name in a set
	Last      bool   // the session can carry no further request
}

// OwnError returns an error of the generator itself: the request cannot be sent. cause is shown in reports, and must contain
// no secret.
func OwnError(cause, advice string, err error) error {
	return generatorError{cause: cause, advice: advice, err: err}
}

// Malformed returns the error for an answer that cannot be read.
func Malformed(format string, args ...any) error {
	return phaseError{fmt.Errorf(format, args...), malformed}
}

// send makes one attempt of a request that is not HTTP.
func (c *Client) send(ctx context.Context, x *transaction, s step) (a Attempt) {
	a.At = time.Now()
	req, err := c.otherRequest(x, s)
	var reply Reply
	if err == nil {
		var wrote bool
		var stale int
		reply, wrote, stale, err = c.others.exchange(ctx, s.Kind, s.Service, req)
		if wrote {
			a.wire = 1
		}
		c.wire.Add(int64(a.wire))
		c.stale.Add(int64(stale))
	}
	a.Took = time.Since(a.At)
	var d declined
	if errors.As(err, &d) {
		reply, err = d.Reply, nil
	}
	if err != nil {
		if ended := ctx.Err(); ended != nil && !errors.As(err, new(generatorError)) {
			err = ended
		}
		c.setError(ctx, &a, err)
		if a.wire == 0 && a.Kind != Aborted {
			a.Outcome = Refused // nothing of the request was written
		}
		return a
	}
	if c.Load.Unanswered {
		a.unanswered = true
		return a
	}
	if m, ok := c.Load.AnswerMeans(string(reply.Text)); ok {
		reply.Outcome, reply.Word = outcomes[m.Is], oneWord(m.Begins)
	}
	a.Outcome, a.replied, a.transient = reply.Outcome, true, reply.Transient
	if a.Outcome != Acknowledged {
		a.Kind = "error " + reply.Word
	}
	sum := sha256.Sum256(reply.Text)
	a.Answer.Digest, a.Answer.none = hex.EncodeToString(sum[:8]), reply.None
	if len(reply.Text) <= maxShown {
		a.Answer.Body = string(reply.Text)
	}
	return a
}

// otherRequest fills in the texts of a request.
func (c *Client) otherRequest(x *transaction, s step) (Request, error) {
	if s.err != nil {
		return Request{}, s.err
	}
	r := Request{N: x.n, Key: c.Key(x.n), Trace: traceparent(c.trace, x.n), Unanswered: c.Load.Unanswered, About: x.values(x.n, s.Name()+" path").fill(s.path), Text: x.bodyOf(s)}
	if c.Load.Key.In == scenarios.InHeader {
		r.Headers = append(r.Headers, scenarios.Header{Name: c.Load.Key.Name, Value: r.Key})
	}
	for _, h := range c.headers {
		r.Headers = append(r.Headers, scenarios.Header{Name: h.name, Value: x.values(x.n, h.name).fill(h.value)})
	}
	return r, nil
}

// declined is the error of a server that opened no session, so that the request was not sent.
type declined struct{ Reply }

func (d declined) Error() string { return "declined: " + d.Word }

// Decline returns the error for a server that does not open a session at present, such as one with too many of them. word
// names its answer.
func Decline(word string) error {
	return declined{Reply{Outcome: Refused, Word: oneWord(word), Transient: true}}
}

// oneWord replaces white space and control characters in the name of an answer.
func oneWord(s string) string {
	return strings.Map(func(c rune) rune {
		if c <= ' ' || c == 0x7f {
			return '-'
		}
		return c
	}, strings.TrimSpace(s))
}
