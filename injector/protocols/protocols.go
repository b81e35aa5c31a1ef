// Package protocols is the table of the protocols that links understand.
package protocols

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/datagram"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/framed"
	"github.com/firedrill-dev/firedrill/injector/message/http1"
)

// Table holds protocols, one a row. A link to a dependency with another protocol carries bytes only; it is named tcp.
type Table []message.Protocol

// All returns the table of the protocols that Firedrill supports, sorted by name. To add one, add a row here: the function that returns it stands in
// the file of the protocol.
func All() Table {
	all := Table{
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

// Find returns the row with a name. It returns nil if there is none, as for "tcp" and "".
func (t Table) Find(name string) *message.Protocol {
	i := slices.IndexFunc(t, func(p message.Protocol) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &t[i]
}

// Names returns the names that the protocol of a link can have: "tcp" and those of the rows.
func (t Table) Names() []string {
	names := []string{"tcp"}
	for _, p := range t {
		names = append(names, p.Name)
	}
	return names
}

var name = regexp.MustCompile(`^[a-z][a-z0-9.]*$`)

// Check returns an error if two rows have the same name or if one is not complete.
func (t Table) Check() error {
	for i, p := range t {
		if slices.Index(t.Names(), p.Name) <= i {
			return fmt.Errorf("protocol %q: another row of the table has this name", p.Name)
		}
		if err := Check(p); err != nil {
			return err
		}
	}
	return nil
}

// Check returns an error if no link could relay a protocol.
func Check(p message.Protocol) error {
	switch {
	case !name.MatchString(p.Name):
		return fmt.Errorf("protocol %q: a name consists of lower-case letters, digits and dots and begins with a letter", p.Name)
	case p.UDP && !slices.ContainsFunc(datagram.Protocols(), func(known message.Protocol) bool { return known.Name == p.Name }):
		return fmt.Errorf("protocol %q: protocols over UDP are in the table of package datagram", p.Name)
	case !p.UDP && (p.Serve == nil || p.Matches == nil || p.Class == nil):
		return fmt.Errorf("protocol %q: Serve, Matches and Class are required", p.Name)
	}
	return nil
}
