package language

import (
	"regexp"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// kindPhrases are about loads that are not HTTP.
func kindPhrases() []Phrase {
	return []Phrase{
		{Name: "other load", Pattern: `a steady load of {number} {operations} per second on {name}:`, Means: "of a service that does not speak HTTP; a doc string holds what is sent, with {{key}} where the key belongs; see LOAD THAT IS NOT HTTP", doc: true,
			Examples: []string{`a steady load of 50 commands per second on "db":`},
			build:    func(r *reading, a args) { r.AddLoad(a.at, a.rate(0), a.operation(1, 2)) }},
		{Name: "other load with a mix", Pattern: `a steady load of {number} {operations} per second on {name} with this mix:`, Means: "a table: text | share | name (in checks and reports)", table: true,
			Examples: []string{`a steady load of 50 commands per second on "db" with this mix:`},
			build:    func(r *reading, a args) { r.AddLoad(a.at, a.rate(0), a.operations(1, 2)...) }},
		{Name: "users of another load", Pattern: `{number} user(s) send(s) {operations} to {name}(, thinking {duration} in between):`, Means: "as users who ask: each waits for its answer, thinks, and sends again; a doc string", doc: true,
			Examples: []string{`20 users send commands to "db", thinking 500ms in between:`, `20 users send commands to "db":`},
			build: func(r *reading, a args) {
				r.AddUsers(a.at, a.many(0, "users"), a.Duration(3), a.operation(1, 2))
			}},
		{Name: "counted operations", Pattern: `{number} {operations}( of the {load} load) is/are sent to {name}, {number} at a time:`, Means: "as counted requests; a doc string", doc: true,
			Examples: []string{`200 commands are sent to "db", 10 at a time:`, `200 commands of the "stock" load are sent to "db", 10 at a time:`},
			build:    func(r *reading, a args) { r.SendRequests(a.at, a.send(0, 3), a.operation(1, 2)) }},
		{Name: "meaning of an answer", Pattern: `an answer that begins with {text} means that it {outcome}`, Means: "of a load that is not HTTP, in place of the table of its kind",
			Examples: []string{`an answer that begins with "ERR" means that it was refused`},
			build: func(r *reading, a args) {
				r.SetAnswerMeaning(a.at, scenarios.AnswerMeaning{Begins: a.Text(0), Is: a.outcome(1)})
			}},
		{Name: "unanswered datagrams", Pattern: `datagrams are not answered`, Means: "as those to StatsD: clients wait for no answer, the outcome is never known, and checks of answers are refused",
			Examples: []string{`datagrams are not answered`},
			build:    func(r *reading, a args) { r.LeaveUnanswered(a.at) }},
		{Name: "load of a function", Pattern: `a steady load of {number} call(s) per second of the function {text}`, Means: "a function of the Go test that runs the feature; see runner.Options.Funcs",
			Examples: []string{`a steady load of 50 calls per second of the function "place order"`},
			build:    func(r *reading, a args) { r.AddLoad(a.at, a.rate(0), a.function(1)) }},
		{Name: "users of a function", Pattern: `{number} user(s) call(s) the function {text}(, thinking {duration} in between)`, Means: "as users who ask",
			Examples: []string{`20 users call the function "place order", thinking 500ms in between`, `20 users call the function "place order"`},
			build:    func(r *reading, a args) { r.AddUsers(a.at, a.many(0, "users"), a.Duration(2), a.function(1)) }},
		{Name: "counted calls of a function", Pattern: `{number} call(s) of the function {text}( of the {load} load) is/are made, {number} at a time`, Means: "as counted requests",
			Examples: []string{`200 calls of the function "place order" are made, 10 at a time`},
			build:    func(r *reading, a args) { r.SendRequests(a.at, a.send(0, 2), a.function(1)) }},
	}
}

// operationWords returns the expression of the requests of all kinds of load that are not HTTP.
func operationWords() string {
	var all []string
	for _, k := range scenarios.LoadKinds() {
		if !k.Local {
			all = append(all, operationWord(k))
		}
	}
	return strings.Join(all, "|")
}

func operationWord(k scenarios.LoadKind) string {
	if k.About == "" {
		return k.Word + `s?`
	}
	return k.Word + `s? ` + k.About + ` ` + quoted
}

// operationForms lists the requests of all kinds, for people.
func operationForms() string {
	var all []string
	for _, k := range scenarios.LoadKinds() {
		if !k.Local {
			all = append(all, kindForm(k))
		}
	}
	return strings.Join(all, ", ")
}

// kindForm returns the requests of a kind as sentences name them.
func kindForm(k scenarios.LoadKind) string {
	if k.About == "" {
		return k.Many()
	}
	return k.Many() + " " + k.About + ` "..."`
}

// operation returns the only route of a load that is not HTTP. Its text is the doc string.
func (a args) operation(words, service int) scenarios.Route {
	rt := a.kind(words, service)
	rt.Share, rt.Body = 1, a.Doc()
	a.r.CheckKind(a.at, rt)
	return rt
}

// kind returns a route of the kind that words name, without a text.
func (a args) kind(words, service int) scenarios.Route {
	rt := scenarios.Route{Service: a.Name(service)}
	for _, k := range scenarios.LoadKinds() {
		if !k.Local && regexp.MustCompile(`^(?:`+operationWord(k)+`)$`).MatchString(a.Value(words)) {
			rt.Kind = k.Name
			rt.Path = strings.Trim(quotes.FindString(a.Value(words)), `"`)
		}
	}
	return rt
}

// operations parses the table: text | share | name.
func (a args) operations(words, service int) []scenarios.Route {
	var all []scenarios.Route
	shares := a.shares()
	for _, row := range a.columns([]string{"text", "share"}, []string{"name"}) {
		rt := a.kind(words, service)
		rt.Body, rt.Title, rt.Share = row.cell("text"), row.cell("name"), shares.add(row)
		a.r.CheckKind(row.at("text"), rt)
		all = append(all, rt)
	}
	shares.check()
	return all
}

// function returns the only route of a load that a function makes.
func (a args) function(i int) scenarios.Route {
	rt := scenarios.Route{Kind: scenarios.FuncKind, Path: a.Text(i), Share: 1}
	a.r.CheckKind(a.at, rt)
	return rt
}
