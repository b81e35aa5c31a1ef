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
