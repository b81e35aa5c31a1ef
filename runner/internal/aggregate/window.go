package aggregate

import (
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// span is the time of an injection: requested at from, live since live, healing since to. live and to
// are 0 until known.
type span struct{ from, live, to time.Duration }

// AddFault notes that a fault was requested at t. The returned functions record when it became live
// and when healing began.
func (a *Aggregator) AddFault(t time.Duration) (live, ended func(time.Duration)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &span{from: t}
	a.faults = append(a.faults, s)
	a.mark(t)
	recorder := func(at *time.Duration) func(time.Duration) {
		return func(t time.Duration) {
			a.mu.Lock()
			defer a.mu.Unlock()
			*at = t
			a.mark(t)
		}
	}
	return recorder(&s.live), recorder(&s.to)
}

// maxWindowGap is the longest gap between two faults that still form one fault window.
const maxWindowGap = 100 * time.Millisecond

// windows returns the fault windows so far, in order. Faults that overlap, or follow each other within
// maxWindowGap, form one window.
func (a *Aggregator) windows() []span {
	var all []span
	for _, s := range a.faults { // in order of injection
		n := len(all)
		switch {
		case n > 0 && s.from == all[n-1].from: // faults of one step: the window is live when all are
			all[n-1].live = max(all[n-1].live, s.live)
			if s.to == 0 {
				all[n-1].to = 0
			} else if all[n-1].to != 0 {
				all[n-1].to = max(s.to, all[n-1].to)
			}
		case n > 0 && all[n-1].to == 0:
		case n > 0 && s.from <= all[n-1].to+maxWindowGap:
			if s.to == 0 || s.to > all[n-1].to {
				all[n-1].to = s.to
			}
		default:
			all = append(all, *s)
		}
	}
	return all
}

// window returns the window of a request or call that lasted from due to end, as journal.Window
// defines it. If it was in flight when healing began, healed is that time; otherwise it is 0.
func (a *Aggregator) window(due, end time.Duration) (w journal.Window, healed time.Duration) {
	if due < a.baseline {
		return journal.Warmup, 0
	}
	w = journal.Before
	for _, s := range a.windows() {
		switch {
		case due >= s.from && s.to != 0 && due >= s.to:
			w = journal.After
		case end < s.from:
			return w, 0
		case s.live == 0 || due < s.live:
			return journal.AtInjection, 0
		case s.to != 0 && end > s.to:
			return journal.AtHealing, s.to
		default:
			return journal.During, 0
		}
	}
	return w, 0
}
