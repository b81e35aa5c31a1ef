package check

import (
	"fmt"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Success passes if at least Ratio of the requests succeed, by the scenario's definition of success.
type Success struct {
	Ratio  float64
	Route  string // "" means all routes
	Window journal.Window
}

// minRequests is how many requests a check of a share or a time needs to pass.
const minRequests = 20

// Judge implements Check. With fewer than 20 requests the check cannot pass. It still fails if a system that just
// meets Ratio would have so many failures in fewer than one of a thousand samples.
func (c Success) Judge(h *journal.History) Verdict {
	expected := "at least " + percent(c.Ratio)
	t, v, ok := requests(h, c.Route, c.Window, expected)
	if !ok {
		return v
	}
	good := h.Good(t)
	v = Verdict{Observed: observed(good, t.Sent), Expected: expected, Window: c.Window, Evidence: first(t.Seqs)}
	if t.InFlight > 0 {
		v.Observed += fmt.Sprintf("; %s more were in flight at healing and are counted separately", Count(t.InFlight))
	}
	meets := float64(good) >= c.Ratio*float64(t.Sent)-1e-9
	if t.Sent < minRequests && (meets || binomialTail(t.Sent-good, t.Sent, 1-c.Ratio) > 0.001) {
		v.Doubt = codes.TooFewRequests.Message(tooFew(t, c.Route, c.Window, minRequests))
		return v
	}
	reason := fmt.Sprintf("%s of %s requests%s did not succeed%s", Count(t.Sent-good), Count(t.Sent), of(c.Route), when(c.Window))
	reason += because(t.Errors) + waited(t)
	if !h.FallbackIsSuccess && t.Fallback > 0 {
		reason += fmt.Sprintf("; %s were fallbacks, which count as success only if a step defines it", Count(t.Fallback))
	}
	if t.FirstBad > 0 {
		reason += fmt.Sprintf("; the first was due at +%.2fs", t.FirstBad.Seconds())
	}
	return verdict(meets, v, "%s", reason+unexpected(h))
}

// waited describes how long the requests had waited that were not answered before healing: they may have succeeded
// after it.
func waited(t journal.Totals) string {
	if t.Unanswered == 0 {
		return ""
	}
	waits := duration(t.UnansweredTo)
	if least := duration(t.UnansweredFrom); least != waits {
		waits = least + " to " + waits
	}
	return fmt.Sprintf("; those not answered before healing had waited for %s by then, while the slowest success otherwise took %s", waits, duration(t.Usual))
}

// tooFew returns the reason of a check that has too few requests.
func tooFew(t journal.Totals, route string, w journal.Window, least int) string {
	s := fmt.Sprintf("%s request%s%s%s are too few: at least %s are needed", Count(t.Sent), plural(t.Sent), of(route), when(w), Count(least))
	if t.InFlight > 0 {
		s += fmt.Sprintf("; %s more were in flight when the fault was healed: a fault that lasts longer than clients wait would show their outcome", Count(t.InFlight))
	}
	return s
}

func (c Success) scope() (string, journal.Window) { return c.Route, c.Window }

// String implements Check.
func (c Success) String() string {
	if c.Ratio == 1 {
		return "every " + quotedRoute(c.Route) + "request succeeds" + when(c.Window)
	}
	return "at least " + percent(c.Ratio) + " of " + quotedRoute(c.Route) + "requests succeed" + when(c.Window)
}

// requests returns the totals of a window and a route. If there are no requests, it returns false and a verdict
// with the reason.
func requests(h *journal.History, route string, w journal.Window, expected string) (journal.Totals, Verdict, bool) {
	if (w == journal.During || w == journal.After) && len(h.Faults) == 0 {
		return journal.Totals{}, inconclusive(expected, w, codes.NoFaultInjected, "no fault was injected"), false
	}
	t := h.Total(w, route)
	if t.Sent == 0 && t.InFlight > 0 {
		return t, inconclusive(expected, w, codes.TooFewRequests, "%s", tooFew(t, route, w, minRequests)), false
	}
	if t.Sent == 0 {
		return t, inconclusive(expected, w, codes.TooFewRequests, "no request%s was sent%s", of(route), when(w)), false
	}
	return t, Verdict{}, true
}

// Kind implements Check.
func (c Success) Kind() Kind {
	return Kind{Name: "success", About: AboutRequests, ByLoad: " succeed", Means: "share of requests that got the expected answer", Unharmed: true,
		CannotFail: func(d Drill) string {
			if c.Window == journal.Before && c.Ratio <= d.Success {
				return fmt.Sprintf("with a success of less than %s before the fault, nothing is injected and no check counts; ask about the time during the fault", percent(d.Success))
			}
			return ""
		},
		Needs: Needs{Load: true, Route: c.Route, Window: c.Window, Requests: minRequests},
		Sentences: []Sentence{{
			Pattern:  `at least {percent} of requests succeed( {when})`,
			Means:    "the expected status came (any 2xx); fallbacks count only where a sentence or the system says so",
			Examples: []string{`at least 99% of requests succeed during the fault`, `at least 99.9% of requests succeed`, `at least 99% of requests of the "browsing" load succeed during the fault`},
			Check:    func(a Args) Check { return Success{Ratio: a.PositiveRatio(0), Window: a.Window(1)} },
		}, {
			Name:     "success of a route",
			Pattern:  `at least {percent} of {route} requests succeed( {when})`,
			Means:    "the same, of one route",
			Examples: []string{`at least 99.9% of "GET /catalog" requests succeed after healing`},
			Check:    func(a Args) Check { return Success{Ratio: a.PositiveRatio(0), Route: a.Route(1), Window: a.Window(2)} },
		}, {
			Name:     "every success",
			Pattern:  `every request succeeds( {when})`,
			Means:    "the same as at least 100%",
			Examples: []string{`every request succeeds`, `every request succeeds during the fault`},
			Check:    func(a Args) Check { return Success{Ratio: 1, Window: a.Window(0)} },
		}, {
			Name:     "every success of a route",
			Pattern:  `every {route} request succeeds( {when})`,
			Means:    "the same, of one route",
			Examples: []string{`every "GET /catalog" request succeeds after healing`},
			Check:    func(a Args) Check { return Success{Ratio: 1, Route: a.Route(0), Window: a.Window(1)} },
		}}}
}
