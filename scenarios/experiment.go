// Package scenarios represents an experiment as a value. An experiment is validated completely before anything is
// started.
//
// Package language reads experiments from feature files; New builds the same value in Go. Both return all errors as
// Problems, each with its position, cause and remedy. An Experiment that was returned can be run. Plan prints what
// experiments would do.
//
// A Resolver builds the value for both: it takes one statement after the other, then determines the services and
// links that they name, and then validates the whole. Package system describes the system under test and reads its
// file, package check has the checks, and package source reads values and collects problems.
//
// The README of this folder is the manual: feature files, the system file, what answers mean (Outcomes), how effects
// are compared with requests, and the limits of input.
//
// # Validation
//
// Each statement is validated where it occurs, and again at the end with the whole scenario known, since names may
// be described after they are used. Something that is missing is reported only if every sentence was understood:
// an unknown sentence may have contained it.
package scenarios

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// Experiment is one scenario, parsed and validated. It contains everything that is needed to run it. The zero
// value is not valid.
type Experiment struct {
	ID      string // derived from feature, scenario and the cells of an outline row; unique in a run, independent of the position
	Name    string
	Feature string
	File    string // slash-separated path in the file system it was read from; "" if built in Go
	Line    int    // line of the scenario
	Row     int    // 1, 2, ... for a row of a scenario outline; 0 otherwise
	Tags    []string
	Steps   []Step // in order, Background included

	System      system.System
	BlastRadius []string // services that faults may touch; nil means no limit was set
	Stop        []StopRule
	Steady      []check.Steady
	Load        *Load // nil: no load
	Baseline    time.Duration
	Recovery    time.Duration // how long the load continues after healing, at most
	Effects     *Effects
	Checks      []Check  // in order of the Then steps; without check.Implied
	Warnings    []string // what will make the run inconclusive, as far as it can be known before the run
	Unproven    string   // why the checks do not distinguish a working system from a dead one; "" if they do
}

// Step is one line. Do is the action that it performs when it is reached.
type Step struct {
	journal.Step
	Phrase  string // name of the row in the vocabulary of package language; "" for a user-defined step
	Do      Action // nil for descriptions and checks
	Foreign bool   // a user-defined step; it runs in order with the others
	Own     *Own   `json:",omitempty"` // for a user-defined step
	IsCheck bool
}

// Own is what a user-defined step contains besides its text.
type Own struct {
	Type  string     // "Context", "Action" or "Outcome": Given, When or Then, in any language, with And and But resolved
	Doc   *string    // the doc string below it
	Table [][]string // the table below it
}

// Asks reports whether the step is a user-defined Then, that is, a check with unknown contents.
func (s Step) Asks() bool { return s.Own != nil && s.Own.Type == "Outcome" }

// Check is a check with its step.
type Check struct {
	check.Check
	Step     journal.Step
	Untested string `json:",omitempty"` // why passing it proves nothing in this scenario; "" if it proves something
}

// Untested returns, for each check, why passing it proves nothing. It returns nil if there is no such check.
func (e *Experiment) Untested() []string {
	all := make([]string, len(e.Checks))
	for i, c := range e.Checks {
		all[i] = c.Untested
	}
	if !slices.ContainsFunc(all, func(why string) bool { return why != "" }) {
		return nil
	}
	return all
}

// Action is what a step does when it is reached: one of Inject, Heal, Wait, ChangeLoad, StopLoad, Confirm.
type Action interface{ action() }

// Inject makes faults live at the same time. If For is not 0, the step lasts that long and then heals them.
// Otherwise they stay live until they are healed.
type Inject struct {
	Faults []Placed
	For    time.Duration
}

// Placed is a fault with its target: a link (From and To) or a service (To only).
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

// Wait waits for a time.
type Wait struct{ For time.Duration }

// ChangeLoad changes the rate from From to To over the time Over. If Over is 0, it changes immediately. The step
// lasts until the rate is reached.
type ChangeLoad struct {
	From, To float64 // requests per second
	Over     time.Duration
}

// StopLoad ends the load.
type StopLoad struct{}

// Confirm asks the facilitator for a confirmation. Without a terminal it only writes a note.
type Confirm struct{ What string }

func (Inject) action()     {}
func (Heal) action()       {}
func (Wait) action()       {}
func (ChangeLoad) action() {}
func (StopLoad) action()   {}
func (Confirm) action()    {}

// Load defines the requests of clients.
type Load struct {
	Rate              float64         // requests per second, in total
	Mix               []Route         // at least one; shares sum to 1
	KeyHeader         string          // header with a fresh idempotency key per request; "" for none
	Retries           int             // further attempts, with the same key, after no answer, 429, or an error of at least 400 that is NotKnown
	GiveUp            time.Duration   // time-out of each attempt; 0 means 10 s
	Marker            *source.Header  // marks a response as a fallback
	FallbackIsSuccess bool            // a check mentions fallbacks, or the system declares them as success
	Means             map[int]Outcome `json:",omitempty"` // by status: overrides the table of Outcomes
}

// Route is one kind of request.
type Route struct {
	Method, Path string // Path may contain the templates of Body
	Share        float64
	Body         string // template: {{n}} is the number of the request, {{key}} its key, {{seed}}; "" for no body
	Type         string // Content-Type; "" means application/json if there is a body
	Service      string // the service that answers; resolved by the parser
	Expect       []int  `json:",omitempty"` // expected statuses, ascending; empty means any 2xx
}

// Name returns the route as checks and reports name it, such as "POST /orders", with templates unexpanded.
func (r Route) Name() string { return r.Method + " " + r.Path }

// Varies reports whether two requests of the route have different bodies even with the same key.
func (r Route) Varies() bool { return strings.Contains(r.Body, "{{n}}") }

// Changes reports whether requests of the route are expected to have effects. A GET, HEAD or OPTIONS request is
// not, if other requests of the load have another method: it is not awaited, not lost without an effect, and not
// sent again after the load. If the load consists of such requests only, they are expected to have effects, as for
// a counter; checks report it if none is listed.
func (l *Load) Changes(r Route) bool {
	return !journal.Safe(r.Name()) || !slices.ContainsFunc(l.Mix, func(r Route) bool { return !journal.Safe(r.Name()) })
}

// Effects defines where applied effects are read, before the load and after healing. Each source is judged by itself.
type Effects struct {
	Sources []EffectSource
	Once    []Convergence `json:",omitempty"` // what has to hold before they are read after the load
	Settle  time.Duration `json:",omitempty"` // how long after the load effects may still appear; 0: see DefaultSettle
}

// EffectSource is a place that lists effects: a route, or a source that the system declares. The response of a route is
// a JSON array (or {"effects":[...]}) of objects with "key" and, optionally, "id", each a string or a number.
type EffectSource struct {
	Name         string // "GET /ledger", or as declared
	Method, Path string `json:",omitempty"` // of a route
	Service      string `json:",omitempty"` // that answers the route; set when the experiment is validated
	Step         journal.Step
}

// Declared reports whether the system declares the source.
func (e EffectSource) Declared() bool { return e.Method == "" }

// place returns where the source is, for plans.
func (e EffectSource) place() string {
	if e.Declared() {
		return strconv.Quote(e.Name)
	}
	return fmt.Sprintf("%q of %q", e.Name, e.Service)
}

// Convergence is a condition that shows that all effects have arrived where they are read: the answer to a route of
// Service contains Says, or the query of the declared source Source returns exactly Says.
type Convergence struct {
	Service, Method, Path string `json:",omitempty"`
	Source                string `json:",omitempty"`
	Says                  string
	Step                  journal.Step
}

// String returns the condition as a sentence states it.
func (c Convergence) String() string {
	if c.Source != "" {
		return fmt.Sprintf("the query of %q returns %q", c.Source, c.Says)
	}
	return fmt.Sprintf("%q of %q says %q", c.Method+" "+c.Path, c.Service, c.Says)
}

// Met reports whether an answer meets the condition.
func (c Convergence) Met(answer string) bool {
	if c.Source != "" {
		return answer == c.Says
	}
	return strings.Contains(answer, c.Says)
}

// ReadsEffectsOf reports whether effects, or what shows that they have arrived, are read at the address of a service.
func (e *Experiment) ReadsEffectsOf(service string) bool {
	if e.Effects == nil {
		return false
	}
	declared := func(name string) bool {
		d, ok := e.System.Effect(name)
		return ok && d.Reads(service)
	}
	return slices.ContainsFunc(e.Effects.Sources, func(s EffectSource) bool { return s.Service == service || s.Declared() && declared(s.Name) }) ||
		slices.ContainsFunc(e.Effects.Once, func(c Convergence) bool { return c.Service == service || declared(c.Source) })
}

// DefaultSettle is how long effects are awaited, and duplicates and phantoms searched for, if no sentence states
// it.
const DefaultSettle = 10 * time.Second

// Within returns how long after the load effects may still appear.
func (e *Effects) Within() time.Duration { return cmp.Or(e.Settle, DefaultSettle) }

// StopRule ends its scenario at once, with outcome stopped, if success stays below Ratio for the time For. Later
// scenarios still run.
type StopRule struct {
	Ratio float64
	For   time.Duration
}
