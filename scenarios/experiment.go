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
	BlastRadius []string      // services that faults may touch; nil means no limit was set
	Stop        []StopRule    // of sentences, and those of the system that apply
	Timeout     time.Duration `json:",omitempty"` // the scenario is stopped, and inconclusive, if it takes longer; 0 means no limit of its own
	Steady      []check.Steady
	Load        *Load   // nil: no load. If loads have names, it is the first
	Further     []*Load `json:",omitempty"` // the loads after the first; all have names, and the settings of clients that sentences set for all
	Baseline    time.Duration
	Recovery    time.Duration // how long the load continues after healing, at most
	Effects     *Effects
	Registers   []Register         `json:",omitempty"`
	Sums        []Sum              `json:",omitempty"` // that checks need
	Agreements  []Agreement        `json:",omitempty"` // that checks need
	Locks       []Lock             `json:",omitempty"` // that checks need
	Probes      []system.Probe     // asked during the whole run: those of the system, and those that checks need
	Checks      []Check            // in order of the Then steps; without check.Implied
	Warnings    Problems           `json:",omitempty"` // what will make the run inconclusive, as far as it can be known before, and what firedrill lint advises
	Quarantine  *system.Quarantine `json:",omitempty"` // the scenario may fail without failing the run, unless it has expired
	Unproven    string             // why the checks do not distinguish a working system from a dead one; "" if they do
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

	KnownToFail bool `json:",omitempty"` // a finding: the scenario passes as long as this check fails
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

// Action is what a step does when it is reached: one of Inject, Heal, Wait, a RateChange,
// SendRequests, StopLoad, Confirm, Ask, RunCommand.
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

// SendRequests sends so many requests of a counted load, AtATime of them at once. The step lasts until all have ended.
type SendRequests struct {
	Load              string `json:",omitempty"` // its name, if it has one
	Requests, AtATime int
}

// StopLoad ends the load with a name or, without one, all loads.
type StopLoad struct {
	Load string `json:",omitempty"`
}

// Confirm asks the facilitator for a confirmation. Without a terminal it only writes a note.
type Confirm struct{ What string }

func (Inject) action()       {}
func (Heal) action()         {}
func (Wait) action()         {}
func (ChangeLoad) action()   {}
func (SendRequests) action() {}
func (StopLoad) action()     {}
func (Confirm) action()      {}

// Loads returns all loads.
func (e *Experiment) Loads() []*Load {
	if e.Load == nil {
		return nil
	}
	return append([]*Load{e.Load}, e.Further...)
}

// Effects defines where applied effects are read, before the load and after healing. Each source is judged by itself.
type Effects struct {
	Sources []EffectSource
	Once    []Convergence `json:",omitempty"` // what has to hold before they are read after the load
	Group   string        `json:",omitempty"` // the field of effects that a check groups them by
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
// Service contains Says, or the query of the declared source Source, or the command Command of the system, returns exactly
// Says.
type Convergence struct {
	Service, Method, Path string `json:",omitempty"`
	Source                string `json:",omitempty"`
	Command               string `json:",omitempty"`
	Says                  string
	Step                  journal.Step
}

// String returns the condition as a sentence states it.
func (c Convergence) String() string {
	switch {
	case c.Source != "":
		return fmt.Sprintf("the query of %q returns %q", c.Source, c.Says)
	case c.Command != "":
		return fmt.Sprintf("the command %q says %q", c.Command, c.Says)
	}
	return fmt.Sprintf("%q of %q says %q", c.Method+" "+c.Path, c.Service, c.Says)
}

// Met reports whether an answer meets the condition.
func (c Convergence) Met(answer string) bool {
	if c.Source != "" || c.Command != "" {
		return answer == c.Says
	}
	return strings.Contains(answer, c.Says)
}

// ReadsEffectsOf reports whether effects, or what shows that they have arrived, are read at the address of a service.
func (e *Experiment) ReadsEffectsOf(service string) bool {
	declared := func(name string) bool {
		d, ok := e.System.Effect(name)
		return ok && d.Reads(service)
	}
	return slices.ContainsFunc(e.ReadSources(), func(s EffectSource) bool { return s.Service == service || s.Declared() && declared(s.Name) }) ||
		e.Effects != nil && slices.ContainsFunc(e.Effects.Once, func(c Convergence) bool { return c.Service == service || declared(c.Source) })
}

// Lock is a lock whose holders are read after healing.
type Lock struct {
	Name   string
	Source EffectSource
}

// Agreement is a comparison of two sources of effects after healing.
type Agreement struct {
	Sources [2]EffectSource
	Within  time.Duration // of healing
	Step    journal.Step
}

// ReadSources returns all sources of effects that are read.
func (e *Experiment) ReadSources() []EffectSource {
	var all []EffectSource
	if e.Effects != nil {
		all = slices.Clone(e.Effects.Sources)
	}
	for _, a := range e.Agreements {
		all = append(all, a.Sources[:]...)
	}
	for _, l := range e.Locks {
		all = append(all, l.Source)
	}
	return all
}

// Register is a value that requests of the load write and read, such as a row of a database, a queue that they put into
// and take from, or a set that they add elements to, remove them from, and look for them in. The element of a request is
// what its placeholders stand for: those of its path or, without any, those of its body.
type Register struct {
	Name        string
	Write, Read string // routes of the load: of a queue, those that put and take; of a set, those that add and look
	Remove      string `json:",omitempty"` // of a set; "" if it is none
	Queue       bool   `json:",omitempty"`
}

// kind returns what the register is, for problems.
func (r Register) kind() string {
	switch {
	case r.Queue:
		return "queue"
	case r.Remove != "":
		return "set"
	}
	return "register"
}

// routes returns the routes of the load that use the register.
func (r Register) routes() []string {
	if r.Remove != "" {
		return []string{r.Write, r.Remove, r.Read}
	}
	return []string{r.Write, r.Read}
}

// Sum is a sum that is read before the load and after it: of a field over the objects of a list.
type Sum struct {
	Field, Method, Path string
	Service             string
	Settle              time.Duration `json:",omitempty"` // how long after the load it may still change; 0: see DefaultSettle
}

// Within returns how long after the load the sum may still change.
func (s Sum) Within() time.Duration { return cmp.Or(s.Settle, DefaultSettle) }

// Source returns the route that the list is read from.
func (s Sum) Source() string { return s.Method + " " + s.Path }

// DefaultSettle is how long effects are awaited, and duplicates and phantoms searched for, if no sentence states
// it.
const DefaultSettle = 10 * time.Second

// Within returns how long after the load effects may still appear.
func (e *Effects) Within() time.Duration { return cmp.Or(e.Settle, DefaultSettle) }
