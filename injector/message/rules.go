package message

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// live is a rule with its counters.
type live struct {
	Rule
	healed chan struct{}
	// Occurrences are counted in a fixed array: two classes that fall together share a counter, which merges their counts and costs nothing else.
	seen [1 << 14]atomic.Uint32
}

func (r Rule) validate() error {
	switch {
	case !(r.Share >= 0 && r.Share <= 1):
		return fmt.Errorf("a share of %v does not lie between 0 and 1", r.Share)
	case r.To != 0 && r.From > r.To:
		return fmt.Errorf("from %d to %d is empty", r.From, r.To)
	case r.Do == Delay && (r.By <= 0 || r.Jitter < 0 || r.Jitter > r.By):
		return fmt.Errorf("a delay of %v, give or take %v: it must be positive and the jitter at most as long", r.By, r.Jitter)
	case r.Match.Header != "" && !strings.Contains(r.Match.Header, ":"):
		return fmt.Errorf("header %q: write its name and value, as in Tenant: acme", r.Match.Header)
	case r.Dir > ToClient || (r.Dir == ToClient && (r.Do == LoseReply || r.Do == Answer)):
		return fmt.Errorf("%s %s: answers are lost, and given, to requests", r.Do, r.Dir)
	case r.Do == Reorder && r.Wait <= 0:
		return fmt.Errorf("out of order for %v: the longest wait must be positive", r.Wait)
	case r.Late < 0:
		return fmt.Errorf("a copy that leaves %v later: it must not be negative", r.Late)
	case r.Do == Twice && r.Second && r.Late > 0:
		return fmt.Errorf("the answer of a copy that leaves later cannot be the one returned")
	}
	switch r.Do {
	case Delay, Answer, Twice, Reorder, Corrupt, Truncate:
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
	dir                   Dir
	method, path, op, key string
	bytes                 int
	header                func(name string) string // nil where there is none
	more                  []Topic                  // what else it is about; rules that match any of it match the message
	named                 bool                     // it is for rules that name its method
}

// Topic is one thing that a message is about: an operation and its object.
type Topic struct{ Method, Path string }

// chosen is the outcome of a decision: delays, and at most one rule besides.
type chosen struct {
	delays []wait
	rule   *live
	n      uint64 // which occurrence the rule chose, for what it leaves to chance
}

type wait struct {
	rule *live
	by   time.Duration
}

// decide asks every rule. Decisions depend on the seed, the link, the rule, the direction, the operation, the class and the occurrence only, so the
// same seed chooses the same messages whatever the order of arrival; a retry is a new occurrence.
func (r *Relay) decide(m message) chosen {
	r.mu.Lock()
	rules := r.rules
	r.mu.Unlock()
	var c chosen
	for _, l := range rules {
		if !r.picks(l, m) || (l.Do != Delay && c.rule != nil) {
			continue
		}
		l.Count.See(1)
		class := r.class(l, m)
		n, hit := l.hit(r.cfg.Link, class, m)
		switch {
		case !hit:
		case l.Do == Delay:
			c.delays = append(c.delays, wait{l, l.delayOf(r.cfg.Link, m.method, class, n)})
		default:
			c.rule, c.n = l, n
		}
	}
	return c
}

// class is the stable part of a path: the rule's template, or what the protocol makes of the path.
func (r *Relay) class(l *live, m message) string {
	if path := l.Match.Path; path == "" || strings.ContainsAny(path, "*>") {
		return r.protocol.class(m.path)
	}
	return l.Match.Path
}

// hit counts an occurrence, from 1, and decides.
func (l *live) hit(link, class string, m message) (uint64, bool) {
	slot := evidence.Hash(0, 0, m.method, class) % uint64(len(l.seen))
	n := uint64(l.seen[slot].Add(1))
	switch {
	case l.First > 0 && n > l.First, l.Every > 0 && n%l.Every != 0, n < l.From, l.To > 0 && n > l.To:
		return n, false
	}
	if l.Sticky {
		return n, l.Share <= 0 || l.Share >= 1 || evidence.Draw(l.Seed, 0, link, l.ID, m.dir.String(), m.method, class, m.key, m.path) < l.Share
	}
	return n, l.Share <= 0 || l.Share >= 1 || evidence.Draw(l.Seed, n, link, l.ID, m.dir.String(), m.method, class) < l.Share
}

func (l *live) delayOf(link, method, class string, n uint64) time.Duration {
	if l.Jitter == 0 {
		return l.By
	}
	u := evidence.Draw(l.Seed, n, link, l.ID, "jitter", method, class)
	return l.By + time.Duration((2*u-1)*float64(l.Jitter))
}

// picks tells whether a rule is about a message at all.
func (r *Relay) picks(l *live, m message) bool {
	if !r.concerns(l, m) {
		return false
	}
	if l.Match.Header == "" {
		return true
	}
	name, value, _ := strings.Cut(l.Match.Header, ":")
	return m.header != nil && m.header(strings.TrimSpace(name)) == strings.TrimSpace(value)
}

// concerns is picks without the headers, which are not kept.
func (r *Relay) concerns(l *live, m message) bool {
	want := l.Match
	about := func(t Topic) bool {
		return ((want.Method == "" && !m.named) || strings.EqualFold(want.Method, t.Method)) && (want.Path == "" || r.protocol.matches(want.Path, t.Path))
	}
	return l.Dir == m.dir && (want.Key == "" || want.Key == m.key) && (about(Topic{m.method, m.path}) || slices.ContainsFunc(m.more, about))
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

// parts gives a name its class: what looks like an identifier between two separators is one.
func parts(separator string) func(name string) string {
	return func(name string) string {
		list := strings.Split(name, separator)
		for i, s := range list {
			if identifier(s) {
				list[i] = "{id}"
			}
		}
		return strings.Join(list, separator)
	}
}

// identifier tells whether a segment is a number, a UUID or another row of hexadecimal digits, or a long word with digits (ULID, base 64).
func identifier(s string) bool {
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

// matchWords matches a pattern with * for any row of characters.
func matchWords(pattern, text string) bool {
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
