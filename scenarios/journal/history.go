package journal

import "time"

// Book is a whole run, folded from its journal.
type Book struct {
	Run       Run
	Scenarios []*History  // in order of Begin
	End       *End        // nil if the run was killed
	Notes     []TimedNote // of the run itself, such as leftovers of a killed run
	Broken    string      // why reading ended early ("line 812: unexpected end of JSON"); empty if complete
}

// NotRun returns the planned scenarios that never began, in order, because the run was interrupted or killed.
func (b *Book) NotRun() []Planned {
	begun := map[string]bool{}
	for _, h := range b.Scenarios {
		begun[h.ID] = true
	}
	var left []Planned
	for _, p := range b.Run.Plan {
		if !begun[p.ID] {
			left = append(left, p)
		}
	}
	return left
}

// History is everything known about one scenario. Checks and reports must not modify it.
type History struct {
	Begin
	Began, Ended    time.Duration // Ended is the time of the last event if End is nil
	Phases          []Span        // in order
	Faults          []*Injection  // in order of injection
	Samples         []Sample      // by From, then Route, then Load
	Calls           []Calls       // by From, then Link
	Load            *Load         // of all loads together; see addLoad
	Loads           []Load        // by themselves, in the order in which they ended
	Requests        RequestRows
	Probes          []Probe
	Pairs           []Pair
	Operations      []Operation
	Sums            []Sum
	Agreements      []Agreement
	Locks           []Lock
	Observations    []Observation // of all probes; those of one probe in the order in which it was asked
	Tasks           []Task
	Effects         EffectRows   // of the first source of effects
	EffectsRead     *Effects     // nil if they were not read
	FurtherEffects  []EffectList // of the other sources; see BySource
	Stories         []Story      // of requests that have an anomaly
	Messages        []Message    // the first 10,000
	OmittedMessages int          // the number of further messages
	Processes       []TimedProcess
	Accounts        []Accounts
	Traffic         []Traffic // one for each link, in the order of the system; empty if the run was killed
	Losses          []Loss    // one for each link of datagrams
	Pauses          []Pause   // of the runner itself, in order
	Notes           []TimedNote
	Troubles        []string  // in order
	Gate            *Gate     // nil if the baseline was within the steady state
	TimedOut        *TimedOut // nil if it did not reach its time limit
	Verdicts        []Verdict
	End             *End
	Seqs            map[string][]uint64 // evidence: payload name ("fault", "sample", "calls", "load", "probe", "pair", "operation", "sum", "agreement", "lock", "traffic", "process", "observation", "task", "trouble") -> Seq, parallel to the slices above; rows have their own

	known *known // see Remembering
}

// known is what was computed of a history.
type known struct {
	values  map[string]any
	sources []*History // see BySource
}

// Remembering returns a copy of the history that remembers what Once computes, for several checks or reports of one
// goroutine. The facts must not change any more.
func (h *History) Remembering() *History {
	u := *h
	u.known = &known{values: map[string]any{}}
	return &u
}

// Once returns what compute returns, which must depend only on facts that Until and WithPaused do not change. A history
// that remembers calls it once for each name.
func Once[T any](h *History, name string, compute func() T) T {
	if h.known == nil {
		return compute()
	}
	if v, ok := h.known.values[name].(T); ok {
		return v
	}
	v := compute()
	h.known.values[name] = v
	return v
}

// Span is a phase with its end.
type Span struct {
	Name     string
	From, To time.Duration
}

// TimedProcess is a Process event with its time.
type TimedProcess struct {
	At time.Duration
	Process
}

// TimedNote is a Note with its time.
type TimedNote struct {
	At   time.Duration
	Step string
	Note
}

// Phase returns the first phase with a name.
func (h *History) Phase(name string) (Span, bool) {
	for _, p := range h.Phases {
		if p.Name == name {
			return p, true
		}
	}
	return Span{}, false
}
