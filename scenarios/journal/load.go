package journal

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Sample sums the requests of one route that were due in one slice of at most a second. Slices restart at each
// phase, injection and healing. Requests that end after their slice was written are in a further sample of the
// same slice; the samples add up. Sent = OK + Fallback + Refused + Failed + Ambiguous.
type Sample struct {
	From   time.Duration `json:"from"`
	To     time.Duration `json:"to"`
	Window Window        `json:"window"`
	Load   string        `json:"load,omitempty"`   // its name, if it has one
	Copy   string        `json:"copy,omitempty"`   // the service that was asked, if requests are split between a service and its copy
	Route  string        `json:"route"`            // "POST /orders"
	Paused bool          `json:"paused,omitempty"` // the sample holds the requests that overlap a Pause of the runner; counted separately

	Sent      int `json:"sent"`
	OneWay    int `json:"one_way,omitempty"`   // sent, and not answered as a rule; not in Sent
	Unsent    int `json:"unsent,omitempty"`    // due and never sent
	OK        int `json:"ok,omitempty"`        // the expected answer
	Fallback  int `json:"fallback,omitempty"`  // an expected status, marked as a fallback
	Refused   int `json:"refused,omitempty"`   // certainly not applied; see scenarios.Outcomes
	Failed    int `json:"failed,omitempty"`    // neither success nor refusal, for a request without a key
	Ambiguous int `json:"ambiguous,omitempty"` // possibly applied; see scenarios.Outcomes
	Attempts  int `json:"attempts,omitempty"`  // attempts according to the client policy
	Hedges    int `json:"hedges,omitempty"`    // of Attempts: those that were made beside another one
	Wire      int `json:"wire,omitempty"`      // requests actually written to a connection
	GaveUp    int `json:"gave_up,omitempty"`   // attempts that the clients gave up on

	Errors  map[string]int `json:"errors,omitempty"`  // kind ("timeout", "reset", "closed", "refused", "malformed answer", "status 503") -> count, of final outcomes
	Latency []Bucket       `json:"latency,omitempty"` // all requests, from due to the final outcome
	Good    []Bucket       `json:"good,omitempty"`    // OK and Fallback only
	Waited  []Bucket       `json:"waited,omitempty"`  // AtHealing only: OK and Fallback, from due to the beginning of healing
	Slip    []Bucket       `json:"slip,omitempty"`    // from due to sent; see SlipEdges

	Rejections []Rejection `json:"rejections,omitempty"` // final answers that are no success, by status, ascending

	FirstBad time.Duration `json:"first_bad,omitempty"` // due time of the first request that was neither OK nor Fallback; 0: none
}

// Rejection sums the final answers with one status, of requests that got neither the expected answer nor a fallback.
type Rejection struct {
	Status     int      `json:"status"`
	RetryAfter int      `json:"retry_after,omitempty"` // answers with a valid Retry-After header
	Took       []Bucket `json:"took"`                  // from the start of the last attempt to its answer
}

// Tenth is the resolution of Calls.Tenths.
const Tenth = 100 * time.Millisecond

// Calls sums the exchanges that started on one link in one slice. As with samples, a slice may have several.
type Calls struct {
	From     time.Duration `json:"from"`
	To       time.Duration `json:"to"`
	Window   Window        `json:"window"`
	Link     string        `json:"link"` // "orders -> payments"
	Calls    int           `json:"calls"`
	Affected int           `json:"affected,omitempty"`
	GaveUp   int           `json:"gave_up,omitempty"`
	Arrived  int           `json:"arrived,omitempty"`  // calls that reached the dependency in this slice, including earlier ones that were held back
	Failed   int           `json:"failed,omitempty"`   // calls answered with status 429 or at least 500, or that broke without an answer; without GaveUp
	Refused  int           `json:"refused,omitempty"`  // failed dials of the dependency: calls that could not be made
	Tenths   []int         `json:"tenths,omitempty"`   // Arrived and Refused by Tenth of the run's clock, from the one that contains From; nil in older journals
	Duration []Bucket      `json:"duration,omitempty"` // from the first byte of the request to the answer, or until the caller gave up; of a stream, to its beginning; without blocking commands
	Shared   []Bucket      `json:"shared,omitempty"`   // of Duration: calls whose connection carried others at the same time, so that a caller may have given up earlier without a sign
}

// Load is written once, at the end of the load, and reports whether it was delivered as requested.
type Load struct {
	Name            string         `json:"name,omitempty"`
	Shape           string         `json:"shape,omitempty"` // "closed" or "counted"; "" is open; see scenarios.Shape
	Requested       float64        `json:"requested"`       // open: the integral of the rates in the steps; counted: the sum of the steps; closed: as Intended
	Intended        int            `json:"intended"`        // requests that were due
	Sent            int            `json:"sent"`
	Unsent          int            `json:"unsent"`                     // due and never sent
	GeneratorErrors map[string]int `json:"generator_errors,omitempty"` // of Unsent: requests that the generator itself could not send, by reason ("too many open files (...)")
	Stale           int            `json:"stale,omitempty"`            // sent again, since the server had closed the kept connection without reading them
	Attempts        int            `json:"attempts"`
	Wire            int            `json:"wire"`
	Retries         int            `json:"retries"`
	Hedges          int            `json:"hedges,omitempty"`      // of Retries: attempts that were made beside another one
	OverBudget      int            `json:"over_budget,omitempty"` // further attempts that the clients' retry budget did not allow
	EndsEarly       bool           `json:"ends_early,omitempty"`  // clients may end an attempt before give_up: another one was acknowledged, or the time of the request was over
	SlipP99         time.Duration  `json:"slip_p99"`              // from due to sent
	Workers         int            `json:"workers"`               // most workers at once
	Bound           int            `json:"bound"`                 // the limit on workers
	GiveUp          time.Duration  `json:"give_up,omitempty"`     // how long clients wait for the answer to an attempt
	Patience        time.Duration  `json:"patience,omitempty"`    // the longest time that a request can take: all attempts and the pauses between them
	KeptAsking      float64        `json:"kept_asking,omitempty"` // closed: the share of the time in which users waited for answers or thought, of the user for whom it is least; the rest was lost
	Took            time.Duration  `json:"took,omitempty"`        // how long the load ran
	CPU             float64        `json:"cpu,omitempty"`         // Firedrill's share of the CPU time of all CPUs meanwhile, with links and services in this process; 0 if it is not known
	GCPause         time.Duration  `json:"gc_pause,omitempty"`    // the longest pause of Firedrill's garbage collector meanwhile
	Error           string         `json:"error,omitempty"`
}

// Request is the ledger entry of one keyed request.
type Request struct {
	Key      string        `json:"key"`
	Load     string        `json:"load,omitempty"` // its name, if it has one
	Route    string        `json:"route"`
	Due      time.Duration `json:"due"`
	Window   Window        `json:"window"`
	Attempts []Attempt     `json:"attempts"`         // in the order in which they ended; the last one decided the outcome
	Outcome  string        `json:"outcome"`          // "acknowledged", "refused", "ambiguous", over all attempts
	Digest   string        `json:"digest,omitempty"` // of the body of the acknowledging answer
	Reads    bool          `json:"reads,omitempty"`  // it is not expected to change anything; see scenarios.Load.Changes
}

// Safe reports whether the method of a route ("GET /orders") is safe, that is, read-only by definition.
func Safe(route string) bool {
	method, _, _ := strings.Cut(route, " ")
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// Attempt is one attempt of a request.
type Attempt struct {
	At     time.Duration `json:"at"`
	Took   time.Duration `json:"took"`
	Status int           `json:"status,omitempty"`
	Error  string        `json:"error,omitempty"`
	Step   int           `json:"step,omitempty"`   // of a chain, from 0
	Hedge  bool          `json:"hedge,omitempty"`  // it was made beside another attempt, which had no answer yet
	Digest string        `json:"digest,omitempty"` // of the body of an acknowledging answer that is not a fallback, if clients hedged this request
}

// Began returns when the first attempt began. There has to be one.
func (r Request) Began() time.Duration {
	return slices.MinFunc(r.Attempts, func(a, b Attempt) int { return cmp.Compare(a.At, b.At) }).At
}

// Probe is a request sent after the load, with a key that was used before.
type Probe struct {
	Kind   string `json:"kind"` // "same key, same body" or "same key, other body"
	Key    string `json:"key"`
	Window Window `json:"window,omitempty"` // window of the first request with this key
	Want   string `json:"want"`             // the expected digest of the body, or a status such as "422"
	Got    string `json:"got"`              // the actual one; "status 404" for an answer that does not acknowledge
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"` // why the answer is not known: "timeout", or "status 503" on every attempt

	First   int      `json:"first,omitempty"`    // status of the first answer
	Differs string   `json:"differs,omitempty"`  // the first difference between the bodies: "e2 instead of e1"; "" if the first body was not kept
	Again   []string `json:"again,omitempty"`    // ids ("" for none) of additional effects of the key since it was sent again
	AgainIn []string `json:"again_in,omitempty"` // their sources, parallel to Again, if there are several sources
	Unread  string   `json:"unread,omitempty"`   // why it is not known whether there are such effects, if effects are read
}

// minInFlight is how long before healing a request must be due to have met the fault with certainty.
const minInFlight = 100 * time.Millisecond

// MetFault reports whether a keyed request was due while a fault was live, and either ended then or had been in
// flight for a while when healing began. Requests that the fault held back are acknowledged after healing.
func (h *History) MetFault(r Request) bool { return h.metFault(r.Window, r.Due) }

func (h *History) metFault(w Window, due time.Duration) bool {
	return w == During || w == AtHealing && slices.ContainsFunc(h.Faults, func(in *Injection) bool {
		return due >= max(in.Injected, in.Live) && due <= in.Ended-minInFlight
	})
}
