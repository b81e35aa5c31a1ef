// Package injector is what can be broken, and how it is healed. A Fault is a value; Inject makes it live on a Target and returns the Heal.
// kinds.go is the one table of fault kinds. Faults are thin: how a stream, a message or a process is really disturbed stands in the folders
// link, message and process.
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
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/process"
)

// Fault is one way for a link or a service to misbehave.
type Fault interface {
	// Inject makes the fault live; on error nothing is left behind. It returns once the fault acts, and does not hold for its duration.
	Inject(ctx context.Context, t Target) (Heal, error)
	// Say is the fault as a feature file states it, without a duration: `calls from "orders" to "payments" are delayed by 800ms`.
	// A fault on a service ignores from.
	Say(from, to string) string
	// Kind describes the fault. Its Value and Example are empty.
	Kind() Kind
}

// Heal ends an injection. It is called once, is bounded in time, and gets a context that is not the cancelled one of the run.
type Heal func(context.Context) error

// Target is what an injection acts on: a link (Link or Datagrams, and Relay where its protocol has messages) or a service.
type Target struct {
	ID        string // the injection's name, unique in a scenario and stable between runs; hashed into decisions
	Seed      uint64
	Link      *link.Link
	Datagrams *datagram.Link   // instead of Link, when the link's protocol is one of UDP
	Relay     *message.Relay   // nil when the link's protocol is tcp
	Service   *process.Service // nil when the target is a link
	Count     *evidence.Counter
}

// OnCalls is a fault on single calls, and OnMessages one on messages.
type OnCalls interface {
	Fault
	Rule() message.Rule // what is asked of the relay; the target adds its name, seed and counter
}

// Pick chooses the calls that a message fault acts on. The zero value picks all.
type Pick struct {
	Match    message.Match
	Share    float64 // probability per call, decided by hash; 0 means all
	Sticky   bool    // Share is of keys: a call that is chosen is chosen again at every retry
	First    uint64
	Every    uint64
	From, To uint64 // only from the From-th to the To-th; 0, 0 no limit
}

// rule lets a rule act on what is chosen.
func (p Pick) rule(r message.Rule) message.Rule {
	r.Match, r.Share, r.Sticky, r.First, r.Every, r.From, r.To = p.Match, p.Share, p.Sticky, p.First, p.Every, p.From, p.To
	return r
}

// add makes a rule live on the target's relay.
func (t Target) add(r message.Rule) (Heal, error) {
	if t.Relay == nil {
		return nil, errors.New("inject a fault on calls or messages: the link's protocol is tcp, which has none; declare its protocol, or speak of traffic or connections")
	}
	r.ID, r.Seed, r.Count = t.ID, t.Seed, t.Count
	heal, err := t.Relay.Add(r)
	return heal, err
}

// subject is the beginning of a sentence: which calls (or replies, or requests). It is always plural.
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

// with is the part of a sentence that chooses by keys and headers.
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

// Duration is how sentences write one: "800ms", "2s", "1m30s", "5m".
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

// Size is how sentences write a number of bytes: "64 KB" is 64,000 bytes, "64 KiB" is 65,536.
func Size(n int64) string {
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

// onLink and onService say what is wrong with a target.
func (t Target) onLink() error {
	if t.Datagrams != nil {
		return errors.New("inject a fault on connections or traffic: the link carries datagrams, which have neither; speak of messages")
	}
	if t.Link == nil {
		return errors.New("inject a fault on a link: the target is none")
	}
	return nil
}

func (t Target) onService() error {
	if t.Service == nil {
		return errors.New("inject a fault on a service: it runs at an address or in this process, and only a process that Firedrill started can be crashed, stopped or hung")
	}
	return nil
}
