package load

import (
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Result is the result of one request of the load.
type Result struct {
	Load     string // its name; see scenarios.Load.Name
	Copy     string // the service that was asked, if requests are split between it and a copy
	N        uint64 // its number, from 0
	Route    string
	Key      string    // "" for loads without idempotency keys
	Due, End time.Time // when it was to be sent, and when its last attempt ended
	Attempts []Attempt // in the order in which they ended; the last one decided the outcome
	Retries  int       // attempts that the policy added; Attempts also has those of further steps and redirects
	Hedges   int       // of Retries: attempts that were made beside another one
	Outcome  Outcome
	Fallback bool
	reads    bool   // see journal.Request
	Kind     string // kind of error; "" for success
	digest   string
	Body     string // of the acknowledging answer; "" if longer than 1 KiB
	Wire     int    // attempts of which at least a byte was written
	OneWay   bool   // it was sent, and no answer is expected
	Unsent   bool   // the last attempt failed because of the generator itself; see generatorError
}

// Attempt is one attempt of a request.
type Attempt struct {
	At              time.Time // when it began
	Step            int       // of the chain, from 0
	Took            time.Duration
	Status          int    // 0 if there was no answer
	Kind            string // kind of error, if there is no status
	Outcome         Outcome
	Hedge           bool // it was made beside another attempt, which had no answer yet
	wire            int
	generatorFailed bool // failed because of the generator itself
	replied         bool // there was an answer that is not HTTP, so that there is no status
	unanswered      bool // it was sent, and no answer is expected
	transient       bool // that answer says that the same request may succeed later
	Answer          Answer
}

// Answer is what the answer to an attempt says besides its status.
type Answer struct {
	Digest     string // of the body; "" if there was no answer
	Body       string // "" if longer than maxShown
	full       []byte // the whole body, if values are kept or fallbacks are marked there
	fallback   bool
	none       bool          // as Reply.None
	RetryAfter time.Duration // 0 if it did not ask for a pause

	HasRetryAfter bool // it has a Retry-After header that names a number of seconds or a time
}

// Outcome is what the client knows about a request or an attempt.
type Outcome uint8

// The outcomes.
const (
	Ambiguous    Outcome = iota // the request may have been applied
	Acknowledged                // the request was applied
	Refused                     // the request was not applied
)

func (o Outcome) String() string { return [...]string{"ambiguous", "acknowledged", "refused"}[o] }

// Began returns when the first attempt began.
func (e Result) Began() time.Time {
	began := e.Attempts[0].At
	for _, a := range e.Attempts {
		if a.At.Before(began) {
			began = a.At
		}
	}
	return began
}

// JournalRequest returns the journal's record of a keyed request.
func (e Result) JournalRequest(since func(time.Time) time.Duration, w journal.Window) *journal.Request {
	r := &journal.Request{Key: e.Key, Load: e.Load, Route: e.Route, Due: since(e.Due), Window: w, Outcome: e.Outcome.String(), Digest: e.digest, Reads: e.reads}
	for _, a := range e.Attempts {
		attempt := a.journal(since)
		if e.Hedges > 0 && a.Outcome == Acknowledged && !a.Answer.fallback {
			attempt.Digest = a.Answer.Digest
		}
		r.Attempts = append(r.Attempts, attempt)
	}
	return r
}

func (a Attempt) journal(since func(time.Time) time.Duration) journal.Attempt {
	return journal.Attempt{At: since(a.At), Took: a.Took, Status: a.Status, Error: a.Kind, Step: a.Step, Hedge: a.Hedge}
}

// PairAnswer returns the journal's record of an attempt that is one of a pair.
func (a Attempt) PairAnswer(since func(time.Time) time.Duration) journal.PairAnswer {
	return journal.PairAnswer{Attempt: a.journal(since), Outcome: a.Outcome.String(), Digest: a.Answer.Digest}
}
