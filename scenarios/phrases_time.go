package scenarios

import (
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/source"
)

func timePhrases() []Phrase {
	return []Phrase{
		{Name: "wait", Pattern: `{duration} pass(es)`, Means: "the load goes on, faults stay", Examples: []string{`30s pass`},
			build: func(r *resolver, a args) { r.act(a.at, Wait{For: a.Duration(0)}) }},
		{Name: "confirm", Pattern: `the facilitator confirms {text}`, Means: "asked at the terminal; noted where there is none", Examples: []string{`the facilitator confirms "dashboards are open"`},
			build: func(r *resolver, a args) { r.act(a.at, Confirm{What: a.Text(0)}) }},
	}
}

// effectPhrases are about how effects are read.
func effectPhrases() []Phrase {
	return []Phrase{
		{Name: "effects", Pattern: `applied effects are read from {route}`, Means: `before the load and after healing: a JSON array of objects with "key" and, optionally, "id"; only keys of this scenario are judged`,
			Examples: []string{`applied effects are read from "GET /ledger"`},
			build:    func(r *resolver, a args) { r.effects(a.at, a.Route(0)) }},
		{Name: "settle", Pattern: `effects settle within {duration}`, Means: "how long after the load effects may still appear: until then they are awaited, and duplicates looked for; 10s when not said",
			Examples: []string{`effects settle within 30s`},
			build:    func(r *resolver, a args) { r.settles(a.at, a.Duration(0)) }},
	}
}

// effects sets where effects are read.
func (r *resolver) effects(at source.Pos, route string) {
	r.describe(at)
	r.setOnce(&r.effectsAt, at, "where effects are read")
	method, path, err := source.ParseRoute(route)
	if err != nil {
		return // the caller reports it
	}
	r.Effects = &Effects{Method: method, Path: path, Step: r.step.Step}
}

// settles sets how long effects may take to appear.
func (r *resolver) settles(at source.Pos, within time.Duration) {
	r.describe(at)
	if r.setOnce(&r.settleAt, at, "how long effects take to settle") {
		r.settleWithin = within
	}
}
