package runner

import (
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/effects"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// readSum reads a sum, and reads again for a while after an error.
func (s *session) readSum(sum scenarios.Sum) (effects.Total, error) {
	url := s.system.Trust.URL(s.system.Addresses[sum.Service], sum.Path)
	for began := s.now(); ; {
		t, err := effects.ReadTotal(s.ctx, s.system.Trust, sum.Method, url, sum.Field)
		if err == nil || s.now()-began > effects.ReadRetryLimit || s.sleep(effects.MinReadInterval, nil) != nil {
			return t, err
		}
	}
}

// sumsBefore reads the sums that must stay the same. A sum that cannot be read is reported now rather than after the
// run.
func (s *session) sumsBefore() {
	for _, sum := range s.e.Sums {
		t, err := s.readSum(sum)
		if s.ctx.Err() != nil {
			return
		}
		if err != nil {
			s.record(journal.Event{Sum: &journal.Sum{Field: sum.Field, Source: sum.Source(), Error: err.Error()}})
			s.fail(fmt.Errorf("read the sum of %q from %s before the load: %w", sum.Field, sum.Source(), err))
			return
		}
		s.sums = append(s.sums, t)
	}
}

// sumsAfter reads the sums until they are as before, or until effects have had their time to settle.
func (s *session) sumsAfter() {
	ended := s.now()
	for i, before := range s.sums {
		sum := s.e.Sums[i]
		fact := s.settledSum(sum, before, ended+sum.Within())
		fact.Field, fact.Source, fact.Before, fact.ItemsBefore = sum.Field, sum.Source(), before.String(), before.Items
		s.record(journal.Event{Sum: &fact})
	}
}

// settledSum reads a sum until it is as before in two readings in a row, or until a limit.
func (s *session) settledSum(sum scenarios.Sum, before effects.Total, limit time.Duration) (fact journal.Sum) {
	last, err := s.readSum(sum)
	for err == nil {
		fact.Changing = true
		if s.sleep(effects.MinReadInterval, nil) != nil {
			break
		}
		var next effects.Total
		if next, err = s.readSum(sum); err != nil {
			break
		}
		fact.Changing = !next.SameValues(last)
		last = next
		if !fact.Changing && last.Sum.Cmp(before.Sum) == 0 || s.now() >= limit {
			break
		}
	}
	switch {
	case s.ctx.Err() != nil:
		fact.Error = "the run was interrupted before it was read"
	case err != nil:
		fact.Error = err.Error()
	default:
		fact.After, fact.ItemsAfter, fact.Moved = last.String(), last.Items, !last.SameValues(before)
	}
	return fact
}
