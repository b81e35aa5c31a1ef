package scenarios

import (
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// effectsAt holds the positions of the sentences about effects.
type effectsAt struct {
	sources, once []source.Pos // parallel to Effects.Sources and to Effects.Once
}

// CheckEffectSource returns an error for a text that is neither a route nor the name of a source of effects. What has a
// slash is meant as a route.
func CheckEffectSource(name string) error {
	_, _, err := source.ParseRoute(name)
	switch {
	case err == nil || name != "" && !strings.Contains(name, "/"):
		return nil
	case name == "":
		return source.Mistakef(codes.BadValue, `write a route such as "GET /ledger", or the name of a source that the system file declares under effects`, "the source of effects is empty")
	}
	return err
}

// ReadEffects adds a source of effects: a route, or the name of a source that the system declares.
func (r *Resolver) ReadEffects(at source.Pos, name string) {
	r.Describe(at)
	e := EffectSource{Name: name, Step: r.step.Step}
	if method, path, err := source.ParseRoute(name); err == nil {
		e.Method, e.Path = method, path
	}
	effects := r.effects()
	if i := slices.IndexFunc(effects.Sources, func(s EffectSource) bool { return s.Name == name }); i >= 0 {
		r.AddProblem(at, codes.Duplicate.Msgf("it was said before, at %s, that effects are read from %q", r.effectsAt.sources[i], name), "say it once")
		return
	}
	effects.Sources = append(effects.Sources, e)
	r.effectsAt.sources = append(r.effectsAt.sources, at)
}

// ReadEffectsOnce adds a condition without which effects are not read after the load. The step of c is set.
func (r *Resolver) ReadEffectsOnce(at source.Pos, c Convergence) {
	r.Describe(at)
	c.Step = r.step.Step
	r.effects().Once = append(r.effects().Once, c)
	r.effectsAt.once = append(r.effectsAt.once, at)
}

// effects returns where effects are read, to be completed.
func (r *Resolver) effects() *Effects {
	if r.Effects == nil {
		r.Effects = &Effects{}
	}
	return r.Effects
}

// resolveEffects determines the services and the declared sources that sentences about effects name.
func (r *Resolver) resolveEffects() {
	if r.Effects == nil {
		return
	}
	for i := range r.Effects.Sources {
		s, at := &r.Effects.Sources[i], r.effectsAt.sources[i]
		if s.Declared() {
			r.declaredSource(at, s.Name)
			continue
		}
		s.Service = r.requireTCP(at, r.serves(at, s.Path))
	}
	for i, c := range r.Effects.Once {
		at := r.effectsAt.once[i]
		switch {
		case c.Command != "":
			r.commandNamed(at, c.Command)
		case c.Source == "":
			if r.serviceNamed(at, c.Service) >= 0 {
				r.requireTCP(at, c.Service)
			}
		case r.declaredSource(at, c.Source):
			if s, _ := r.System.Effect(c.Source); s.Kind != "sql" {
				r.AddProblem(at, codes.Unsupported.Msgf("%q has no query: it is of the kind %s", c.Source, s.Kind), "name a source of the kind sql")
			}
		}
	}
}

// addAgreement adds a comparison of two sources that a check needs.
func (r *Resolver) addAgreement(at source.Pos, of check.Agree, step journal.Step) {
	a := Agreement{Within: of.Within, Step: step}
	for i, name := range of.Sources {
		e := EffectSource{Name: name, Step: step}
		if method, path, err := source.ParseRoute(name); err == nil {
			e.Method, e.Path, e.Service = method, path, r.requireTCP(at, r.serves(at, path))
		} else if !r.declaredSource(at, name) {
			return
		}
		a.Sources[i] = e
	}
	switch {
	case of.Sources[0] == of.Sources[1]:
		r.AddProblem(at, codes.Contradiction.Msgf("%q is compared with itself", of.Sources[0]), "name two sources")
	case of.Within <= 0: // reported when it was read
	case len(r.injections()) == 0:
		r.addMissing(at, codes.Missing.Msgf("no fault is injected in this scenario, so nothing is healed"), "add a fault")
	case slices.Contains(r.Agreements, a):
	default:
		r.Agreements = append(r.Agreements, a)
	}
}

// addLock adds a lock whose holders a check needs, once.
func (r *Resolver) addLock(at source.Pos, of check.MutualExclusion, step journal.Step) {
	l := Lock{Name: of.Lock, Source: EffectSource{Name: of.Source, Step: step}}
	if method, path, err := source.ParseRoute(of.Source); err == nil {
		l.Source.Method, l.Source.Path, l.Source.Service = method, path, r.requireTCP(at, r.serves(at, path))
	} else if !r.declaredSource(at, of.Source) {
		return
	}
	if s, ok := r.System.Effect(of.Source); ok {
		if what, hint := s.Lockless(); !what.None() {
			r.AddProblem(at, what, hint)
			return
		}
	}
	if !slices.ContainsFunc(r.Locks, func(o Lock) bool { return o.Name == l.Name && o.Source.Name == l.Source.Name }) {
		r.Locks = append(r.Locks, l)
	}
}

// declaredSource reports whether the system declares a source of effects, and reports a problem if it does not.
func (r *Resolver) declaredSource(at source.Pos, name string) bool {
	if CheckEffectSource(name) != nil { // reported when it was read
		return false
	}
	if _, ok := r.System.Effect(name); ok {
		return true
	}
	hint := `write a route such as "GET /ledger", or declare the source in the system file under effects`
	if names := r.System.EffectNames(); len(names) > 0 {
		hint = source.DidYouMean(name, names, "sources of effects")
	}
	r.AddProblem(at, codes.UnknownName.Msgf("%q is neither a route nor a source of effects of the system", name), hint)
	return false
}

// finishEffects stores the time in which effects settle, and reports a problem if no effects are read.
func (r *Resolver) finishEffects() {
	const add = `add: applied effects are read from "GET /ledger"`
	unread := r.Effects == nil || len(r.Effects.Sources) == 0
	sums := slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Kind().Needs.Sum != (check.SumOf{}) })
	switch {
	case r.settleAt == (source.Pos{}), unread && sums: // sums settle, too
	case unread:
		r.addMissing(r.settleAt, codes.NoEffect.Msgf("no effects are read in this scenario"), add)
	default:
		r.Effects.Settle = r.settleWithin
	}
	if r.Effects != nil && unread {
		r.addMissing(r.effectsAt.once[0], codes.NoEffect.Msgf("no effects are read in this scenario"), add)
		r.Effects = nil
	}
}
