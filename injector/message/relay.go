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

// Relay carries the connections of one link. Its methods may be called from many goroutines.
type Relay struct {
	cfg      Config
	protocol Protocol

	mu    sync.Mutex
	rules []*live
	holds []*hold // reordered messages that wait for others
	books [2]Books
	open  int           // requests and answers that wait, and copies under way, for Quiesce
	moved chan struct{} // closed at the next change of open or the books, when somebody waits for one

	copying atomic.Int64 // bytes of the copies under way
}

// New returns a relay for a protocol of Protocols, or an error that names those there are.
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
		cfg.Sink = func(evidence.Fate) {}
	}
	if cfg.Calls == nil {
		cfg.Calls = func(Call) {}
	}
	return &Relay{cfg: cfg, protocol: p}, nil
}

// Serve carries one client connection until it is over. It closes what it dialled, and leaves closing the client to the caller.
func (r *Relay) Serve(ctx context.Context, client Client, dial Dial) {
	r.protocol.serve(r, ctx, client, dial)
}

// Add makes a rule live, on the next message of every connection. The returned func heals: held messages go on. Rules are tried in the order
// in which they were added; delays add up, and of the others the first that hits decides.
func (r *Relay) Add(rule Rule) (heal func(context.Context) error, err error) {
	err = r.protocol.Allows(rule)
	if err == nil {
		err = r.cfg.Framing.Allows(r.protocol.Name, rule)
	}
	if err != nil {
		return nil, fmt.Errorf("add rule %q to link %q: %w", rule.ID, r.cfg.Link, err)
	}
	l := &live{Rule: rule, healed: make(chan struct{})}
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

// tell records a fate.
func (r *Relay) tell(l *live, m message, stage evidence.Stage, detail string) {
	r.cfg.Sink(evidence.Fate{
		At: time.Now(), Link: r.cfg.Link, Fault: l.ID, Stage: stage, ToServer: m.dir == ToServer && stage != evidence.Swallowed && l.Do != LoseReply,
		Conn: m.conn, Seq: m.seq, Op: m.op, Key: m.key, Class: m.method + " " + r.class(l, m), Bytes: m.bytes, Detail: detail,
	})
}

// applied records that a rule's effect happened.
func (r *Relay) applied(l *live, m message, detail string) {
	r.tell(l, m, evidence.Applied, detail)
	l.Count.Touch(1)
}

// book changes the accounts of a direction.
func (r *Relay) book(toServer bool, change func(*Books)) {
	i := 0
	if !toServer {
		i = 1
	}
	r.mu.Lock()
	change(&r.books[i])
	r.move()
	r.mu.Unlock()
}

// begin and end bracket what Quiesce waits for, beside what stands in the books.
func (r *Relay) begin() {
	r.mu.Lock()
	r.open++
	r.mu.Unlock()
}

func (r *Relay) end() {
	r.mu.Lock()
	r.open--
	r.move()
	r.mu.Unlock()
}

// move wakes whoever waits in Quiesce; r.mu is held.
func (r *Relay) move() {
	if r.moved != nil {
		close(r.moved)
		r.moved = nil
	}
}

// Quiesce waits until nothing is held or on its way through and no late copy is under way, or ctx ends, and returns the books to the server and to the client.
// Books that do not balance by then are no error; whoever reads them judges.
func (r *Relay) Quiesce(ctx context.Context) (toServer, toClient Books, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.open > 0 || !r.books[0].settled() || !r.books[1].settled() {
		if r.moved == nil {
			r.moved = make(chan struct{})
		}
		moved := r.moved
		r.mu.Unlock()
		select {
		case <-moved:
			r.mu.Lock()
		case <-ctx.Done():
			r.mu.Lock()
			if r.open > 0 {
				err = fmt.Errorf("quiesce link %q: %s under way: %w", r.cfg.Link, plural(r.open, "message"), ctx.Err())
			}
			return r.books[0], r.books[1], err
		}
	}
	return r.books[0], r.books[1], nil
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}
