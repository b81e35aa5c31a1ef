package message

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Protocol is a row of the table of protocols that the relay understands.
type Protocol struct {
	Name  string // "http"
	Means string
	Do    []Do // the faults that this protocol allows

	serve   func(r *Relay, ctx context.Context, client Client, dial Dial)
	matches func(template, path string) bool // whether Match.Path picks what a message is about
	class   func(path string) string         // the stable part of a path, for decisions
	allow   func(Rule) error                 // what else a rule must fulfil; nil means nothing
}

// Protocols lists them, sorted by name. A new one is a file and a row.
func Protocols() []Protocol {
	return []Protocol{
		{
			"grpc", "gRPC, unary calls; streams go through untouched", []Do{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder, Corrupt, Truncate},
			serveGRPC, matchMethod, methodClass, allowGRPC,
		},
		{
			"http", "HTTP/1.1 (and 1.0), pipelining and upgrades included, and HTTP/2 where a connection begins as that (h2c with prior knowledge)", []Do{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder, Corrupt, Truncate},
			serveHTTP, matchPath, normalise, allowHTTP,
		},
	}
}

// allows tells what is wrong with a rule for this protocol.
func (p Protocol) allows(r Rule) error {
	if !slices.Contains(p.Do, r.Do) {
		known := make([]string, 0, len(p.Do))
		for _, do := range p.Do {
			known = append(known, string(do))
		}
		return fmt.Errorf("%s has no fault %q: it has %s", p.Name, r.Do, strings.Join(known, ", "))
	}
	if p.allow == nil {
		return nil
	}
	return p.allow(r)
}

func allowHTTP(r Rule) error {
	switch {
	case r.Do == Answer && (r.Status < 200 || r.Status > 599):
		return fmt.Errorf("status %d is no final HTTP status", r.Status)
	case r.Dir != ToServer:
		return fmt.Errorf("%s %s: in HTTP only requests are messages of their own", r.Do, r.Dir)
	}
	return nil
}
