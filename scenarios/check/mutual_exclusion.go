package check

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// MutualExclusion passes if no holder acquired a lock while another held it, as a source of the system lists: a table, or
// a log that holders write. Times are those of the source; its writers need one clock, as on one machine. A holder that
// neither released the lock nor lost it holds it to the end.
//
// The source shows what holders believed, so that one that was paused beyond its lease, and did not notice, held the lock
// together with the next one. A lock that is checked with a fencing token where it matters lists as held only what its
// token allowed.
//
// It is inconclusive if there was no contention: fewer than two holders, or none that acquired the lock during the fault.
type MutualExclusion struct{ Lock, Source string }

// Judge implements Check.
func (c MutualExclusion) Judge(h *journal.History) Verdict {
	const expected = "one holder at a time"
	i := slices.IndexFunc(h.Locks, func(l journal.Lock) bool { return l.Name == c.Lock && l.Source == c.Source })
	if i < 0 {
		return inconclusive(expected, "", codes.Unfinished, "the holders of the lock were not read")
	}
	l := h.Locks[i]
	held, overlaps := holdings(l.Events)
	holders := map[string]bool{}
	during := 0
	injected, healed, fault := h.FaultSpan()
	for _, one := range held {
		holders[one.holder] = true
		if one.from >= injected && one.from <= healed {
			during++
		}
	}
	v := Verdict{Observed: fmt.Sprintf("%s holders acquired it %s times, %s during the fault", Count(len(holders)), Count(len(held)), Count(during)), Expected: expected, Evidence: seq(h, "lock", i)}
	switch {
	case l.Error != "": // a release may not have been read
		v.Doubt = codes.EffectsUnknown.Message(l.Error)
	case len(overlaps) > 0:
		v.Details = overlaps[:min(10, len(overlaps))]
		return verdict(false, v, "%s times, the lock %q was acquired while another one held it: %s", Count(len(overlaps)), c.Lock, overlaps[0])
	case len(holders) < 2:
		v.Doubt = codes.NotExercised.Msgf("%s lists %s holders of the lock %q: without two of them there is no contention", strconv.Quote(c.Source), Count(len(holders)), c.Lock)
	case fault && during == 0:
		v.Doubt = codes.NotExercised.Msgf("no holder acquired the lock %q during the fault: its effect is not known; let it last longer than holders keep the lock", c.Lock)
	case len(held) < leastCompared:
		v.Doubt = codes.TooFewRequests.Msgf("the lock %q was acquired only %d times, and at least %d are needed", c.Lock, len(held), leastCompared)
	default:
		v.Outcome = Passed
	}
	return v
}

// holding is a time in which a lock was held.
type holding struct {
	holder   string
	from, to time.Duration // to is forever if it did not end
}

func (o holding) String() string {
	if o.to == forever {
		return fmt.Sprintf("%q since +%.3fs", o.holder, o.from.Seconds())
	}
	return fmt.Sprintf("%q from +%.3fs to +%.3fs", o.holder, o.from.Seconds(), o.to.Seconds())
}

// holdings pairs the events of a lock, and describes the acquisitions while another one held it. An acquisition by who
// holds the lock already is a renewal. An end without an acquisition, as of a lock that was held before, is left out.
func holdings(events []journal.LockEvent) (all []holding, overlaps []string) {
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b journal.LockEvent) int { // at the same time, ends come first
		switch {
		case a.At != b.At || a.Ends == b.Ends:
			return cmp.Compare(a.At, b.At)
		case a.Ends:
			return -1
		}
		return 1
	})
	live := map[string]int{} // index of the holding, by holder
	type pair struct{ earlier, later int }
	var both []pair
	for _, e := range events {
		at, holds := live[e.Holder]
		switch {
		case e.Ends && holds:
			all[at].to = e.At
			delete(live, e.Holder)
		case !e.Ends && !holds:
			for _, other := range live {
				both = append(both, pair{other, len(all)})
			}
			live[e.Holder] = len(all)
			all = append(all, holding{e.Holder, e.At, forever})
		}
	}
	slices.SortFunc(both, func(a, b pair) int { return cmp.Or(a.later-b.later, a.earlier-b.earlier) })
	for _, p := range both {
		overlaps = append(overlaps, fmt.Sprintf("%s, while %s held it", all[p.later], all[p.earlier]))
	}
	return all, overlaps
}

func (c MutualExclusion) String() string {
	return fmt.Sprintf("at most one holder of the lock %q at a time, as %q lists", c.Lock, c.Source)
}

// Kind implements Check.
func (c MutualExclusion) Kind() Kind {
	return Kind{Name: "mutual exclusion", About: AboutLocks, Means: "a lock is not acquired while another one holds it; inconclusive without contention during the fault", Invariant: true,
		Needs: Needs{Load: true, Lock: c},
		Sentences: []Sentence{{
			Pattern: `at most one holder of the lock {text} at a time, as {effects} lists`,
			Means: "a source of the system file, or a route: its key is the lock, its id the holder, its value acquired or released (or lost, or expired), and its field \"seq\" the time, in RFC 3339 or as a Unix time; " +
				"a field \"lock\" names the lock again",
			Examples: []string{`at most one holder of the lock "leader" at a time, as "lock log" lists`},
			Check:    func(a Args) Check { return MutualExclusion{Lock: a.Name(0), Source: a.EffectSource(1)} },
		}}}
}
