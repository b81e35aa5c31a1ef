// Package injector defines the faults that can be injected into a system, and how each is healed.
//
// A Fault is a value. Its Inject method makes it live on a Target and returns a Heal function that ends it. Kinds
// lists all kinds of faults. The packages link, message, datagram and process implement the effects on streams,
// messages, datagrams and processes.
package injector

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/datagram"
	"github.com/firedrill-dev/firedrill/injector/disk"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/process"
)

// Fault is one way for a link or a service to misbehave.
type Fault interface {
	// Inject makes the fault live and returns as soon as it acts. If it returns an error, it has undone everything.
	Inject(ctx context.Context, t Target) (Heal, error)
	// Say returns the fault's sentence in a feature file, without a duration, such as
	// `calls from "orders" to "payments" are delayed by 800ms`. A fault on a service ignores from.
	Say(from, to string) string
	// Kind describes the fault. Its Value and Example are empty.
	Kind() Kind
}

// Heal ends an injection. It must be called exactly once, with a context that is still live when the run was cancelled.
type Heal func(context.Context) error

// Target is what an injection acts on: a link or a service. For a link, either Link or Datagrams is set.
type Target struct {
	ID        string // ID of the injection, unique in a scenario and stable between runs; part of random draws
	Seed      uint64
	Link      *link.Link
	Datagrams *datagram.Link    // a link with a UDP protocol
	Relay     *message.Relay    // the link's message relay; nil if the link's protocol is tcp
	Service   *process.Service  // nil if the target is a link
	Disk      *disk.Disk        // the data folder of the service; nil if no fault of the scenario needs it
	Lost      func(disk.Lost)   // is called with what a loss of power discarded; may be nil
	Count     *evidence.Counter // counts effects; may be nil
}

// OnCalls is a fault on individual calls.
type OnCalls interface {
	Fault
	Rule() message.Rule // the rule for the relay, without ID, seed and counter
}

// Pick selects the calls that a message fault acts on. The zero value selects all.
type Pick struct {
	Match    message.Match
	Share    float64 // probability per call, drawn by hash; 0 means all calls
	Sticky   bool    // Share is of keys, so that retries of a selected call are selected, too
	First    uint64  // only the first First calls; 0 means no limit
	Every    uint64  // only every Every-th call; 0 means every call
	From, To uint64  // only from the From-th to the To-th call; 0, 0 means no limit
}

// Portion returns the share of the calls that are selected, from 0 to 1. A selection by number counts as all calls, since
// it is not known how many there are.
func (p Pick) Portion() float64 {
	portion := 1.0
	if p.partial() {
		portion = p.Share
	}
	if p.Every > 1 {
		portion /= float64(p.Every)
	}
	return portion
}

// rule makes a rule act on the selected calls.
func (p Pick) rule(r message.Rule) message.Rule {
	r.Match, r.Share, r.Sticky, r.First, r.Every, r.From, r.To = p.Match, p.Share, p.Sticky, p.First, p.Every, p.From, p.To
	return r
}

// addRule adds a rule to the target's relay.
func (t Target) addRule(r message.Rule) (Heal, error) {
	if t.Relay == nil {
		return nil, errors.New("inject a fault on calls or messages: the link's protocol is tcp, which has neither; declare its protocol, or use a fault on traffic or connections")
	}
	r.ID, r.Seed, r.Count = t.ID, t.Seed, t.Count
	heal, err := t.Relay.Add(r)
	return heal, err
}

// subject returns the beginning of a sentence, which names the selected calls, replies or requests. It is always
// plural.
func (p Pick) subject(what, from, to string) string {
	noun := fmt.Sprintf("%s%s from %q to %q", what, p.with(), from, to)
	op := strings.TrimSpace(p.Match.Method + " " + p.Match.Path)
	if op != "" {
		noun = fmt.Sprintf("%q %s", op, noun)
	}
	switch {
	case p.plain() && (op != "" || p.with() != ""):
		return "only " + noun
	case p.partial() && !p.Sticky:
		return percent(p.Share) + " of " + noun
	case p.First > 0:
		return fmt.Sprintf("the first %d %s", p.First, noun)
	case p.Every > 0:
		return fmt.Sprintf("every %s of the %s", ordinal(p.Every), noun)
	case p.To > 0:
		return fmt.Sprintf("from the %s to the %s, %s", ordinal(p.From), ordinal(p.To), noun)
	}
	return noun
}

// with returns the part of a sentence that selects by keys, headers and causes.
func (p Pick) with() string {
	s := ""
	switch {
	case p.Match.Key != "":
		s = fmt.Sprintf(" with key %q", p.Match.Key)
	case p.partial() && p.Sticky:
		s = " with " + percent(p.Share) + " of keys"
	}
	switch {
	case p.Match.Header != "" && s != "":
		s += fmt.Sprintf(" and header %q", p.Match.Header)
	case p.Match.Header != "":
		s = fmt.Sprintf(" with header %q", p.Match.Header)
	}
	if p.Match.CausedBy != "" {
		s += fmt.Sprintf(" caused by %q requests", p.Match.CausedBy)
	}
	return s
}

func (p Pick) partial() bool { return p.Share > 0 && p.Share < 1 }

func (p Pick) plain() bool {
	return (p.Sticky || !p.partial()) && p.First == 0 && p.Every == 0 && p.To == 0
}

func percent(share float64) string {
	return strconv.FormatFloat(math.Round(share*1e8)/1e6, 'f', -1, 64) + "%"
}

func ordinal(n uint64) string {
	suffix := "th"
	if n/10%10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return strconv.FormatUint(n, 10) + suffix
}

// Duration formats a duration as in sentences: "800ms", "2s", "1m30s", "5m".
func Duration(d time.Duration) string {
	s := d.String()
	if short, ok := strings.CutSuffix(s, "m0s"); ok {
		s = short + "m"
	}
	if short, ok := strings.CutSuffix(s, "h0m"); ok {
		s = short + "h"
	}
	return s
}

// formatSize formats a number of bytes as in sentences: "64 KB" is 64,000 bytes, "64 KiB" is 65,536. It never rounds, because
// the sentence must parse to the same number. That is why it does not use a library such as go-humanize, which rounds.
func formatSize(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"GB", 1e9}, {"GiB", 1 << 30}, {"MB", 1e6}, {"MiB", 1 << 20}, {"KB", 1e3}, {"KiB", 1 << 10}} {
		if n >= u.size && n%u.size == 0 {
			return fmt.Sprintf("%d %s", n/u.size, u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// checkLink returns an error if stream faults cannot act on the target.
func (t Target) checkLink() error {
	if t.Datagrams != nil {
		return errors.New("inject a fault on connections or traffic: the link carries datagrams, which have neither; use a fault on messages")
	}
	if t.Link == nil {
		return errors.New("inject a fault on a link: the target has no link")
	}
	return nil
}

// checkService returns an error if process faults cannot act on the target.
func (t Target) checkService() error {
	if t.Service == nil {
		return errors.New("inject a fault on a service: the target is not a process that Firedrill started, and only such a process can be crashed, stopped or hung")
	}
	return nil
}
