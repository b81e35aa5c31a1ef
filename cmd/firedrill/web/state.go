package web

import (
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// How much of the past a page shows.
const (
	mostPoints = 300 // seconds
	mostNotes  = 200
	mostSpans  = 50
)

// state is what the page shows. Times are in milliseconds since the run began.
type state struct {
	Title    string  `json:"title"`
	At       int64   `json:"at"`
	Over     bool    `json:"over"` // the run has ended
	Outcome  string  `json:"outcome,omitempty"`
	Scenario string  `json:"scenario,omitempty"` // "" between scenarios
	Phase    string  `json:"phase,omitempty"`
	Next     string  `json:"next,omitempty"` // what the person at the keys is asked
	Hidden   bool    `json:"hidden"`         // what comes next and what is live is not shown
	Acts     bool    `json:"acts"`           // this page may write notes, heal and abort
	Faults   []fault `json:"faults"`         // that are live
	Spans    []span  `json:"spans"`          // of faults, for the charts
	Points   []point `json:"points"`
	Stop     []meter `json:"stop"`
	Notes    []note  `json:"notes"` // the latest last

	names map[string]string // of scenarios, by ID
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

	id    string
	parts map[string]journal.Fault // of a partition, by ID; those that are not healed
}

// span is the time during which a fault was live; To is 0 while it is.
type span struct {
	From int64 `json:"from"`
	To   int64 `json:"to,omitempty"`
	id   string
}

// point is a second of figures.
type point struct {
	At      int64   `json:"at"`
	Rate    float64 `json:"rate"`
	P50     float64 `json:"p50"` // milliseconds, like P99
	P99     float64 `json:"p99"`
	Ended   int     `json:"ended"`
	Good    int     `json:"good"`
	Errors  int     `json:"errors"`
	Retries int     `json:"retries"`
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

func newState(title string) *state {
	return &state{Title: journal.Visible(title), Faults: []fault{}, Spans: []span{}, Points: []point{}, Stop: []meter{}, Notes: []note{}, names: map[string]string{}}
}

func (s *state) event(e journal.Event) {
	s.At = max(s.At, e.At.Milliseconds())
	switch {
	case e.Begin != nil:
		s.names[e.Scenario] = journal.Visible(e.Begin.Name)
		s.Scenario, s.Faults, s.Stop = s.names[e.Scenario], []fault{}, []meter{}
	case e.Phase != nil:
		s.Phase = e.Phase.Name
	case e.Fault != nil:
		s.fault(*e.Fault, e.At)
	case e.Tick != nil:
		s.tick(*e.Tick, e.At)
	case e.Note != nil:
		s.Notes = appendMost(s.Notes, note{e.At.Milliseconds(), journal.Visible(e.Note.By), e.Note.Kind, journal.Visible(e.Note.Text)}, mostNotes)
	case e.End != nil && e.Scenario != "":
		s.Notes = appendMost(s.Notes, note{At: e.At.Milliseconds(), Text: s.names[e.Scenario] + ": " + e.End.Outcome}, mostNotes)
		s.Scenario, s.Phase, s.Stop = "", "", []meter{}
	case e.End != nil:
		s.Over, s.Outcome, s.Next = true, e.End.Outcome, ""
	}
}

func (s *state) tick(t journal.Tick, at time.Duration) {
	s.Phase = t.Phase
	s.Points = appendMost(s.Points, point{at.Milliseconds(), t.Rate, milliseconds(t.P50), milliseconds(t.P99), t.Ended, t.Good, t.Errors, t.Retries}, mostPoints)
	s.Stop = []meter{}
	for _, m := range t.Stop {
		s.Stop = append(s.Stop, meter{journal.Visible(m.Rule), journal.Visible(m.Now), m.Held.Milliseconds(), m.For.Milliseconds()})
	}
}

// fault follows the life of a fault. The links of a partition are one fault.
func (s *state) fault(f journal.Fault, at time.Duration) {
	id := journal.FaultID(f.ID)
	i := slices.IndexFunc(s.Faults, func(f fault) bool { return f.id == id })
	switch {
	case f.Stage == "live" && i < 0:
		live := fault{Sentence: journal.Visible(f.Sentence), By: journal.Visible(f.By), Since: at.Milliseconds(), Unit: f.Unit, id: id, parts: map[string]journal.Fault{f.ID: f}}
		if f.Requested > 0 {
			live.Ends = (at + f.Requested).Milliseconds()
		}
		s.Faults = append(s.Faults, live)
		s.Spans = appendMost(s.Spans, span{From: live.Since, id: id}, mostSpans)
	case (f.Stage == "live" || f.Stage == "counted") && i >= 0:
		s.Faults[i].parts[f.ID] = f
		s.Faults[i].count()
	case f.Stage == "healed" && i >= 0:
		if delete(s.Faults[i].parts, f.ID); len(s.Faults[i].parts) > 0 {
			return
		}
		s.Faults = slices.Delete(s.Faults, i, i+1)
		for j := range s.Spans {
			if s.Spans[j].id == id && s.Spans[j].To == 0 {
				s.Spans[j].To = at.Milliseconds()
			}
		}
	}
}

func (f *fault) count() {
	f.Affected, f.Seen = 0, 0
	for _, p := range f.parts {
		f.Affected, f.Seen = f.Affected+p.Affected, f.Seen+p.Seen
	}
}

// told are the kinds of notes that do not say what is injected.
var told = []string{"note", "finding", "detected", "mitigated", "heal", "hold", "released", "abort"}

// hide returns the state for those who must not know what comes next, nor what is live.
func (s state) hide() state {
	s.Hidden, s.Next = true, ""
	if s.Scenario != "" {
		s.Scenario = "a scenario"
	}
	s.Faults = slices.Clone(s.Faults)
	for i, f := range s.Faults {
		s.Faults[i] = fault{Sentence: "a fault", Since: f.Since}
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
