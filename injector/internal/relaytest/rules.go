package relaytest

import (
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/message"
)

var Charge = message.Match{Method: "POST", Path: "/charge"}

// FaultOutcome is what a raw client sees of its request, and what the upstream executes.
type FaultOutcome struct {
	Answer   string // the last line received, or ""
	How      string // how the connection ended
	Executed int
}

func WithMatch(r message.Rule) message.Rule {
	r.Match = Charge
	return r
}

// PlainTally returns a tally without times and operations.
func PlainTally(c *evidence.Counter) evidence.Tally {
	tally := c.Tally()
	tally.First, tally.Last = time.Time{}, time.Time{}
	tally.Ops, tally.Skipped = nil, nil
	return tally
}

func WithoutTimes(c message.Call) message.Call {
	c.Start, c.Sent, c.End, c.Fault = time.Time{}, time.Time{}, time.Time{}, ""
	return c
}
