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
	cfg   Config
	serve func(r *Relay, ctx context.Context, client Client, dial Dial)

	mu    sync.Mutex
	rules []*live
	holds []*hold // reordered messages that wait for others
	books [2]Books
	late  sync.WaitGroup // copies under way
	open  int            // holds and copies, for Quiesce
	quiet chan struct{}  // closed when open falls to 0
}

// live is a rule with its counters.
type live struct {
	Rule
	healed chan struct{}
	// Occurrences are counted in a fixed array: two classes that fall together share a counter, which merges their counts and costs nothing else.
	seen [1 << 14]atomic.Uint32
}

// New returns a relay for a protocol of Protocols, or an error that names those there are.
func New(protocol string, cfg Config) (*Relay, error) {
	if cfg.Whole == 0 {
		cfg.Whole = 1 << 20
	}
	if cfg.Sink == nil {
		cfg.Sink = func(evidence.Fate) {}
	}
	if cfg.Calls == nil {
		cfg.Calls = func(Call) {}
	}
	var names []string
	for _, p := range Protocols() {
		if p.Name == protocol {
			return &Relay{cfg: cfg, serve: p.serve}, nil
		}
		names = append(names, p.Name)
	}
	return nil, fmt.Errorf("relay link %q: protocol %q is not known; known are %s", cfg.Link, protocol, strings.Join(names, ", "))
}

// Serve carries one client connection until it is over. It closes what it dialled, and leaves closing the client to the caller.
func (r *Relay) Serve(ctx context.Context, client Client, dial Dial) { r.serve(r, ctx, client, dial) }

// Add makes a rule live, on the next message of every connection. The returned func heals: held messages go on. Rules are tried in the order
// in which they were added; delays add up, and of the others the first that hits decides.
func (r *Relay) Add(rule Rule) (heal func(context.Context) error, err error) {
	if err := rule.validate(); err != nil {
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

func (r Rule) validate() error {
	switch {
	case r.Share < 0 || r.Share > 1:
		return fmt.Errorf("a share of %v does not lie between 0 and 1", r.Share)
	case r.To != 0 && r.From > r.To:
		return fmt.Errorf("from %d to %d is empty", r.From, r.To)
	case r.Do == Delay && (r.By <= 0 || r.Jitter < 0 || r.Jitter > r.By):
		return fmt.Errorf("a delay of %v, give or take %v: it must be positive and the jitter at most as long", r.By, r.Jitter)
	case r.Do == Answer && (r.Status < 200 || r.Status > 599):
		return fmt.Errorf("status %d is no final HTTP status", r.Status)
	case r.Do == Reorder && r.Wait <= 0:
		return fmt.Errorf("out of order for %v: the longest wait must be positive", r.Wait)
	case r.Do == Twice && r.Second && r.Late > 0:
		return fmt.Errorf("the answer of a copy that leaves later cannot be the one returned")
	}
	switch r.Do {
	case Delay, Answer, Twice, Reorder:
		return nil
	case LoseRequest, LoseReply:
		switch r.Then {
		case "", ThenReset, ThenClosed, ThenSilence, ThenHeld:
			return nil
		}
		return fmt.Errorf("ending %q is not one of reset, closed, silence, held", r.Then)
	}
	return fmt.Errorf("%q is nothing that can be done to a message", r.Do)
}

// message is what rules decide by.
type message struct {
	conn, seq             uint64
	method, path, op, key string
	bytes                 int
}

// chosen is the outcome of a decision: a delay (0 none) and at most one rule besides.
type chosen struct {
	delay  time.Duration
	delays []*live
	rule   *live
}

// decide asks every rule. Decisions depend on the seed, the link, the rule, the direction, the operation, the class and the occurrence only, so the
// same seed chooses the same messages whatever the order of arrival; a retry is a new occurrence.
func (r *Relay) decide(m message) chosen {
	r.mu.Lock()
	rules := r.rules
	r.mu.Unlock()
	var c chosen
	for _, l := range rules {
		if !l.Match.picks(m) || (l.Do != Delay && c.rule != nil) {
			continue
		}
		l.Count.See(1)
		class := l.Match.Path
		if class == "" || strings.HasSuffix(class, "*") {
			class = normalise(m.path)
		}
		n, hit := l.hit(r.cfg.Link, m.method, class)
		switch {
		case !hit:
		case l.Do == Delay:
			c.delay += l.delayOf(r.cfg.Link, m.method, class, n)
			c.delays = append(c.delays, l)
		default:
			c.rule = l
		}
	}
	return c
}

// hit counts an occurrence, from 1, and decides.
func (l *live) hit(link, method, class string) (uint64, bool) {
	slot := evidence.Hash(0, 0, method, class) % uint64(len(l.seen))
	n := uint64(l.seen[slot].Add(1))
	switch {
	case l.First > 0 && n > l.First, l.Every > 0 && n%l.Every != 0, n < l.From, l.To > 0 && n > l.To:
		return n, false
	}
	return n, l.Share <= 0 || l.Share >= 1 || evidence.Draw(l.Seed, n, link, l.ID, "to server", method, class) < l.Share
}

func (l *live) delayOf(link, method, class string, n uint64) time.Duration {
	if l.Jitter == 0 {
		return l.By
	}
	u := evidence.Draw(l.Seed, n, link, l.ID, "jitter", method, class)
	return l.By + time.Duration((2*u-1)*float64(l.Jitter))
}

func (m Match) picks(msg message) bool {
	return (m.Method == "" || strings.EqualFold(m.Method, msg.method)) && (m.Path == "" || matchPath(m.Path, msg.path))
}

// matchPath matches "/orders/{id}" segment by segment; a trailing * takes whatever follows.
func matchPath(template, path string) bool {
	if prefix, ok := strings.CutSuffix(template, "*"); ok && !strings.Contains(prefix, "{") {
		return strings.HasPrefix(path, prefix)
	}
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	for i, w := range want {
		if w == "*" && i == len(want)-1 && len(got) > i {
			return true
		}
		if i >= len(got) || (w != got[i] && (!strings.HasPrefix(w, "{") || got[i] == "")) {
			return false
		}
	}
	return len(want) == len(got)
}

// normalise gives a path its class: segments that look like an identifier (digits, hexadecimal digits and dashes with a digit among them) are one.
func normalise(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if identifier(s) {
			segments[i] = "{id}"
		}
	}
	return strings.Join(segments, "/")
}

func identifier(s string) bool {
	digit := false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digit = true
		case c == '-' || c == '_' || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'):
		default:
			return len(s) > 20 && digit && !strings.ContainsAny(s, ".~")
		}
	}
	return digit
}

// tell records a fate.
func (r *Relay) tell(l *live, m message, stage evidence.Stage, detail string) {
	r.cfg.Sink(evidence.Fate{
		At: time.Now(), Link: r.cfg.Link, Fault: l.ID, Stage: stage, ToServer: stage != evidence.Swallowed,
		Conn: m.conn, Seq: m.seq, Op: m.op, Key: m.key, Class: normalise(m.path), Bytes: m.bytes, Detail: detail,
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
	r.mu.Unlock()
}

// begin and end bracket what Quiesce waits for.
func (r *Relay) begin() {
	r.mu.Lock()
	if r.open == 0 {
		r.quiet = make(chan struct{})
	}
	r.open++
	r.mu.Unlock()
}

func (r *Relay) end() {
	r.mu.Lock()
	if r.open--; r.open == 0 {
		close(r.quiet)
	}
	r.mu.Unlock()
}

// Quiesce waits until nothing is held and no late copy is under way, or ctx ends, and returns the books to the server and to the client.
func (r *Relay) Quiesce(ctx context.Context) (toServer, toClient Books, err error) {
	r.mu.Lock()
	open, quiet := r.open, r.quiet
	r.mu.Unlock()
	if open > 0 {
		select {
		case <-quiet:
		case <-ctx.Done():
			err = fmt.Errorf("quiesce link %q: %s under way: %w", r.cfg.Link, plural(open, "message"), ctx.Err())
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.books[0], r.books[1], err
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}

// hold is a reordered message that waits for others to pass.
type hold struct {
	rule *live
	left int
	free chan struct{}
}

// holdFor keeps a message back until so many others passed it; ok is false when another is kept by the same rule already: were several kept at
// once, none would be left to pass, and all would expire.
func (r *Relay) holdFor(l *live) (h *hold, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, other := range r.holds {
		if other.rule == l {
			return nil, false
		}
	}
	h = &hold{rule: l, left: max(1, l.Others), free: make(chan struct{})}
	r.holds = append(r.holds, h)
	return h, true
}

// passed tells the held ones that a message went by.
func (r *Relay) passed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holds = slices.DeleteFunc(r.holds, func(h *hold) bool {
		if h.left--; h.left == 0 {
			close(h.free)
		}
		return h.left == 0
	})
}

// wait keeps the message until others passed (true), or its time is up or the rule healed (false).
func (r *Relay) wait(ctx context.Context, h *hold) bool {
	timer := time.NewTimer(h.rule.Wait)
	defer timer.Stop()
	select {
	case <-h.free:
		return true
	case <-timer.C:
	case <-h.rule.healed:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holds = slices.DeleteFunc(r.holds, func(other *hold) bool { return other == h })
	return h.left == 0
}
