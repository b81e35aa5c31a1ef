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
	// TLSRequest is what a client sends in plain text to begin TLS, and TLSGrant the server's answer that allows it. If
	// both are "", a connection that uses TLS begins with it.
	TLSRequest, TLSGrant string

	// Serve relays a connection; nil for UDP. See Relay.Serve.
	Serve   func(ctx context.Context, r *Relay, client Client, dial Dial)
	Matches func(template, path string) bool // reports whether Match.Path selects an object
	Class   func(path string) string         // returns the stable part of a path, for decisions

	// Operation reports whether a single word names an operation, in any case, rather than an object such as a
	// key, a subject or a table. nil means that no word does.
	Operation func(word string) bool
	// Pushed is the operation of the messages that a dependency sends without a request, for protocols in which these
	// are rare and most messages from it are answers; otherwise "".
	Pushed string
	// Reads reports whether messages of an operation, named as by Relay.Operations, only read. nil means that none is
	// known to.
	Reads func(operation string) bool
	// Excluded holds reasons for actions that users may expect but the protocol does not have.
	Excluded map[Action]string
	Allow    func(r Rule, g Framing) error // checks the protocol's own requirements of a rule; may be nil
	Frames   func(Framing) error           // checks a declared framing; nil if none may be declared
	// Unpaired returns why the relay does not see for how long callers wait for answers, with messages framed as
	// declared, or "" if it does; nil means that it does.
	Unpaired func(Framing) string
}

// Allows returns an error if a rule is invalid for this protocol, with messages framed as declared.
func (p Protocol) Allows(r Rule, g Framing) error {
	if err := r.validate(); err != nil {
		return err
	}
	r.Match = p.topic(r.Match)
	if why := p.Excluded[r.Action]; why != "" {
		return fmt.Errorf("%s: %s", r.Action, why)
	}
	if !slices.Contains(p.Actions, r.Action) {
		known := make([]string, 0, len(p.Actions))
		for _, action := range p.Actions {
			known = append(known, string(action))
		}
		return fmt.Errorf("%s has no fault %q: it has %s", p.Name, r.Action, strings.Join(known, ", "))
	}
	if !p.Heads && (r.Match.Header != "" || r.Match.Key != "" || r.Match.CausedBy != "") {
		return fmt.Errorf("%s has no headers and no keys of messages to choose by: choose by what they are about, or a share or a count", p.Name)
	}
	if p.Allow == nil {
		return nil
	}
	return p.Allow(r, g)
}

// CheckFraming returns an error if a framing may not be declared for this protocol.
func (p Protocol) CheckFraming(g Framing) error {
	switch {
	case p.Frames != nil:
		return p.Frames(g)
	case g != Framing{}:
		return fmt.Errorf("framing of %s: only lines and lengths have one to declare", p.Name)
	}
	return nil
}

// topic moves the only word of a match to Method if it names an operation of this protocol, in any case.
func (p Protocol) topic(m Match) Match {
	if m.Method == "" && m.Path != "" && p.Operation != nil && p.Operation(m.Path) {
		m.Method, m.Path = m.Path, ""
	}
	return m
}

// FirstWord returns a function that reports whether the first word of an operation is in a list separated by spaces.
func FirstWord(list string) func(operation string) bool {
	known := Words(list)
	return func(operation string) bool {
		word, _, _ := strings.Cut(operation, " ")
		return known(word)
	}
}

// Words returns a function that reports whether a word is in a list separated by spaces, in any case.
func Words(list string) func(word string) bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(list) {
		set[w] = true
	}
	return func(word string) bool { return set[strings.ToUpper(word)] }
}
