package message

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Live is a live rule with its counters.
type Live struct {
	Rule
	healed chan struct{}
	// seen counts occurrences in a fixed-size array. Two classes that hash to the same slot share a counter,
	// which only merges their counts.
	seen     [1 << 14]atomic.Uint32
	attempts attempts
	quota    quota
}

func (r Rule) validate() error {
	switch {
	case !(r.Share >= 0 && r.Share <= 1):
		return fmt.Errorf("a share of %v does not lie between 0 and 1", r.Share)
	case r.To != 0 && r.From > r.To:
		return fmt.Errorf("from %d to %d is empty", r.From, r.To)
	case (r.Action == Delay || r.Action == DelayReply) && (r.By <= 0 || r.Jitter < 0 || r.Jitter > r.By):
		return fmt.Errorf("a delay of %v, give or take %v: it must be positive and the jitter at most as long", r.By, r.Jitter)
	case r.Match.Header != "" && !strings.Contains(r.Match.Header, ":"):
		return fmt.Errorf("header %q: write its name and value, as in Tenant: acme", r.Match.Header)
	case r.Dir > ToClient || (r.Dir == ToClient && (r.Action.OfReply() || r.Action == Answer)):
		return fmt.Errorf("%s %s: answers are lost, and given, to requests", r.Action, r.Dir)
	case r.Action == Reorder && r.Wait <= 0:
		return fmt.Errorf("out of order for %v: the longest wait must be positive", r.Wait)
	case r.Late < 0:
		return fmt.Errorf("a copy that leaves %v later: it must not be negative", r.Late)
	case r.Action == Twice && r.Second && r.Late > 0:
		return fmt.Errorf("the answer of a copy that leaves later cannot be the one returned")
	}
	switch r.Action {
	case Answer, EditRequest, EditReply:
		return r.validateHeaders()
	case Delay, Twice, Reorder, Corrupt, Truncate, DelayReply, CorruptReply, TruncateReply, ReplaceReply:
		return nil
	case LoseRequest, LoseReply, CutReply:
		if r.Action == CutReply && r.Events == 0 {
			return fmt.Errorf("cut after 0 events: write 1 or more; to lose all of them, lose the reply")
		}
		switch r.EndWith {
		case "", EndReset, EndClosed, EndSilence, EndHeld:
			return nil
		}
		return fmt.Errorf("ending %q is not one of reset, closed, silence, held", r.EndWith)
	}
	return fmt.Errorf("unknown action %q", r.Action)
}

// Message holds the properties of a message that rules depend on.
type Message struct {
	Conn, Seq uint64
	Dir       Dir
	Topic
	More       []Topic                  // additional topics of a datagram; a rule that matches one of them matches the message
	Op, Key    string                   // the operation, as it is displayed; the idempotency key or message ID
	Bytes      int                      // its size
	Header     func(name string) string // nil if the message has no headers
	OnlyByName bool                     // only rules that name its method match
	Cause      evidence.Cause           // the request of the load that caused it; set by Relay.Admit
}

// Topic is an operation and its object: "POST" and "/charge" (HTTP), "INCR" and a key (Redis), "A" and
// "api.example.com" (DNS), "counter" and "requests.total" (StatsD).
type Topic struct{ Method, Path string }

// Wait is one delay of a message.
type Wait struct {
	rule *Live
	by   time.Duration
}

// Rule returns the rule that asks for the delay.
func (w Wait) Rule() *Live { return w.rule }

// By returns the length of the delay.
func (w Wait) By() time.Duration { return w.by }

// Healed returns a channel that is closed when the rule is healed.
func (l *Live) Healed() <-chan struct{} { return l.healed }

// decide evaluates every rule for a message. A random decision depends only on the seed, link, rule, direction,
// operation, class and either the request of the load that caused the message and the number of the attempt, or,
// if its cause is not known, the occurrence. With a known cause, the same seed chooses the same requests in any
// order of arrival; otherwise it chooses the same occurrences. A retry is a new attempt and a new occurrence.
func (r *Relay) decide(x *Exchange) {
	r.mu.Lock()
	rules := r.rules
	r.mu.Unlock()
	m := x.Message
	var first *Live // of the rules other than delays
	for _, l := range rules {
		if !r.matches(l, m) || (l.Action != Delay && l.Action != DelayReply && first != nil) {
			continue
		}
		l.Count.See(1)
		class := r.class(l, m)
		n, hit := l.hit(r.cfg.Link, class, m)
		hit = hit && l.quota.exceeded(l.Quota)
		if hit {
			x.fault = cmp.Or(x.fault, l.ID)
		}
		switch {
		case !hit:
		case l.Action == Delay:
			x.Delays = append(x.Delays, Wait{l, l.delayOf(r.cfg.Link, m.Method, class, n)})
		case l.Action == DelayReply:
			x.ReplyDelays = append(x.ReplyDelays, Wait{l, l.delayOf(r.cfg.Link, m.Method, class, n)})
		default:
			first, x.n = l, n
		}
	}
	x.SetRule(first)
}

// class returns the stable part of a path: the rule's template, or the protocol's class of the path.
func (r *Relay) class(l *Live, m Message) string {
	if path := l.Match.Path; path == "" || strings.ContainsAny(path, "*>") {
		return r.protocol.Class(m.Path)
	}
	return l.Match.Path
}

// hit counts an occurrence, starting at 1, and reports whether the rule chooses it. id identifies the decision.
func (l *Live) hit(link, class string, m Message) (id uint64, hit bool) {
	slot := evidence.Hash(0, 0, m.Method, class) % uint64(len(l.seen))
	n := uint64(l.seen[slot].Add(1))
	if id = n; m.Cause.Known {
		id = evidence.Hash(m.Cause.Request+uint64(m.Cause.Load)<<48, l.attempts.next(m, class))
	}
	switch {
	case l.First > 0 && n > l.First, l.Every > 0 && n%l.Every != 0, n < l.From, l.To > 0 && n > l.To:
		return id, false
	case l.Share <= 0 || l.Share >= 1:
		return id, true
	case l.Sticky:
		return id, evidence.Draw(l.Seed, 0, link, l.ID, m.Dir.String(), m.Method, class, m.Key, m.Path) < l.Share
	}
	return id, evidence.Draw(l.Seed, id, link, l.ID, m.Dir.String(), m.Method, class) < l.Share
}

func (l *Live) delayOf(link, method, class string, n uint64) time.Duration {
	if l.Jitter == 0 {
		return l.By
	}
	u := evidence.Draw(l.Seed, n, link, l.ID, "jitter", method, class)
	return l.By + time.Duration((2*u-1)*float64(l.Jitter))
}

// matches reports whether a rule applies to a message.
func (r *Relay) matches(l *Live, m Message) bool {
	if !r.matchesTopic(l, m) {
		return false
	}
	if by := l.Match.CausedBy; by != "" && r.cfg.Trace.routeOf(m.Cause) != by {
		return false
	}
	if l.Match.Header == "" {
		return true
	}
	name, value, _ := strings.Cut(l.Match.Header, ":")
	return m.Header != nil && m.Header(strings.TrimSpace(name)) == strings.TrimSpace(value)
}

// matchesTopic is like matches but ignores the headers, which are not retained.
func (r *Relay) matchesTopic(l *Live, m Message) bool {
	want := l.Match
	about := func(t Topic) bool {
		return ((want.Method == "" && !m.OnlyByName) || strings.EqualFold(want.Method, t.Method)) && (want.Path == "" || r.protocol.Matches(want.Path, t.Path))
	}
	return l.Dir == m.Dir && (want.Key == "" || want.Key == m.Key) && (about(m.Topic) || slices.ContainsFunc(m.More, about))
}

// MatchPath matches "/orders/{id}" segment by segment; a trailing * matches any rest.
func MatchPath(template, path string) bool {
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

// ClassByParts returns a function that computes the class of a name: parts that look like identifiers are replaced by
// "{id}".
func ClassByParts(separator string) func(name string) string {
	return func(name string) string {
		list := strings.Split(name, separator)
		for i, s := range list {
			if IsIdentifier(s) {
				list[i] = "{id}"
			}
		}
		return strings.Join(list, separator)
	}
}

// IsIdentifier reports whether a segment looks like an identifier: a number, a UUID or other hexadecimal string,
// or a long word with digits (ULID, base64).
func IsIdentifier(s string) bool {
	digits, hex := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
			hex++
		case (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == '-':
			hex++
		case c == '.' || c == '~' || c == '%':
			return false
		}
	}
	return digits > 0 && (digits == len(s) || (hex == len(s) && len(s) >= 8) || len(s) > 20)
}

// MatchWords matches a pattern in which * stands for any sequence of characters.
func MatchWords(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	if !strings.HasPrefix(text, parts[0]) {
		return false
	}
	text = text[len(parts[0]):]
	last := len(parts) - 1
	for _, p := range parts[1:last] {
		i := strings.Index(text, p)
		if i < 0 {
			return false
		}
		text = text[i+len(p):]
	}
	return strings.HasSuffix(text, parts[last])
}
