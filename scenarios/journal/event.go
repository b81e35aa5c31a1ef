// Package journal holds the facts of a run: Event, Writer, and Fold, which turns events into a History for each
// scenario. Everything that is reported about a run (terminal, HTML, JUnit, JSON, verdicts) is computed from a
// History and from nothing else.
//
// The package defines what all of these must agree on: which requests a window holds (Window, History.Total), what
// success is (History.Good), what a fault affected (Injection.Met), how long the requested outage was
// (History.FaultSpan), and when latencies are not caused by the system alone (History.Late). A scenario that is
// run again has a Begin with a higher Attempt; Fold keeps only the last attempt.
//
// A Writer redacts secrets (RedactText), so that readers do not have to. Readers print text through Visible, which
// escapes characters that a terminal or a browser would interpret. The package imports the standard library only.
package journal

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Schema is written in the first event. Fold rejects a journal with a higher one.
const Schema = 1

// Event is one fact. Exactly one payload is set.
type Event struct {
	Seq      uint64        `json:"seq"`                // 1, 2, ... in the journal's order
	At       time.Duration `json:"at"`                 // ns since the run began, monotonic
	Scenario string        `json:"scenario,omitempty"` // Begin.ID; empty for Run and for the run's own End
	Step     string        `json:"step,omitempty"`     // file:line of the step that caused it

	Run      *Run      `json:"run,omitempty"`
	Begin    *Begin    `json:"begin,omitempty"`
	Phase    *Phase    `json:"phase,omitempty"`
	Fault    *Fault    `json:"fault,omitempty"`
	Message  *Message  `json:"message,omitempty"`
	Sample   *Sample   `json:"sample,omitempty"`
	Calls    *Calls    `json:"calls,omitempty"`
	Load     *Load     `json:"load,omitempty"`
	Request  *Request  `json:"request,omitempty"`
	Probe    *Probe    `json:"probe,omitempty"`
	Effect   *Effect   `json:"effect,omitempty"`
	Effects  *Effects  `json:"effects,omitempty"`
	Process  *Process  `json:"process,omitempty"`
	Accounts *Accounts `json:"accounts,omitempty"`
	Traffic  *Traffic  `json:"traffic,omitempty"`
	Loss     *Loss     `json:"loss,omitempty"`
	Pause    *Pause    `json:"pause,omitempty"`
	Tick     *Tick     `json:"tick,omitempty"`
	Note     *Note     `json:"note,omitempty"`
	Trouble  *Trouble  `json:"trouble,omitempty"`
	Gate     *Gate     `json:"gate,omitempty"`
	Verdict  *Verdict  `json:"verdict,omitempty"`
	End      *End      `json:"end,omitempty"`
}

// Run is the first event of a journal.
type Run struct {
	Schema  int       `json:"schema"`
	ID      string    `json:"id"`
	Began   time.Time `json:"began"` // wall clock, for people
	Version string    `json:"version,omitempty"`
	Seed    Seed      `json:"seed"` // the value for --seed that repeats the run
	Command []string  `json:"command,omitempty"`
	Host    string    `json:"host,omitempty"` // "linux/amd64, 2 CPUs, go1.26.8"
	Without []string  `json:"without,omitempty"`
	Plan    []Planned `json:"plan,omitempty"` // the scenarios to run, in order

	AllowSkipped bool `json:"allow_skipped,omitempty"` // the run can pass even if scenarios were skipped
}

// Planned is a scenario that the run intends to carry out.
type Planned struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// Begin starts a scenario.
type Begin struct {
	ID      string   `json:"id"` // derived from feature, scenario and the cells of an outline row; unique in a run, stable between runs
	Name    string   `json:"name"`
	Feature string   `json:"feature,omitempty"`
	File    string   `json:"file,omitempty"`
	Line    int      `json:"line,omitempty"`
	Tags    []string `json:"tags,omitempty"`
	Steps   []Step   `json:"steps,omitempty"`
	Links   []Link   `json:"links,omitempty"`
	Attempt int      `json:"attempt,omitempty"` // 2 if it was run again: Fold drops the earlier attempt
	Why     string   `json:"why,omitempty"`     // the reason for running it again

	FallbackIsSuccess bool   `json:"fallback_is_success,omitempty"` // the scenario's one definition of success includes fallbacks
	Unproven          string `json:"unproven,omitempty"`            // why its checks do not distinguish a working system from a dead one

	Untested []string `json:"untested,omitempty"` // for each check: why passing it proves nothing in this scenario; "" if it proves something
}

// Step is a line of the scenario as it is written in the file.
type Step struct {
	Keyword string `json:"keyword"` // "Given", "When", "Then", "And", ...
	Text    string `json:"text"`
	At      string `json:"at"` // file:line
}

// Link is the connection of one service to a dependency.
type Link struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Protocol string `json:"protocol"`
}

// Phase starts a phase, which lasts until the next one: "setup", "baseline", "fault" (from the first When),
// "recovery", "collect", "done".
type Phase struct {
	Name string `json:"name"`
}

// Fault is a change in the life of an injection. Counters are totals since the injection.
type Fault struct {
	ID       string        `json:"id"`       // "fault-3", or "fault-3.1" for the first link of a partition; see Whole
	Stage    string        `json:"stage"`    // "injected" (injection began), "live" (it acts), "counted" (progress), "healed", "settled" (final counters), or "skipped" (never injected)
	Kind     string        `json:"kind"`     // name of the kind of fault
	Sentence string        `json:"sentence"` // as a feature file states it
	On       string        `json:"on"`       // "orders -> payments" or "payments"
	Unit     string        `json:"unit,omitempty"`
	Seen     int64         `json:"seen,omitempty"`
	Affected int64         `json:"affected,omitempty"`
	First    time.Duration `json:"first,omitempty"` // first and last effect, as At
	Last     time.Duration `json:"last,omitempty"`
	Live     time.Duration `json:"live,omitempty"`   // when it began to act, as At
	Ended    time.Duration `json:"ended,omitempty"`  // when healing began, as At: the end of the requested outage
	Asked    time.Duration `json:"asked,omitempty"`  // the requested duration; 0: until it is healed
	Unseen   bool          `json:"unseen,omitempty"` // requests of callers do not reach the link while it is live
	Waits    bool          `json:"waits,omitempty"`  // its only effect is that something waits, at most until healing

	Background int64 `json:"background,omitempty"` // of Affected: possibly traffic that the load did not cause
	Shared     bool  `json:"shared,omitempty"`     // the load may have caused none of Affected
	Reads      bool  `json:"reads,omitempty"`      // all of Affected are calls that only read; see Safe
	Idle       int64 `json:"idle,omitempty"`       // idle connections that it changed
	Collateral int64 `json:"collateral,omitempty"` // units lost along with an affected one, such as calls on the same HTTP/2 connection
	Broken     int64 `json:"broken,omitempty"`     // units that failed because the dependency closed its connection while they were held back

	Connections   int64         `json:"connections,omitempty"` // affected connections; like the bytes, of faults on streams only
	BytesSeen     int64         `json:"bytes_seen,omitempty"`
	BytesAffected int64         `json:"bytes_affected,omitempty"`
	Delayed       int64         `json:"delayed,omitempty"` // delayed units; the delays are the measured ones, not the requested ones
	DelayP50      time.Duration `json:"delay_p50,omitempty"`
	DelayP99      time.Duration `json:"delay_p99,omitempty"`
	DelayMax      time.Duration `json:"delay_max,omitempty"`

	Hint  string `json:"hint,omitempty"`  // a possible reason if nothing was affected
	Error string `json:"error,omitempty"` // of healing
}

// Whole returns the id of the fault that an injection belongs to: reports and checks treat the links of a
// partition as one fault.
func Whole(id string) string {
	if whole, part, ok := strings.Cut(id, "."); ok {
		if _, err := strconv.Atoi(part); err == nil {
			return whole
		}
	}
	return id
}

// Message is the outcome of one message to which a rule applied.
type Message struct {
	Fault    string `json:"fault"`
	Link     string `json:"link"`
	Stage    string `json:"stage"`
	ToServer bool   `json:"to_server,omitempty"`
	Conn     uint64 `json:"conn,omitempty"`
	N        uint64 `json:"n,omitempty"`
	Op       string `json:"op,omitempty"`
	Key      string `json:"key,omitempty"`
	Bytes    int    `json:"bytes,omitempty"`
	Detail   string `json:"detail,omitempty"`
}

// Window is the position of a request (or a call) relative to the faults, determined by when it was due and when
// it ended. Faults that are live at the same time, or immediately after one another, form one fault window.
// Windows are defined only here; Total describes how checks, tables and charts use them.
type Window string

// The windows. The empty Window means the whole run without the warm-up.
const (
	Warmup      Window = "warmup"       // due before the baseline began
	Before      Window = "before"       // ended before the first injection
	AtInjection Window = "at injection" // due before a fault acted, and in flight when its injection began; counted separately
	During      Window = "during"       // due and ended while a fault was live
	AtHealing   Window = "at healing"   // due while a fault was live, and in flight when healing began; counted separately
	Between     Window = "between"      // due after a healing, and before a later injection
	After       Window = "after"        // due after the last healing began
)

// Sample sums the requests of one route that were due in one slice of at most a second. Slices restart at each
// phase, injection and healing. Requests that end after their slice was written are in a further sample of the
// same slice; the samples add up. Sent = OK + Fallback + Refused + Failed + Ambiguous.
type Sample struct {
	From   time.Duration `json:"from"`
	To     time.Duration `json:"to"`
	Window Window        `json:"window"`
	Route  string        `json:"route"`            // "POST /orders"
	Paused bool          `json:"paused,omitempty"` // the sample holds the requests that overlap a Pause of the runner; counted separately

	Sent      int `json:"sent"`
	Unsent    int `json:"unsent,omitempty"`    // due and never sent
	OK        int `json:"ok,omitempty"`        // the expected answer
	Fallback  int `json:"fallback,omitempty"`  // an expected status, marked as a fallback
	Refused   int `json:"refused,omitempty"`   // certainly not applied; see scenarios.Outcomes
	Failed    int `json:"failed,omitempty"`    // neither success nor refusal, for a request without a key
	Ambiguous int `json:"ambiguous,omitempty"` // possibly applied; see scenarios.Outcomes
	Attempts  int `json:"attempts,omitempty"`  // attempts according to the client policy
	Wire      int `json:"wire,omitempty"`      // requests actually written to a connection
	GaveUp    int `json:"gave_up,omitempty"`   // attempts that the clients gave up on

	Errors  map[string]int `json:"errors,omitempty"`  // kind ("timeout", "reset", "closed", "refused", "malformed answer", "status 503") -> count, of final outcomes
	Latency []Bucket       `json:"latency,omitempty"` // all requests, from due to the final outcome
	Good    []Bucket       `json:"good,omitempty"`    // OK and Fallback only
	Waited  []Bucket       `json:"waited,omitempty"`  // AtHealing only: OK and Fallback, from due to the beginning of healing
	Slip    []Bucket       `json:"slip,omitempty"`    // from due to sent; see SlipEdges

	FirstBad time.Duration `json:"first_bad,omitempty"` // due time of the first request that was neither OK nor Fallback; 0: none
}

// Bucket is a bucket of a histogram: N values up to and including Up, and above the Up of the previous bucket.
// Buckets are sorted by Up.
type Bucket struct {
	Up time.Duration `json:"up"`
	N  int64         `json:"n"`
}

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
	Duration []Bucket      `json:"duration,omitempty"` // from the first byte of the request to the answer, or until the caller gave up
}

// Load is written once, at the end of the load, and reports whether it was delivered as requested.
type Load struct {
	Asked    float64        `json:"asked"`    // the integral of the rates in the steps
	Intended int            `json:"intended"` // requests that the schedule made due
	Sent     int            `json:"sent"`
	Unsent   int            `json:"unsent"`          // due and never sent
	Own      map[string]int `json:"own,omitempty"`   // of Unsent: requests that the generator itself could not send, by reason ("too many open files (...)")
	Stale    int            `json:"stale,omitempty"` // sent again, since the server had closed the kept connection without reading them
	Attempts int            `json:"attempts"`
	Wire     int            `json:"wire"`
	Retries  int            `json:"retries"`
	SlipP99  time.Duration  `json:"slip_p99"`           // from due to sent
	Workers  int            `json:"workers"`            // most workers at once
	Bound    int            `json:"bound"`              // the limit on workers
	GiveUp   time.Duration  `json:"give_up,omitempty"`  // how long clients wait for the answer to an attempt
	Patience time.Duration  `json:"patience,omitempty"` // the longest time that a request can take: all attempts and the pauses between them
	Error    string         `json:"error,omitempty"`
}

// Request is the ledger entry of one keyed request.
type Request struct {
	Key      string        `json:"key"`
	Route    string        `json:"route"`
	Due      time.Duration `json:"due"`
	Window   Window        `json:"window"`
	Attempts []Attempt     `json:"attempts"`
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

	First   int      `json:"first,omitempty"`   // status of the first answer
	Differs string   `json:"differs,omitempty"` // the first difference between the bodies: "e2 instead of e1"; "" if the first body was not kept
	Again   []string `json:"again,omitempty"`   // ids ("" for none) of additional effects of the key since it was sent again
	Unread  string   `json:"unread,omitempty"`  // why it is not known whether there are such effects, if effects are read
}

// Effect is one effect of the scenario, as read from the source of effects: new since the load began, and with a
// key of the scenario or a phantom. An effect that has an id is recorded once, no matter how often it is listed.
type Effect struct {
	Key string `json:"key"`
	ID  string `json:"id,omitempty"` // the effect's own identifier, such as an order number
}

// Effects ends the list of effects. If it is missing or has an error, effects could not be read.
type Effects struct {
	Source string `json:"source"`           // "GET /ledger"
	Count  int    `json:"count"`            // effects of this scenario, one event for each
	Before int    `json:"before,omitempty"` // effects listed that were there before the load
	Others int    `json:"others,omitempty"` // effects listed with keys of others
	Folded int    `json:"folded,omitempty"` // effects of this scenario that were listed again with the same id and count once
	// Unknown is how many of Others are new and belong to no run: they are effects of other users of the system,
	// or phantoms. It is 0 where nothing else can use the system.
	Unknown int           `json:"unknown,omitempty"`
	Until   time.Duration `json:"until,omitempty"`  // from the last request to the start of the last reading
	Within  time.Duration `json:"within,omitempty"` // how long effects had to settle, if the scenario defines it
	Doubt   string        `json:"doubt,omitempty"`  // why effects may exist, or still appear, that are not listed
	Error   string        `json:"error,omitempty"`
}

// Process is a change in the life of a service.
type Process struct {
	Service string `json:"service"`
	What    string `json:"what"`
	PID     int    `json:"pid,omitempty"`
	Detail  string `json:"detail,omitempty"` // exited: the exit status
	Log     string `json:"log,omitempty"`    // exited: the end of the log
}

// Accounts accounts for the messages that the relay of a link carried in one direction. It is written once for
// each direction, at the end.
type Accounts struct {
	Link     string `json:"link"`
	ToServer bool   `json:"to_server,omitempty"`

	Received   int64 `json:"received"`             // messages received
	Copies     int64 `json:"copies,omitempty"`     // copies made by a rule
	Injected   int64 `json:"injected,omitempty"`   // answers generated by a rule
	Delivered  int64 `json:"delivered"`            // written to their destination
	Dropped    int64 `json:"dropped,omitempty"`    // dropped by a rule, or no longer needed
	Discarded  int64 `json:"discarded,omitempty"`  // answers replaced by another one
	HeldBack   int64 `json:"held_back,omitempty"`  // answers withheld from the client
	Collateral int64 `json:"collateral,omitempty"` // messages whose connection ended first
	Pending    int64 `json:"pending,omitempty"`    // messages without an outcome
	Written    int64 `json:"written"`              // messages of which at least the beginning was written

	Wrong string `json:"wrong,omitempty"` // why they do not add up

	Open    int64         `json:"open,omitempty"`     // to the server: calls that had not ended
	OpenFor time.Duration `json:"open_for,omitempty"` // the time since the load ended, which they have waited at least
}

// Traffic is the traffic of a link during the whole scenario. It is written once for each link, at the end.
type Traffic struct {
	Link          string `json:"link"`
	Opened        int64  `json:"opened"`  // connections accepted
	Live          int64  `json:"live"`    // of Opened: still open
	Refused       int64  `json:"refused"` // failed dials of the dependency
	Resets        int64  `json:"resets"`  // connections that ended with a reset towards the client
	BytesToServer int64  `json:"bytes_to_server"`
	BytesToClient int64  `json:"bytes_to_client"`
}

// Loss counts the datagrams that a link lost and that no fault dropped, from when it was opened until it is
// quiesced. It is written once for each link.
type Loss struct {
	Link      string `json:"link"`
	Known     bool   `json:"known"`             // the kernel reports what it drops
	AtLink    int64  `json:"at_link,omitempty"` // datagrams dropped at the sockets of the link
	AtServer  int64  `json:"at_server,omitempty"`
	Elsewhere int64  `json:"elsewhere,omitempty"` // at any other socket of the machine
	Unsent    int64  `json:"unsent,omitempty"`    // datagrams that could not be written
	Evicted   int64  `json:"evicted,omitempty"`   // clients evicted because there were too many
}

// Unattributed returns how many datagrams may be missing where effects are counted.
func (l Loss) Unattributed() int64 { return l.AtLink + l.AtServer + l.Unsent }

// Tick is the live state, once a second. It is for the terminal and never for a verdict.
type Tick struct {
	Phase  string        `json:"phase"`
	Rate   float64       `json:"rate"` // requests finished in the last second
	P99    time.Duration `json:"p99"`
	Errors int           `json:"errors"` // of the last second
	Faults []string      `json:"faults,omitempty"`
}

// Note is a sentence for people, such as a confirmation by the facilitator or an observation of the runner.
type Note struct {
	Text string `json:"text"`
}

// Gate is written if the baseline was not within the steady state. Nothing is injected in that case.
type Gate struct {
	Reason string `json:"reason"`
}

// Trouble is an error of the runner itself, or something that it could not carry out. It is never a failure of the
// system, and makes the scenario inconclusive.
type Trouble struct {
	Text string `json:"text"`
}

// Verdict is the result of a check. Outcome is "passed", "failed" or "inconclusive".
type Verdict struct {
	Check    string   `json:"check"` // the sentence
	Kind     string   `json:"kind"`  // name of the check kind
	Outcome  string   `json:"outcome"`
	Withheld string   `json:"withheld,omitempty"` // what the outcome would have been if the scenario had been valid
	Observed string   `json:"observed,omitempty"`
	Expected string   `json:"expected,omitempty"`
	Window   Window   `json:"window,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	Evidence []uint64 `json:"evidence,omitempty"` // Seq of events
	Step     string   `json:"-"`                  // Event.Step, set by Fold
	Details  []string `json:"details,omitempty"`  // the first few violations, for people ("key 7f3a: 2 effects (o-12, o-19), attempts: ...")
}

// End ends a scenario, or the run if Event.Scenario is empty.
type End struct {
	Outcome string `json:"outcome"` // "passed", "failed", "inconclusive", "stopped", "interrupted", "skipped"
	Reason  string `json:"reason,omitempty"`
}
