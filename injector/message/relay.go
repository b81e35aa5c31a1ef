package message

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Relay relays the connections of one link. It is safe for concurrent use.
type Relay struct {
	cfg      Config
	protocol Protocol

	mu    sync.Mutex
	rules []*Live
	holds []*hold // reordered messages that wait for others to pass

	accounting accounting
	ops        operations
	copying    atomic.Int64 // memory used by pending copies, in bytes
	unawaited  atomic.Int64 // see Unawaited
}

// New returns a relay for a protocol.
func New(p Protocol, cfg Config) (*Relay, error) {
	if err := p.CheckFraming(cfg.Framing); err != nil {
		return nil, fmt.Errorf("relay link %q: %w", cfg.Link, err)
	}
	if cfg.Sink == nil {
		cfg.Sink = func(evidence.Event) {}
	}
	if cfg.Calls == nil {
		cfg.Calls = func(Call) {}
	}
	if cfg.Streams == nil {
		cfg.Streams = func(Call) {}
	}
	return &Relay{cfg: cfg, protocol: p}, nil
}

// Serve relays one client connection until it ends. It closes the upstream connections that it dialed; the
// caller closes client.
func (r *Relay) Serve(ctx context.Context, client Client, dial Dial) {
	r.protocol.Serve(ctx, r, client, dial)
}

// Add makes a rule live for subsequent messages of every connection. The returned function heals it: held
// messages are forwarded. Rules are evaluated in the order in which they were added. Delays add up; of all other
// rules, the first that chooses a message acts on it.
func (r *Relay) Add(rule Rule) (heal func(context.Context) error, err error) {
	rule.Match = r.protocol.topic(rule.Match)
	if err = r.protocol.Allows(rule, r.cfg.Framing); err != nil {
		return nil, fmt.Errorf("add rule %q to link %q: %w", rule.ID, r.cfg.Link, err)
	}
	l := &Live{Rule: rule, healed: make(chan struct{}), quota: quota{began: time.Now()}}
	r.mu.Lock()
	r.rules = append(slices.Clone(r.rules), l)
	r.mu.Unlock()
	return func(context.Context) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if i := slices.Index(r.rules, l); i >= 0 {
			r.rules = slices.Delete(slices.Clone(r.rules), i, i+1)
			close(l.healed)
		}
		return nil
	}, nil
}

// Record sends one piece of evidence to the sink.
func (r *Relay) Record(l *Live, m Message, stage evidence.Stage, detail string) {
	if stage == evidence.Skipped {
		l.Count.Skip(detail)
	}
	r.cfg.Sink(evidence.Event{
		At: time.Now(), Link: r.cfg.Link, Fault: l.ID, Stage: stage, ToServer: m.Dir == ToServer && stage != evidence.Discarded && !l.Action.OfReply(),
		Conn: m.Conn, Seq: m.Seq, Op: m.Op, Key: m.Key, Class: m.Method + " " + r.class(l, m), Bytes: m.Bytes, Detail: detail, Cause: m.Cause,
	})
}

// collateral records that a message was lost together with another one that the rule acted on.
func (r *Relay) collateral(l *Live, m Message, detail string) {
	r.Record(l, m, evidence.Collateral, detail)
	l.Count.Collateral()
}

// Applied records that a rule took effect on a message.
func (r *Relay) Applied(l *Live, m Message, detail string) {
	r.Record(l, m, evidence.Applied, detail)
	r.countApplied(l, m)
}

// Begin registers work other than messages, such as a late copy, that Quiesce must wait for. Each Begin needs
// one End.
func (r *Relay) Begin() { r.accounting.begin() }

// End marks the completion of work registered with Begin.
func (r *Relay) End() { r.accounting.done() }

// Quiesce waits until no message is held or in transit and no late copy is pending, or until ctx is done. It
// returns the accounts of the messages to the server and to the client at that moment. Accounts that do not add up
// by then are not an error; the caller judges them.
func (r *Relay) Quiesce(ctx context.Context) (toServer, toClient evidence.Accounts, err error) {
	toServer, toClient, idle := r.accounting.waitIdle(ctx)
	if n := r.accounting.tasks.Load(); !idle && n > 0 {
		err = fmt.Errorf("quiesce link %q: %s under way: %w", r.cfg.Link, english.Plural(int(n), "message", ""), ctx.Err())
	}
	return toServer, toClient, err
}
