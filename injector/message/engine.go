package message

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Every intercepted message takes the same path, whatever its transport: it is counted and the rules decide
// (admit), its delays pass, the chosen rule acts, and its ticket ends with an outcome. This file implements that
// path, reply.go that of answers. A transport implements only the operations on its bytes; see Carrier and
// ReplyCarrier. Messages that no rule intercepts bypass this code: their transport streams them.

// Exchange is one message in progress, with the decisions of the rules.
type Exchange struct {
	Message     Message
	Delays      []Wait               // of the message
	ReplyDelays []Wait               // of its answer
	chosen      atomic.Pointer[Live] // the rule that acts on it; nil if there is none or it was skipped
	n           uint64               // identifies the decision, and seeds further random choices
	fault       string               // the ID of the first rule that chose it
	Ticket      Ticket

	Start     time.Time
	SentAt    time.Time // when it was written to the server; zero if it was not
	GaveUpAt  time.Time // when the client disconnected while waiting for the answer
	Affected  bool      // a rule took effect
	Skipped   string    // why the chosen rule could not act
	Overtaken []*hold
	OneWay    bool // it has no answer
	Shared    bool // see Call
	Blocking  bool // see Call
	stream    bool // BeginStream was called

	reply     Ticket // of the answer
	replyOpen atomic.Bool

	unordered bool // a datagram: other messages of the same client may pass it too
}

// Rule returns the rule that acts on the message, or nil.
func (x *Exchange) Rule() *Live { return x.chosen.Load() }

// SetRule replaces the rule that acts on the message; nil means that none does.
func (x *Exchange) SetRule(l *Live) { x.chosen.Store(l) }

// Does reports whether a rule with one of these actions acts on the message.
func (x *Exchange) Does(actions ...Action) bool {
	rule := x.Rule()
	if rule == nil {
		return false
	}
	for _, a := range actions {
		if rule.Action == a {
			return true
		}
	}
	return false
}

// Dropped reports whether the message is not forwarded to its destination.
func (x *Exchange) Dropped() bool {
	return x.Does(Answer) || x.Does(LoseRequest) && x.Rule().Ending() != EndHeld
}

// Intercepted reports whether a rule delays, changes or drops the message, so that it cannot be streamed.
func (x *Exchange) Intercepted() bool {
	rule := x.Rule()
	return len(x.Delays) > 0 || rule != nil && !rule.Action.OfReply() && rule.Action != EditRequest
}

// ReplyIntercepted reports whether a rule delays, changes or drops the answer, so that it cannot be streamed.
func (x *Exchange) ReplyIntercepted() bool {
	rule := x.Rule()
	return len(x.ReplyDelays) > 0 || rule != nil && (rule.Action.OfReply() && rule.Action != EditReply || rule.Action == Twice && rule.Second)
}

// NeedsWholeReply reports whether the answer is read to its end even if the client has disconnected.
func (x *Exchange) NeedsWholeReply() bool {
	return x.Does(LoseReply) || x.Does(Twice) && x.Rule().Second
}

// Admit counts a message and evaluates the rules.
func (r *Relay) Admit(x *Exchange) {
	r.ops.add(r, x.Message)
	x.Message.Cause = r.cfg.Trace.CauseOf(x.Message)
	r.decide(x)
}

// Skip records that the chosen rule cannot act.
func (r *Relay) Skip(x *Exchange, why string) {
	rule := x.Rule()
	x.Skipped = why
	x.chosen.Store(nil)
	if rule != nil {
		r.Record(rule, x.Message, evidence.Skipped, why)
	}
}

// SkipDelays records that a message cannot be delayed any further, after the given number of delays.
func (r *Relay) SkipDelays(x *Exchange, done int, why string) {
	for _, d := range x.Delays[done:] {
		r.Record(d.rule, x.Message, evidence.Skipped, why)
	}
	x.Delays = nil
}

// Report reports a call that has ended. A caller that disconnected before the answer has given up, even if the
// answer was still sent.
func (r *Relay) Report(x *Exchange, status int) {
	call := Call{
		Start: x.Start, Sent: x.SentAt, End: time.Now(), Op: x.Message.Op, Status: status,
		Affected: x.Affected, Skipped: x.Skipped, Cause: x.Message.Cause, Fault: x.fault, Shared: x.Shared, Blocking: x.Blocking, Stream: x.stream,
	}
	if !x.GaveUpAt.IsZero() {
		call.GaveUp, call.End = true, x.GaveUpAt
	}
	r.cfg.Calls(call)
}

// BeginStream reports that the client was sent the beginning of an answer that may not end, such as server-sent events.
// Its caller no longer waits, and the answer counts as delivered. It has no effect if the caller had given up before, or
// if it was called before. A Report follows when the answer has ended, which must not be concurrent.
func (r *Relay) BeginStream(x *Exchange, status int) {
	if x.stream || !x.GaveUpAt.IsZero() {
		return
	}
	x.stream = true
	r.EndReply(x, Delivered)
	// Rules may still act on the answer in another goroutine, so that their fields are left out.
	r.cfg.Streams(Call{Start: x.Start, Sent: x.SentAt, End: time.Now(), Op: x.Message.Op, Status: status, Cause: x.Message.Cause, Shared: x.Shared, Stream: true})
}

// BeginReply opens the ticket of the answer to x. It needs an EndReply.
func (r *Relay) BeginReply(x *Exchange) {
	x.reply = r.Received(ToClient)
	x.replyOpen.Store(true)
}

// EndReply ends the ticket of the answer to x, unless it has ended: that of a stream ends when the stream begins.
func (r *Relay) EndReply(x *Exchange, o Outcome) {
	if x.replyOpen.CompareAndSwap(true, false) {
		x.reply.End(o)
	}
}

// Sender is the connection that a message arrived on.
type Sender interface {
	Context() context.Context // ends with the connection
	Outlived()                // called before a held message is forwarded: its sender may have disconnected
	Report(status int)        // reports the call, which has ended

	// End ends the connection and reports the call. Before that, it calls lost for each other message that is lost
	// with the connection.
	End(ending Ending, lost func(other Message))
}

// Carrier is the interface between the rules and a transport for one intercepted message. An implementation
// knows nothing of rules, decisions, evidence or accounting.
type Carrier interface {
	Sender
	Payload
	Forward() (Outcome, error) // writes the message to its destination
	Drop() Outcome             // discards the message; arranges for Relay.Instead to be called when its answer is due
	Instead() (string, error)  // prepares the answer that the rule asks for, and describes it
	Answer() Outcome           // writes that answer and reports the call
	Twice() error              // forwards the message and a copy of it
}

// Payload is the part of a buffered message that a rule may damage.
type Payload interface {
	Size(cut bool) int             // number of bytes that may be damaged or cut
	Damage(at int, cut bool) error // flips a bit of byte at, or truncates the payload there
}

// Carry processes an intercepted message to its outcome. Its ticket must be open.
func (r *Relay) Carry(x *Exchange, c Carrier) error {
	if r.Sleep(c.Context(), x.Delays, x.Message) {
		x.Affected = true
		c.Outlived()
	}
	return r.Act(x, c)
}

// Act applies the chosen rule to a message whose delays have passed. It blocks for as long as the rule holds the
// message.
func (r *Relay) Act(x *Exchange, c Carrier) error {
	switch rule := x.Rule(); {
	case rule == nil:
	case x.Dropped():
		x.Ticket.End(c.Drop())
		return nil
	case rule.Action == LoseRequest:
		if r.Hold(c.Context(), x, rule, "until healed") {
			c.Outlived()
		}
	case rule.Action == Reorder:
		if wait := r.Reorder(x); wait != nil {
			wait(c.Context())
			c.Outlived()
		}
	case rule.Action == Corrupt || rule.Action == Truncate:
		r.Damage(x, c)
	case rule.Action == Twice:
		return c.Twice()
	}
	_, err := r.Forward(x, c)
	return err
}

// Forward forwards an intercepted message, unless its connection has ended.
func (r *Relay) Forward(x *Exchange, c Carrier) (outcome Outcome, err error) {
	outcome = Collateral
	if c.Context().Err() == nil {
		outcome, err = c.Forward()
	}
	x.Ticket.End(outcome)
	return outcome, err
}

// Instead applies the rule's substitute for the server's answer: an answer of its own or the end of the
// connection.
func (r *Relay) Instead(x *Exchange, c Carrier) {
	rule := x.Rule()
	x.Affected = true
	switch {
	case rule.Action == LoseRequest && x.OneWay && rule.LosesOnlyMessage():
		r.Applied(rule, x.Message, "lost")
		c.Report(0)
		return
	case rule.Action == LoseRequest:
		what := "request lost, then "
		if x.OneWay {
			what = "lost, then "
		}
		r.Applied(rule, x.Message, what+string(rule.Ending()))
		r.EndConnection(x, rule, c, rule.Ending())
		return
	}
	detail, err := c.Instead()
	if err != nil {
		x.Affected = false
		r.Skip(x, err.Error())
		c.Report(0)
		return
	}
	r.Applied(rule, x.Message, detail)
	reply := r.Injected()
	reply.End(c.Answer())
}

// Ending returns how the connection of a lost message ends.
func (r Rule) Ending() Ending {
	if r.EndWith == "" {
		return EndReset
	}
	return r.EndWith
}

// LosesOnlyMessage reports whether losing a message that has no answer leaves its connection open.
func (r Rule) LosesOnlyMessage() bool { return r.EndWith == "" || r.EndWith == EndSilence }

// EndConnection ends the connection of a message that a rule acted on.
func (r *Relay) EndConnection(x *Exchange, rule *Live, c Sender, ending Ending) {
	c.End(ending, func(other Message) { r.collateral(rule, other, "its connection ended with that of "+x.Message.Op) })
}

// NoPayload is why a rule cannot damage a message.
const NoPayload = "it has no payload"

// Damage damages a payload. The damaged byte is chosen like every other decision; truncation keeps the first
// half.
func (r *Relay) Damage(x *Exchange, p Payload) {
	rule, cut := x.Rule(), x.Does(Truncate, TruncateReply)
	n := p.Size(cut)
	if n == 0 {
		r.Skip(x, NoPayload)
		return
	}
	at := n / 2
	detail := "cut after " + english.Plural(at, "byte", "") + " of " + english.Plural(n, "byte", "")
	if !cut {
		at = r.damagePosition(x, rule, n)
		detail = "a bit flipped in byte " + strconv.Itoa(at+1) + " of the payload"
	}
	if err := p.Damage(at, cut); err != nil {
		r.Skip(x, err.Error())
		return
	}
	x.Affected = true
	r.Applied(rule, x.Message, detail)
}

// Hold holds a message or an answer back until its rule is healed. It returns false if the connection ended
// first.
func (r *Relay) Hold(ctx context.Context, x *Exchange, rule *Live, detail string) bool {
	x.Affected = true
	r.Record(rule, x.Message, evidence.Held, detail)
	r.countApplied(rule, x.Message)
	select {
	case <-rule.healed:
		r.Record(rule, x.Message, evidence.Released, "")
		return true
	case <-ctx.Done():
		return false
	}
}

// damagePosition returns which of n bytes is damaged.
func (r *Relay) damagePosition(x *Exchange, rule *Live, n int) int {
	return int(evidence.Hash(rule.Seed, x.n, r.cfg.Link, rule.ID, "which byte", x.Message.Method, r.class(rule, x.Message)) % uint64(n)) //nolint:gosec // below n
}

// Sleep waits for the delays one after the other, each at most until its rule is healed. It reports whether any
// delay passed.
func (r *Relay) Sleep(ctx context.Context, delays []Wait, m Message) (slept bool) {
	for _, d := range delays {
		if !r.delay(ctx, d, m) {
			break
		}
		slept = true
	}
	return slept
}

// CountUnawaited counts a message that was delivered to the server; see Unawaited.
func (r *Relay) CountUnawaited() { r.unawaited.Add(1) }

// Unawaited returns how many of the messages delivered to the server are not calls, such as handshakes, or blocking
// calls. Nothing is known from them about how long callers wait.
func (r *Relay) Unawaited() int64 { return r.unawaited.Load() }

// Config returns the configuration, with defaults.
func (r *Relay) Config() Config { return r.cfg }

// Unparsed reports that a connection is no longer parsed.
func (r *Relay) Unparsed(why string) {
	r.cfg.Calls(Call{Start: time.Now(), End: time.Now(), Skipped: why})
}

// Told reports what a server tells its client about where other servers are.
func (r *Relay) Told(text []byte) {
	if r.cfg.Told != nil {
		r.cfg.Told(text, "")
	}
}

// ToldUnread reports that a server tells its client where other servers are, and why that cannot be read.
func (r *Relay) ToldUnread(why string) {
	if r.cfg.Told != nil {
		r.cfg.Told(nil, why)
	}
}

// TooLarge returns why a rule that needs a whole message cannot act on one of more than limit bytes.
func TooLarge(limit int) string {
	return "too large: more than " + english.Plural(limit, "byte", "")
}

// CrossingTime is how soon after a held message was forwarded the server's close must arrive to be attributed to
// a race with that message. Only tests change it.
var CrossingTime = 50 * time.Millisecond

// CountBroken counts a message that failed because the server closed the connection while rules held it.
func (r *Relay) CountBroken(x *Exchange, delays []Wait) {
	rules := make([]*Live, 0, len(delays)+1)
	for _, d := range delays {
		rules = append(rules, d.rule)
	}
	if rule := x.Rule(); len(rules) == 0 && rule != nil {
		rules = append(rules, rule)
	}
	for _, l := range rules {
		r.Record(l, x.Message, evidence.Collateral, "the dependency closed the connection while it was held")
		l.Count.Break()
	}
}
