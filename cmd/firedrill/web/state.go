package web

import (
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/cmd/firedrill/live"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// How much of the past a page shows.
const (
	mostPoints = 300 // seconds
	mostNotes  = 200
	mostSpans  = 50
)

// state is what a page is sent. Times are in milliseconds since the run began.
type state struct {
	Title    string  `json:"title"`
	At       int64   `json:"at"`
	Over     bool    `json:"over"` // the run has ended
	Outcome  string  `json:"outcome,omitempty"`
	Scenario string  `json:"scenario,omitempty"` // "" between scenarios
	Phase    string  `json:"phase,omitempty"`
	Next     string  `json:"next,omitempty"` // what the person at the keys is asked
	Hidden   bool    `json:"hidden"`         // what comes next and what is live is not shown
	Acts     bool    `json:"acts"`           // this page has the token
	Faults   []fault `json:"faults"`         // that are live
	Spans    []span  `json:"spans"`          // of faults, for the charts
	Points   []point `json:"points"`
	Stop     []meter `json:"stop"`
	Notes    []note  `json:"notes"` // the latest last
}

// fault is a live fault.
type fault struct {
	Sentence string `json:"sentence"`
	By       string `json:"by,omitempty"`
	Since    int64  `json:"since"`
	Ends     int64  `json:"ends,omitempty"` // 0: when it is healed
	Affected int64  `json:"affected"`
	Seen     int64  `json:"seen"`
	Unit     string `json:"unit"`
}

// span is the time during which a fault was live; To is 0 while it is.
type span struct {
	From int64 `json:"from"`
	To   int64 `json:"to,omitempty"`
	id   string
}

// point is a second of figures.
type point struct {
	At       int64   `json:"at"`
	Rate     float64 `json:"rate"`
	P50      float64 `json:"p50"` // milliseconds, like P99
	P99      float64 `json:"p99"`
	Ended    int     `json:"ended"`
	Good     int     `json:"good"`
	Fallback int     `json:"fallback"`
	Errors   int     `json:"errors"`
	Retries  int     `json:"retries"`
}

// meter is how near a stop rule is.
type meter struct {
	Rule string `json:"rule"`
	Now  string `json:"now,omitempty"`
	Held int64  `json:"held"`
	For  int64  `json:"for"`
}

// note is what a person or the runner noted.
type note struct {
	At   int64  `json:"at"`
	By   string `json:"by,omitempty"`
	Kind string `json:"kind,omitempty"`
	Text string `json:"text"`
}

// course is the run so far.
type course struct {
	title  string
	run    live.State
	next   string // what the person at the keys is asked
	spans  []span
	points []point
	notes  []note
}

func newCourse(title string) *course {
	return &course{title: title, spans: []span{}, points: []point{}, notes: []note{}} // a page needs lists, and no null
}

func (c *course) event(e journal.Event) {
	scenario := c.run.Name
	c.run.Event(e)
	c.follow(e.At.Milliseconds())
	switch {
	case e.Tick != nil:
		t := e.Tick
		c.points = appendMost(c.points, point{e.At.Milliseconds(), t.Rate, milliseconds(t.P50), milliseconds(t.P99), t.Ended, t.Good, t.Fallback, t.Errors, t.Retries}, mostPoints)
	case e.Note != nil:
		c.notes = appendMost(c.notes, note{e.At.Milliseconds(), journal.Visible(e.Note.By), e.Note.Kind, journal.Visible(e.Note.Text)}, mostNotes)
	case e.End != nil && e.Scenario != "":
		c.notes = appendMost(c.notes, note{At: e.At.Milliseconds(), Text: journal.Visible(scenario) + ": " + e.End.Outcome}, mostNotes)
	case e.End != nil:
		c.next = ""
	}
}

// follow ends the spans of faults that are not live any more, and begins those of new ones.
func (c *course) follow(at int64) {
	for i, s := range c.spans {
		if s.To == 0 && !slices.ContainsFunc(c.run.Faults, func(f *live.Fault) bool { return f.ID == s.id }) {
			c.spans[i].To = at
		}
	}
	for _, f := range c.run.Faults {
		if !slices.ContainsFunc(c.spans, func(s span) bool { return s.id == f.ID && s.To == 0 }) {
			c.spans = appendMost(c.spans, span{From: f.Since.Milliseconds(), id: f.ID}, mostSpans)
		}
	}
}

// state returns what a page shows.
func (c *course) state() state {
	r := &c.run
	s := state{
		Title: journal.Visible(c.title), At: r.Now().Milliseconds(), Over: r.Over, Outcome: r.Outcome, Scenario: journal.Visible(r.Name), Phase: r.Phase,
		Next: c.next, Faults: []fault{}, Spans: c.spans, Points: c.points, Stop: []meter{}, Notes: c.notes,
	}
	for _, f := range r.Faults {
		affected, seen := f.Met()
		s.Faults = append(s.Faults, fault{
			journal.Visible(f.First.Sentence), journal.Visible(f.First.By), f.Since.Milliseconds(), f.Ends().Milliseconds(), affected, seen, f.First.Unit,
		})
	}
	for _, m := range r.Tick.Stop {
		s.Stop = append(s.Stop, meter{journal.Visible(m.Rule), journal.Visible(m.Now), m.Held.Milliseconds(), m.For.Milliseconds()})
	}
	return s
}

// told are the kinds of notes that do not say what is injected.
var told = []string{"note", "finding", "detected", "mitigated", "heal", "hold", "released", "abort"}

// hide returns the state for those who must not know what comes next, nor what is live. It changes the lists of s that
// course.state has made.
func (s state) hide() state {
	s.Hidden, s.Next = true, ""
	if s.Scenario != "" {
		s.Scenario = "a scenario"
	}
	for i, f := range s.Faults {
		s.Faults[i] = fault{Sentence: "a fault", Since: f.Since}
	}
	for i, m := range s.Stop { // what is watched may be what the fault breaks
		s.Stop[i] = meter{Rule: "a stop rule", Held: m.Held, For: m.For}
	}
	s.Notes = slices.DeleteFunc(slices.Clone(s.Notes), func(n note) bool { return n.By == "" || !slices.Contains(told, n.Kind) })
	return s
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// appendMost appends an element, and drops the first ones beyond a number.
func appendMost[T any](all []T, one T, most int) []T {
	all = append(all, one)
	return all[max(0, len(all)-most):]
}
