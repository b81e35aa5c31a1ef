package injector

import (
	"context"
	"fmt"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// Partition cuts off services from each other, as a set of links. It holds what is said of the whole; the scenario works out the links and places one
// Partition on each, with its Dir. In each of These, Those, RestOf, HalfOf and MinorityOf a group stands for its members.
type Partition struct {
	These, Those []string // the two sides: services or groups
	RestOf       string   // in place of Those: the other members of a group
	HalfOf       string   // in place of sides: the first half of a group's members, as they are declared, rounded down, and the other half
	MinorityOf   string   // in place of sides: as many of the first members as still leave a majority, and that majority
	OneWay       bool     // what These say does not reach Those; what Those say arrives
	Except       string   // a service that both sides still reach: the links to and from it stay
	Dir          link.Dir // of the link that it is placed on; filled in
}

// Kind implements Fault.
func (Partition) Kind() Kind {
	return Kind{Name: "partition", On: "connections", Hides: true, Unseen: true, Waits: true, Undo: "all of its links at once; what was held arrives", Datagrams: datagramsPass, Sentences: []Sentence{{
		Pattern: `{names} is/are cut off from {names}(, except through {name}){for}`,
		Means:   "silence on each link between the two sides, both ways; links to and from the exception stay",
		Examples: []string{
			`"orders", "front" are cut off from "payments" for 15s`,
			`"orders" is cut off from "payments", "inventory"`,
			`"front" is cut off from "payments", "inventory", except through "orders" for 15s`,
		},
		Fault: func(a Args) Fault { return Partition{These: a.Names(0), Those: a.Names(1), Except: a.Name(2)} },
	}, {
		Name:     "partition one way",
		Pattern:  `traffic from {names} never reaches {names}{for}`,
		Means:    "silence on each link between them, in one direction: requests of the first and their replies to the others",
		Examples: []string{`traffic from "orders" never reaches "payments", "inventory" for 15s`},
		Fault:    func(a Args) Fault { return Partition{These: a.Names(0), Those: a.Names(1), OneWay: true} },
	}, {
		Name:     "partition from the rest",
		Pattern:  `{names} is/are cut off from the rest of {group}{for}`,
		Means:    "silence between them and the other members of the group",
		Examples: []string{`"etcd-1" is cut off from the rest of "etcd" for 15s`},
		Fault:    func(a Args) Fault { return Partition{These: a.Names(0), RestOf: a.Name(1)} },
	}, {
		Name:     "partition in halves",
		Pattern:  `half of {group} is cut off from the other half{for}`,
		Means:    "the first half of the members, as they are declared (of five the first two), and the others",
		Examples: []string{`half of "etcd" is cut off from the other half for 15s`},
		Fault:    func(a Args) Fault { return Partition{HalfOf: a.Name(0)} },
	}, {
		Name:     "partition of a minority",
		Pattern:  `the minority of {group} is cut off from the majority{for}`,
		Means:    "the first members, as they are declared, as many as leave a majority (one of three or four, two of five), and the others",
		Examples: []string{`the minority of "etcd" is cut off from the majority for 15s`},
		Fault:    func(a Args) Fault { return Partition{MinorityOf: a.Name(0)} },
	}}}
}

// Inject implements Fault.
func (f Partition) Inject(ctx context.Context, t Target) (Heal, error) {
	return CutOff{Dir: f.Dir}.Inject(ctx, t)
}

// Say implements Fault: the sentence of the whole, whatever link it is placed on.
func (f Partition) Say(_, _ string) string {
	verb := " is"
	if len(f.These) > 1 {
		verb = " are"
	}
	switch {
	case f.HalfOf != "":
		return fmt.Sprintf("half of %q is cut off from the other half", f.HalfOf)
	case f.MinorityOf != "":
		return fmt.Sprintf("the minority of %q is cut off from the majority", f.MinorityOf)
	case f.RestOf != "":
		return names(f.These) + verb + fmt.Sprintf(" cut off from the rest of %q", f.RestOf)
	case f.OneWay:
		return fmt.Sprintf("traffic from %s never reaches %s", names(f.These), names(f.Those))
	}
	s := names(f.These) + verb + " cut off from " + names(f.Those)
	if f.Except != "" {
		s += fmt.Sprintf(", except through %q", f.Except)
	}
	return s
}

func names(all []string) string { return `"` + strings.Join(all, `", "`) + `"` }
