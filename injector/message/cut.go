package message

import (
	"io"
	"strconv"

	"github.com/dustin/go-humanize/english"
)

// EventCarrier is an answer that may be a stream of events. Its beginning has been received.
type EventCarrier interface {
	NoEvents() string // why its events cannot be counted, or ""
	// ForwardEvents forwards the answer. Once event number n has been written, or the answer has ended before it, it
	// calls reached with the number of events. If reached returns false, the rest is not forwarded and the call is not
	// reported.
	ForwardEvents(n uint64, reached func(events uint64) bool) (Outcome, error)
}

// cut forwards an answer up to an event, after which its connection ends or is stalled until the rule is healed.
func (r *Relay) cut(x *Exchange, c ReplyCarrier) (Outcome, error) {
	rule := x.Rule()
	stream := c.(EventCarrier)
	if why := stream.NoEvents(); why != "" {
		r.Skip(x, why)
		return c.Forward()
	}
	after := "after " + english.Plural(int(rule.Events), "event", "") //nolint:gosec // far below
	stalls, stopped := rule.Ending() == EndHeld, false
	outcome, err := stream.ForwardEvents(rule.Events, func(events uint64) bool {
		switch {
		case events < rule.Events:
			r.Skip(x, "it ended or its caller left after "+strconv.FormatUint(events, 10)+" of its events")
			return true
		case rule.isHealed():
			r.Skip(x, "the fault was healed before it was due")
			return true
		case stalls:
			c.ServerIdle()
			stopped = !r.Hold(c.Context(), x, rule, "stalled "+after+", until healed")
			return !stopped
		}
		x.Affected, stopped = true, true
		r.Applied(rule, x.Message, "cut "+after+", then "+string(rule.Ending()))
		return false
	})
	switch {
	case stopped && stalls:
		return outcome, io.EOF
	case stopped:
		r.EndConnection(x, rule, c, rule.Ending())
	}
	return outcome, err
}

func (l *Live) isHealed() bool {
	select {
	case <-l.healed:
		return true
	default:
		return false
	}
}
