package injector

import (
	"context"
	"time"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// Reset resets live and new connections: at once, after a number of bytes, or after a delay.
type Reset struct {
	AfterBytes int64         // in both directions together, counted from the injection; 0 means not to wait for bytes
	After      time.Duration // cannot be combined with AfterBytes
	Conns
}

const strongerAfterBytes = "a smaller number of bytes, a longer time or more load"

// Kind implements Fault.
func (f Reset) Kind() Kind {
	k := Kind{Name: "reset", On: "connections", Undo: "connections are left alone", AtOnce: f.AfterBytes == 0 && f.After == 0, Sentences: []Sentence{{
		Pattern: `{connections} from {from} to {to} are reset( after [{limit}]){for}`,
		Means:   "connections end with RST, at once, or after so many bytes, or after a time",
		Examples: []string{
			`20% of connections from "orders" to "payments" are reset after 4 KB for 15s`,
			`connections from "orders" to "payments" are reset`,
			`connections from "orders" to "payments" are reset after 2s for 15s`,
		},
		Fault: func(a Args) Fault {
			bytes, after := a.Limit(3)
			return Reset{AfterBytes: bytes, After: after, Conns: a.Conns(0)}
		},
	}}}
	if f.AfterBytes > 0 {
		k.Stronger = strongerAfterBytes
	}
	if f.After > 0 {
		k.Takes, k.Done, k.Remedy = f.After+1, "anything is reset", "reset sooner, or say longer than `for "+Duration(f.After)+"`"
	}
	return k
}

// Inject implements Fault.
func (f Reset) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).Reset, link.Reset{On: f.on(t), AfterBytes: f.AfterBytes, After: f.After})
}

// Say implements Fault.
func (f Reset) Say(from, to string) string {
	s := between(f.noun("connections"), from, to) + " are reset"
	switch {
	case f.AfterBytes > 0:
		s += " after " + formatSize(f.AfterBytes)
	case f.After > 0:
		s += " after " + Duration(f.After)
	}
	return s
}

// CloseEarly closes connections gracefully once AfterBytes bytes have passed in either direction.
type CloseEarly struct {
	AfterBytes int64 // counted from the injection
	Conns
}

// Kind implements Fault.
func (CloseEarly) Kind() Kind {
	return Kind{Name: "early close", On: "connections", Undo: "connections are left alone", Stronger: strongerAfterBytes, Sentences: []Sentence{{
		Pattern: `{connections} from {from} to {to} are closed after [{size}]{for}`,
		Means:   "connections end in order, both ways, once so many bytes have passed in either direction",
		Examples: []string{
			`connections from "orders" to "payments" are closed after 4 KB for 15s`,
			`all but the first 4 connections from "orders" to "payments" are closed after 4 KB for 15s`,
		},
		Fault: func(a Args) Fault { return CloseEarly{AfterBytes: a.Size(3), Conns: a.Conns(0)} },
	}}}
}

// Inject implements Fault.
func (f CloseEarly) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).CloseAfter, link.EarlyClose{On: f.on(t), AfterBytes: f.AfterBytes})
}

// Say implements Fault.
func (f CloseEarly) Say(from, to string) string {
	return between(f.noun("connections"), from, to) + " are closed after " + formatSize(f.AfterBytes)
}

// CloseLate delays the close of connections by By, in each direction. Bytes are not delayed.
type CloseLate struct {
	By time.Duration
	Conns
}

// Kind implements Fault.
func (CloseLate) Kind() Kind {
	return Kind{Name: "late close", On: "connections", Undo: "an end that waits goes at once", Unnoticed: true, Sentences: []Sentence{{
		Pattern:  `{connections} from {from} to {to} close [{duration}] late{for}`,
		Means:    "the end of connections, in order or by reset, arrives late; bytes are on time",
		Examples: []string{`connections from "orders" to "payments" close 2s late for 15s`},
		Fault:    func(a Args) Fault { return CloseLate{By: a.Duration(3), Conns: a.Conns(0)} },
	}}}
}

// Inject implements Fault.
func (f CloseLate) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).CloseSlowly, link.SlowClose{On: f.on(t), By: f.By})
}

// Say implements Fault.
func (f CloseLate) Say(from, to string) string {
	return between(f.noun("connections"), from, to) + " close " + Duration(f.By) + " late"
}
