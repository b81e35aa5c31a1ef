package message

import (
	"strings"
	"sync"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// operations counts a relay's messages by operation. It caches the counter of an operation ("GET /orders/{id}")
// for the names of its messages ("GET /orders/17"), so that a known message costs one lookup.
type operations struct {
	mu     sync.Mutex
	counts evidence.Counts
	cache  [2]map[string]*int64 // by direction and the message's own name
}

const (
	maxCachedNames   = 1024 // of at most maxCachedNameLen bytes each
	maxCachedNameLen = 256
)

// add counts a message.
func (o *operations) add(r *Relay, m Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.cache[m.Dir]
	n := known[m.Op]
	if n == nil {
		n = o.counts.Of(r.operation(m))
		if known == nil {
			known = map[string]*int64{}
			o.cache[m.Dir] = known
		}
		if len(known) < maxCachedNames && len(m.Op) <= maxCachedNameLen {
			known[strings.Clone(m.Op)] = n
		}
	}
	*n++
}

// Operations returns the number of messages relayed so far, by operation: "POST /orders/{id}",
// "/shop.Payments/Charge" (gRPC), "INCR {id}" (Redis), "PUB orders.created" (NATS), "A api.example.com" (DNS).
// Identifiers are replaced, as in decisions. The names of messages that the server pushes begin with "<- ".
// Answers, handshakes and other messages that no rule acts on are not counted. At most 64 operations are counted
// separately.
func (r *Relay) Operations() map[string]int64 {
	r.ops.mu.Lock()
	defer r.ops.mu.Unlock()
	return r.ops.counts.Copy()
}

// operation returns the name under which Operations and Tally.Ops count a message.
func (r *Relay) operation(m Message) string {
	name, class := m.Op, r.protocol.Class(m.Path)
	if words, ok := strings.CutSuffix(m.Op, m.Path); ok && class != m.Path {
		name = words + class
	} else if !ok || len(m.More) > 0 { // a datagram with several topics, or a truncated name
		name = strings.TrimSpace(m.Method + " " + class)
	}
	if name == "" {
		name = "(message)"
	}
	if m.Dir == ToClient {
		name = "<- " + name
	}
	return name
}

// countApplied counts a message that a rule took effect on.
func (r *Relay) countApplied(l *Live, m Message) { l.Count.TouchOp(r.operation(m), m.Cause.Known) }
