package language

import (
	"math"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

func loadPhrases() []Phrase {
	return []Phrase{
		{Name: "load", Pattern: `a steady load of {number} request(s) per second on {route}`, Means: `what clients ask, evenly; without a body, POST, PUT and PATCH send {"n": {{n}}}`,
			Examples: []string{`a steady load of 200 requests per second on "POST /orders"`},
			build: func(r *reading, a args) {
				rt := scenarios.Route{Share: 1}
				rt.Method, rt.Path, _ = source.ParseRoute(a.Route(1))
				r.AddLoad(a.at, a.rate(0), rt)
			}},
		{Name: "load with a body", Pattern: `a steady load of {number} request(s) per second on {route} with this body:`, Means: "a doc string, in which {{n}} is the request's number and {{key}} its key; see WHAT REQUESTS CONTAIN", doc: true,
			Examples: []string{`a steady load of 200 requests per second on "POST /orders" with this body:`},
			build: func(r *reading, a args) {
				rt := scenarios.Route{Share: 1, Body: *a.doc}
				rt.Method, rt.Path, _ = source.ParseRoute(a.Route(1))
				r.AddLoad(a.at, a.rate(0), rt)
			}},
		{Name: "load with a body file", Pattern: `a steady load of {number} request(s) per second on {route} with the body in {text}`, Means: "the same with a file beside the feature",
			Examples: []string{`a steady load of 200 requests per second on "POST /orders" with the body in "order.json"`},
			build: func(r *reading, a args) {
				rt := scenarios.Route{Share: 1, Body: a.fileText(2)}
				rt.Method, rt.Path, _ = source.ParseRoute(a.Route(1))
				r.AddLoad(a.at, a.rate(0), rt)
			}},
		{Name: "load with a mix", Pattern: `a steady load of {number} request(s) per second with this mix:`, Means: "a table: route | share | body", table: true,
			Examples: []string{`a steady load of 200 requests per second with this mix:`}, build: mix},
		{Name: "load of chains", Pattern: `a steady load of {number} request(s) per second of this chain:`, Means: "a table: request | body | keep (order = $.id: a value of the answer, which later rows contain as {{order}}); a chain counts as one request, named by its first row", table: true,
			Examples: []string{`a steady load of 50 requests per second of this chain:`},
			build:    func(r *reading, a args) { r.AddLoad(a.at, a.rate(0), a.chain()...) }},
		{Name: "retries", Pattern: `clients retry failed requests up to {number} time(s)( with the same key)`, Means: "further attempts after a time-out, a refused or broken connection, 429, and an error that is \"not known\"; see WHAT ANSWERS MEAN",
			Examples: []string{`clients retry failed requests up to 3 times with the same key`},
			build:    func(r *reading, a args) { r.SetRetries(a.at, int(a.Count(0, 1))) }},
		{Name: "give up", Pattern: `clients give up after {duration}`, Means: "each attempt; 10s by default",
			Examples: []string{`clients give up after 2s`},
			build:    func(r *reading, a args) { r.SetGiveUp(a.at, a.Duration(0)) }},
		{Name: "expected statuses", Pattern: `{route} answers {statuses}`, Means: "the statuses that acknowledge and count as success; any 2xx by default",
			Examples: []string{`"POST /orders" answers 201 or 303`},
			build:    func(r *reading, a args) { r.ExpectStatuses(a.at, a.Route(0), a.statuses(1)) }},
		{Name: "meaning of a status", Pattern: `status {number} means that it {outcome}`, Means: "what a client knows after this answer; see WHAT ANSWERS MEAN",
			Examples: []string{`status 503 means that it is not known`, `status 503 means that it was refused`, `status 409 means that it was acknowledged`},
			build:    func(r *reading, a args) { r.SetMeaning(a.at, a.Status(0), a.outcome(1)) }},
		{Name: "baseline", Pattern: `a baseline is measured for {duration}`, Means: "the steady state, before the first fault; 5s by default",
			Examples: []string{`a baseline is measured for 20s`},
			build:    func(r *reading, a args) { r.SetBaseline(a.at, a.Duration(0)) }},
		{Name: "change the load", Pattern: `the( {load}) load changes from {number} to {number} request(s) per second( over {duration})`, Means: "a ramp, or a step at once",
			Examples: []string{`the load changes from 100 to 500 requests per second over 30s`, `the load changes from 100 to 500 requests per second`, `the "checkout" load changes from 20 to 60 requests per second over 5s`},
			build: func(r *reading, a args) {
				from := a.Number(0)
				r.ChangeRate(a.pos(0), a.at, &from, scenarios.ChangeLoad{From: from, To: a.changed(1), Over: a.Duration(2)})
			}},
		{Name: "control and experiment", Pattern: `the load is split between {name} and its untouched copy {name}`, Means: "half of the requests for the first go to each, at the same moments; no fault may act on the copy; checks compare the two",
			Examples: []string{`the load is split between "orders" and its untouched copy "orders-control"`},
			build:    func(r *reading, a args) { r.SplitLoad(a.at, a.Name(0), a.Name(1)) }},
		{Name: "stop the load", Pattern: `the( {load}) load stops`, Means: "clients ask nothing more", Examples: []string{`the load stops`, `the "browsing" load stops`},
			build: func(r *reading, a args) { r.StopLoad(a.at) }},
	}
}

func (a args) rate(i int) float64 {
	n := a.changed(i)
	if n == 0 {
		a.r.AddProblem(a.pos(i), codes.NoEffect.Msgf("a load of 0 requests per second is none"), "write at least 1, or leave the sentence out")
	}
	return n
}

func mix(r *reading, a args) { r.AddLoad(a.at, a.rate(0), a.mix()...) }

// mix parses the table: route | share | body.
func (a args) mix() []scenarios.Route {
	var routes []scenarios.Route
	shares := a.shares()
	for _, row := range a.columns([]string{"route", "share"}, []string{"body"}) {
		method, path, err := source.ParseRoute(row.cell("route"))
		if err != nil {
			a.addProblemAt(row.at("route"), err)
		}
		routes = append(routes, scenarios.Route{Method: method, Path: path, Share: shares.add(row), Body: row.cell("body")})
	}
	shares.check()
	return routes
}

// shares adds up the column share of a table.
type shares struct {
	args
	sum  float64
	rows int
}

func (a args) shares() *shares { return &shares{args: a} }

// add returns the share in a row.
func (s *shares) add(row tableRow) float64 {
	share, err := source.ParsePercent(row.cell("share"))
	if err != nil {
		s.addProblemAt(row.at("share"), err)
	}
	s.sum += share
	s.rows++
	return share
}

// check reports shares that do not sum to 100%.
func (s *shares) check() {
	if !s.r.StepFailed() && s.rows > 0 && math.Abs(s.sum-1) > 1e-6 {
		s.r.AddProblem(s.at, codes.BadValue.Msgf("the shares sum to %g%%", math.Round(s.sum*1e6)/1e4), "they have to make 100%")
	}
}
