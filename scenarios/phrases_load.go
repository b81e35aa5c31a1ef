package scenarios

import (
	"fmt"
	"math"
	"slices"
	"time"
)

func loadPhrases() []Phrase {
	return []Phrase{
		{Name: "load", Pattern: `a steady load of {number} request(s) per second on {route}`, Means: `what clients ask, evenly; the body of a POST is {"n": 1}, counting`,
			Examples: []string{`a steady load of 200 requests per second on "POST /orders"`},
			build: func(d *draft, a args) {
				r := Route{Share: 1}
				r.Method, r.Path, _ = parseRoute(a.route(1))
				d.load(a.at, a.rate(0), r)
			}},
		{Name: "load with a body", Pattern: `a steady load of {number} request(s) per second on {route} with this body:`, Means: "a doc string, in which {{n}} is the request's number, {{key}} its key and {{seed}} the run's seed", doc: true,
			Examples: []string{`a steady load of 200 requests per second on "POST /orders" with this body:`},
			build: func(d *draft, a args) {
				r := Route{Share: 1, Body: *a.doc}
				r.Method, r.Path, _ = parseRoute(a.route(1))
				d.load(a.at, a.rate(0), r)
			}},
		{Name: "load with a mix", Pattern: `a steady load of {number} request(s) per second with this mix:`, Means: "a table: route | share | body", table: true,
			Examples: []string{`a steady load of 200 requests per second with this mix:`}, build: mix},
		{Name: "idempotency key", Pattern: `every request carries a fresh idempotency key in the {text} header`, Means: "repeated attempts carry the same key",
			Examples: []string{`every request carries a fresh idempotency key in the "Idempotency-Key" header`},
			build: func(d *draft, a args) {
				d.describe(a.at)
				d.once(&d.keyAt, a.at, "the key's header")
				d.rate.KeyHeader = a.quoted(0)
				if !headerName(d.rate.KeyHeader) {
					d.blame(a.place(0), fmt.Sprintf("%s cannot be the name of a header", a.value(0)), `write "Idempotency-Key"`)
				}
			}},
		{Name: "retries", Pattern: `clients retry failed requests up to {number} time(s)( with the same key)`, Means: "further attempts after a time-out, a broken connection or a failure; not after a refusal",
			Examples: []string{`clients retry failed requests up to 3 times with the same key`},
			build:    func(d *draft, a args) { d.retries(a.at, int(a.count(0, 1))) }},
		{Name: "give up", Pattern: `clients give up after {duration}`, Means: "each attempt; 10s when not said",
			Examples: []string{`clients give up after 2s`},
			build: func(d *draft, a args) {
				d.describe(a.at)
				d.once(&d.giveUpAt, a.at, "when clients give up")
				d.rate.GiveUp = a.duration(0)
			}},
		{Name: "baseline", Pattern: `a baseline is measured for {duration}`, Means: "the steady state, before the first fault; 5s when not said",
			Examples: []string{`a baseline is measured for 20s`},
			build:    func(d *draft, a args) { d.baseline(a.at, a.duration(0)) }},
		{Name: "change the load", Pattern: `the load changes from {number} to {number} request(s) per second( over {duration})`, Means: "a ramp, or a step at once",
			Examples: []string{`the load changes from 100 to 500 requests per second over 30s`, `the load changes from 100 to 500 requests per second`},
			build: func(d *draft, a args) {
				d.changeLoad(a.place(0), a.at, ChangeLoad{From: a.number(0), To: a.number(1), Over: a.duration(2)})
			}},
		{Name: "stop the load", Pattern: `the load stops`, Means: "clients ask nothing more", Examples: []string{`the load stops`},
			build: func(d *draft, a args) { d.stopLoad(a.at) }},
	}
}

func (a args) rate(i int) float64 {
	n := a.number(i)
	if n == 0 {
		a.d.blame(a.place(i), "a load of 0 requests per second is none", "write at least 1, or leave the sentence out")
	}
	if n > 100_000 {
		a.d.blame(a.place(i), fmt.Sprintf("%s requests per second are more than one machine sends", a.value(i)), "write at most 100000")
	}
	return n
}

func mix(d *draft, a args) {
	var routes []Route
	sum := 0.0
	for _, row := range a.columns([]string{"route", "share"}, []string{"body"}) {
		method, path, err := parseRoute(row.cell("route"))
		if err != nil {
			a.blameAt(row.at("route"), err)
		}
		share, err := parsePercent(row.cell("share"))
		if err != nil {
			a.blameAt(row.at("share"), err)
		}
		sum += share
		routes = append(routes, Route{Method: method, Path: path, Share: share, Body: row.cell("body")})
	}
	if len(routes) > 0 && math.Abs(sum-1) > 1e-6 {
		a.d.blame(a.at, fmt.Sprintf("the shares sum to %g%%", math.Round(sum*1e6)/1e4), "they have to make 100%")
	}
	d.load(a.at, a.rate(0), routes...)
}

func (d *draft) load(at place, rate float64, mix ...Route) {
	d.describe(at)
	d.once(&d.loadAt, at, "a load")
	for i, r := range mix {
		if r.Body == "" && slices.Contains([]string{"POST", "PUT", "PATCH"}, r.Method) {
			mix[i].Body = `{"n": {{n}}}`
		}
	}
	d.rate.Rate, d.rate.Mix = rate, mix
	d.Load = d.rate
}

func (d *draft) retries(at place, n int) {
	d.describe(at)
	d.once(&d.retryAt, at, "how often clients retry")
	d.rate.Retries = n
	if n > 100 {
		d.blame(at, fmt.Sprintf("%d attempts more are no policy of a client", n), "write at most 100")
	}
}

func (d *draft) baseline(at place, t time.Duration) {
	d.describe(at)
	d.once(&d.baselineAt, at, "a baseline")
	d.Baseline = t
}

// changeLoad keeps account of the rate: From is what runs.
func (d *draft) changeLoad(fromAt, at place, c ChangeLoad) {
	now, runs := d.runs()
	switch {
	case !runs:
		d.blame(at, "no load runs here that could change", `say first: a steady load of 100 requests per second on "POST /orders"`)
	case now != c.From:
		d.blame(fromAt, fmt.Sprintf("the load is %g requests per second here, not %g", now, c.From), fmt.Sprintf("write `from %g`", now))
	}
	d.act(at, c)
}

func (d *draft) stopLoad(at place) {
	if _, runs := d.runs(); !runs {
		d.blame(at, "no load runs here that could stop", "leave this step out, or say a load first")
	}
	d.act(at, StopLoad{})
}

// runs is the rate at this point of the scenario.
func (d *draft) runs() (rate float64, ok bool) {
	if d.Load == nil {
		return 0, false
	}
	rate, ok = d.Load.Rate, true
	for _, s := range d.Steps {
		switch a := s.Do.(type) {
		case ChangeLoad:
			rate = a.To
		case StopLoad:
			ok = false
		}
	}
	return rate, ok
}
