package message

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
}

// New returns a relay for one of the Protocols. Its error for an unknown protocol lists the known ones.
func New(protocol string, cfg Config) (*Relay, error) {
	var names []string
	for _, p := range Protocols() {
		if p.Name == protocol {
			return newRelay(p, cfg)
		}
		names = append(names, p.Name)
	}
	return nil, fmt.Errorf("relay link %q: protocol %q is not known; known are %s", cfg.Link, protocol, strings.Join(names, ", "))
}

func newRelay(p Protocol, cfg Config) (*Relay, error) {
	if err := cfg.Framing.Check(p.Name); err != nil {
		return nil, fmt.Errorf("relay link %q: %w", cfg.Link, err)
	}
	if cfg.Whole == 0 {
		cfg.Whole = 1 << 20
	}
	if cfg.Sink == nil {
		cfg.Sink = func(evidence.Event) {}
	}
	if cfg.Calls == nil {
		cfg.Calls = func(Call) {}
	}
	return &Relay{cfg: cfg, protocol: p}, nil
}

// Serve relays one client connection until it ends. It closes the upstream connections that it dialed; the
// caller closes client.
func (r *Relay) Serve(ctx context.Context, client Client, dial Dial) {
	r.protocol.serve(r, ctx, client, dial)
}

// Add makes a rule live for subsequent messages of every connection. The returned function heals it: held
// messages are forwarded. Rules are evaluated in the order in which they were added. Delays add up; of all other
// rules, the first that chooses a message acts on it.
func (r *Relay) Add(rule Rule) (heal func(context.Context) error, err error) {
	rule.Match = r.protocol.topic(rule.Match)
	err = r.protocol.Allows(rule)
	if err == nil {
		err = r.cfg.Framing.Allows(r.protocol.Name, rule)
	}
	if err != nil {
		return nil, fmt.Errorf("add rule %q to link %q: %w", rule.ID, r.cfg.Link, err)
	}
	l := &Live{Rule: rule, healed: make(chan struct{})}
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

// record sends one piece of evidence to the sink.
func (r *Relay) record(l *Live, m Message, stage evidence.Stage, detail string) {
	if stage == evidence.Skipped {
		l.Count.Skip(detail)
	}
	r.cfg.Sink(evidence.Event{
		At: time.Now(), Link: r.cfg.Link, Fault: l.ID, Stage: stage, ToServer: m.dir == ToServer && stage != evidence.Discarded && !l.Action.OfReply(),
		Conn: m.conn, Seq: m.seq, Op: m.op, Key: m.key, Class: m.method + " " + r.class(l, m), Bytes: m.bytes, Detail: detail,
	})
}

// collateral records that a message was lost together with another one that the rule acted on.
func (r *Relay) collateral(l *Live, m Message, detail string) {
	r.record(l, m, evidence.Collateral, detail)
	l.Count.Collateral()
}

// applied records that a rule took effect on a message.
func (r *Relay) applied(l *Live, m Message, detail string) {
	r.record(l, m, evidence.Applied, detail)
	r.countApplied(l, m)
}

// Begin registers work other than messages, such as a late copy, that Quiesce must wait for. Each Begin needs
// one End.
func (r *Relay) Begin() { r.accounting.begin() }

// End marks the completion of work registered with Begin.
func (r *Relay) End() { r.accounting.done() }

// Quiesce waits until no message is held or in transit and no late copy is pending, or until ctx is done. It
// returns the accounts of the messages to the server and to the client. Accounts that do not add up by then are
// not an error; the caller judges them.
func (r *Relay) Quiesce(ctx context.Context) (toServer, toClient evidence.Accounts, err error) {
	if !r.accounting.waitIdle(ctx) {
		if n := r.accounting.tasks.Load(); n > 0 {
			err = fmt.Errorf("quiesce link %q: %s under way: %w", r.cfg.Link, plural(int(n), "message"), ctx.Err())
		}
	}
	return r.accounting.directions[ToServer].accounts(), r.accounting.directions[ToClient].accounts(), err
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}
