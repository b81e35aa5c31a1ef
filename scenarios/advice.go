package scenarios

import (
	"slices"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// finishAdvice warns of what makes a scenario hard to read, although it can be run.
func (r *Resolver) finishAdvice() {
	if r.misread || slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Foreign }) {
		return // what was not understood may use it
	}
	for i, one := range r.Registers {
		if !slices.ContainsFunc(r.Checks, func(c Check) bool {
			n := c.Kind().Needs
			return slices.Contains([]string{n.Register, n.Queue, n.Set}, one.Name)
		}) {
			r.warn(r.registersAt[i], codes.Unused.Msgf("no check asks about the %s %q", one.kind(), one.Name))
		}
	}
	if r.Effects != nil && len(r.effectsAt.sources) > 0 && len(r.Effects.Once) == 0 && !slices.ContainsFunc(r.Checks, func(c Check) bool {
		n := c.Kind().Needs
		return n.Effects || n.Pairs || n.Probe != ""
	}) {
		r.warn(r.effectsAt.sources[0], codes.Unused.Msgf("applied effects are read, and no check asks about them"))
	}
	r.warnManyStories()
}

// warnManyStories warns of a step that injects faults of other kinds than the steps before it, on other services. The same
// fault on one service after the other, as in a rolling restart, is one story.
func (r *Resolver) warnManyStories() {
	var before, kinds []string
	for _, p := range r.faults {
		in, ok := r.Steps[p.step].Do.(Inject)
		if !ok {
			continue
		}
		var touched []string
		known := false
		for _, f := range in.Faults {
			known = known || slices.Contains(kinds, f.Fault.Kind().Name)
			kinds = append(kinds, f.Fault.Kind().Name)
			for _, name := range []string{f.From, f.To} {
				if name != "" && name != "clients" {
					touched = append(touched, name)
				}
			}
		}
		if len(before) > 0 && !known && !slices.ContainsFunc(touched, func(name string) bool { return slices.Contains(before, name) }) {
			r.warn(p.at, codes.ManyStories.Msgf("this fault is another one than those before it, which concern %s, and has no service in common with them", source.Quote(slices.Compact(slices.Sorted(slices.Values(before))))))
		}
		before = append(before, touched...)
	}
}
