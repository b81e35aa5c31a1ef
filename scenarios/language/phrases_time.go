package language

import (
	"github.com/firedrill-dev/firedrill/scenarios"
)

func timePhrases() []Phrase {
	return []Phrase{
		{Name: "wait", Pattern: `{duration} pass(es)`, Means: "the load goes on, faults stay", Examples: []string{`30s pass`},
			build: func(r *reading, a args) { r.Act(a.at, scenarios.Wait{For: a.Duration(0)}) }},
		{Name: "confirm", Pattern: `the facilitator confirms {text}`, Means: "asked at the terminal; noted where there is none", Examples: []string{`the facilitator confirms "dashboards are open"`},
			build: func(r *reading, a args) { r.Act(a.at, scenarios.Confirm{What: a.Text(0)}) }},
	}
}

// effectPhrases are about how effects are read.
func effectPhrases() []Phrase {
	return []Phrase{
		{Name: "effects", Pattern: `applied effects are read from {route}`, Means: `before the load and after healing: a JSON array of objects with "key" and, optionally, "id"; only keys of this scenario are judged`,
			Examples: []string{`applied effects are read from "GET /ledger"`},
			build:    func(r *reading, a args) { r.ReadEffects(a.at, a.Route(0)) }},
		{Name: "settle", Pattern: `effects settle within {duration}`, Means: "how long after the load effects may still appear: until then they are awaited, and duplicates looked for; 10s when not said",
			Examples: []string{`effects settle within 30s`},
			build:    func(r *reading, a args) { r.SetSettle(a.at, a.Duration(0)) }},
		{Name: "register", Pattern: `{route} writes and {route} reads the register {text}`,
			Means:    `for "the history of ... is linearizable": routes of the load; the value is the field "value", or else "n", of a body that is a JSON object, or the whole body`,
			Examples: []string{`"PUT /greeting" writes and "GET /greeting" reads the register "greeting"`},
			build: func(r *reading, a args) {
				r.AddRegister(a.at, scenarios.Register{Write: a.Route(0), Read: a.Route(1), Name: a.Text(2)})
			}},
	}
}
