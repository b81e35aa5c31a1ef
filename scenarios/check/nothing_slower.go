package check

import (
	"cmp"
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// NothingSlower passes if no request takes longer than Than, including its retries. An excess of up to a tenth or
// 50 ms, whichever is more, is ignored. The check passes only if at least 90% of the requests were answered as
// expected and a request could have taken longer.
type NothingSlower struct {
	Than   time.Duration
	Route  string
	Window journal.Window
}

// bound returns how long a request may take before it violates the check.
func (c NothingSlower) bound() time.Duration { return c.Than + tolerance(c.Than) }

// Judge implements Check.
func (c NothingSlower) Judge(h *journal.History) Verdict {
	expected := "none above " + Duration(c.Than)
	t, v, ok := requests(h, c.Route, c.Window, expected)
	all := journal.Merge(t.Latency, t.Waits) // requests in flight at healing took at least as long as they had waited by then
	slowest := journal.Quantile(all, 100)
	var over int64
	for _, b := range all {
		if b.Up > c.bound() {
			over += b.N
		}
	}
	if !ok && over == 0 {
		return v
	}
	v = Verdict{Observed: "slowest " + duration(slowest), Expected: expected, Window: c.Window, Evidence: first(t.Seqs)}
	switch {
	case over > 0:
	case t.Sent < minRequests:
		v.Doubt = codes.TooFewRequests.Message(tooFew(t, c.Route, c.Window, minRequests))
	default:
		v.Doubt = cmp.Or(mostlyFailed(t, c.Route, c.Window), limitUnreachable(h, c.Window, c.bound(), slowest))
	}
	if !v.Doubt.None() {
		return v
	}
	return verdict(over == 0, v, "%s of %s requests%s took longer, the slowest %s", Count(over), Count(journal.Count(all)), of(c.Route), duration(slowest))
}

func (c NothingSlower) scope() (string, journal.Window) { return c.Route, c.Window }

// String implements Check.
func (c NothingSlower) String() string {
	return fmt.Sprintf("no %srequest takes longer than %s%s", quotedRoute(c.Route), Duration(c.Than), when(c.Window))
}

// Kind implements Check.
func (c NothingSlower) Kind() Kind {
	return Kind{Name: "nothing slower", About: AboutLatency, ByLoad: " takes longer", Means: "the slowest request, its repetitions included", Timed: true, Unharmed: true,
		Needs: Needs{Load: true, Route: c.Route, Window: c.Window, Requests: minRequests, Limit: c.bound()},
		Sentences: []Sentence{{
			Pattern:  `no( {route}) request takes longer than {duration}( {when})`,
			Means:    "retries included",
			Examples: []string{`no request takes longer than 2s`, `no "GET /catalog" request takes longer than 500ms during the fault`},
			Check:    func(a Args) Check { return NothingSlower{Route: a.Route(0), Than: a.Duration(1), Window: a.Window(2)} },
		}}}
}
