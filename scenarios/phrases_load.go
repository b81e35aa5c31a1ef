package scenarios

import (
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/firedrill-dev/firedrill/scenarios/source"
)

func loadPhrases() []Phrase {
	return []Phrase{
		{Name: "load", Pattern: `a steady load of {number} request(s) per second on {route}`, Means: `what clients ask, evenly; the body of a POST is {"n": 1}, counting`,
			Examples: []string{`a steady load of 200 requests per second on "POST /orders"`},
			build: func(r *resolver, a args) {
				rt := Route{Share: 1}
				rt.Method, rt.Path, _ = source.ParseRoute(a.Route(1))
				r.load(a.at, a.rate(0), rt)
			}},
		{Name: "load with a body", Pattern: `a steady load of {number} request(s) per second on {route} with this body:`, Means: "a doc string, in which {{n}} is the request's number, {{key}} its key and {{seed}} a number that the run's seed decides", doc: true,
			Examples: []string{`a steady load of 200 requests per second on "POST /orders" with this body:`},
			build: func(r *resolver, a args) {
				rt := Route{Share: 1, Body: *a.doc}
				rt.Method, rt.Path, _ = source.ParseRoute(a.Route(1))
				r.load(a.at, a.rate(0), rt)
			}},
		{Name: "load with a mix", Pattern: `a steady load of {number} request(s) per second with this mix:`, Means: "a table: route | share | body", table: true,
			Examples: []string{`a steady load of 200 requests per second with this mix:`}, build: mix},
		{Name: "idempotency key", Pattern: `every request carries a fresh idempotency key in the {text} header`, Means: "repeated attempts carry the same key",
			Examples: []string{`every request carries a fresh idempotency key in the "Idempotency-Key" header`},
			build: func(r *resolver, a args) {
				r.describe(a.at)
				r.setOnce(&r.keyAt, a.at, "the key's header")
				r.rate.KeyHeader = a.Text(0)
				if !httpguts.ValidHeaderFieldName(r.rate.KeyHeader) {
					r.addProblem(a.pos(0), fmt.Sprintf("%s cannot be the name of a header", a.Value(0)), `write "Idempotency-Key"`)
				}
			}},
		{Name: "retries", Pattern: `clients retry failed requests up to {number} time(s)( with the same key)`, Means: "further attempts after a time-out, a refused or broken connection, 429, and an error that is \"not known\"; see WHAT ANSWERS MEAN",
			Examples: []string{`clients retry failed requests up to 3 times with the same key`},
			build:    func(r *resolver, a args) { r.retries(a.at, int(a.Count(0, 1))) }},
		{Name: "give up", Pattern: `clients give up after {duration}`, Means: "each attempt; 10s when not said",
			Examples: []string{`clients give up after 2s`},
			build: func(r *resolver, a args) {
				r.describe(a.at)
				r.setOnce(&r.giveUpAt, a.at, "when clients give up")
				r.rate.GiveUp = a.Duration(0)
			}},
		{Name: "expected statuses", Pattern: `{route} answers {statuses}`, Means: "the statuses that acknowledge and count as success; any 2xx when not said; redirects are not followed",
			Examples: []string{`"POST /orders" answers 201 or 303`},
			build:    func(r *resolver, a args) { r.expect(a.at, a.Route(0), a.statuses(1)) }},
		{Name: "meaning of a status", Pattern: `status {number} means that it {outcome}`, Means: "what a client knows after this answer; see WHAT ANSWERS MEAN",
			Examples: []string{`status 503 means that it is not known`, `status 503 means that it was refused`, `status 409 means that it was acknowledged`},
			build:    func(r *resolver, a args) { r.means(a.at, a.Status(0), a.outcome(1)) }},
		{Name: "baseline", Pattern: `a baseline is measured for {duration}`, Means: "the steady state, before the first fault; 5s when not said",
			Examples: []string{`a baseline is measured for 20s`},
			build:    func(r *resolver, a args) { r.baseline(a.at, a.Duration(0)) }},
		{Name: "change the load", Pattern: `the load changes from {number} to {number} request(s) per second( over {duration})`, Means: "a ramp, or a step at once",
			Examples: []string{`the load changes from 100 to 500 requests per second over 30s`, `the load changes from 100 to 500 requests per second`},
			build: func(r *resolver, a args) {
				r.changeLoad(a.pos(0), a.at, ChangeLoad{From: a.Number(0), To: a.Number(1), Over: a.Duration(2)})
			}},
		{Name: "stop the load", Pattern: `the load stops`, Means: "clients ask nothing more", Examples: []string{`the load stops`},
			build: func(r *resolver, a args) { r.stopLoad(a.at) }},
	}
}

func (a args) rate(i int) float64 {
	n := a.Number(i)
	if n == 0 {
		a.r.addProblem(a.pos(i), "a load of 0 requests per second is none", "write at least 1, or leave the sentence out")
	}
	if n > 100_000 {
		a.r.addProblem(a.pos(i), fmt.Sprintf("%s requests per second are more than one machine sends", a.Value(i)), "write at most 100000")
	}
	return n
}

func mix(r *resolver, a args) {
	var routes []Route
	sum := 0.0
	for _, row := range a.columns([]string{"route", "share"}, []string{"body"}) {
		method, path, err := source.ParseRoute(row.cell("route"))
		if err != nil {
			a.addProblemAt(row.at("route"), err)
		}
		share, err := source.ParsePercent(row.cell("share"))
		if err != nil {
			a.addProblemAt(row.at("share"), err)
		}
		sum += share
		routes = append(routes, Route{Method: method, Path: path, Share: share, Body: row.cell("body")})
	}
	if a.r.problems == a.r.problemsBefore && len(routes) > 0 && math.Abs(sum-1) > 1e-6 {
		a.r.addProblem(a.at, fmt.Sprintf("the shares sum to %g%%", math.Round(sum*1e6)/1e4), "they have to make 100%")
	}
	r.load(a.at, a.rate(0), routes...)
}

func (r *resolver) load(at source.Pos, rate float64, mix ...Route) {
	r.describe(at)
	r.setOnce(&r.loadAt, at, "a load")
	for i, rt := range mix {
		if rt.Body == "" && slices.Contains([]string{"POST", "PUT", "PATCH"}, rt.Method) {
			mix[i].Body = `{"n": {{n}}}`
		}
	}
	r.rate.Rate, r.rate.Mix = rate, mix
	r.Load = r.rate
}

func (r *resolver) retries(at source.Pos, n int) {
	r.describe(at)
	r.setOnce(&r.retryAt, at, "how often clients retry")
	r.rate.Retries = n
	if n > 100 {
		r.addProblem(at, fmt.Sprintf("%d attempts more are no policy of a client", n), "write at most 100")
	}
}

func (r *resolver) baseline(at source.Pos, t time.Duration) {
	r.describe(at)
	r.setOnce(&r.baselineAt, at, "a baseline")
	r.Baseline = t
}

// changeLoad adds a change of the load. Its From must be the current rate.
func (r *resolver) changeLoad(fromAt, at source.Pos, c ChangeLoad) {
	now, runs := r.runs()
	switch {
	case !runs && r.problems > 0: // an unknown sentence may have defined the load
	case !runs:
		r.addProblem(at, "no load runs here that could change", `say first: a steady load of 100 requests per second on "POST /orders"`)
	case now != c.From:
		r.addProblem(fromAt, fmt.Sprintf("the load is %g requests per second here, not %g", now, c.From), fmt.Sprintf("write `from %g`", now))
	}
	r.act(at, c)
}

func (r *resolver) stopLoad(at source.Pos) {
	if _, runs := r.runs(); !runs && r.problems == 0 {
		r.addProblem(at, "no load runs here that could stop", "leave this step out, or say a load first")
	}
	r.act(at, StopLoad{})
}

// runs returns the rate of the load after the steps so far; ok is false if no load runs.
func (r *resolver) runs() (rate float64, ok bool) {
	if r.Load == nil {
		return 0, false
	}
	rate, ok = r.Load.Rate, true
	for _, s := range r.Steps {
		switch a := s.Do.(type) {
		case ChangeLoad:
			rate = a.To
		case StopLoad:
			ok = false
		}
	}
	return rate, ok
}
