// Package journal holds the facts of a run: Event, Writer, and Fold, which turns events into a History for each
// scenario. Everything that is reported about a run (terminal, HTML, JUnit, JSON, verdicts) is computed from a
// History and from nothing else.
//
// The package defines what all of these must agree on: which requests a window holds (Window, History.Total), what
// success is (History.Good), what a fault affected (Injection.AffectedByLoad), how long the requested outage was
// (History.FaultSpan), and when latencies are not caused by the system alone (History.Late). A scenario that is
// run again has a Begin with a higher Attempt; Fold keeps only the last attempt.
//
// A Writer redacts secrets (RedactText), so that readers do not have to. Readers print text through Visible, which
// escapes characters that a terminal or a browser would interpret. The package imports the standard library only.
package journal

import "time"

// Schema is written in the first event. Fold rejects a journal with a higher one. In schema 1, each request and each
// effect was an event of its own; Fold reads those, too.
const Schema = 2

// Event is one fact. Exactly one payload is set.
type Event struct {
	Seq      uint64        `json:"seq"`                // 1, 2, ... in the journal's order; rows are numbered, too: see RequestRows
	At       time.Duration `json:"at"`                 // ns since the run began, monotonic
	Scenario string        `json:"scenario,omitempty"` // Begin.ID; empty for Run and for the run's own End
	Step     string        `json:"step,omitempty"`     // file:line of the step that caused it

	Run       *Run       `json:"run,omitempty"`
	Begin     *Begin     `json:"begin,omitempty"`
	Phase     *Phase     `json:"phase,omitempty"`
	Fault     *Fault     `json:"fault,omitempty"`
	Message   *Message   `json:"message,omitempty"`
	Sample    *Sample    `json:"sample,omitempty"`
	Calls     *Calls     `json:"calls,omitempty"`
	Load      *Load      `json:"load,omitempty"`
	Request   *Request   `json:"request,omitempty"` // see RequestRows
	Probe     *Probe     `json:"probe,omitempty"`
	Pair      *Pair      `json:"pair,omitempty"`
	Effect    *Effect    `json:"effect,omitempty"` // see EffectRows
	Operation *Operation `json:"operation,omitempty"`
	Effects   *Effects   `json:"effects,omitempty"`
	Story     *Story     `json:"story,omitempty"`
	Sum       *Sum       `json:"sum,omitempty"`
	Agreement *Agreement `json:"agreement,omitempty"`
	Lock      *Lock      `json:"lock,omitempty"`
	Process   *Process   `json:"process,omitempty"`
	Accounts  *Accounts  `json:"accounts,omitempty"`
	Traffic   *Traffic   `json:"traffic,omitempty"`
	Loss      *Loss      `json:"loss,omitempty"`
	Pause     *Pause     `json:"pause,omitempty"`
	Tick      *Tick      `json:"tick,omitempty"`
	Task      *Task      `json:"task,omitempty"`
	Note      *Note      `json:"note,omitempty"`
	Trouble   *Trouble   `json:"trouble,omitempty"`
	Gate      *Gate      `json:"gate,omitempty"`
	TimedOut  *TimedOut  `json:"timed_out,omitempty"`
	Verdict   *Verdict   `json:"verdict,omitempty"`
	End       *End       `json:"end,omitempty"`

	Observation *Observation `json:"observation,omitempty"`

	RequestRows *RequestRows `json:"request_rows,omitempty"`
	EffectRows  *EffectRows  `json:"effect_rows,omitempty"`
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
	Plan    []Planned `json:"plan,omitempty"`  // the scenarios to run, in order
	Files   []File    `json:"files,omitempty"` // that the scenarios were read from, by name

	AllowSkipped bool `json:"allow_skipped,omitempty"` // the run can pass even if scenarios were skipped
	AllowFlaky   bool `json:"allow_flaky,omitempty"`   // the run can pass even if scenarios passed only when they were run again

	DryRun bool `json:"dry_run,omitempty"` // nothing was injected

	MaxDuration time.Duration `json:"max_duration,omitempty"` // scenarios that would have ended later were not started; 0 means no limit
}

// File is a file that scenarios were read from: a feature, the description of a system, or what these refer to.
type File struct {
	Name   string `json:"name"`   // relative to the folder that the features were read from, with slashes
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // of its content, in hexadecimal digits
}

// Planned is a scenario that the run intends to carry out.
type Planned struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`

	About time.Duration `json:"about,omitempty"` // how long it takes, as estimated
}

// Begin starts a scenario.
type Begin struct {
	ID          string   `json:"id"` // derived from feature, scenario and the cells of an outline row; unique in a run, stable between runs
	Name        string   `json:"name"`
	Feature     string   `json:"feature,omitempty"`
	File        string   `json:"file,omitempty"`
	Line        int      `json:"line,omitempty"`
	Tags        []string `json:"tags,omitempty"`
	Steps       []Step   `json:"steps,omitempty"`
	Links       []Link   `json:"links,omitempty"`
	Attempt     int      `json:"attempt,omitempty"`      // 2 if it was run again: Fold drops the earlier attempt
	RerunReason string   `json:"rerun_reason,omitempty"` // the reason for running it again
	RetryOf     string   `json:"retry_of,omitempty"`     // ID of the scenario that failed, and was run again as this one
	RepeatOf    string   `json:"repeat_of,omitempty"`    // ID of the scenario that this one repeats

	LoadNames []string `json:"loads,omitempty"` // if the loads have names
	Digests   Digests  `json:"digests,omitzero"`

	OnlyReads         bool   `json:"only_reads,omitempty"`          // all requests of the load are read-only
	FallbackIsSuccess bool   `json:"fallback_is_success,omitempty"` // the scenario's one definition of success includes fallbacks
	Unproven          string `json:"unproven,omitempty"`            // why its checks do not distinguish a working system from a dead one

	Quarantine *Quarantine `json:"quarantine,omitempty"` // its failure does not fail the run; nil if there is none, or it has expired

	Untested []string `json:"untested,omitempty"` // for each check: why passing it proves nothing in this scenario; "" if it proves something
	Findings []int    `json:"findings,omitempty"` // indices of the checks that are known to fail
}

// Quarantine allows a scenario to fail until the end of a day.
type Quarantine struct {
	Owner  string `json:"owner"`
	Until  string `json:"until"` // "2026-12-10", in UTC
	Reason string `json:"reason,omitempty"`
}

// Digests identify what a scenario ran against. Runs are comparable only if these are equal. "" means not known, as in
// older journals.
type Digests struct {
	System string `json:"system,omitempty"` // of the description of the system, without the contents of programs
	Load   string `json:"load,omitempty"`   // of all loads, with the texts of requests
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
	Unit     string `json:"unit,omitempty"` // "calls" or "messages"; "" if it carries only bytes, and in journals of old versions
}

// Phase starts a phase, which lasts until the next one: "setup", "baseline", "fault" (from the first When),
// "recovery", "collect", "done".
type Phase struct {
	Name string `json:"name"`
}

// Process is a change in the life of a service.
type Process struct {
	Service string `json:"service"`
	What    string `json:"what"`
	PID     int    `json:"pid,omitempty"`
	Detail  string `json:"detail,omitempty"` // exited: the exit status
	Log     string `json:"log,omitempty"`    // exited: the end of the log
}

// Tick is the live state, once a second. It is for the terminal and never for a verdict.
type Tick struct {
	Phase    string        `json:"phase"`
	Rate     float64       `json:"rate"` // requests finished in the last second
	P50      time.Duration `json:"p50,omitempty"`
	P99      time.Duration `json:"p99"`
	Errors   int           `json:"errors"`             // of the last second
	Ended    int           `json:"ended,omitempty"`    // requests of the last second whose answers are judged: not those sent one way
	Good     int           `json:"good,omitempty"`     // of Ended: those that succeeded
	Fallback int           `json:"fallback,omitempty"` // of Ended: those answered with a fallback, which succeed only if the scenario says so
	Retries  int           `json:"retries,omitempty"`  // further attempts of these requests
	Faults   []string      `json:"faults,omitempty"`
	Stop     []StopMeter   `json:"stop,omitempty"` // a row for each stop rule, while it is watched
}

// StopMeter is how near a stop rule is: it stops the scenario once its condition has held for the time For.
type StopMeter struct {
	Rule string        `json:"rule"`          // as a feature file states it
	Now  string        `json:"now,omitempty"` // what was observed of late
	Held time.Duration `json:"held,omitempty"`
	For  time.Duration `json:"for,omitempty"` // 0: it stops at once
}

// Note is a sentence for people, such as a confirmation by the facilitator or an observation of the runner.
type Note struct {
	Text string `json:"text"`
	By   string `json:"by,omitempty"`   // the person who did or saw it; "" if the runner wrote the note
	Kind string `json:"kind,omitempty"` // of a person's note: "day", "continued", "skipped", "hold", "released", "note", "finding", "detected", "mitigated", "heal", "abort"

	Day     *Day     `json:"day,omitempty"`     // of the kind "day"
	Finding *Finding `json:"finding,omitempty"` // of the kind "finding"; Text is as it was typed
}

// Gate is written if the baseline was not within the steady state. Nothing is injected in that case.
type Gate struct {
	Reason string `json:"reason"`
}

// TimedOut is written if the scenario reaches its time limit before it is over. It ends then.
type TimedOut struct {
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
	Finding  bool     `json:"finding,omitempty"`  // the check is known to fail: Outcome is "passed" if it does
	Observed string   `json:"observed,omitempty"`
	Expected string   `json:"expected,omitempty"`
	Window   Window   `json:"window,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	Code     string   `json:"code,omitempty"`     // of the reason for an inconclusive outcome, see package codes
	Evidence []uint64 `json:"evidence,omitempty"` // Seq of events
	Step     string   `json:"-"`                  // Event.Step, set by Fold
	Details  []string `json:"details,omitempty"`  // the first few violations, for people ("key 7f3a: 2 effects (o-12, o-19), attempts: ...")
}

// End ends a scenario, or the run if Event.Scenario is empty.
type End struct {
	Outcome string `json:"outcome"` // "passed", "failed", "inconclusive", "stopped", "interrupted", "skipped"
	Reason  string `json:"reason,omitempty"`
	Code    string `json:"code,omitempty"` // of the reason, see package codes
}
