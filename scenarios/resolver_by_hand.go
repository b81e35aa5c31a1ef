package scenarios

import (
	"slices"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

var notAFault = codes.WrongMoment.Msgf("this sentence is not a fault that can be injected by hand")

// RefuseByHand reports that a sentence is not a fault.
func (r *Resolver) RefuseByHand(at source.Pos) {
	r.AddProblem(at, notAFault, "firedrill steps lists the sentences of faults")
}

// Join begins a step by hand: a sentence that somebody gives while the system of the experiment runs. live are the faults
// that are live, each with an ID of its own. FinishByHand follows once the sentence was read.
func (r *Resolver) Join(sentence string, at source.Pos, live []Placed) {
	for _, p := range live {
		p.ID = "live-" + p.ID // the resolver gives out IDs of its own
		r.live = append(r.live, liveFault{placed: p, at: at, held: true})
	}
	r.AddStep("When", sentence, at)
}

// FinishByHand validates a step by hand as those of features, and returns its faults. A fault without a duration is
// accepted only if it is to be live until it is healed.
func (r *Resolver) FinishByHand(at source.Pos, untilHeal bool) Inject {
	in, ok := r.step.Do.(Inject)
	r.misread = len(r.out.All) > 0
	switch {
	case r.misread:
		return Inject{}
	case !ok:
		r.RefuseByHand(at)
		return Inject{}
	}
	for _, p := range in.Faults {
		in.For = max(in.For, lastsBySelf(p))
	}
	switch {
	case untilHeal && in.For > 0:
		r.AddProblem(at, codes.Contradiction.Msgf("the sentence says for how long, and this fault is live until it is healed"), "leave out for how long")
	case untilHeal:
		r.elapse(source.Longest) // of unknown duration
	case in.For == 0:
		r.AddProblem(at, codes.Missing.Msgf("it is not said for how long the fault is live"), "add to the sentence: for 30s; or say --until-heal")
	}
	for _, p := range r.faults {
		r.placeFaults(p)
	}
	lasts := in.For
	in, _ = r.step.Do.(Inject)
	in.For = lasts
	for _, p := range in.Faults {
		r.refuseMadeUp(liveFault{placed: p, at: at})
	}
	r.reportOutside(func(service string) bool {
		return slices.ContainsFunc(in.Faults, func(p Placed) bool { return p.From == service || p.To == service })
	})
	r.reportBeyond()
	return in
}
