package journal

import "time"

// Book is a whole run: the fold of its journal.
type Book struct {
	Run       Run
	Scenarios []*History // in order of Begin
	End       *End       // nil when the run was killed
	Broken    string     // why reading ended early ("line 812: unexpected end of JSON"); empty when whole
}

// History is all that is known of one scenario. It is read-only to checks and reports.
type History struct {
	Begin
	Began, Ended time.Duration // Ended is the last event's time when End is nil
	Phases       []Span        // in order
	Faults       []*Injection  // in order of injection
	Samples      []Sample      // by From, then Route
	Calls        []Calls       // by From, then Link
	Load         *Load
	Requests     []Request
	Probes       []Probe
	Effects      []Effect
	EffectsRead  *Effects
	Messages     []Message // the first 10,000; Dropped counts the rest
	Dropped      int
	Processes    []TimedProcess
	Books        []Books
	Traffic      []Traffic // of each link, in order of the system; empty when the run was killed
	Losses       []Loss    // one for each link of datagrams
	Ticks        []TimedTick
	Notes        []TimedNote
	Verdicts     []Verdict
	End          *End
	Seqs         map[string][]uint64 // evidence: payload name ("fault", "sample", "request", "effect", "calls", "load", "probe", "traffic") -> Seq, parallel to the slices above
}

// Span is a phase with its end.
type Span struct {
	Name     string
	From, To time.Duration
}

// Injection is one fault's life. Healed is 0 while it was never healed.
type Injection struct {
	Fault           // the last counters
	Step     string // file:line
	Injected time.Duration
	Healed   time.Duration
}

// TimedProcess is a Process event with its time; likewise TimedTick and TimedNote.
type TimedProcess struct {
	At time.Duration
	Process
}

// TimedTick is a Tick with its time.
type TimedTick struct {
	At time.Duration
	Tick
}

// TimedNote is a Note with its time.
type TimedNote struct {
	At   time.Duration
	Step string
	Note
}
