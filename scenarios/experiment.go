// Package scenarios is the experiment as a value: what a scenario says, understood in full before anything is touched.
//
// Parse reads feature files and the system files that they name; New builds the same value in Go. Both judge the whole and tell everything that is
// wrong as Problems, each with its place, its cause and what to do, so an Experiment that exists can be run. Plan prints what experiments would
// do, and PrintSteps what a feature file can say.
//
// # The sentences
//
// Phrases is the one table of sentences. A row holds a Cucumber Expression, which is the single source: the regular expressions that a runner of Gherkin
// needs, the list that PrintSteps prints and the nearest sentence that a mistake is answered with all come from it. A new sentence is a new row; its
// examples are its first tests. A selection such as "10% of calls" or "only "POST /charge" calls" is one parameter, {calls}, so that each
// fault on calls has all selections without a row for each.
//
// Expressions are wider than what is valid: "800 parsecs" is a duration to them, and the parameter's own judgement says that it is not. Otherwise the
// answer to a wrong unit would be that nobody knows the sentence.
//
// # When a scenario is judged
//
// Each sentence is judged where it stands, and once more at the end, with the whole scenario in view: names may be described after they are used. What is
// merely missing is told only when every sentence was understood, since the one that was not may have said it.
package scenarios

import (
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Experiment is one scenario, parsed and validated; running it needs nothing else. The zero value is not valid.
type Experiment struct {
	ID      string // slug of feature, scenario and row; unique in a run, stable between runs
	Name    string
	Feature string
	File    string // slash path within the file system it was read from; "" for one built in Go
	Line    int    // of the scenario
	Row     int    // 1, 2, ... among the scenario outline's rows; 0 when it is no outline
	Tags    []string
	Steps   []Step // in order, Background included

	System      System
	BlastRadius []string // services that faults may touch; nil means no limit was set
	Stop        []StopRule
	Steady      []check.Steady
	Load        *Load // nil: no load
	Baseline    time.Duration
	Recovery    time.Duration // how long to keep the load on after healing, at most
	Effects     *Effects
	Checks      []Check // in order of the Then steps; check.Implied is judged besides
}

// Step is one line. What it does, if it acts when reached, is in Do.
type Step struct {
	journal.Step
	Phrase  string // name of the phrase-table row; "" for a step of the user's own
	Do      Action // nil for what only describes, and for checks
	Foreign bool   // a user's own godog step: it runs where it stands
	IsCheck bool
}

// Check is a check with the step that asks for it.
type Check struct {
	check.Check
	Step journal.Step
}

// Action is what a step does when it is reached: one of Inject, Heal, Wait, ChangeLoad, StopLoad, Confirm.
type Action interface{ action() }

// Inject makes faults live together. With For, the step holds so long and then heals; without, they stay until healed.
type Inject struct {
	Faults []Placed
	For    time.Duration
}

// Placed is a fault and what it is placed on: a link (From and To) or a service (To alone).
type Placed struct {
	ID       string // unique in the scenario
	Kind     string // name in injector.Kinds
	Fault    injector.Fault
	From, To string
}

// Heal undoes injections: the last one, all, or those of one kind on one service ("payments" starts again).
type Heal struct {
	All     bool
	Kind    string // with Service
	Service string
}

// Wait lets time pass.
type Wait struct{ For time.Duration }

// ChangeLoad moves the rate from From to To over Over; Over 0 is at once. The step holds until it is there.
type ChangeLoad struct {
	From, To float64 // requests per second
	Over     time.Duration
}

// StopLoad ends the load.
type StopLoad struct{}

// Confirm asks the facilitator; without a terminal it is noted and goes on.
type Confirm struct{ What string }

func (Inject) action()     {}
func (Heal) action()       {}
func (Wait) action()       {}
func (ChangeLoad) action() {}
func (StopLoad) action()   {}
func (Confirm) action()    {}

// Load is what clients do.
type Load struct {
	Rate              float64       // requests per second, in all
	Mix               []Route       // at least one; shares sum to 1
	KeyHeader         string        // fresh idempotency key per request; "" none
	Retries           int           // further attempts after a failed one (not success, not refused by 4xx), same key
	GiveUp            time.Duration // for each attempt; 0 means 10 s
	Marker            *Header       // a response with it is a fallback
	FallbackIsSuccess bool          // a check speaks of fallbacks, or the system declares that they are success
}

// Route is one kind of request.
type Route struct {
	Method, Path string // Path may hold the templates of Body
	Share        float64
	Body         string // template: {{n}} the request's number, {{key}} its key, {{seed}}; "" no body
	Type         string // Content-Type; "" means application/json when there is a body
	Service      string // which service answers; resolved at parsing
	Expect       int    // expected status; 0 means any 2xx
}

// Name is the route as checks and reports call it: "POST /orders", the templates as they were written.
func (r Route) Name() string { return r.Method + " " + r.Path }

// Header is a response header to look for.
type Header struct{ Name, Value string }

// Effects tells where applied effects are read after healing: a JSON array (or {"effects":[...]}) of objects with "key" and, optionally, "id".
type Effects struct {
	Method, Path string
	Service      string
	Step         journal.Step
}

// StopRule ends the run at once (outcome stopped) when success stays below Ratio for For.
type StopRule struct {
	Ratio float64
	For   time.Duration
}

// System is what is drilled.
type System struct {
	File     string // as the feature named it; "" when described in sentences
	Dir      string // folder that relative paths start from
	Services []Service
	Links    []Link
	Groups   []Group
	Fallback *Header // marks fallback answers; nil none
	// FallbackIsSuccess tells that fallbacks are successes also in scenarios that do not speak of them.
	FallbackIsSuccess bool
}

// Service is a part of the system. Exactly one of Command, Address and Handler is set.
type Service struct {
	Name    string
	Command []string          // argument list with placeholders: ${self} ${port} ${port:name} ${dir} ${link:payments} ${address:orders} ${ca} ${without} ${seed}
	Env     map[string]string // values with the same placeholders
	Dir     string            // working folder; "" a fresh folder of the run
	Port    int               // 0: a free one
	Ready   Ready
	Address string   // host:port or unix:/path of one that runs already
	Handler any      // http.Handler, in-process: Go only
	Serves  []string // path prefixes that clients ask of it
	Needs   string   // a program that must be installed; with Install, the scenario is skipped when it is missing
	Install string   // the one command that installs it
}

// Ready says how to know that a service can be used.
type Ready struct {
	TCP    bool          // its port accepts: what an empty Ready means
	HTTP   string        // path that answers 2xx
	Line   string        // regular expression on a line of its log
	Within time.Duration // 0 means 10 s
}

// Link is one service's way to a dependency, through us. From may be "clients", the load itself.
type Link struct {
	From, To string
	Protocol string // "tcp" or one of message.Protocols; "" means tcp
	Listen   string // fixed listen address, host:port or unix:/path; "" a free port
	TLS      *TLS   `json:",omitempty"` // nil passes TLS through
	// ProxyProtocol tells the dependency the caller's address first, in "v1" or "v2"; "" does not.
	ProxyProtocol string `json:",omitempty"`
}

// Name is "orders -> payments".
func (l Link) Name() string { return l.From + " -> " + l.To }
