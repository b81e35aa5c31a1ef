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
	Heads bool   // its messages have headers, and a key among them, to choose by
	Do    []Do   // the faults that this protocol allows
	Unit  string // what sentences call one of its messages: "calls" or "messages"
	UDP   bool   // its messages are datagrams: package datagram carries them, and Serve does not

	serve   func(r *Relay, ctx context.Context, client Client, dial Dial)
	matches func(template, path string) bool // whether Match.Path picks what a message is about
	class   func(path string) string         // the stable part of a path, for decisions
	allow   func(Rule) error                 // what else a rule must fulfil; nil means nothing
}

// Protocols lists them, sorted by name. A new one is a file and a row.
func Protocols() []Protocol {
	all := []Protocol{
		{
			Name: "grpc", Heads: true, Means: "gRPC, unary calls; streams go through untouched", Unit: "calls",
			Do:    []Do{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder, Corrupt, Truncate},
			serve: serveGRPC, matches: matchMethod, class: methodClass, allow: allowGRPC,
		},
		{
			Name: "http", Heads: true, Means: "HTTP/1.1 (and 1.0), pipelining and upgrades included, and HTTP/2 where a connection begins as that (in TLS that the link ends, or with prior knowledge)", Unit: "calls",
			Do:    []Do{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder, Corrupt, Truncate},
			serve: serveHTTP, matches: matchPath, class: parts("/"), allow: allowHTTP,
		},
		{
			Name: "lengths", Means: "messages of your own that begin with their length", Unit: "messages",
			Do:    []Do{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder, Corrupt, Truncate},
			serve: framed(openLengths), matches: matchWords, class: parts(":"), allow: allowLengths,
		},
		{
			Name: "lines", Means: "messages of your own that end with a line feed", Unit: "messages",
			Do:    []Do{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder, Corrupt, Truncate},
			serve: framed(openLines), matches: matchWords, class: parts(":"), allow: allowLines,
		},
		{
			Name: "nats", Heads: true, Means: "NATS core and JetStream, before TLS", Unit: "messages",
			Do:    []Do{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder, Corrupt, Truncate},
			serve: framed(openNATS), matches: matchSubject, class: subjectClass, allow: allowNATS,
		},
		{
			Name: "postgres", Means: "PostgreSQL, simple and extended queries, COPY and notifications included; before TLS", Unit: "messages",
			Do:    []Do{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder},
			serve: framed(openPostgres), matches: matchWords, class: parts(":"), allow: allowPostgres,
		},
		{
			Name: "redis", Means: "RESP2 and RESP3, pipelines, transactions and subscriptions included; no cluster", Unit: "messages",
			Do:    []Do{Delay, LoseRequest, LoseReply, Answer, Twice, Reorder, Corrupt, Truncate},
			serve: framed(openRedis), matches: matchWords, class: parts(":"), allow: allowRedis,
		},
	}
	all = append(all, datagrams()...)
	slices.SortFunc(all, func(a, b Protocol) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// ProtocolOf finds a row by its name; ok is false for one that the table does not have, as "tcp" and "".
func ProtocolOf(name string) (p Protocol, ok bool) {
	for _, p := range Protocols() {
		if p.Name == name {
			return p, true
		}
	}
	return Protocol{}, false
}

// Allows tells what is wrong with a rule for this protocol.
func (p Protocol) Allows(r Rule) error {
	if err := r.validate(); err != nil {
		return err
	}
	if !slices.Contains(p.Do, r.Do) {
		known := make([]string, 0, len(p.Do))
		for _, do := range p.Do {
			known = append(known, string(do))
		}
		return fmt.Errorf("%s has no fault %q: it has %s", p.Name, r.Do, strings.Join(known, ", "))
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
	case r.Do == Answer && r.Code != "":
		return fmt.Errorf("code %q: HTTP answers with a status", r.Code)
	case r.Do == Answer && (r.Status < 200 || r.Status > 599):
		return fmt.Errorf("status %d is no final HTTP status", r.Status)
	case r.Dir != ToServer:
		return fmt.Errorf("%s %s: in HTTP only requests are messages of their own", r.Do, r.Dir)
	}
	return nil
}
