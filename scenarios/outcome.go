package scenarios

import (
	"iter"
	"net/http"
	"slices"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Outcome is the outcome of an attempt as far as its client can know. A request is acknowledged if any of its
// attempts is, refused if all are, and otherwise its outcome is not known.
type Outcome string

// The outcomes. An acknowledged request must have one effect, a refused one none, and one that is not known none
// or one.
const (
	NotKnown     Outcome = "not known"
	Acknowledged Outcome = "acknowledged"
	Refused      Outcome = "refused"
)

// OutcomeRow is a row of the table of outcomes.
type OutcomeRow struct {
	Answer  string
	Outcome Outcome
	Why     string
}

// Outcomes returns the table that defines the meaning of an answer if no sentence does. Load.Outcome and the
// client of the load implement it.
func Outcomes() []OutcomeRow {
	return []OutcomeRow{
		{"the expected status", Acknowledged, `any 2xx, or what the scenario names: "POST /orders" answers 201 or 303`},
		{"dial refused", Refused, "nothing was sent"},
		{"400-499, 429 included", Refused, "the service rejected the request before it worked on it; 408, 409 and 425 do not say that; clients that retry do so after 429 only"},
		{"408, 409, 425", NotKnown, "an earlier attempt may still be worked on, or may be done"},
		{"500-599, 503 included", NotKnown, "the work may be done although its answer is an error; status 503 means that it was refused, where that is so, and is then not retried"},
		{"1xx, 3xx and 2xx that are not expected", NotKnown, "redirects are followed only if a sentence says so; clients do not retry after these"},
		{"time-out, reset, closed, other errors", NotKnown, "the answer is missing, truncated or malformed, and the request may have arrived"},
	}
}

// Outcome returns the meaning of an answer with this status: the one defined by the scenario, or else that of the
// table of Outcomes.
func (l *Load) Outcome(r Route, status int) Outcome {
	if known, ok := l.Means[status]; ok {
		return known
	}
	switch {
	case slices.Contains(r.Expect, status), len(r.Expect) == 0 && status/100 == 2:
		return Acknowledged
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooEarly:
		return NotKnown
	case status/100 == 4:
		return Refused
	}
	return NotKnown
}

// expectation is the statuses that a route is expected to answer with.
type expectation struct {
	at       source.Pos
	route    string
	statuses []int
}

// ExpectStatuses sets the statuses that a route is expected to answer with.
func (r *Resolver) ExpectStatuses(at source.Pos, route string, statuses []int) {
	r.Describe(at)
	for _, e := range r.expects {
		if e.route == route {
			r.AddProblem(at, codes.Duplicate.Msgf("what %q answers was said before, at %s", route, e.at), "say it once, with all statuses: answers 201 or 303")
			return
		}
	}
	slices.Sort(statuses)
	r.expects = append(r.expects, expectation{at, route, slices.Compact(statuses)})
}

// expectOf stores expected statuses in the routes of the load with that name, which may be steps of chains.
func (r *Resolver) expectOf(e expectation) {
	var names []string
	found := false
	for _, l := range r.Loads() {
		for rt := range l.requests() {
			if rt.Name() == e.route {
				rt.Expect, found = e.statuses, true
			}
			names = append(names, rt.Name())
		}
	}
	if _, _, err := source.ParseRoute(e.route); err == nil && !found {
		r.addMissing(e.at, codes.UnknownName.Msgf("no load runs on %q", e.route), source.DidYouMean(e.route, names, "routes of the load"))
	}
}

// requests returns each route of the mix, and each step of its chain.
func (l *Load) requests() iter.Seq[*Route] {
	return func(yield func(*Route) bool) {
		for i := range l.Mix {
			if !yield(&l.Mix[i]) {
				return
			}
			for j := range l.Mix[i].Then {
				if !yield(&l.Mix[i].Then[j]) {
					return
				}
			}
		}
	}
}

// SetMeaning sets the meaning of a status in this scenario.
func (r *Resolver) SetMeaning(at source.Pos, status int, o Outcome) {
	r.Describe(at)
	if _, known := r.rate.Means[status]; known {
		r.AddProblem(at, codes.Duplicate.Msgf("what status %d means was said before", status), "say it once")
		return
	}
	if !slices.Contains([]Outcome{NotKnown, Acknowledged, Refused}, o) {
		r.AddProblem(at, codes.BadValue.Msgf("%q is not an outcome", o), "use Acknowledged, Refused or NotKnown")
	}
	if r.rate.Means == nil {
		r.rate.Means = map[int]Outcome{}
	}
	r.rate.Means[status] = o
	r.meansAt = at
}

// finishOutcomes reports a status that is expected and also has another meaning.
func (r *Resolver) finishOutcomes() {
	for _, l := range r.Loads() {
		r.finishOutcomesOf(l)
	}
}

func (r *Resolver) finishOutcomesOf(l *Load) {
	for rt := range l.requests() {
		for _, status := range rt.Expect {
			if o, known := l.Means[status]; known && o != Acknowledged {
				r.AddProblem(r.meansAt, codes.Contradiction.Msgf("status %d is what %q is expected to answer, and is said to mean that it is %s", status, rt.Name(), o), "say one of the two")
			}
		}
	}
}
