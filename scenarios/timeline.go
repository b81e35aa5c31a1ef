package scenarios

import (
	"fmt"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// timeline is the progress of a scenario while its steps are added.
type timeline struct {
	step  *Step // the current one; nil between steps
	stage stage
	live  []liveFault

	healedFaults []liveFault // that a step healed
	crowds       []crowd
}

// stage is the progress of a scenario: first steps describe, then they act, then they check.
type stage int

const (
	describing stage = iota
	acting
	checking
)

// liveFault is an injection that no step has healed yet.
type liveFault struct {
	placed Placed
	at     source.Pos
	held   bool // time passes while it is live
	asked  bool // requests of a counted load are sent while it is live
	lasts  time.Duration
}

// endedFault is the end of a fault on a service that is not live.
type endedFault struct {
	at      source.Pos
	service string
	kinds   []string // that the sentence ends
}

// track keeps the list of live faults up to date.
func (r *Resolver) track(at source.Pos, a Action) {
	switch a := a.(type) {
	case Inject:
		for _, p := range a.Faults {
			r.checkOverlap(at, p)
			r.live = append(r.live, liveFault{placed: p, at: at})
		}
		r.countLive(at)
		if a.For > 0 {
			r.holdThenHeal(len(a.Faults), a.For)
		}
	case Wait:
		r.elapse(a.For)
	case RateChange:
		r.elapse(a.Takes())
	case SendRequests:
		r.elapse(source.Longest) // of unknown duration
		for i := range r.live {
			r.live[i].asked = true
		}
	case Confirm:
		r.elapse(source.Longest) // of unknown duration
	case Heal:
		r.heal(at, a)
	}
}

// checkOverlap reports a fault on a service that already has one.
func (r *Resolver) checkOverlap(at source.Pos, p Placed) {
	for _, l := range r.live {
		if p.From == "" && l.placed.From == "" && p.To == l.placed.To {
			r.AddProblem(at, codes.WrongMoment.Msgf("%q is down or hangs already, since %s", p.To, l.at), fmt.Sprintf("say first `%q starts again` or `%q resumes`", p.To, p.To))
		}
	}
}

// elapse records that time passes, or may pass.
func (r *Resolver) elapse(t time.Duration) {
	for i := range r.live {
		r.live[i].held = true
		r.live[i].lasts += t
	}
}

// holdThenHeal lets time pass and then heals the last n faults.
func (r *Resolver) holdThenHeal(n int, t time.Duration) {
	r.elapse(t)
	r.healed(len(r.live)-n, n)
}

// healed removes n live faults, beginning with the i-th.
func (r *Resolver) healed(i, n int) {
	for _, l := range r.live[i : i+n] {
		r.longEnough(l)
		r.healedFaults = append(r.healedFaults, l)
	}
	r.live = slices.Delete(r.live, i, i+n)
}

func (r *Resolver) heal(at source.Pos, h Heal) {
	switch {
	case len(r.live) == 0 && r.problems > 0: // an unknown sentence may have injected the fault
	case len(r.live) == 0:
		r.AddProblem(at, codes.WrongMoment.Msgf("no fault is live here, so there is nothing to heal"), "a fault that is said with `for 30s` heals by itself; without it, it stays live")
	case h.All:
		r.healed(0, len(r.live))
	case h.Service != "":
		i := slices.IndexFunc(r.live, func(l liveFault) bool { return l.placed.To == h.Service && l.placed.Kind == h.Kind })
		if i >= 0 {
			r.healed(i, 1)
		}
	default:
		r.healed(len(r.live)-1, 1)
	}
}

// HealService heals the fault of one service that a sentence ends: "starts again" or "resumes".
func (r *Resolver) HealService(at source.Pos, service, by string) {
	for _, l := range slices.Backward(r.live) {
		if l.placed.To == service && l.placed.Fault.Kind().EndedBy == by {
			r.Act(at, Heal{Kind: l.placed.Kind, Service: service})
			return
		}
	}
	var kinds []string
	for _, k := range r.scope.Faults {
		if k.EndedBy == by {
			kinds = append(kinds, k.Name)
		}
	}
	if r.problems == 0 { // otherwise an unknown sentence may have injected the fault
		r.ended = append(r.ended, endedFault{at, service, kinds})
	}
	r.step.Do = Heal{Service: service}
}
