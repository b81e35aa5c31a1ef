package language

import (
	"fmt"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// shapePhrases are about loads that are not steady: users, counted requests, and rates that change.
func shapePhrases() []Phrase {
	return []Phrase{
		{Name: "users", Pattern: `{number} user(s) ask(s) {route}(, thinking {duration} in between)`, Means: "each waits for its answer, thinks, and asks again; a slow system is asked less, so that its latencies look better than under a steady load",
			Examples: []string{`20 users ask "POST /orders", thinking 500ms in between`, `20 users ask "POST /orders"`},
			build:    func(r *reading, a args) { r.AddUsers(a.at, a.many(0, "users"), a.Duration(2), a.one(1)) }},
		{Name: "users with a body", Pattern: `{number} user(s) ask(s) {route}(, thinking {duration} in between), with this body:`, Means: "a doc string, as for a steady load", doc: true,
			Examples: []string{`20 users ask "POST /orders", thinking 500ms in between, with this body:`},
			build:    func(r *reading, a args) { r.AddUsers(a.at, a.many(0, "users"), a.Duration(2), a.one(1)) }},
		{Name: "users with a mix", Pattern: `{number} user(s) ask(s)(, thinking {duration} in between), with this mix:`, Means: "a table: route | share | body", table: true,
			Examples: []string{`20 users ask, thinking 500ms in between, with this mix:`},
			build:    func(r *reading, a args) { r.AddUsers(a.at, a.many(0, "users"), a.Duration(1), a.mix()...) }},
		{Name: "users with a chain", Pattern: `{number} user(s) ask(s)(, thinking {duration} in between), with this chain:`, Means: "a table: request | body | keep, as for a steady load", table: true,
			Examples: []string{`20 users ask, thinking 500ms in between, with this chain:`},
			build:    func(r *reading, a args) { r.AddUsers(a.at, a.many(0, "users"), a.Duration(1), a.chain()...) }},
		{Name: "counted requests", Pattern: `{number} request(s) on {route}( of the {load} load) is/are sent, {number} at a time`, Means: "the step lasts until all have ended; without a baseline; faults that are live before it act on them; further such steps send more",
			Examples: []string{`200 requests on "POST /orders" are sent, 10 at a time`, `1 request on "POST /orders" is sent, 1 at a time`, `200 requests on "POST /orders" of the "checkout" load are sent, 10 at a time`},
			build:    func(r *reading, a args) { r.SendRequests(a.at, a.send(0, 2), a.one(1)) }},
		{Name: "counted requests with a body", Pattern: `{number} request(s) on {route}( of the {load} load) is/are sent, {number} at a time, with this body:`, Means: "a doc string, as for a steady load", doc: true,
			Examples: []string{`200 requests on "POST /orders" are sent, 10 at a time, with this body:`},
			build:    func(r *reading, a args) { r.SendRequests(a.at, a.send(0, 2), a.one(1)) }},
		{Name: "counted requests with a mix", Pattern: `{number} request(s)( of the {load} load) is/are sent, {number} at a time, with this mix:`, Means: "a table: route | share | body", table: true,
			Examples: []string{`200 requests are sent, 10 at a time, with this mix:`},
			build:    func(r *reading, a args) { r.SendRequests(a.at, a.send(0, 1), a.mix()...) }},
		{Name: "counted chains", Pattern: `{number} request(s)( of the {load} load) is/are sent, {number} at a time, with this chain:`, Means: "a table: request | body | keep, as for a steady load", table: true,
			Examples: []string{`200 requests are sent, 10 at a time, with this chain:`},
			build:    func(r *reading, a args) { r.SendRequests(a.at, a.send(0, 1), a.chain()...) }},
		{Name: "spike", Pattern: `the( {load}) load spikes from {number} to {number} request(s) per second for {duration}`, Means: "at once, and back to what it was",
			Examples: []string{`the load spikes from 100 to 500 requests per second for 5s`},
			build: func(r *reading, a args) {
				from := a.Number(0)
				r.ChangeRate(a.pos(0), a.at, &from, scenarios.SpikeLoad{From: from, To: a.changed(1), For: a.Duration(2)})
			}},
		{Name: "swing", Pattern: `the( {load}) load swings between {number} and {number} request(s) per second every {duration}`, Means: "a sine with this period, which begins at the present rate and goes on until the load changes again",
			Examples: []string{`the load swings between 50 and 150 requests per second every 20s`},
			build: func(r *reading, a args) {
				r.SwingLoad(a.pos(0), a.at, scenarios.SwingLoad{Low: a.Number(0), High: a.changed(1), Every: a.Duration(2)})
			}},
		{Name: "recorded rates", Pattern: `the( {load}) load follows the rates in {text}`, Means: "a file beside the feature with lines second,rate; each rate holds until the next second, and the last one stays",
			Examples: []string{`the load follows the rates in "rates.csv"`},
			build:    func(r *reading, a args) { r.ReplayLoad(a.pos(0), a.at, a.Text(0), r.read) }},
	}
}

// one returns the only route of a load, with the body of the doc string if there is one.
func (a args) one(i int) scenarios.Route {
	rt := scenarios.Route{Share: 1}
	rt.Method, rt.Path, _ = source.ParseRoute(a.Route(i))
	if a.doc != nil {
		rt.Body = *a.doc
	}
	return rt
}

// send parses a number of requests, and how many of them are sent at a time.
func (a args) send(requests, atATime int) scenarios.SendRequests {
	s := scenarios.SendRequests{Requests: int(a.Count(requests, 1)), AtATime: a.many(atATime, "requests at a time")}
	if s.AtATime > s.Requests && s.Requests > 0 {
		a.Problem(atATime, codes.BadValue.Msgf("%d requests cannot be sent %d at a time", s.Requests, s.AtATime), "send more of them, or fewer at a time")
	}
	return s
}

// many parses a number of clients that ask at once.
func (a args) many(i int, what string) int {
	n := a.Count(i, 1)
	if n > scenarios.MaxUsers {
		a.Problem(i, codes.TooLarge.Msgf("%s %s are more than one machine makes well", a.Value(i), what), fmt.Sprintf("write at most %d", scenarios.MaxUsers))
	}
	return int(n)
}

// changed parses a rate to which the load changes.
func (a args) changed(i int) float64 {
	n := a.Number(i)
	if n > scenarios.MaxRate {
		a.Problem(i, codes.TooLarge.Msgf("%s requests per second are more than one machine sends", a.Value(i)), fmt.Sprintf("write at most %d", scenarios.MaxRate))
	}
	return n
}
