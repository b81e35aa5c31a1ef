// Package live computes the current state of a running run from its events: phase, figures, live faults and calls of links.
package live

import (
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// State is what the events of a run say about now. One scenario runs at a time. The zero value is the state before the
// first event.
type State struct {
	Over     bool   // the run has ended
	Outcome  string // of the run; "" before its end
	Scenario        // that runs; the zero value between scenarios

	at    time.Duration
	heard time.Time // when the event at that time arrived; zero before the first
}

// Scenario is the state of a scenario.
type Scenario struct {
	Name       string
	Links      []journal.Link
	Phase      string // "" before the first
	PhaseBegan time.Duration
	Tick       journal.Tick // the latest one
	Faults     []*Fault     // that are live, in order
	Injected   []string     // IDs of the faults that are or were live, or are about to be

	calls map[string]journal.Calls // by link: of its latest slice
}

// Fault is a live fault. The links of a partition are one fault.
type Fault struct {
	ID    string
	Since time.Duration
	First journal.Fault // when it became live; of a partition, that of its first link

	parts map[string]journal.Fault // by ID; those that are not healed, with their counters
}

// Now returns the time since the run began. Between events it goes on by itself.
func (s *State) Now() time.Duration {
	if s.heard.IsZero() || s.Over {
		return s.at
	}
	return s.at + time.Since(s.heard)
}

// Event adds an event. Events have to arrive in the order of the journal.
func (s *State) Event(e journal.Event) {
	if e.At >= s.Now() || s.heard.IsZero() {
		s.at, s.heard = e.At, time.Now()
	}
	switch {
	case e.Begin != nil:
		s.Scenario = Scenario{Name: e.Begin.Name, Links: e.Begin.Links}
	case e.Phase != nil:
		s.Phase, s.PhaseBegan = e.Phase.Name, e.At
	case e.Fault != nil:
		s.fault(*e.Fault, e.At)
	case e.Calls != nil:
		s.count(*e.Calls)
	case e.Tick != nil:
		s.Tick = *e.Tick
	case e.End != nil:
		s.Scenario = Scenario{}
		if e.Scenario == "" {
			s.Over, s.Outcome = true, e.End.Outcome
		}
	}
}

// count adds the calls of a slice, of which there may be several events. A call that ends late belongs to an earlier
// slice, and is left out.
func (s *Scenario) count(slice journal.Calls) {
	c, known := s.calls[slice.Link]
	switch {
	case !known || slice.From > c.From:
		c = slice
	case slice.From == c.From:
		c.To = max(c.To, slice.To)
		c.Calls, c.Affected, c.Failed, c.GaveUp, c.Refused = c.Calls+slice.Calls, c.Affected+slice.Affected, c.Failed+slice.Failed, c.GaveUp+slice.GaveUp, c.Refused+slice.Refused
	}
	if s.calls == nil {
		s.calls = map[string]journal.Calls{}
	}
	s.calls[slice.Link] = c
}

// Lately returns the calls of a link in its latest slice, or none if that ended seconds ago: a link without calls has no
// slices.
func (s *State) Lately(l journal.Link) journal.Calls {
	c := s.calls[l.From+" -> "+l.To]
	if s.Now()-c.To > 3*time.Second {
		return journal.Calls{}
	}
	return c
}

// fault follows the life of a fault.
func (s *Scenario) fault(f journal.Fault, at time.Duration) {
	id := journal.FaultID(f.ID)
	if !slices.Contains(s.Injected, id) {
		s.Injected = append(s.Injected, id)
	}
	i := slices.IndexFunc(s.Faults, func(f *Fault) bool { return f.ID == id })
	switch {
	case f.Stage == "live" && i < 0:
		s.Faults = append(s.Faults, &Fault{ID: id, Since: at, First: f, parts: map[string]journal.Fault{f.ID: f}})
	case (f.Stage == "live" || f.Stage == "counted") && i >= 0:
		s.Faults[i].parts[f.ID] = f
	case f.Stage == "healed" && i >= 0:
		if delete(s.Faults[i].parts, f.ID); len(s.Faults[i].parts) == 0 {
			s.Faults = slices.Delete(s.Faults, i, i+1)
		}
	}
}

// Ends returns the time at which the fault is healed by itself, or 0 if it is live until it is healed.
func (f *Fault) Ends() time.Duration {
	if f.First.Requested == 0 {
		return 0
	}
	return f.Since + f.First.Requested
}

// Met returns how many units of the live parts were seen, and affected.
func (f *Fault) Met() (affected, seen int64) {
	for _, p := range f.parts {
		affected, seen = affected+p.Affected, seen+p.Seen
	}
	return affected, seen
}

// ActsOn reports whether the fault acts on a link, or on one of its services.
func (f *Fault) ActsOn(l journal.Link) bool {
	for _, p := range f.parts {
		if p.On == l.From+" -> "+l.To || p.On == l.To+" -> "+l.From || p.On == l.To {
			return true
		}
	}
	return false
}
