package message

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Protocol describes a protocol that the relay understands.
type Protocol struct {
	Name    string // such as "http"
	Means   string
	Heads   bool     // its messages have headers and a key to match by
	Actions []Action // that this protocol supports
	Unit    string   // what sentences call its messages: "calls" or "messages"
	UDP     bool     // relayed by package datagram, not by Serve

	serve   func(r *Relay, ctx context.Context, client Client, dial Dial)
	matches func(template, path string) bool // reports whether Match.Path selects an object
	class   func(path string) string         // returns the stable part of a path, for decisions
	allow   func(Rule) error                 // checks protocol-specific requirements of a rule; may be nil
}

// Protocols returns the supported protocols, sorted by name. Adding one takes a file and an entry here.
func Protocols() []Protocol {
	all := []Protocol{
		{
			Name: "grpc", Heads: true, Means: "gRPC, unary calls; streams go through untouched", Unit: "calls",
			Actions: []Action{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder, Corrupt, Truncate, DelayReply, CorruptReply, TruncateReply},
			serve:   serveGRPC, matches: matchMethod, class: methodClass, allow: allowGRPC,
		},
		{
			Name: "http", Heads: true, Means: "HTTP/1.1 (and 1.0), pipelining and upgrades included, and HTTP/2 where a connection begins as that (in TLS that the link ends, or with prior knowledge)", Unit: "calls",
			Actions: []Action{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder, Corrupt, Truncate, DelayReply, CorruptReply, TruncateReply},
			serve:   serveHTTP, matches: matchPath, class: parts("/"), allow: allowHTTP,
		},
		{
			Name: "lengths", Means: "messages of your own that begin with their length", Unit: "messages",
			Actions: []Action{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder, Corrupt, Truncate, DelayReply, CorruptReply, TruncateReply},
			serve:   framed(openLengths), matches: matchWords, class: parts(":"), allow: allowLengths,
		},
		{
			Name: "lines", Means: "messages of your own that end with a line feed", Unit: "messages",
			Actions: []Action{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder, Corrupt, Truncate, DelayReply, CorruptReply, TruncateReply},
			serve:   framed(openLines), matches: matchWords, class: parts(":"), allow: allowLines,
		},
		{
			Name: "nats", Heads: true, Means: "NATS core and JetStream, before TLS", Unit: "messages",
			Actions: []Action{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder, Corrupt, Truncate, DelayReply, CorruptReply, TruncateReply},
			serve:   framed(openNATS), matches: matchSubject, class: subjectClass, allow: allowNATS,
		},
		{
			Name: "postgres", Means: "PostgreSQL, simple and extended queries, COPY and notifications included; before TLS", Unit: "messages",
			Actions: []Action{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder, DelayReply},
			serve:   framed(openPostgres), matches: matchWords, class: parts(":"), allow: allowPostgres,
		},
		{
			Name: "redis", Means: "RESP2 and RESP3, pipelines, transactions and subscriptions included; no cluster", Unit: "messages",
			Actions: []Action{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder, Corrupt, Truncate, DelayReply, CorruptReply, TruncateReply},
			serve:   framed(openRedis), matches: matchWords, class: parts(":"), allow: allowRedis,
		},
	}
	all = append(all, datagrams()...)
	slices.SortFunc(all, func(a, b Protocol) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// ProtocolOf returns the protocol with a name. ok is false if there is none, as for "tcp" and "".
func ProtocolOf(name string) (p Protocol, ok bool) {
	for _, p := range Protocols() {
		if p.Name == name {
			return p, true
		}
	}
	return Protocol{}, false
}

// Allows returns an error if a rule is invalid for this protocol.
func (p Protocol) Allows(r Rule) error {
	if err := r.validate(); err != nil {
		return err
	}
	r.Match = p.topic(r.Match)
	if err := p.unmatched(r.Match); err != nil {
		return err
	}
	if p.Name == "postgres" && (r.Action == CorruptReply || r.Action == TruncateReply) {
		return fmt.Errorf("%s: what PostgreSQL answers is typed, and a changed byte makes a client fail in ways that no server causes: delay or lose its replies instead", r.Action)
	}
	if !slices.Contains(p.Actions, r.Action) {
		known := make([]string, 0, len(p.Actions))
		for _, action := range p.Actions {
			known = append(known, string(action))
		}
		return fmt.Errorf("%s has no fault %q: it has %s", p.Name, r.Action, strings.Join(known, ", "))
	}
	if !p.Heads && (r.Match.Header != "" || r.Match.Key != "") {
		return fmt.Errorf("%s has no headers and no keys of messages to choose by: choose by what they are about, or a share or a count", p.Name)
	}
	if p.allow == nil {
		return nil
	}
	return p.allow(r)
}

func allowHTTP(r Rule) error {
	switch {
	case r.Action == Answer && r.Code != "":
		return fmt.Errorf("code %q: HTTP answers with a status", r.Code)
	case r.Action == Answer && (r.Status < 200 || r.Status > 599):
		return fmt.Errorf("status %d is no final HTTP status", r.Status)
	case r.Dir != ToServer:
		return fmt.Errorf("%s %s: in HTTP only requests are messages of their own", r.Action, r.Dir)
	}
	return nil
}
