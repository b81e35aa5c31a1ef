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
