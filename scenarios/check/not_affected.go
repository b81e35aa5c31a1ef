package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// NotAffected passes if the route does no worse during the fault than in the baseline, according to compare. A
// fallback does not count as success here: a client that gets one is affected.
type NotAffected struct{ Route string }

// Judge implements Check.
func (c NotAffected) Judge(h *journal.History) Verdict {
	const expected = "success within 0.5 points and latency within a tenth (or 5ms) of the baseline"
	t, v, ok := requests(h, c.Route, journal.During, expected)
	if !ok {
		return v
	}
	v = Verdict{Expected: expected, Window: journal.During, Evidence: first(t.Seqs)}
	before, during := c.side(h, journal.Before, false), c.side(h, journal.During, false)
	if t.Sent < minRequests || before.Sent < minRequests {
		v.Doubt = codes.TooFewRequests.Msgf("%s requests before and %s during the fault are too few to compare: at least %d each are needed", Count(before.Sent), Count(t.Sent), minRequests)
		return v
	}
	got := compare(before, during)
	if len(t.Waits) > 0 && got.Outcome != Failed {
		if atLeast := compare(before, c.side(h, journal.During, true)); atLeast.Outcome == Failed || got.Outcome == Passed {
			got = atLeast
		}
	}
	if got.Outcome == Passed {
		limit := steadyLimit(journal.Quantile(journal.Merge(before.Latency...), 95))
		if reason := cmp.Or(inFlight(t, 95, limit), coldStart(h, c.Route, 95)); !reason.None() {
			got = got.inconclusive(reason)
		}
	}
	v.Outcome, v.Observed, v.Reason, v.Doubt = got.Outcome, got.Observed, got.Reason, got.Doubt
	if v.Outcome == Failed {
		v.Reason = fmt.Sprintf("%q: %s%s", c.Route, v.Reason, because(t.Errors)+waited(t))
		if t.Fallback > 0 {
			v.Reason += fmt.Sprintf("; %s were fallbacks", Count(t.Fallback))
		}
	}
	return v
}

// side returns the side of a comparison for a window; see latencies.
func (c NotAffected) side(h *journal.History, w journal.Window, waits bool) side {
	t := h.Total(w, c.Route)
	return side{Sent: t.Sent, OK: t.OK, Latency: latencies(h, c.Route, w, waits)}
}

// latencies returns the latencies of a window and a route, one histogram for each slice of time; an empty route
// means all routes. If waits is set, requests in flight at healing are included with the time that they had
// waited.
func latencies(h *journal.History, route string, w journal.Window, waits bool) (all [][]journal.Bucket) {
	at := map[time.Duration]int{}
	for _, x := range h.Samples {
		if x.Paused || x.Window == journal.Warmup || route != "" && x.Route != route {
			continue
		}
		latency := x.Latency
		if waits && x.Window == journal.AtHealing {
			latency = x.Waited
		} else if w != "" && x.Window != w {
			continue
		}
		if i, ok := at[x.From]; ok { // late results belong to the same slice: as a slice of their own they would look like a stall
			all[i] = journal.Merge(all[i], latency)
			continue
		}
		at[x.From] = len(all)
		all = append(all, latency)
	}
	return all
}

// addRemainder adds to the last slice the values of the whole window that no slice has: of the requests in flight
// at healing, those that count (see journal.History.Total).
func addRemainder(all [][]journal.Bucket, whole []journal.Bucket) [][]journal.Bucket {
	have := map[time.Duration]int64{}
	for _, b := range journal.Merge(all...) {
		have[b.Up] = b.N
	}
	var rest []journal.Bucket
	for _, b := range whole {
		if n := b.N - have[b.Up]; n > 0 {
			rest = append(rest, journal.Bucket{Up: b.Up, N: n})
		}
	}
	if len(all) == 0 {
		return [][]journal.Bucket{rest}
	}
	last := len(all) - 1
	return append(slices.Clone(all[:last]), journal.Merge(all[last], rest))
}

func (c NotAffected) scope() (string, journal.Window) { return c.Route, journal.During }

// String implements Check.
func (c NotAffected) String() string {
	return fmt.Sprintf("%q is not affected by the fault", c.Route)
}

// Kind implements Check.
func (c NotAffected) Kind() Kind {
	return Kind{Name: "not affected", About: AboutRequests, ByLoad: " is not affected", Means: "success and latency of a route are no worse than in the baseline, by statistical tests", Timed: true, Unharmed: true, Reference: beforeTheFault,
		Needs: Needs{Load: true, Baseline: true, Route: c.Route, Window: journal.During, Requests: minRequests},
		Sentences: []Sentence{{
			Pattern:  `{route} is not affected by the fault`,
			Means:    "no worse than in the baseline: success within 0.5 points, latency within a tenth or 5ms, as a statistical test decides",
			Examples: []string{`"GET /catalog" is not affected by the fault`},
			Check:    func(a Args) Check { return NotAffected{Route: a.Route(0)} },
		}}}
}
