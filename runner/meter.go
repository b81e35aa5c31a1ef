package runner

import (
	"slices"
	"sync"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
)

// Meter returns what faults and links have counted while a run lasts, for example to export it as
// metrics. The zero value is ready for one run: set Options.Meter to its address.
type Meter struct {
	mu        sync.Mutex
	scenarios []metered // whose system came up, including ended ones
}

// metered is a scenario. A scenario that has ended is not held: its history may be large.
type metered struct {
	id     string
	counts func() Counts
}

// Counts are the counts of one scenario at one moment.
type Counts struct {
	Scenario string // its ID
	Faults   []FaultCounts
	Links    []LinkCounts // without links over UDP
}

// FaultCounts are the counts of one fault.
type FaultCounts struct {
	Fault string // its ID, such as "fault-1"
	Kind  string // such as "slow calls"
	On    string // the link or service
	Live  bool   // whether it is injected and not yet healed
	evidence.Tally
}

// LinkCounts are the counts of one link.
type LinkCounts struct {
	Link string // such as "orders -> payments"
	link.Counters
}

// Counts returns the counts of all scenarios whose system came up. Scenarios that have ended keep
// their last counts; one that is run again replaces its earlier counts. It may be called at any time
// and concurrently.
func (m *Meter) Counts() []Counts {
	m.mu.Lock()
	scenarios := slices.Clone(m.scenarios)
	m.mu.Unlock()
	var all []Counts
	for _, s := range scenarios {
		all = append(all, s.counts())
	}
	return all
}

// set sets what returns the counts of a scenario. A nil *Meter ignores it.
func (m *Meter) set(id string, counts func() Counts) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// Replaces an earlier attempt.
	m.scenarios = append(slices.DeleteFunc(m.scenarios, func(o metered) bool { return o.id == id }), metered{id, counts})
}

func (s *session) counts() Counts {
	s.mu.Lock()
	placed, live := slices.Clone(s.placed), slices.Clone(s.live)
	s.mu.Unlock()
	c := Counts{Scenario: s.e.ID}
	for _, in := range placed {
		t := in.count.Tally()
		t.Unit = in.unit
		c.Faults = append(c.Faults, FaultCounts{Fault: in.ID, Kind: in.Kind, On: in.on, Live: slices.Contains(live, in), Tally: t})
	}
	for _, l := range s.e.System.Links {
		if open := s.system.Links[l.Name()]; open != nil {
			c.Links = append(c.Links, LinkCounts{Link: l.Name(), Counters: open.Counters()})
		}
	}
	return c
}
