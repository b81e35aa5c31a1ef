package journal

import "time"

// Observation is one answer to a probe. Exactly one of Yes, Value, Unanswered and Local describes it; an answer of "no"
// has none of them.
type Observation struct {
	Probe string        `json:"probe"` // its name
	Asked time.Duration `json:"asked"` // when it was asked, as At
	Took  time.Duration `json:"took"`  // until the answer, or until it was no longer awaited
	Every time.Duration `json:"every"` // how often it is asked

	Yes        bool     `json:"yes,omitempty"`
	Value      *float64 `json:"value,omitempty"`      // of a probe that answers with a number
	Unanswered string   `json:"unanswered,omitempty"` // why there is no answer: "connection refused", "no answer within 1s"
	Local      string   `json:"local,omitempty"`      // an error of this machine or process: nothing was asked
	Detail     string   `json:"detail,omitempty"`     // what was answered: "status 503"
}

// Answered returns when the answer arrived.
func (o Observation) Answered() time.Duration { return o.Asked + o.Took }

// Task is what a step did besides injecting and healing faults: a request or a command.
type Task struct {
	What   string        `json:"what"` // the sentence: `"POST /promote" of "standby" is asked`
	Began  time.Duration `json:"began"`
	Took   time.Duration `json:"took"`
	Result string        `json:"result"`           // "status 200", "exit status 0"; or why there is none
	Output string        `json:"output,omitempty"` // the beginning of the body, or the end of the output
	Log    string        `json:"log,omitempty"`    // the file that holds the whole output, relative to the folder of the run
	Failed bool          `json:"failed,omitempty"`
}
