package language

import (
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

func timePhrases() []Phrase {
	return []Phrase{
		{Name: "wait", Pattern: `{duration} pass(es)`, Means: "the load goes on, faults stay", Examples: []string{`30s pass`},
			build: func(r *reading, a args) { r.Act(a.at, scenarios.Wait{For: a.Duration(0)}) }},
		{Name: "ask", Pattern: `{route} of {name} is asked`, Means: "one request under load, past the links; not undone; the run is inconclusive unless 2xx answers within 10s", Examples: []string{`"POST /promote" of "standby" is asked`},
			build: func(r *reading, a args) { r.Ask(a.at, askOf(a)) }},
		{Name: "ask with a body", Pattern: `{route} of {name} is asked with this body:`, Means: "a doc string, sent as application/json", doc: true, Examples: []string{`"POST /scale" of "orders" is asked with this body:`},
			build: func(r *reading, a args) {
				ask := askOf(a)
				ask.Body = *a.doc
				r.Ask(a.at, ask)
			}},
		{Name: "run a command", Pattern: `the command {text} is run`, Means: "a command of the system file runs to its end, under load; not undone; the run is inconclusive unless it exits with status 0", Examples: []string{`the command "promote" is run`},
			build: func(r *reading, a args) { r.RunCommand(a.at, a.Name(0)) }},
		{Name: "finding", Pattern: `it is known that {check} fails`, Means: `a check of the scenario, which passes as long as that check fails, and fails once it holds; "nothing" for rows of an outline that hold`,
			Examples: []string{`it is known that "no request is applied more than once" fails`},
			build: func(r *reading, a args) {
				check := a.Value(0)
				r.KnownToFail(a.pos(0), check[1:len(check)-1])
			}},
		{Name: "confirm", Pattern: `the facilitator confirms {text}`, Means: "asked at the terminal; noted where there is none", Examples: []string{`the facilitator confirms "dashboards are open"`},
			build: func(r *reading, a args) { r.Act(a.at, scenarios.Confirm{What: a.Text(0)}) }},
	}
}

func askOf(a args) scenarios.Ask {
	ask := scenarios.Ask{Service: a.Name(1)}
	ask.Method, ask.Path, _ = source.ParseRoute(a.Route(0))
	return ask
}

// effectPhrases are about how effects are read.
func effectPhrases() []Phrase {
	return []Phrase{
		{Name: "effects", Pattern: `applied effects are read from {effects}`, Means: `before the load and after healing: a JSON array of objects with "key" and, optionally, "id", or a source that the system file declares; may be said for several sources, of which each is judged; only keys of this scenario are judged`,
			Examples: []string{`applied effects are read from "GET /ledger"`, `applied effects are read from "orders table"`},
			build:    func(r *reading, a args) { r.ReadEffects(a.at, a.EffectSource(0)) }},
		{Name: "effects once a service says", Pattern: `effects are read once {route} of {name} says {text}`, Means: "the answer contains the text when all effects have arrived; until then, for as long as they take to settle, effects are not read, and what is missing is not known to be lost",
			Examples: []string{`effects are read once "GET /replication" of "standby" says "in sync"`},
			build: func(r *reading, a args) {
				method, path, _ := source.ParseRoute(a.Route(0))
				r.ReadEffectsOnce(a.at, scenarios.Convergence{Method: method, Path: path, Service: a.Name(1), Says: a.Text(2)})
			}},
		{Name: "effects once a query returns", Pattern: `effects are read once the query of {text} returns {text}`, Means: "as before, for a source of the kind sql: its only row begins with the value",
			Examples: []string{`effects are read once the query of "replica lag" returns "0"`},
			build: func(r *reading, a args) {
				r.ReadEffectsOnce(a.at, scenarios.Convergence{Source: a.Text(0), Says: a.Text(1)})
			}},
		{Name: "effects once a command says", Pattern: `effects are read once the command {text} says {text}`, Means: "as before, for a command of the system file: it exits with status 0, and its output is the text",
			Examples: []string{`effects are read once the command "replica-lag" says "0"`},
			build: func(r *reading, a args) {
				if a.Text(0) == "" {
					a.Problem(0, codes.BadName.Msgf("the name of a command is empty"), "write a command that the system file declares")
				}
				r.ReadEffectsOnce(a.at, scenarios.Convergence{Command: a.Text(0), Says: a.Text(1)})
			}},
		{Name: "settle", Pattern: `effects settle within {duration}`, Means: "how long after the load effects may still appear: until then they are awaited, and duplicates looked for; 10s by default",
			Examples: []string{`effects settle within 30s`},
			build:    func(r *reading, a args) { r.SetSettle(a.at, a.Duration(0)) }},
		{Name: "register", Pattern: `{route} writes and {route} reads the register {text}`,
			Means:    `for "the history of ... is linearizable": routes of the load; the value is the field "value", or else "n", of a body that is a JSON object, or the whole body`,
			Examples: []string{`"PUT /greeting" writes and "GET /greeting" reads the register "greeting"`},
			build: func(r *reading, a args) {
				r.AddRegister(a.at, scenarios.Register{Write: a.Route(0), Read: a.Route(1), Name: a.Text(2)})
			}},
		{Name: "queue", Pattern: `{route} puts into and {route} takes from the queue {text}`,
			Means:    `for "the history of the queue ... is linearizable": routes of the load; the item is found as the value of a register; status 204 or 404 means that there was none`,
			Examples: []string{`"POST /jobs" puts into and "POST /jobs/take" takes from the queue "jobs"`},
			build: func(r *reading, a args) {
				r.AddRegister(a.at, scenarios.Register{Write: a.Route(0), Read: a.Route(1), Name: a.Text(2), Queue: true})
			}},
		{Name: "set", Pattern: `{route} adds to, {route} removes from and {route} looks into the set {text}`,
			Means:    `for "the history of the set ... is linearizable": routes of the load; the element is what the placeholders of the path stand for, or else those of the body; status 404, or the value false or 0, means that it is not in the set`,
			Examples: []string{`"PUT /members/{{row.id}}" adds to, "DELETE /members/{{row.id}}" removes from and "GET /members/{{row.id}}" looks into the set "members"`},
			build: func(r *reading, a args) {
				r.AddRegister(a.at, scenarios.Register{Write: a.Route(0), Remove: a.Route(1), Read: a.Route(2), Name: a.Text(3)})
			}},
	}
}
