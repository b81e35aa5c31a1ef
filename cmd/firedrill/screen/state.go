package screen

import (
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// state is what the events of a run say about now.
type state struct {
	width, height int // of the terminal; 0 before it is known
	at            time.Duration
	heard         time.Time // when the event at that time arrived; zero before the first
	over          bool      // the run has ended

	phase      string // "" before the scenario
	phaseBegan time.Duration
	tick       journal.Tick
	faults     []*fault // that are live, in order
	injected   map[string]bool
	links      []journal.Link
	calls      map[string]journal.Calls // by link: of its latest slice
}

// fault is a live fault, with the counters of its parts.
type fault struct {
	id    string
	first journal.Fault
	parts map[string]journal.Fault // by ID; those that are not healed
}

func newState() state {
	return state{injected: map[string]bool{}, calls: map[string]journal.Calls{}}
}

// next returns the state before a scenario.
func (s *state) next() state {
	n := newState()
	n.width, n.height, n.at, n.heard, n.over = s.width, s.height, s.at, s.heard, s.over
	return n
}

// now returns the time since the run began. Between events it goes on by itself.
func (s *state) now() time.Duration {
	if s.heard.IsZero() || s.over {
		return s.at
	}
	return s.at + time.Since(s.heard)
}

func (s *state) event(e journal.Event) {
	if e.At >= s.now() || s.heard.IsZero() {
		s.at, s.heard = e.At, time.Now()
	}
	switch {
	case e.Begin != nil:
		*s = s.next()
		s.links = e.Begin.Links
	case e.Phase != nil:
		s.phase, s.phaseBegan = e.Phase.Name, e.At
	case e.Fault != nil:
		s.fault(e.Fault)
	case e.Calls != nil:
		s.count(e.Calls)
	case e.Tick != nil:
		s.tick = *e.Tick
	case e.End != nil && e.Scenario == "":
		s.over = true
	}
}

// count adds the calls of a slice, of which there may be several events. A call that ends late belongs to an earlier
// slice, and is left out.
func (s *state) count(slice *journal.Calls) {
	c, known := s.calls[slice.Link]
	switch {
	case !known || slice.From > c.From:
		c = *slice
	case slice.From == c.From:
		c.To = max(c.To, slice.To)
		c.Calls, c.Affected, c.Failed, c.GaveUp, c.Refused = c.Calls+slice.Calls, c.Affected+slice.Affected, c.Failed+slice.Failed, c.GaveUp+slice.GaveUp, c.Refused+slice.Refused
	}
	s.calls[slice.Link] = c
}

// lately returns the calls of a link in its latest slice, or none if that ended seconds ago: a link without calls has no
// slices.
func (s *state) lately(l journal.Link) journal.Calls {
	c := s.calls[l.From+" -> "+l.To]
	if s.now()-c.To > 3*time.Second {
		return journal.Calls{}
	}
	return c
}

// fault follows the life of a fault. The links of a partition are one fault.
func (s *state) fault(f *journal.Fault) {
	id := journal.FaultID(f.ID)
	s.injected[id] = true
	i := slices.IndexFunc(s.faults, func(f *fault) bool { return f.id == id })
	switch f.Stage {
	case "live":
		if i < 0 {
			s.faults, i = append(s.faults, &fault{id: id, first: *f, parts: map[string]journal.Fault{}}), len(s.faults)
		}
		s.faults[i].parts[f.ID] = *f
	case "counted":
		if i >= 0 {
			s.faults[i].parts[f.ID] = *f
		}
	case "healed":
		if i < 0 {
			return
		}
		if delete(s.faults[i].parts, f.ID); len(s.faults[i].parts) == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
	}
}

// met returns how many units of the live parts were seen, and affected.
func (f *fault) met() (affected, seen int64) {
	for _, p := range f.parts {
		affected, seen = affected+p.Affected, seen+p.Seen
	}
	return affected, seen
}

// acts reports whether the fault acts on a link or, on one of its services.
func (f *fault) acts(l journal.Link) bool {
	for _, p := range f.parts {
		if p.On == l.From+" -> "+l.To || p.On == l.To+" -> "+l.From || p.On == l.To {
			return true
		}
	}
	return false
}
