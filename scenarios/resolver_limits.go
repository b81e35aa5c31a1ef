package scenarios

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// finishLimits reports faults beyond the limits of the system, and services on other machines that are not allowed.
func (r *Resolver) finishLimits() {
	r.reportOutside(func(string) bool { return true })
	r.reportBeyond()
}

// reportOutside reports parts of the system on other machines that are not allowed, of those that concern the caller.
func (r *Resolver) reportOutside(concerns func(service string) bool) {
	for _, o := range r.System.Outside(slices.Concat(r.System.Allow, r.scope.AllowTargets)) {
		if !concerns(o.Service) {
			continue
		}
		what, hint := outside(o)
		r.AddProblem(cmp.Or(r.describedAt[o.Service], r.systemAt), what, hint)
	}
}

// outside returns what is wrong with a part of the system on another machine that is not allowed.
func outside(o system.Outsider) (what codes.Message, hint string) {
	return codes.OutOfBounds.Msgf("%s runs at %s, which is not this machine", o.What, o.Address), fmt.Sprintf("if load and faults may reach it, say so: in the system file, `allow: [%q]`, or with --allow-target %s", o.Address, o.Address)
}

// reportBeyond reports faults beyond the limits of the system.
func (r *Resolver) reportBeyond() {
	for _, p := range r.faults {
		for _, f := range r.Steps[p.step].Do.(Inject).Faults {
			if what, hint := beyond(r.System.Limits, f); !what.None() && !p.misread {
				r.AddProblem(p.at, what, hint)
				break // the parts of a partition would repeat it
			}
		}
	}
	for _, c := range r.crowds {
		if what, hint := crowded(r.System.Limits, c.n); !what.None() {
			r.AddProblem(c.at, what, hint)
		}
	}
	longest := r.System.Limits.Duration
	for _, l := range slices.Concat(r.healedFaults, r.live) {
		lasts := max(l.lasts, lastsBySelf(l.placed))
		if longest == 0 || lasts <= longest || r.Counted() && lasts >= source.Longest {
			continue
		}
		took := injector.Duration(lasts)
		if lasts >= source.Longest {
			took = "as long as a step takes whose duration is not known"
		}
		r.AddProblem(l.at, codes.OutOfBounds.Msgf("this fault would be live for %s, and the limits of the system allow %s", took, injector.Duration(longest)), "say a shorter time, or heal it earlier; or raise `duration` under `limits` in the system file")
	}
}

// lastsBySelf returns how long a series of faults takes, such as three crashes, or 0.
func lastsBySelf(p Placed) time.Duration {
	if series, ok := p.Fault.(interface{ Lasts() time.Duration }); ok {
		return series.Lasts()
	}
	return 0
}

// crowd is how many faults are live at the same time after a step.
type crowd struct {
	at source.Pos
	n  int
}

// countLive records how many faults are live.
func (r *Resolver) countLive(at source.Pos) {
	ids := map[string]bool{}
	for _, l := range r.live {
		ids[journal.FaultID(l.placed.ID)] = true
	}
	r.crowds = append(r.crowds, crowd{at, len(ids)})
}

// crowded returns what is wrong with n faults at the same time, or "".
func crowded(l system.Limits, n int) (what codes.Message, hint string) {
	if l.AtOnce == 0 || n <= l.AtOnce {
		return codes.Message{}, ""
	}
	return codes.OutOfBounds.Msgf("%d faults would be live at the same time, and the limits of the system allow %d", n, l.AtOnce), "heal one before, or raise `at_once` under `limits` in the system file"
}

// CheckLimits returns an error if a fault that is not one of a scenario is beyond the limits of the system, but for its
// duration, or acts on a service on another machine that is not allowed. others is how many other faults are live.
func CheckLimits(sys system.System, p Placed, others int) error {
	for _, o := range sys.Outside(sys.Allow) {
		if o.Service == p.From || o.Service == p.To {
			what, hint := outside(o)
			return fmt.Errorf("%s: %s", what, hint)
		}
	}
	if what, hint := beyond(sys.Limits, p); !what.None() {
		return fmt.Errorf("%s: %s", what, hint)
	}
	if what, hint := crowded(sys.Limits, others+1); !what.None() {
		return fmt.Errorf("%s: %s", what, hint)
	}
	return nil
}

// beyond returns what is wrong with a fault whose target or share is beyond the limits of a system, or "".
func beyond(l system.Limits, p Placed) (what codes.Message, hint string) {
	portion := 1.0
	if part, ok := p.Fault.(interface{ Portion() float64 }); ok {
		portion = part.Portion()
	}
	switch {
	case !l.Allows(p.From, p.To):
		return codes.OutOfBounds.Msgf("%s is outside of the limits of the system, which allow faults on %s", p.On(), source.Quote(l.Targets)), "break something else, or add it to `targets` under `limits` in the system file"
	case p.From != "" && l.Share > 0 && portion > l.Share:
		return codes.OutOfBounds.Msgf("this fault acts on %s of the traffic of %s, and the limits of the system allow %s", percent(portion), p.On(), percent(l.Share)), fmt.Sprintf("write %s of it, or raise `share` under `limits` in the system file", percent(l.Share))
	}
	return codes.Message{}, ""
}
