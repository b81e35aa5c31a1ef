// Package journal holds the facts of a run: Event, Writer, Reader, and Fold, which turns events into one History a scenario.
// Everything that is ever said about a run (terminal, HTML, JUnit, JSON, verdicts) is computed from a History and from nothing else.
// It imports the standard library only.
package journal

import (
	"strconv"
	"strings"
	"time"
)

// Schema is written in the first event; a reader refuses a journal with a higher one.
const Schema = 1

// Event is one fact. Exactly one payload is set.
type Event struct {
	Seq      uint64        `json:"seq"`                // 1, 2, ... in the journal's order
	At       time.Duration `json:"at"`                 // ns since the run began, monotonic
	Scenario string        `json:"scenario,omitempty"` // Begin.ID; empty for Run and for the run's own End
	Step     string        `json:"step,omitempty"`     // file:line of the step that caused it

	Run     *Run     `json:"run,omitempty"`
	Begin   *Begin   `json:"begin,omitempty"`
	Phase   *Phase   `json:"phase,omitempty"`
	Fault   *Fault   `json:"fault,omitempty"`
	Message *Message `json:"message,omitempty"`
	Sample  *Sample  `json:"sample,omitempty"`
	Calls   *Calls   `json:"calls,omitempty"`
	Load    *Load    `json:"load,omitempty"`
	Request *Request `json:"request,omitempty"`
	Probe   *Probe   `json:"probe,omitempty"`
	Effect  *Effect  `json:"effect,omitempty"`
	Effects *Effects `json:"effects,omitempty"`
	Process *Process `json:"process,omitempty"`
	Books   *Books   `json:"books,omitempty"`
	Traffic *Traffic `json:"traffic,omitempty"`
	Loss    *Loss    `json:"loss,omitempty"`
	Tick    *Tick    `json:"tick,omitempty"`
	Note    *Note    `json:"note,omitempty"`
	Verdict *Verdict `json:"verdict,omitempty"`
	End     *End     `json:"end,omitempty"`
}

// Run is the first event.
type Run struct {
	Schema  int       `json:"schema"`
	ID      string    `json:"id"`
	Began   time.Time `json:"began"` // wall clock, for people
	Version string    `json:"version,omitempty"`
	Seed    uint64    `json:"seed"`
	Command []string  `json:"command,omitempty"`
	Host    string    `json:"host,omitempty"` // "linux/amd64, 2 CPUs, go1.26.8"
	Without []string  `json:"without,omitempty"`
}

// Begin opens a scenario.
type Begin struct {
	ID      string   `json:"id"` // slug of feature, scenario and row; unique in a run, stable between runs
	Name    string   `json:"name"`
	Feature string   `json:"feature,omitempty"`
	File    string   `json:"file,omitempty"`
	Line    int      `json:"line,omitempty"`
	Tags    []string `json:"tags,omitempty"`
	Seed    uint64   `json:"seed"`
	Steps   []Step   `json:"steps,omitempty"`
	Links   []Link   `json:"links,omitempty"`
}

// Step is a line of the scenario as it stands in the file.
type Step struct {
	Keyword string `json:"keyword"` // "Given", "When", "Then", "And", ...
	Text    string `json:"text"`
	At      string `json:"at"` // file:line
}

// Link is one service's way to a dependency.
type Link struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Protocol string `json:"protocol"`
}

// Phase begins a phase, which lasts until the next one: "setup", "baseline", "fault" (from the first When), "recovery", "collect", "done".
type Phase struct {
	Name string `json:"name"`
}

// Fault is a change in an injection's life. Counters are totals since it was injected.
type Fault struct {
	ID       string        `json:"id"`    // "fault-3", or "fault-3.1" for the first link of a partition; see Whole
	Stage    string        `json:"stage"` // "injected" (it begins to be), "live" (it is), "counted" (progress), "healed", "settled" (what it affected after that); "skipped" for one that was never injected
	Kind     string        `json:"kind"`  // name of the fault kind
	Says     string        `json:"says"`  // as a sentence
	On       string        `json:"on"`    // "orders -> payments" or "payments"
	Unit     string        `json:"unit,omitempty"`
	Seen     int64         `json:"seen,omitempty"`
	Affected int64         `json:"affected,omitempty"`
	First    time.Duration `json:"first,omitempty"` // first and last effect, as At
	Last     time.Duration `json:"last,omitempty"`
	Live     time.Duration `json:"live,omitempty"` // since when it acts, as At

	Connections   int64         `json:"connections,omitempty"` // that were affected; this and the bytes are of faults on streams
	BytesSeen     int64         `json:"bytes_seen,omitempty"`
	BytesAffected int64         `json:"bytes_affected,omitempty"`
	Delayed       int64         `json:"delayed,omitempty"` // units that were kept; the delays are those really added, not those asked for
	DelayP50      time.Duration `json:"delay_p50,omitempty"`
	DelayP99      time.Duration `json:"delay_p99,omitempty"`
	DelayMax      time.Duration `json:"delay_max,omitempty"`

	Hint  string `json:"hint,omitempty"`  // when nothing was affected: why that may be
	Error string `json:"error,omitempty"` // of healing
}

// Whole is the id of the fault that an injection is a part of: the links of a partition are one fault to people and to checks.
func Whole(id string) string {
	if whole, part, ok := strings.Cut(id, "."); ok {
		if _, err := strconv.Atoi(part); err == nil {
			return whole
		}
	}
	return id
}

// Message is the fate of one message that met a rule.
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

// Window tells where a request lies relative to the faults: it is "during" when any part of its life (due to end) overlaps a live
// injection, "before" when it ended before the first one, else "after". Requests due before the baseline began are "warmup".
type Window string

// The windows. The empty Window means the whole run without the warm-up.
const (
	Warmup Window = "warmup"
	Before Window = "before"
	During Window = "during"
	After  Window = "after"
)

// Sample folds the requests of one route that were due in one slice of at most a second. Slices restart at each phase, injection and heal.
// What ended after a slice was written makes another sample of the same slice; they add up. Sent = OK + Fallback + Refused + Failed + Ambiguous.
type Sample struct {
	From   time.Duration `json:"from"`
	To     time.Duration `json:"to"`
	Window Window        `json:"window"`
	Route  string        `json:"route"` // "POST /orders"

	Sent      int `json:"sent"`
	Unsent    int `json:"unsent,omitempty"`    // due and never sent
	OK        int `json:"ok,omitempty"`        // the expected answer
	Fallback  int `json:"fallback,omitempty"`  // an expected status, marked as a fallback
	Refused   int `json:"refused,omitempty"`   // it did not happen: dial refused, 4xx (but 408, 409), 429, 503
	Failed    int `json:"failed,omitempty"`    // an answer that is neither success nor refusal, for a request without a key
	Ambiguous int `json:"ambiguous,omitempty"` // it may have happened: time-out, reset, closed, 408, 409, 5xx but 503
	Attempts  int `json:"attempts,omitempty"`  // what the client policy asked for
	Wire      int `json:"wire,omitempty"`      // requests really written to a connection

	Errors  map[string]int `json:"errors,omitempty"`  // kind ("timeout", "reset", "closed", "refused", "status 503") -> count, of final outcomes
	Latency []Bucket       `json:"latency,omitempty"` // all requests, from due to the final outcome
	Good    []Bucket       `json:"good,omitempty"`    // those of OK and Fallback only
}

// Bucket is a slice of a histogram: N values up to and including Up (and above the previous bucket's Up). Sorted by Up.
type Bucket struct {
	Up time.Duration `json:"up"`
	N  int64         `json:"n"`
}

// Calls folds the exchanges that one link saw start in one slice. As with samples, there may be several for a slice.
type Calls struct {
	From     time.Duration `json:"from"`
	To       time.Duration `json:"to"`
	Window   Window        `json:"window"`
	Link     string        `json:"link"` // "orders -> payments"
	Calls    int           `json:"calls"`
	Affected int           `json:"affected,omitempty"`
	GaveUp   int           `json:"gave_up,omitempty"`
	Duration []Bucket      `json:"duration,omitempty"` // request's first byte to the answer, or to the caller's giving up
}

// Load tells once, at the end of the load, whether it was delivered as asked.
type Load struct {
	Intended int           `json:"intended"`
	Sent     int           `json:"sent"`
	Unsent   int           `json:"unsent"`
	Attempts int           `json:"attempts"`
	Wire     int           `json:"wire"`
	Repeated int           `json:"repeated,omitempty"` // on the wire, and asked for by nobody
	Retries  int           `json:"retries"`
	SlipP99  time.Duration `json:"slip_p99"` // from due to sent
	Workers  int           `json:"workers"`  // most at once
	Bound    int           `json:"bound"`    // the limit on workers
	Error    string        `json:"error,omitempty"`
}

// Request is the ledger row of one keyed request.
type Request struct {
	Key      string        `json:"key"`
	Route    string        `json:"route"`
	Due      time.Duration `json:"due"`
	Window   Window        `json:"window"`
	Attempts []Attempt     `json:"attempts"`
	Outcome  string        `json:"outcome"`          // "acknowledged", "refused", "ambiguous", over all attempts
	Digest   string        `json:"digest,omitempty"` // of the acknowledging answer (status and body)
}

// Attempt is one try of a request.
type Attempt struct {
	At     time.Duration `json:"at"`
	Took   time.Duration `json:"took"`
	Status int           `json:"status,omitempty"`
	Error  string        `json:"error,omitempty"`
}

// Probe is a question put to the system after the load: a key sent again.
type Probe struct {
	Kind   string `json:"kind"` // "same key, same body" or "same key, other body"
	Key    string `json:"key"`
	Want   string `json:"want"` // digest, or a status such as "422"
	Got    string `json:"got"`
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Effect is one effect as read from where effects really are.
type Effect struct {
	Key string `json:"key"`
	ID  string `json:"id,omitempty"` // the effect's own name: an order number
}

// Effects closes the reading of effects. Without one, or with an error, effects could not be read.
type Effects struct {
	Source string `json:"source"` // "GET /ledger"
	Count  int    `json:"count"`
	Error  string `json:"error,omitempty"`
}

// Process is a change in a service's life.
type Process struct {
	Service string `json:"service"`
	What    string `json:"what"`
	PID     int    `json:"pid,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// Books are a relay's accounts at quiesce, one event for each link and direction.
type Books struct {
	Link       string `json:"link"`
	ToServer   bool   `json:"to_server,omitempty"`
	In         int64  `json:"in"`
	Copies     int64  `json:"copies,omitempty"`
	Injected   int64  `json:"injected,omitempty"`
	Out        int64  `json:"out"`
	Dropped    int64  `json:"dropped,omitempty"`
	Swallowed  int64  `json:"swallowed,omitempty"`
	Withheld   int64  `json:"withheld,omitempty"`
	Collateral int64  `json:"collateral,omitempty"`
	Held       int64  `json:"held,omitempty"`

	Open    int64         `json:"open,omitempty"`     // to the server: calls that had not ended
	OpenFor time.Duration `json:"open_for,omitempty"` // and how long they have waited at least: since the load ended
}

// Traffic is what a link carried in the whole scenario, one event for each link at the end.
type Traffic struct {
	Link          string `json:"link"`
	Opened        int64  `json:"opened"`  // connections accepted
	Live          int64  `json:"live"`    // of them, still open
	Refused       int64  `json:"refused"` // dials of the dependency that failed
	Resets        int64  `json:"resets"`  // connections that ended with a reset towards the client
	BytesToServer int64  `json:"bytes_to_server"`
	BytesToClient int64  `json:"bytes_to_client"`
}

// Loss tells what a link of datagrams lost that no fault did, from when it was opened to quiesce. One event for each.
type Loss struct {
	Link      string `json:"link"`
	Known     bool   `json:"known"`             // the kernel tells what it drops
	AtLink    int64  `json:"at_link,omitempty"` // datagrams that it dropped at the link's own sockets
	AtServer  int64  `json:"at_server,omitempty"`
	Elsewhere int64  `json:"elsewhere,omitempty"` // at other sockets of the machine, whoever's
	Unsent    int64  `json:"unsent,omitempty"`    // datagrams that could not be written
	Evicted   int64  `json:"evicted,omitempty"`   // clients forgotten because there were too many
}

// Unattributed is what may be missing where effects are counted.
func (l Loss) Unattributed() int64 { return l.AtLink + l.AtServer + l.Unsent }

// Tick is the live picture, once a second: for the terminal, never for a verdict.
type Tick struct {
	Phase  string        `json:"phase"`
	Rate   float64       `json:"rate"` // requests finished in the last second
	P99    time.Duration `json:"p99"`
	Errors int           `json:"errors"` // of the last second
	Faults []string      `json:"faults,omitempty"`
}

// Note is a sentence for people: what a facilitator confirmed, what the runner noticed.
type Note struct {
	Text string `json:"text"`
}

// Verdict is a check's answer. Outcome is "passed", "failed" or "inconclusive".
type Verdict struct {
	Check    string   `json:"check"` // the sentence
	Kind     string   `json:"kind"`  // name of the check kind
	Outcome  string   `json:"outcome"`
	Observed string   `json:"observed,omitempty"`
	Expected string   `json:"expected,omitempty"`
	Window   Window   `json:"window,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	Evidence []uint64 `json:"evidence,omitempty"` // Seq of events
	Step     string   `json:"-"`                  // Event.Step, set by Fold
	Details  []string `json:"details,omitempty"`  // the first few cases, for people ("key 7f3a: 2 effects (o-12, o-19), attempts: ...")
}

// End closes a scenario (Event.Scenario set) or the run.
type End struct {
	Outcome string `json:"outcome"` // "passed", "failed", "inconclusive", "stopped", "interrupted", "skipped"
	Reason  string `json:"reason,omitempty"`
}
