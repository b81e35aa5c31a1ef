package scenarios

import (
	"fmt"
	"slices"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// SplitLoad splits the requests for a service between it and an untouched copy of it, the control: half of them go to
// each, at the same moments.
func (r *Resolver) SplitLoad(at source.Pos, service, control string) {
	r.describeOnce(&r.copiesAt, at, "that the load is split")
	if service == control {
		r.AddProblem(at, codes.Contradiction.Msgf("%q cannot be compared with itself", service), "name a service and another one that is a copy of it")
	}
	r.rate.Copies = []string{service, control}
}

// resolveCopies determines the routes that are split, and validates that both copies answer them.
func (r *Resolver) resolveCopies() {
	if r.copiesAt == (source.Pos{}) || r.Load == nil || len(r.Load.Copies) != 2 {
		return
	}
	service, control := r.Load.Copies[0], r.Load.Copies[1]
	i, j := r.serviceNamed(r.copiesAt, service), r.serviceNamed(r.copiesAt, control)
	if i < 0 || j < 0 || service == control {
		return
	}
	r.requireTCP(r.copiesAt, control)
	split := false
	for _, l := range r.Loads() {
		for rt := range l.requests() {
			if rt.Kind != "" || rt.Service != service && rt.Service != control {
				continue
			}
			for _, k := range []int{i, j} {
				s := r.System.Services[k]
				if !slices.ContainsFunc(s.Serves, func(prefix string) bool { return hasPathPrefix(rt.Path, prefix) }) {
					r.AddProblem(r.copiesAt, codes.Unsupported.Msgf("%q does not answer %q", s.Name, rt.Name()), fmt.Sprintf("both copies have to: say in the system file what %q `serves`", s.Name))
				}
			}
			rt.Service, split = service, true
		}
	}
	if !split {
		r.addMissing(r.copiesAt, codes.Missing.Msgf("no request of the load goes to %q, so that none can be split", service), "let the load ask for what it serves")
	}
	for _, p := range r.faults {
		for _, f := range r.Steps[p.step].Do.(Inject).Faults {
			if f.From == control || f.To == control {
				r.AddProblem(p.at, codes.Contradiction.Msgf("%q is the untouched copy, and this fault acts on it or on a link from it", control), fmt.Sprintf("let the fault act on %q only", service))
			}
		}
	}
}

// requireCopies reports that a check compares services between which the load is not split.
func (r *Resolver) requireCopies(at source.Pos, n check.Needs) {
	if n.Copy == "" || slices.Equal(r.Load.Copies, []string{n.Copy, n.Control}) {
		return
	}
	hint := fmt.Sprintf("add: the load is split between %q and its untouched copy %q", n.Copy, n.Control)
	if r.Load.Control() != "" {
		hint = fmt.Sprintf("it is split between %q and its untouched copy %q", r.Load.Copies[0], r.Load.Copies[1])
	}
	r.addMissing(at, codes.Missing.Msgf("the load is not split between %q and %q", n.Copy, n.Control), hint)
}
