package check

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// MutualExclusion passes if no holder acquired a lock while another held it, as a source of the system lists: a table, or
// a log that holders write. Times are those of the source; its writers need one clock, as on one machine, and it is that
// of the runner, too. A holder that neither released the lock nor lost it holds it to the end.
//
// The source shows what holders believed, so that one that was paused beyond its lease, and did not notice, held the lock
// together with the next one. A lock that is checked with a fencing token where it matters lists as held only what its
// token allowed.
//
// The source may list what happened before the scenario. Such acquisitions do not count. If one has no end, its holder
// may be gone, so that a later acquisition by another holder is inconclusive. So is one after a fault that may have ended
// the earlier holder, such as a crash of a service, if that holder lists nothing more of this holding.
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
	all := holdings(l.Events, h.Began)
	violations, doubts := overlaps(h, all)
	held := slices.DeleteFunc(all, func(one holding) bool { return one.from < h.Began })
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
	case len(violations) > 0:
		v.Details = violations[:min(10, len(violations))]
		return verdict(false, v, "%s times, the lock %q was acquired while another one held it: %s", Count(len(violations)), c.Lock, violations[0])
	case len(doubts) > 0:
		v.Details = doubts[:min(10, len(doubts))]
		v.Doubt = codes.Undecided.Message(doubts[0])
	case len(holders) < 2:
		v.Doubt = codes.NotExercised.Msgf("%s lists %s holders of the lock %q in this scenario: without two of them there is no contention", strconv.Quote(c.Source), Count(len(holders)), c.Lock)
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
	from, to time.Duration   // to is forever if it did not end
	ended    bool            // the source lists its end; if not, but to is known, its holder acquired the lock again then
	again    bool            // its holder acquired the lock again: the source lists no end of its previous holding
	shown    []time.Duration // when its holder acquired or renewed it
}

func (o holding) String() string {
	if !o.ended {
		return fmt.Sprintf("%q since %+.3fs", o.holder, o.from.Seconds())
	}
	return fmt.Sprintf("%q from %+.3fs to %+.3fs", o.holder, o.from.Seconds(), o.to.Seconds())
}

// lastShown returns when the holder last acquired or renewed the lock, not later than at. The holding began by then.
func (o holding) lastShown(at time.Duration) time.Duration {
	return o.shown[max(0, sort.Search(len(o.shown), func(i int) bool { return o.shown[i] > at })-1)]
}

// holdings pairs the events of a lock, in the order of acquisition. began is when the scenario began. An acquisition by a
// holder that holds the lock already is a renewal, unless another one acquired the lock in between or the scenario began:
// its process may be another one. An end without an acquisition, as of a lock that was held before the list begins, is left
// out.
func holdings(events []journal.LockEvent, began time.Duration) []holding {
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b journal.LockEvent) int { return cmp.Compare(a.At, b.At) })
	var holders []string
	byHolder := map[string][]journal.LockEvent{}
	for _, e := range events {
		if byHolder[e.Holder] == nil {
			holders = append(holders, e.Holder)
		}
		byHolder[e.Holder] = append(byHolder[e.Holder], e)
	}
	var all []holding
	for _, holder := range holders {
		all = append(all, holdingsOf(byHolder[holder])...)
	}
	slices.SortStableFunc(all, func(a, b holding) int { return cmp.Compare(a.from, b.from) })
	merged := all[:0]
	for _, o := range all {
		if n := len(merged); o.again && merged[n-1].holder == o.holder && (merged[n-1].from >= began || o.from < began) {
			last := &merged[n-1]
			last.to, last.ended, last.shown = o.to, o.ended, append(last.shown, o.shown...)
			continue
		}
		merged = append(merged, o)
	}
	return merged
}

// holdingsOf pairs the events of one holder, which are sorted by time. The order of those at the same time is not known:
// they are paired so that acquisitions and ends alternate, and an acquisition may end at the time at which it began.
func holdingsOf(events []journal.LockEvent) []holding {
	var all []holding
	holds := false // the last one has not ended
	var n int
	for ; len(events) > 0; events = events[n:] {
		at := events[0].At
		if n = slices.IndexFunc(events, func(e journal.LockEvent) bool { return e.At != at }); n < 0 {
			n = len(events)
		}
		acquired, ended := 0, 0
		for _, e := range events[:n] {
			switch {
			case e.Ends:
				ended++
			case !e.Renews:
				acquired++
			}
		}
		if !holds && acquired == 0 && ended < n { // it was acquired before the list begins
			acquired = 1
		}
		after := holdsAfter(holds, acquired, ended, events[:n], events[n:])
		again := false
		if holds {
			last := &all[len(all)-1]
			if ended == 0 && acquired == 0 {
				last.shown = append(last.shown, at)
				continue
			}
			again = ended == 0
			last.to, last.ended = at, !again
			ended = max(0, ended-1)
		}
		if after {
			acquired--
		}
		one := holding{holder: events[0].Holder, from: at, to: at, ended: true, shown: []time.Duration{at}}
		for range min(acquired, ended) {
			all = append(all, one)
		}
		if after {
			one.to, one.ended, one.again = forever, false, again
			all = append(all, one)
		}
		holds = after
	}
	return all
}

// holdsAfter reports whether a holder holds the lock after the events that it has at one time. If these can be a renewal
// and an end as well as an end and another acquisition, its next event decides, and then the order of the source.
func holdsAfter(before bool, acquired, ended int, now, next []journal.LockEvent) bool {
	if before {
		acquired++
	}
	switch {
	case ended == 0:
		return true
	case acquired <= ended:
		return false
	case len(next) > 0 && next[0].Ends:
		return true
	}
	return !now[len(now)-1].Ends
}

// overlaps describes the acquisitions of a lock while another holder held it, and those of which that is not known.
// Holdings of which one begins when the other one ends do not overlap: the lock may have been handed over.
func overlaps(h *journal.History, all []holding) (violations, doubts []string) {
	var live []int // the holdings that have not ended
	for i, later := range all {
		live = slices.DeleteFunc(live, func(at int) bool { return all[at].to <= later.from })
		for _, at := range live {
			earlier := all[at]
			if earlier.from == later.from && later.to == later.from {
				continue
			}
			if later.from < h.Began && !(earlier.ended && later.ended && min(earlier.to, later.to) > h.Began) {
				continue // not shown to last into the scenario
			}
			if doubt := earlier.doubt(h, later); doubt != "" {
				doubts = append(doubts, doubt)
			} else {
				violations = append(violations, fmt.Sprintf("%s, while %s held it", later, earlier))
			}
		}
		live = append(live, i)
	}
	return violations, doubts
}

// doubt returns why it is not known whether a holder still held the lock when another one acquired it, or "" if it is. A
// renewal or an end that is listed later shows that it did.
func (o holding) doubt(h *journal.History, other holding) string {
	if o.ended || o.shown[len(o.shown)-1] > other.from {
		return ""
	}
	shown := o.lastShown(other.from)
	if shown < h.Began {
		return fmt.Sprintf("%q acquired the lock before this scenario, and the list shows no end of that before %q acquired it at %+.3fs: list the end also when a holder is stopped, or empty the list before a run", o.holder, other.holder, other.from.Seconds())
	}
	for _, in := range h.Faults {
		if interrupts(in, shown, other.from) {
			return fmt.Sprintf("%q acquired the lock at %+.3fs, and the list shows no end of that before %q acquired it at %+.3fs: its holder may have crashed or hung (%s); let the next holder list the old one as expired", o.holder, o.from.Seconds(), other.holder, other.from.Seconds(), in.Stated())
		}
	}
	return ""
}

// interrupts reports whether a fault crashed, stopped or hung a service between two moments. A series of crashes lasts
// from the first to the last.
func interrupts(in *journal.Injection, from, to time.Duration) bool {
	acted := max(in.Injected, in.Live, in.Last)
	if in.Live == 0 {
		acted = max(acted, in.Healed) // it failed, as a stop that the service did not follow
	}
	return !strings.Contains(in.On, " -> ") && in.Stage != "skipped" && in.Injected <= to && acted >= from
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
			Means: "a source of the system file, or a route: its key is the lock, its id the holder, its value acquired, renewed or released (or lost, or expired), and its field \"seq\" the time, in RFC 3339 or as a Unix time; " +
				"a field \"lock\" names the lock again",
			Examples: []string{`at most one holder of the lock "leader" at a time, as "lock log" lists`},
			Check:    func(a Args) Check { return MutualExclusion{Lock: a.Name(0), Source: a.EffectSource(1)} },
		}}}
}
