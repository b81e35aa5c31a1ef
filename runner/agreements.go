package runner

import (
	"fmt"
	"slices"
	"sync"

	"github.com/firedrill-dev/firedrill/runner/internal/effects"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// agreement is a comparison of two sources of effects.
type agreement struct {
	scenarios.Agreement
	ledgers [2]*effects.Ledger
}

// agreementsBefore reads the effects that exist before the load in sources that have to agree. A list that cannot be read
// is reported now rather than after the run.
func (s *session) agreementsBefore() {
	for _, a := range s.e.Agreements {
		one := agreement{Agreement: a}
		for i, source := range a.Sources {
			reader, err := s.reader(source, "")
			one.ledgers[i] = effects.NewLedger(effects.Source{Reader: reader, Run: s.run.short + "-", Scenario: s.keyPrefix() + "-", Alone: s.e.System.Whole(), Values: true})
			if err == nil {
				err = s.retryRead(func() error { return one.ledgers[i].ReadBefore(s.ctx) })
			}
			if s.ctx.Err() != nil {
				return
			}
			if err != nil {
				s.fail(fmt.Errorf("read effects from %s before the load: %w", source.Name, err))
				return
			}
		}
		s.agreements = append(s.agreements, one)
	}
}

// startAgreements begins to compare sources after all faults were healed. It returns a function that waits for the end
// of that.
func (s *session) startAgreements() (wait func()) {
	var all sync.WaitGroup
	known := s.facts()
	for _, a := range s.agreements {
		all.Go(func() {
			fact := s.compare(a, known.Requests, known.Faults)
			s.recordStep(journal.Event{Agreement: &fact}, a.Step)
		})
	}
	return all.Wait
}

// compare reads two sources until the time of their agreement is over, and returns what they listed of the requests.
func (s *session) compare(a agreement, requests journal.RequestRows, faults []*journal.Injection) journal.Agreement {
	fact := journal.Agreement{Sources: [2]string{a.Sources[0].Name, a.Sources[1].Name}, Within: a.Within}
	for _, f := range faults {
		fact.Healed = max(fact.Healed, f.Healed)
	}
	for _, r := range journal.Packed(&requests) {
		if !r.Common.Reads {
			fact.Keys++
		}
	}
	var waits [2]*effects.Wait
	for i, l := range a.ledgers {
		waits[i] = l.NewWait(effects.Expected{Requests: requests, Faults: faults, Limit: a.Within, Stated: true}, s.now())
	}
	var before, last effects.Comparison
	same, readings, known := 0, 0, false
	for over := false; !over; {
		at := s.now()
		over = s.ctx.Err() != nil || at-fact.Healed >= a.Within+effects.ReadRetryLimit
		for _, w := range waits {
			w.ReadOnce(s.ctx, s.now())
		}
		before = last
		last, known = effects.Compare(&requests, waits)
		readings++
		fact.Last = at - fact.Healed
		if readings == 1 {
			fact.First = fact.Last
		}
		switch {
		case !known || len(last.Differs) > 0:
			same, fact.Since = 0, 0
		case same == 0:
			same, fact.Since = 1, fact.Last
		default:
			same++
		}
		took, left := s.now()-at, fact.Healed+a.Within-s.now()
		switch {
		case fact.Last >= a.Within && known && (same > 0 || len(before.Differs) > 0):
			over = true
		case left > 0 && same > 1:
			over = s.sleep(left, nil) != nil
		case left > 0:
			over = s.sleep(min(left, max(effects.MinReadInterval, a.Within/60, took)), nil) != nil
		default:
			over = over || s.sleep(effects.MinReadInterval, nil) != nil
		}
	}
	fact.Listed, fact.Valued = last.Listed, last.Valued
	if fact.Since == 0 && known {
		for _, i := range differing(before, last) {
			if fact.Differ++; fact.Differ <= 10 {
				d, _ := effects.Difference(requests.AppendKey(nil, i), waits)
				fact.Differs = append(fact.Differs, d)
			}
		}
	}
	fact.Error = s.unknownAgreement(fact, waits, known)
	return fact
}

// differing returns the requests that differ in both of the last two readings. Of one that differs in one of them only,
// the second source may have been read after its effect had appeared, and the first before.
func differing(before, last effects.Comparison) []int {
	return slices.DeleteFunc(last.Differs, func(i int) bool {
		_, also := slices.BinarySearch(before.Differs, i)
		return !also
	})
}

// unknownAgreement returns why it is not known what the sources list, or "".
func (s *session) unknownAgreement(fact journal.Agreement, waits [2]*effects.Wait, known bool) string {
	for i, w := range waits {
		read, _ := w.Result()
		switch {
		case s.ctx.Err() != nil:
			return "the run was interrupted before the sources were compared"
		case read.Error != "":
			return fmt.Sprintf("effects listed by %s cannot be judged: %s", fact.Sources[i], read.Error)
		case read.Doubt != "":
			return fmt.Sprintf("%s may list only a part of the effects: %s", fact.Sources[i], read.Doubt)
		}
	}
	if !known {
		return "the sources could not be read"
	}
	return ""
}
