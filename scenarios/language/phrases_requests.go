package language

import (
	"io/fs"
	"path"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// requestPhrases are about what requests of the load contain, and how they are sent.
func requestPhrases() []Phrase {
	key := func(in scenarios.KeyPlace) func(r *reading, a args) {
		return func(r *reading, a args) { r.SetKey(a.at, a.pos(0), scenarios.Key{In: in, Name: a.Text(0)}) }
	}
	return []Phrase{
		{Name: "idempotency key", Pattern: `every request( of the {load} load) carries a fresh idempotency key in the {text} header`, Means: "repeated attempts carry the same key",
			Examples: []string{`every request carries a fresh idempotency key in the "Idempotency-Key" header`, `every request of the "checkout" load carries a fresh idempotency key in the "Idempotency-Key" header`}, build: key(scenarios.InHeader)},
		{Name: "idempotency key in the body", Pattern: `every request( of the {load} load) carries a fresh idempotency key in the field {text} of its JSON body`, Means: `the field is added or replaced; "order.key" is a field of an object`,
			Examples: []string{`every request carries a fresh idempotency key in the field "idempotency_key" of its JSON body`}, build: key(scenarios.InBody)},
		{Name: "idempotency key in the query", Pattern: `every request( of the {load} load) carries a fresh idempotency key in the query parameter {text}`, Means: "the parameter is added",
			Examples: []string{`every request carries a fresh idempotency key in the query parameter "key"`}, build: key(scenarios.InQuery)},
		{Name: "idempotency key in the path", Pattern: `every request( of the {load} load) carries a fresh idempotency key in its path`, Means: `the path has to hold {{key}}: "PUT /orders/{{key}}"`,
			Examples: []string{`every request carries a fresh idempotency key in its path`}, build: key(scenarios.InPath)},
		{Name: "header", Pattern: `every request( of the {load} load) carries the header {text}`, Means: "name and value; ${env:TOKEN} is the environment variable TOKEN, whose value appears in no artefact",
			Examples: []string{`every request carries the header "Authorization: Bearer ${env:TOKEN}"`, `every request of the "checkout" load carries the header "Tenant: acme"`},
			build: func(r *reading, a args) {
				h, err := source.ParseHeader(a.Text(0))
				if err != nil {
					a.addProblem(0, err)
					return
				}
				r.AddHeader(a.pos(0), *h)
			}},
		{Name: "rows", Pattern: `rows are taken from {text}`, Means: "a file beside the feature, CSV with a header line or a JSON array of objects; request n contains columns of row n as {{row.email}}, in turn",
			Examples: []string{`rows are taken from "customers.csv"`},
			build: func(r *reading, a args) {
				rows, err := scenarios.ReadRows(r.files, path.Join(path.Dir(r.File), a.Text(0)))
				if err != nil {
					a.addProblem(0, err)
				}
				r.SetRows(a.at, rows)
			}},
		{Name: "new connections", Pattern: `clients open a new connection for each request`, Means: "and for each attempt; connections are kept for 500ms by default",
			Examples: []string{`clients open a new connection for each request`},
			build:    func(r *reading, a args) { r.SetConnections(a.at, 0) }},
		{Name: "idle connections", Pattern: `clients close idle connections after {duration}`, Means: "how long they are kept at most; they are reused only as long as the server certainly keeps them open",
			Examples: []string{`clients close idle connections after 1s`},
			build: func(r *reading, a args) {
				if d := a.Duration(0); d > 0 {
					r.SetConnections(a.at, d)
				}
			}},
		{Name: "cookies", Pattern: `clients keep cookies`, Means: "the attempts and the chain of a request send the cookies that its answers set; each request begins without",
			Examples: []string{`clients keep cookies`},
			build:    func(r *reading, a args) { r.KeepCookies(a.at) }},
		{Name: "redirects", Pattern: `redirects are followed`, Means: "at most 5 in a row, to the same address, unless their status is expected; each is an attempt",
			Examples: []string{`redirects are followed`},
			build:    func(r *reading, a args) { r.FollowRedirects(a.at) }},
	}
}

// maxBodyFile is the size of the largest file with a body.
const maxBodyFile = 1 << 20

// fileText returns the content of a file beside the feature.
func (a args) fileText(i int) string {
	name := path.Join(path.Dir(a.r.File), a.Text(i))
	raw, err := source.ReadFile(a.r.files, name, maxBodyFile)
	switch {
	case err != nil && !fs.ValidPath(name):
		a.Problem(i, codes.UnreadableFile.Msgf("%q lies outside of the folder that features are read from", a.Text(i)), "run firedrill from a folder that holds it")
	case err != nil:
		a.Problem(i, codes.UnreadableFile.Msgf("the body cannot be read: %v", err), "its path is relative to the feature file")
	case len(raw) == 0:
		a.Problem(i, codes.BadValue.Msgf("%q is empty", a.Text(i)), "write the body into it, or leave `with the body in` out")
	}
	return string(raw)
}

// chain parses the table: request | body | keep. It returns one route with its further steps, or nothing after a mistake.
func (a args) chain() []scenarios.Route {
	var steps []scenarios.Route
	for _, row := range a.columns([]string{"request"}, []string{"body", "keep"}) {
		method, path, err := source.ParseRoute(row.cell("request"))
		if err != nil {
			a.addProblemAt(row.at("request"), err)
		}
		step := scenarios.Route{Method: method, Path: path, Body: row.cell("body")}
		for _, part := range source.Split(row.cell("keep")) {
			name, from, ok := strings.Cut(part, "=")
			if !ok {
				a.r.AddProblem(row.at("keep"), codes.BadValue.Msgf("%q keeps nothing", part), "write order = $.id")
				continue
			}
			step.Keep = append(step.Keep, scenarios.Kept{Name: strings.TrimSpace(name), Path: strings.TrimSpace(from)})
		}
		steps = append(steps, step)
	}
	if len(steps) == 0 || a.r.StepFailed() {
		return nil
	}
	first := steps[0]
	first.Share, first.Then = 1, steps[1:]
	return []scenarios.Route{first}
}
