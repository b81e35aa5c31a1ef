// Package protocols is the table of the protocols that links understand.
package protocols

import (
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/datagram"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/framed"
	"github.com/firedrill-dev/firedrill/injector/message/http1"
)

// All returns the protocols, sorted by name. To add one, add a row here: the function that returns it stands in
// the file of the protocol.
func All() []message.Protocol {
	all := []message.Protocol{
		http1.GRPC(),
		http1.HTTP(),
		framed.Lengths(),
		framed.Lines(),
		framed.NATS(),
		framed.PostgreSQL(),
		framed.Redis(),
	}
	all = append(all, datagram.Protocols()...)
	slices.SortFunc(all, func(a, b message.Protocol) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Find returns the protocol with a name. ok is false if there is none, as for "tcp" and "".
func Find(name string) (p message.Protocol, ok bool) {
	for _, p := range All() {
		if p.Name == name {
			return p, true
		}
	}
	return message.Protocol{}, false
}

// NewRelay returns a relay for the protocol with a name. Its error for an unknown protocol lists the known ones.
func NewRelay(protocol string, cfg message.Config) (*message.Relay, error) {
	if p, ok := Find(protocol); ok {
		return message.New(p, cfg)
	}
	var names []string
	for _, p := range All() {
		names = append(names, p.Name)
	}
	return nil, fmt.Errorf("relay link %q: protocol %q is not known; known are %s", cfg.Link, protocol, strings.Join(names, ", "))
}
