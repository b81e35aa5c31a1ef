package check

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// dead turns a run into one of a system that does nothing any more from the fault on: no request is answered and nothing
// is called, and probes get no answer.
func (s scenario) dead() {
	since := 6 * time.Second
	for i := range s.Samples {
		x := &s.Samples[i]
		if x.From < since {
			continue
		}
		x.OK, x.Fallback, x.Refused, x.Rejections, x.Ambiguous = 0, 0, 0, nil, x.Sent
		x.Errors, x.Good = map[string]int{"timeout": x.Sent}, nil
		x.Latency = []journal.Bucket{{Up: time.Second, N: int64(x.Sent)}}
	}
	s.removeCalls(journal.During)
	s.removeCalls(journal.After)
	s.Load.Patience = time.Second
	s.Operations, s.Seqs["operation"] = nil, nil
	s.Probes, s.Pairs, s.Sums, s.Locks = nil, nil, nil, nil
	s.Agreements[0].Error = "no answer"
	for i := range s.Observations {
		if o := &s.Observations[i]; o.Asked > since {
			o.Yes, o.Value, o.Unanswered = false, nil, "timeout"
		}
	}
	s.eachRequest(func(i int, r *journal.Request) { r.Window = journal.Before })
	s.more(30, journal.Before)
	for i := range 30 {
		s.addRequest(fmt.Sprint("d", i), "ambiguous", 0)
		s.request(s.Requests.Len()-1, func(r *journal.Request) {
			r.Window, r.Due, r.Attempts[0].At = journal.During, 7*time.Second, 7*time.Second
		})
	}
}

// refusing is dead, except that each request is refused at once, as by a gateway that knows of nothing behind it.
func (s scenario) refusing() {
	sums, agreements := s.Sums, slices.Clone(s.Agreements)
	s.dead()
	s.Sums, s.Agreements = sums, agreements
	for i := range s.Samples {
		x := &s.Samples[i]
		if x.Window == journal.Before {
			continue
		}
		x.Ambiguous, x.Refused, x.Errors = 0, x.Sent, map[string]int{"status 429": x.Sent}
		x.Latency = []journal.Bucket{{Up: ms, N: int64(x.Sent)}}
		x.Rejections = []journal.Rejection{{Status: 429, RetryAfter: x.Sent, Took: x.Latency}}
	}
	s.eachRequest(func(_ int, r *journal.Request) {
		if r.Window == journal.During {
			r.Outcome = "refused"
		}
	})
}

// TestDeadSystems: a check that passes although the system is dead from the fault on says so in its row, so that a
// scenario with no other checks proves nothing. A scenario whose checks pass as well if every request is refused is warned
// of.
func TestDeadSystems(t *testing.T) {
	for _, k := range kindsByName() {
		p, ok := violations[k.Name]
		if !ok || k.Implied {
			continue
		}
		s := soundFor(k.Name)
		s.dead()
		v := Ask(p.check, s.History)
		require.True(t, v.Outcome != Passed || k.Idle, "%s passes with a dead system: set Idle", k.Name)
		s = soundFor(k.Name)
		s.refusing()
		v = Ask(p.check, s.History)
		assert.True(t, v.Outcome != Passed || k.Idle || k.Refusing, "%s passes with a system that refuses everything: set Refusing", k.Name)
		require.False(t, k.Refusing && v.Outcome != Passed, "%s: %s %s", k.Name, v.Outcome, v.Reason)
	}
}
