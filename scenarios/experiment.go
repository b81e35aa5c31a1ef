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
	Load        *Load   // nil: no load. If loads have names, it is the first
	Further     []*Load `json:",omitempty"` // the loads after the first; all have names, and the settings of clients of the first
	Baseline    time.Duration
	Recovery    time.Duration // how long the load continues after healing, at most
	Effects     *Effects
	Registers   []Register     `json:",omitempty"`
	Sums        []Sum          `json:",omitempty"` // that checks need
	Agreements  []Agreement    `json:",omitempty"` // that checks need
	Probes      []system.Probe // asked during the whole run: those of the system, and those that checks need
	Checks      []Check        // in order of the Then steps; without check.Implied
	Warnings    []string       // what will make the run inconclusive, as far as it can be known before the run
	Unproven    string         // why the checks do not distinguish a working system from a dead one; "" if they do
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
type SendRequests struct{ Requests, AtATime int }

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

// Control returns the untouched copy of a service between which and the service requests are split, or "".
func (l *Load) Control() string {
	if l == nil || len(l.Copies) != 2 {
		return ""
	}
	return l.Copies[1]
}

// Loads returns all loads.
func (e *Experiment) Loads() []*Load {
	if e.Load == nil {
		return nil
	}
	return append([]*Load{e.Load}, e.Further...)
}

// Load defines the requests of clients. Texts of requests (headers, paths and bodies) may contain the placeholders of
// package scenarios, see PartKind.
type Load struct {
	Name              string          `json:",omitempty"` // only if a scenario has several loads, or its sentences name the load
	Shape             Shape           `json:",omitempty"` // what makes a request due; the zero value is Open
	Rate              float64         // of an open load: requests per second, in total
	Users             int             `json:",omitempty"` // of a closed load: how many clients ask, each of them one request after the other
	Think             time.Duration   `json:",omitempty"` // of a closed load: from an answer until the same user asks again
	Mix               []Route         // at least one; shares sum to 1
	Key               Key             // where each request carries its fresh idempotency key; the zero value means that it carries none
	Headers           []Header        `json:",omitempty"` // of each request
	Rows              []Row           `json:",omitempty"` // for {{row.column}}: request n has the row n modulo their number
	Retries           int             // further attempts, with the same key, after no answer, 429, or an error of at least 400 that is NotKnown
	GiveUp            time.Duration   // time-out of each attempt; 0 means 10 s
	Policy            RetryPolicy     `json:",omitzero"` // how clients retry
	Marker            *Mark           // marks a response as a fallback
	FallbackIsSuccess bool            // a check mentions fallbacks, or the system declares them as success
	Means             map[int]Outcome `json:",omitempty"` // by status: overrides the table of Outcomes
	Answers           []AnswerMeaning `json:",omitempty"` // of a load that is not HTTP: overrides that an answer acknowledges

	NewConnections bool          `json:",omitempty"` // each attempt opens a connection of its own
	CloseIdle      time.Duration `json:",omitempty"` // how long clients keep an idle connection, at most; 0 means 500 ms
	Cookies        bool          `json:",omitempty"` // the attempts and steps of a request send the cookies that its answers set
	Copies         []string      `json:",omitempty"` // a service and its untouched copy, between which the requests for the service are split; see Resolver.SplitLoad
	OthersChange   bool          `json:",omitempty"` // another load has requests that are not read-only; set when the experiment is validated
	Redirects      bool          `json:",omitempty"` // redirects to the same address are followed, at most MostRedirects times
}

// MostRedirects is how many redirects in a row clients follow.
const MostRedirects = 5

// Shape is what makes a request of the load due.
type Shape string

// The shapes of a load.
const (
	// Open makes requests due by the clock, whatever became of earlier ones, as for a system with many users. Latency is
	// measured from the due time.
	Open Shape = ""
	// Closed makes a request due when its user has the answer to the previous one and has thought. A slow system is
	// asked less, so that its latencies look better than those that users of an open load see.
	Closed Shape = "closed"
	// Counted makes requests due only in steps that send a number of them; see SendRequests. There is no baseline.
	Counted Shape = "counted"
)

// Route is one kind of request, or a chain of requests that counts as one request of the load.
type Route struct {
	Method, Path string // Path may contain placeholders
	Kind         string `json:",omitempty"` // of a load that is not HTTP: the name of a row of LoadKinds; Method is "", Path what its requests are about, and Body their text
	Title        string `json:",omitempty"` // its name in checks and reports, if it is not HTTP; "" means one that is made of Path or Body
	Share        float64
	Body         string  // may contain placeholders; "" for no body
	Type         string  // Content-Type; "" means application/json if there is a body
	Service      string  // the service that answers; resolved by the parser
	Expect       []int   `json:",omitempty"` // expected statuses, ascending; empty means any 2xx
	Keep         []Kept  `json:",omitempty"` // values of the answer that later steps of a chain contain
	Then         []Route `json:",omitempty"` // the further steps of a chain; their Share and Then are not used
}

// Kept is a value of an answer that later steps of a chain contain, as {{name}}.
type Kept struct {
	Name string
	Path string // where it is in the JSON body of the answer, such as "$.order.id"
}

// Find returns the value in the body of an answer. It returns false if there is none.
func (k Kept) Find(body []byte) (Value, bool) {
	path, err := source.ParseJSONPath(k.Path)
	if err != nil {
		return Value{}, false
	}
	raw, ok := path.Find(body)
	return JSONValue(raw), ok
}

// Steps returns the requests that a request of the route consists of.
func (r Route) Steps() []Route { return append([]Route{r}, r.Then...) }

// Asks reports whether a service answers one of its steps.
func (r Route) Asks(service string) bool {
	return slices.ContainsFunc(r.Steps(), func(s Route) bool { return s.Service == service })
}

// ContentType returns the type of the body.
func (r Route) ContentType() string { return cmp.Or(r.Type, "application/json") }

// Safe reports whether all requests of the route are read-only; see ReadOnly.
func (r Route) Safe() bool {
	return !slices.ContainsFunc(r.Steps(), func(s Route) bool { return !s.ReadOnly() })
}

// KeyStep returns the index of the step whose key is that of the request: the first that is not read-only, or else
// the first one. Each other step carries a key of its own.
func (r Route) KeyStep() int {
	return max(0, slices.IndexFunc(r.Steps(), func(s Route) bool { return !s.ReadOnly() }))
}

// Name returns the route as checks and reports name it, such as "POST /orders", with templates unexpanded.
func (r Route) Name() string {
	if r.Kind != "" {
		return r.nameOf()
	}
	return r.Method + " " + r.Path
}

// Changes reports whether requests of the route are expected to have effects. A GET, HEAD or OPTIONS request is
// not, if other requests of the load have another method: it is not awaited, not lost without an effect, and not
// sent again after the load. If the load consists of such requests only, they are expected to have effects, as for
// a counter; checks report it if none is listed. For both, the requests of all loads count.
func (l *Load) Changes(r Route) bool {
	return !r.Safe() || !l.OthersChange && !slices.ContainsFunc(l.Mix, func(r Route) bool { return !r.Safe() })
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
	return all
}

// Register is a value that requests of the load write and read, such as a row of a database, or a queue that they put
// into and take from.
type Register struct {
	Name        string
	Write, Read string // routes of the load: of a queue, those that put and take
	Queue       bool   `json:",omitempty"`
}

// kind returns what the register is, for problems.
func (r Register) kind() string {
	if r.Queue {
		return "queue"
	}
	return "register"
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

// StopRule ends its scenario at once, with outcome stopped, if success stays below Ratio for the time For. Later
// scenarios still run.
type StopRule struct {
	Ratio float64
	For   time.Duration
}
