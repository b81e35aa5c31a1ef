package scenarios

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// AddLoad sets an open load.
func (r *Resolver) AddLoad(at source.Pos, rate float64, mix ...Route) {
	r.Describe(at)
	r.setLoad(at, Open, mix).Rate = rate
}

// AddUsers sets a closed load.
func (r *Resolver) AddUsers(at source.Pos, users int, think time.Duration, mix ...Route) {
	r.Describe(at)
	l := r.setLoad(at, Closed, mix)
	l.Users, l.Think = users, think
}

// setLoad sets the shape and the routes of the load, and returns it.
func (r *Resolver) setLoad(at source.Pos, shape Shape, mix []Route) *Load {
	if r.naming != "" {
		l := r.namedLoad(at)
		if l == nil {
			return &Load{}
		}
		l.Shape, l.Mix = shape, withBodies(mix)
		return l
	}
	if r.Load != nil && r.Load.Name != "" {
		r.AddProblem(at, codes.Missing.Msgf("the load at %s is named %q, and this one has no name", r.loadAt, r.Load.Name), `name it, too: the "browsing" load of 20 requests per second on "GET /catalog"`)
		return &Load{}
	}
	r.setOnce(&r.loadAt, at, "a load")
	r.rate.Shape, r.rate.Mix = shape, withBodies(mix)
	r.Load = r.rate
	return r.Load
}

// withBodies gives a body to requests that need one and have none.
func withBodies(mix []Route) []Route {
	for rt := range (&Load{Mix: mix}).requests() {
		if rt.Body == "" && slices.Contains([]string{"POST", "PUT", "PATCH"}, rt.Method) {
			rt.Body = `{"n": {{n}}}`
		}
	}
	return mix
}

// MaxUsers is the highest number of requests that are made at once. With more, the generator would be measured instead
// of the system.
const MaxUsers = 2000

// SendRequests adds a step that sends requests of a counted load: the named one, or else the only one. The first such step
// sets the load. Further ones continue it, with the same routes; without mix they take those of the first one.
func (r *Resolver) SendRequests(at source.Pos, send SendRequests, mix ...Route) {
	mix, send.Load = withBodies(mix), r.naming
	l := r.Load
	if r.naming != "" {
		if l = nil; len(r.loadsOf(r.naming)) > 0 {
			l = r.loadsOf(r.naming)[0]
		}
	}
	switch {
	case l == nil:
		r.setLoad(at, Counted, mix)
	case l.Name != r.naming:
		r.AddProblem(at, codes.Contradiction.Msgf("another load runs already, the %q load at %s", l.Name, r.loadAt), `name this one, too: 200 requests on "POST /orders" of the "checkout" load are sent, 10 at a time`)
	case l.Shape != Counted && l.Name == "":
		r.AddProblem(at, codes.Contradiction.Message("another load runs already, since "+r.loadAt.String()), `name both: 200 requests on "POST /orders" of the "checkout" load are sent, 10 at a time`)
	case l.Shape != Counted:
		r.AddProblem(at, codes.Contradiction.Msgf("the %q load is not counted: it is %s", l.Name, l.described()), "give these requests a load of another name")
	case len(mix) > 0 && len(l.Mix) > 0 && !slices.EqualFunc(mix, l.Mix, sameRoute):
		r.AddProblem(at, codes.Contradiction.Msgf("the requests of this load that were sent before, at %s, are others", r.positionOf(slices.Index(r.Loads(), l))), "send requests with the same routes and bodies, or a mix of them in both steps; or give these a load with another name")
	case len(l.Mix) == 0: // of a Builder
		l.Mix = mix
	}
	r.Act(at, send)
}

// sameRoute reports whether two routes send the same requests.
func sameRoute(a, b Route) bool {
	return a.Name() == b.Name() && a.Kind == b.Kind && a.Service == b.Service && a.Share == b.Share && a.Body == b.Body && a.Type == b.Type &&
		slices.Equal(a.Keep, b.Keep) && slices.EqualFunc(a.Then, b.Then, sameRoute)
}

// SetGiveUp sets how long clients wait for the answer to an attempt.
func (r *Resolver) SetGiveUp(at source.Pos, d time.Duration) {
	r.describeOnce(&r.giveUpAt, at, "when clients give up")
	r.rate.GiveUp = d
}

// SetRetries sets how often clients retry.
func (r *Resolver) SetRetries(at source.Pos, n int) {
	r.describeOnce(&r.retryAt, at, "how often clients retry")
	r.rate.Retries = n
	if n > 100 {
		r.AddProblem(at, codes.TooLarge.Msgf("%d more attempts are too many for a client", n), "write at most 100")
	}
}

// SetBaseline sets how long the baseline is measured.
func (r *Resolver) SetBaseline(at source.Pos, t time.Duration) {
	r.describeOnce(&r.baselineAt, at, "a baseline")
	r.Baseline = t
}

// ChangeRate adds a change of the load's rate. from is the rate before it according to the step, or nil if the step
// does not say so.
func (r *Resolver) ChangeRate(fromAt, at source.Pos, from *float64, c RateChange) {
	c = c.of(r.naming)
	if !r.oneLoad(at) {
		r.Act(at, c)
		return
	}
	lowest, highest, runs := r.runs(r.naming)
	l := r.Load
	if named := r.loadsOf(r.naming); len(named) > 0 {
		l = named[0]
	}
	switch {
	case !runs && r.problems > 0: // an unknown sentence may have defined the load
	case !runs:
		r.AddProblem(at, codes.WrongMoment.Msgf("no load runs here that could change"), `say first: a steady load of 100 requests per second on "POST /orders"`)
	case l.Shape != Open:
		r.AddProblem(at, codes.Unsupported.Msgf("this load has no rate that could change"), fmt.Sprintf("it is %s; %s", l.described(), addLoad))
	case from == nil:
	case lowest == highest && *from != lowest:
		r.AddProblem(fromAt, codes.Contradiction.Msgf("the load is %g requests per second here, not %g", lowest, *from), fmt.Sprintf("write `from %g`", lowest))
	case *from < lowest || *from > highest:
		r.AddProblem(fromAt, codes.Contradiction.Msgf("the load swings between %g and %g requests per second here, and is never %g", lowest, highest, *from), fmt.Sprintf("write a rate from %g to %g", lowest, highest))
	}
	r.Act(at, c)
}

// SwingLoad adds a change of the load to a swing, which begins at the current rate.
func (r *Resolver) SwingLoad(lowAt, at source.Pos, c SwingLoad) {
	lowest, highest, runs := r.runs(r.naming)
	c.From = lowest
	runs = runs && r.loadsOf(r.naming)[0].Shape == Open && len(r.loadsOf(r.naming)) == 1
	switch {
	case c.Low >= c.High:
		r.AddProblem(lowAt, codes.Contradiction.Msgf("the load cannot swing between %g and %g requests per second", c.Low, c.High), "write the lower rate first, as in: between 50 and 150")
	case runs && lowest < highest:
		r.AddProblem(at, codes.Contradiction.Msgf("the load swings already"), "let it first change to a rate: the load changes from 100 to 120 requests per second")
	case runs && (lowest < c.Low || lowest > c.High):
		r.AddProblem(lowAt, codes.Contradiction.Msgf("the load is %g requests per second here, which does not lie between %g and %g", lowest, c.Low, c.High),
			"swing around the present rate, or let the load change first")
	}
	r.ChangeRate(at, at, nil, c)
}

// ReplayLoad adds a change of the load that follows a recording. nameAt is the position of its name, and read returns
// its content. The path is relative to the feature.
func (r *Resolver) ReplayLoad(nameAt, at source.Pos, name string, read func(name string) ([]byte, error)) {
	c := ReplayLoad{File: name}
	file := path.Join(path.Dir(r.File), name)
	raw, err := read(file)
	if err != nil {
		r.AddProblem(nameAt, codes.UnreadableFile.Msgf("the recorded rates cannot be read: %v", err), "the path is relative to the feature file; firedrill has to be run from a folder that holds both")
	} else if c.Rates, err = ReadRates(file, raw); err != nil {
		var all source.Problems
		if errors.As(err, &all) {
			r.problems += len(all)
			r.out.AddAll(all)
		}
	}
	if err != nil {
		c.Rates = []RateAt{{}} // a course has at least one stretch
	}
	r.ChangeRate(at, at, nil, c)
}

// StopLoad adds the end of the load.
func (r *Resolver) StopLoad(at source.Pos) {
	if r.naming != "" && !r.requireNamed(at, r.naming) {
		r.Act(at, StopLoad{Load: r.naming})
		return
	}
	switch _, _, runs := r.runs(r.naming); {
	case !runs && r.problems == 0:
		r.AddProblem(at, codes.WrongMoment.Msgf("no load runs here that could stop"), "leave this step out, or say a load first")
	case runs && !slices.ContainsFunc(r.loadsOf(r.naming), func(l *Load) bool { return l.Shape != Counted }):
		r.AddProblem(at, codes.Unsupported.Msgf("requests that are counted stop by themselves"), "leave this step out")
	}
	r.Act(at, StopLoad{Load: r.naming})
}

// oneLoad reports whether the current statement is about one load. If it is not, that is a problem.
func (r *Resolver) oneLoad(at source.Pos) bool {
	if r.naming != "" {
		return r.Load == nil || r.requireNamed(at, r.naming)
	}
	if len(r.Further) > 0 {
		r.AddProblem(at, codes.Missing.Message("it is not known which load changes: there are "+source.Quote(r.loadNames())), fmt.Sprintf("name it: the %q load changes", r.Load.Name))
	}
	return len(r.Further) == 0
}

// runs returns the lowest and the highest rate of the load with a name after the steps so far, which differ while it
// swings; ok is false if it does not run. For "", they are the sums of all loads.
func (r *Resolver) runs(name string) (lowest, highest float64, ok bool) {
	for _, l := range r.loadsOf(name) {
		low, high, runs := l.Rate, l.Rate, true
		for _, s := range r.Steps {
			switch a := s.Do.(type) {
			case RateChange:
				if a.Of() == l.Name {
					low, high = ends(a)
				}
			case StopLoad:
				runs = runs && a.Load != "" && a.Load != l.Name
			}
		}
		if runs {
			lowest, highest, ok = lowest+low, highest+high, true
		}
	}
	return lowest, highest, ok
}

// SetSettle sets how long effects may take to appear.
func (r *Resolver) SetSettle(at source.Pos, within time.Duration) {
	if r.describeOnce(&r.settleAt, at, "how long effects take to settle") {
		r.settleWithin = within
	}
}
