package injector

import (
	"context"
	"fmt"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// Partition cuts off two sides of a system from each other. It describes the partition as a whole. The scenario
// determines the links between the sides and injects one Partition into each, with its Dir. A group stands for its
// members.
type Partition struct {
	These, Those []string // the two sides: services or groups
	RestOf       string   // instead of Those: the other members of this group
	// HalfOf, instead of both sides, separates the first half of a group's members from the other half. Members are
	// in order of declaration, and the first half is rounded down.
	HalfOf string
	// MinorityOf, instead of both sides, separates the largest minority of a group's first members from the majority.
	MinorityOf string
	OneWay     bool     // only traffic from These to Those is cut off
	Except     string   // a service whose links are not cut off, so that both sides still reach it
	Dir        link.Dir // direction on the link that this Partition is injected into; set by the scenario
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

// Say implements Fault. The sentence describes the whole partition, regardless of the link.
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
