package check

import (
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Kind describes a kind of check. Everything that the rest of Firedrill knows about a kind is here: the sentences of
// feature files, plans, validation, `firedrill steps` and the README are derived from it.
type Kind struct {
	Name  string // "success"
	Means string
	About About // "" for an implied check

	Implied   bool   // applies to every scenario and decides whether it is valid; never fails
	Invariant bool   // for a check that is not implied: it must hold under all conditions
	Ours      bool   // for an implied check: if it is inconclusive, the generator or a relay can have violated an invariant
	Idle      bool   // a system that does nothing would satisfy it
	Refusing  bool   // a system that refuses every request from the fault on would satisfy it
	Timed     bool   // it may fail only because the machine is busy; see lateness.go
	Unharmed  bool   // passing it proves nothing if no fault can affect its route
	ByLoad    string // for a check that OfLoad can be asked about: the words of its sentences before which the load is named

	// Reference reports whether the check compares other requests with those of a sample; nil if it does so with none.
	Reference func(journal.Sample) bool

	Needs     Needs
	Sentences []Sentence // none for an implied check

	// Complete returns the check with settings of other sentences; nil if it takes none.
	Complete func(Settings) Check
	// CannotFail returns why no system could violate the check in a scenario, and what to do; "" if one may.
	CannotFail func(Drill) string
	// Untested returns why the faults of a scenario would not put the check to the test, or "" if they may.
	Untested func(Drill) string

	Value   Check  // an example; set by Kinds
	Example string // its sentence; "" for an implied check
}

// About is what a check is about. Reports take from it what may have caused a failure, and which moment was the worst.
type About string

// What checks are about.
const (
	AboutFaults   About = "faults" // whether they acted
	AboutRequests About = "requests"
	AboutLatency  About = "latency" // of requests
	AboutCalls    About = "calls"
	AboutHealth   About = "health"
	AboutRecovery About = "recovery"
	AboutEffects  About = "effects"
	AboutLocks    About = "locks"
)

// Needs is what a check needs from the other sentences of its scenario. It depends on the value of the check.
type Needs struct {
	Load, Baseline bool
	Key            bool // requests carry keys
	Effects        bool // effects are read
	AllEffects     bool // and read until no more of them can appear
	WholeSystem    bool // nobody else uses the system
	Fallback       bool // it is known how fallbacks are marked: by Mark, or else in the system file
	Mark           Mark

	Probe string // SameBody or OtherBody: acknowledged keys are sent again after healing
	Pairs bool   // pairs of requests with one new key are sent at the same moment after healing

	Register string          // requests that write and read this register are recorded
	Queue    string          // requests that put into this queue and take from it are recorded
	Set      string          // requests that add to this set, remove from it and look into it are recorded
	Sum      SumOf           // a sum is read before the load and after it
	Lock     MutualExclusion // the holders of a lock are read after healing
	Agree    Agree           // two sources of effects are compared after healing
	Group    string          // the field of effects that says in which group they are ordered
	Status   int             // the expected answer to OtherBody
	Statuses bool            // requests are answered with statuses of HTTP

	Route  string // "POST /orders"; "" for all
	OfLoad string // the name of a load; "" for all
	Window journal.Window

	Copy, Control string // a service and its untouched copy, between which the load is split

	From, To string // the link or, without From, the service that it is about
	Unit     string // "calls" or "messages": what the link carries or, without From, some link to the service
	Fault    bool   // a fault acts on the link or service
	Calls    bool   // the relay of the link counts single calls, or requests of any protocol

	Waits time.Duration // and it sees how long callers wait for the answers, at most so long; 0 if that does not matter

	Requests int           // the fewest requests with which it can pass
	Limit    time.Duration // how long a request may take; 0 if it does not say so
	Outage   time.Duration // the shortest outage of all requests that violates it; 0 if it does not say so
	Recovery time.Duration // how long after healing it may take until its route is steady; 0 if it does not say so
	Watch    time.Duration // how long after healing the load has to continue; 0 if it does not matter

	Ask Asked // what is asked at an interval during the whole run
}

// Settings are what other sentences of a scenario set for a check.
type Settings struct {
	Steady []Steady
	Mark   Mark // of fallbacks
}

// Drill is what is known about a scenario before its run.
type Drill struct {
	Faults []PlannedFault
	Held   time.Duration // for how long faults make something wait at most; 0 if that is not known
	GiveUp time.Duration // how long clients of the load wait for an answer
	Lasts  time.Duration // for how long faults are live; 0 if that is not known
	Rises  bool          // a step raises the rate of the load

	Success  float64 // the least success before the fault with which the scenario is valid
	Requests float64 // about how many requests the load sends; 0 if that is not known
	Reads    bool    // all requests only read

	Unique   func(field string) bool                         // reports whether each request has a value of its own in a field of its body
	Apart    func(service string) string                     // returns why no fault can affect a service; "" if one may
	ByClient func(to string) (perSecond, perRequest float64) // the most calls of a service, if only clients of the load call it and no fault can hold calls back; 0 if that is not known
}

// PlannedFault is a fault of a scenario.
type PlannedFault struct {
	Kind, Says string
	To, On     string        // the dependency or service, and the link "orders -> payments" or service
	Delay      time.Duration // the longest delay that it causes; 0 if it does something else
	Unseen     bool          // calls do not reach the link
	Unnoticed  bool          // callers do not notice it
}

// Sentence is one way in which a feature file asks for a check.
type Sentence struct {
	Name     string // "" means that of the kind
	Pattern  string // a Cucumber Expression
	Means    string
	Examples []string
	Check    func(Args) Check
	Table    bool // a table follows; see Args.Rows
}

// Args are the values of the parameters of a sentence, by their index in its pattern. A method reports a problem and
// returns a zero value if the parameter is not valid, and returns a zero value if an optional parameter is absent.
type Args interface {
	Has(i int) bool
	Value(i int) string        // as it is written
	EffectSource(i int) string // a route, or the name of a source of effects
	Name(i int) string
	Route(i int) string
	Header(i int) string
	Field(i int) string // a field of a JSON body and its value: "order.estimated: true"
	Window(i int) journal.Window
	Duration(i int) time.Duration
	Percentile(i int) float64
	PositiveRatio(i int) float64
	Number(i int) float64
	Times(i int) float64 // a factor above 0
	Count(i int, least int64) int64
	Status(i int) int     // of HTTP
	Statuses(i int) []int // of HTTP, ascending
	Says(words string) bool
	Rows(columns ...string) []Row // of the table below the sentence
	Problem(i int, what codes.Message, hint string)
}

// Row is a row of the table below a sentence. Its methods are like those of Args.
type Row interface {
	Cell(column string) string
	Ratio(column string) float64
	Problem(column string, what codes.Message, hint string)
}

// Kinds returns all kinds of checks, in the order of `firedrill steps`, with the implied ones last. To add one, add a
// file with its type and an example here.
func Kinds() []Kind {
	examples := []Check{
		Affected{AtLeast: 100, Unit: "calls", From: "orders", To: "payments"},
		Success{Ratio: 0.99, Window: journal.During},
		Latency{Percentile: 95, Below: 400 * time.Millisecond, Window: journal.During},
		Fallback{Ratio: 0.8, Route: "GET /recs", Mark: Mark{Text: "X-Degraded: true"}, Window: journal.During},
		NotAffected{Route: "GET /catalog"},
		NothingSlower{Than: 2 * time.Second},
		SucceedsAsControl{Of: "orders", Control: "orders-control", Points: 1},
		FastAsControl{Of: "orders", Control: "orders-control", Percentile: 95, Times: 1.2},
		GivesUp{From: "orders", To: "payments", Within: time.Second},
		Recovers{Route: "POST /orders", Within: 10 * time.Second},
		CallsTimesNormal{To: "payments", Times: 1.5, Window: journal.During},
		CallsPerSecond{To: "payments", PerSecond: 300, Window: journal.After},
		StopsCalling{From: "orders", To: "payments", Within: 5 * time.Second},
		ResumesCalling{From: "orders", To: "payments", Within: 10 * time.Second},
		RefusesExcess{Statuses: []int{429, 503}, Within: 50 * time.Millisecond},
		FailureKinds{Kinds: []FailureLimit{{"status 503", 0.05}, {"timed out", 0.01}}, Window: journal.During},
		ErrorBudget{Spend: 0.05, Days: 30, Objective: 0.999},
		StaysHealthy{Path: "/livez", Of: "orders"},
		TurnsUnhealthy{Path: "/readyz", Of: "orders", Within: 5 * time.Second},
		TurnsHealthy{Path: "/readyz", Of: "orders", Within: 5 * time.Second},
		QueueBounded{Queue: "outbox", Most: 1000},
		Detects{Probe: "alert firing", Within: time.Minute},
		KeepsRate{Metric: "orders_placed_total", Of: "orders", Ratio: 0.9},
		SendsAgain{Of: "orders", Most: 6, Metric: "datagrams_resent_total"},

		ExactlyOnce{},
		NoneLost{},
		NoneTwice{},
		NoPhantom{},
		SameResponse{},
		KeyReuseRefused{Status: 422},
		OneEffect{},
		OneAnswer{Status: 409},
		InOrder{Group: "customer_id"},
		Linearizable{Register: "greeting"},
		LinearizableQueue{Queue: "jobs"},
		LinearizableSet{Set: "members"},
		Conserved{SumOf{Field: "balance", Route: "GET /accounts"}},
		MutualExclusion{Lock: "leader", Source: "lock log"},
		Agree{Sources: [2]string{"orders table", "billing"}, Within: 30 * time.Second},

		AccountsAddUp{},
		BaselineSteady{},
		EffectsSettled{},
		FaultsActed{},
		Healed{},
		InTime{},
		LoadDelivered{},
		NoTrouble{},
		NoneByHand{},
		NotRepeated{},
		ProvesSomething{},
		ServicesStayed{},
	}
	var kinds []Kind
	for _, c := range examples {
		kinds = append(kinds, Describe(c))
	}
	return kinds
}

// Describe returns the kind of a check with the check as its example.
func Describe(example Check) Kind {
	k := example.Kind()
	k.Value = example
	if !k.Implied {
		k.Example = example.String()
	}
	return k
}

// KindOf returns the name of the kind of a check.
func KindOf(c Check) string { return c.Kind().Name }

// kinds are Kinds by name.
var kinds = sync.OnceValue(func() map[string]Kind {
	all := map[string]Kind{}
	for _, k := range Kinds() {
		all[k.Name] = k
	}
	return all
})

// KindNamed returns the kind with a name, and whether there is one.
func KindNamed(name string) (Kind, bool) {
	k, ok := kinds()[name]
	return k, ok
}

// fixed returns the only sentence of a check without parameters.
func fixed(c Check, means string) []Sentence {
	return []Sentence{{Pattern: c.String(), Means: means, Examples: []string{c.String()}, Check: func(Args) Check { return c }}}
}

// implied returns the kind of an implied check.
func implied(name, means string) Kind { return Kind{Name: name, Means: means, Implied: true} }
