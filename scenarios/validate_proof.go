package scenarios

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// finishProof determines what the checks can prove. It reports checks that cannot fail, and warns of those that
// will be inconclusive.
func (r *Resolver) finishProof() {
	addOwnStep := slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Foreign })
	switch {
	case len(r.Checks) == 0 && !slices.ContainsFunc(r.Steps, Step.Asks):
		r.Unproven = "the scenario asks for nothing, so it can prove nothing: add a check, such as: Then at least 99% of requests succeed"
	case len(r.Checks) > 0 && !addOwnStep && !slices.ContainsFunc(r.Checks, func(c Check) bool { return !c.Kind().Idle }):
		r.Unproven = "a system that does nothing would satisfy every check of this scenario: add one that asks for success, such as: Then at least 99% of requests succeed during the fault"
	}
	refusing := len(r.Checks) > 0 && !addOwnStep && !slices.ContainsFunc(r.Checks, func(c Check) bool { k := c.Kind(); return !k.Idle && !k.Refusing })
	if r.Unproven == "" && refusing && len(r.injections()) > 0 {
		r.warn(r.begin, codes.ProvesNothing.Message("a system that refuses every request from the fault on would satisfy every check of this scenario: add one that asks for success, such as: Then at least 99% of requests succeed after healing"))
	}
	before := func(c Check) bool { return c.Kind().Needs.Window == journal.Before }
	if len(r.Checks) > 0 && !addOwnStep && r.Unproven == "" && len(r.injections()) > 0 && !slices.ContainsFunc(r.Checks, func(c Check) bool { return !c.Kind().Idle && !before(c) }) {
		r.Unproven = "every check asks about the time before the fault, so the fault proves nothing: ask about the time during it or after healing"
	}
	if r.Unproven != "" {
		r.warn(r.begin, codes.ProvesNothing.Message(r.Unproven))
	}
	if r.Load == nil {
		return
	}
	r.warnShortBaseline()
	drill := r.drill()
	for i, c := range r.Checks {
		k := c.Kind()
		r.checkCanFail(r.checkPositions[i], k.Needs.Limit)
		r.checkOutage(r.checkPositions[i], k.Needs.Outage)
		if k.Needs.WholeSystem && !r.System.Whole() {
			r.warn(r.checkPositions[i], codes.SharedTarget.Msgf("%s: parts of the system run already, so that others may use them: any new effect with a key of others makes this inconclusive", c))
		}
		r.warnTooFewRequests(r.checkPositions[i], c)
		untested := cmp.Or(r.unreachable(k), r.unreached(k.Needs))
		if untested == "" && k.Untested != nil {
			untested = k.Untested(drill)
		}
		r.Checks[i].Untested = r.unreachable(k)
		if k.CannotFail != nil {
			if why := k.CannotFail(drill); why != "" {
				untested = ""
				r.warn(r.checkPositions[i], codes.CannotFail.Msgf("%s: this can never fail: %s", c, why))
			}
		}
		if untested != "" {
			r.warn(r.checkPositions[i], codes.NotExercised.Msgf("%s: %s; unless something else puts it to the test, the run will be inconclusive", c, untested))
		}
	}
}

// checkCanFail reports a limit that no request can reach, since clients give up earlier.
func (r *Resolver) checkCanFail(at source.Pos, limit time.Duration) {
	patience := time.Duration(0)
	for _, l := range r.Loads() {
		patience = max(patience, l.Patience(true))
	}
	if limit > 0 && limit >= patience {
		r.AddProblem(at, codes.CannotFail.Msgf("this can never fail: clients give up, so that no request takes longer than %s", check.Duration(patience)),
			fmt.Sprintf("write a limit below %s, or let clients give up later", check.Duration(patience)))
	}
}

// checkOutage reports a check that even a failure of all requests would not violate.
func (r *Resolver) checkOutage(at source.Pos, outage time.Duration) {
	lasts, known := r.Baseline+r.Recovery, true
	for _, s := range r.Steps {
		_, confirm := s.Do.(Confirm)
		lasts, known = lasts+stepDuration(s.Do), known && !confirm && !s.Foreign
	}
	if known && outage > 0 && lasts > 0 && outage >= lasts {
		r.AddProblem(at, codes.CannotFail.Msgf("this can never fail: it allows an outage of %s, and the whole load lasts %s", check.Duration(outage.Round(100*time.Millisecond)), check.Duration(lasts)),
			"write a lower limit, or let the load last longer")
	}
}

// warnTooFewRequests warns that too few requests are expected for a check.
func (r *Resolver) warnTooFewRequests(at source.Pos, c Check) {
	n := c.Kind().Needs
	expected, known, what := 0.0, true, "for this"
	for _, l := range r.loadsOf(n.OfLoad) {
		all, ok := r.due(l, n.Window)
		if during, _ := r.due(l, journal.During); n.Window == "" && len(r.injections()) > 0 { // the effect of a short fault shows in the following second
			lowest, highest, _ := r.runs(l.Name)
			all, what = min(all, max(during, (lowest+highest)/2)), "to meet the fault"
		}
		expected, known = expected+all*l.share(n.Route), known && ok
	}
	if known && expected < float64(n.Requests) {
		r.warn(at, codes.TooFewRequests.Msgf("%s: about %.0f requests are expected %s, and %d are needed: the run will be inconclusive", c, expected, what, n.Requests))
	}
}

// warnShortBaseline warns of a baseline that is too short for an injection to follow.
func (r *Resolver) warnShortBaseline() {
	rate := 0.0
	for _, l := range r.Loads() {
		if l.Shape == Closed || r.Counted() {
			return
		}
		rate += l.Rate
	}
	expected, least := rate*r.Baseline.Seconds(), check.BaselineSteady{}.Kind().Needs.Requests
	if len(r.injections()) > 0 && expected < float64(least) {
		r.warn(r.begin, codes.BaselineUnsteady.Msgf("about %.0f requests are expected in the baseline of %s, and %d are needed: nothing will be injected; measure it for longer", expected, check.Duration(r.Baseline), least))
	}
}

// due returns approximately how many requests of a load are due in a window. known is false if the duration of a step is not
// known.
func (r *Resolver) due(l *Load, w journal.Window) (requests float64, known bool) {
	if l.Shape == Closed { // it depends on the latency of the system
		return 0, false
	}
	rate, live := l.Rate, 0
	before, during, after := rate*r.Baseline.Seconds(), 0.0, 0.0
	pass := func(t time.Duration, at float64) {
		switch n := at * t.Seconds(); {
		case live > 0:
			during += n
		case during == 0:
			before += n
		default:
			after += n
		}
	}
	for _, s := range r.Steps {
		switch do := s.Do.(type) {
		case Inject:
			live++
			pass(do.For, rate)
			if do.For > 0 {
				live--
			}
		case Heal:
			live = max(0, live-1)
			if do.All {
				live = 0
			}
		case Wait:
			pass(do.For, rate)
		case RateChange:
			takes := do.Takes()
			if do.Of() != l.Name {
				pass(takes, rate)
				continue
			}
			if takes > 0 {
				pass(takes, requestsDue(do)/takes.Seconds())
			}
			lowest, highest := ends(do)
			rate = (lowest + highest) / 2
		case SendRequests:
			if do.Load == l.Name {
				pass(time.Second, float64(do.Requests))
			}
		case StopLoad:
			if do.Load == "" || do.Load == l.Name {
				rate = 0
			}
		case Confirm:
			return 0, false
		}
		if s.Foreign {
			return 0, false
		}
	}
	live = 0
	after += rate * r.Recovery.Seconds()
	switch w {
	case journal.Before:
		return before, true
	case journal.During:
		return during, true
	case journal.After:
		return after, true
	}
	return before + during + after, true
}
