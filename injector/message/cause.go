package message

import (
	"strings"
	"sync"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Trace recognizes the messages that requests of the load caused, directly or through services that pass the W3C
// trace context or the idempotency key on. Its zero value recognizes none.
type Trace struct {
	ID        string                      // the first 16 hexadecimal digits of the trace IDs; the other 16 are the number of the request
	KeyPrefix string                      // of the idempotency keys; the number of the request follows
	Route     func(request uint64) string // the route of a request, such as "POST /orders"; needed by Match.CausedBy
	Further   []Trace                     // of the loads after the first; evidence.Cause.Load is the index of the load
}

// CauseOf returns the request of the load that caused a message, as its headers and key state.
func (t Trace) CauseOf(m Message) evidence.Cause {
	c := t.causeOf(m)
	for i := 0; i < len(t.Further) && !c.Known; i++ {
		c = t.Further[i].causeOf(m)
		c.Load = i + 1
	}
	if !c.Known {
		return evidence.Cause{}
	}
	return c
}

// routeOf returns the route of the request that caused a message, or "" if it is not known.
func (t Trace) routeOf(c evidence.Cause) string {
	of := t
	if c.Load > 0 {
		of = t.Further[c.Load-1]
	}
	if !c.Known || of.Route == nil {
		return ""
	}
	return of.Route(c.Request)
}

// causeOf is CauseOf for the first load.
func (t Trace) causeOf(m Message) evidence.Cause {
	if t.ID != "" && m.Header != nil {
		if n, ok := parseTraceparent(m.Header("traceparent"), t.ID); ok {
			return evidence.Cause{Request: n, Known: true}
		}
	}
	if rest, ok := strings.CutPrefix(m.Key, t.KeyPrefix); ok && t.KeyPrefix != "" {
		if n, ok := parseDecimal(rest); ok {
			return evidence.Cause{Request: n, Known: true}
		}
	}
	return evidence.Cause{}
}

// parseTraceparent returns the second half of the trace ID in a W3C traceparent header ("00-<32 hex digits>-<16
// hex digits>-<flags>") whose trace ID begins with id.
func parseTraceparent(header, id string) (n uint64, ok bool) {
	const begin, half = 3, 16 // the version and a hyphen; half a trace ID
	if len(header) < begin+2*half || header[begin-1] != '-' || !strings.EqualFold(header[begin:begin+half], id) {
		return 0, false
	}
	for _, c := range []byte(header[begin+half : begin+2*half]) {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | uint64(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			n = n<<4 | uint64(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

func parseDecimal(s string) (n uint64, ok bool) {
	if len(s) == 0 || len(s) > 18 {
		return 0, false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// attempts counts how often each request of the load met a rule with an operation. It remembers the requests of
// the last 32,768 to 65,536 counts, so that its memory is limited.
type attempts struct {
	mu             sync.Mutex
	recent, former map[uint64]uint32 // by a hash of operation and request
}

const maxRecentAttempts = 32 << 10

// next returns the number of the attempt, from 1.
func (a *attempts) next(m Message, class string) uint64 {
	id := evidence.Hash(uint64(m.Cause.Load), m.Cause.Request, m.Method, class)
	a.mu.Lock()
	defer a.mu.Unlock()
	n, ok := a.recent[id]
	if !ok {
		n = a.former[id]
	}
	if a.recent == nil || len(a.recent) >= maxRecentAttempts {
		a.recent, a.former = map[uint64]uint32{}, a.recent
	}
	a.recent[id] = n + 1
	return uint64(n + 1)
}
