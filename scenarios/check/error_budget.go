package check

import (
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// ErrorBudget passes if the requests that failed spend at most Spend of the error budget of Days days. The budget is the
// number of requests that may fail in that time without violating Objective, at the mean rate of the run:
//
//	budget = (1 - Objective) x mean rate x Days
//	spend  = failed requests / budget
//
// This equals burn rate x duration of the run / period, with the burn rate of The Site Reliability Workbook, chapter 5,
// "Alerting on SLOs" (https://sre.google/workbook/alerting-on-slos/). The run is its load from the baseline to the end.
type ErrorBudget struct {
	Spend     float64 // 0..1
	Days      float64
	Objective float64 // 0..1
}

// Judge implements Check.
func (c ErrorBudget) Judge(h *journal.History) Verdict {
	expected := "at most " + percent(c.Spend)
	t, v, ok := requests(h, "", "", expected)
	if !ok {
		return v
	}
	took := windowLength(h, func(w journal.Window) bool { return w != journal.Warmup })
	if took == 0 {
		return inconclusive(expected, "", codes.Unfinished, "it is not known how long the load ran")
	}
	failed := t.Sent - h.Good(t)
	budget := (1 - c.Objective) * float64(t.Sent) / took.Seconds() * c.period().Seconds()
	lower, upper := RatioInterval(failed, t.Sent)
	part := func(n float64) string { return share(n / budget) }
	v = Verdict{
		Observed: fmt.Sprintf("%s (%s: %s of %s requests failed in %s, and the budget is %s)",
			part(float64(failed)), interval(part(lower*float64(t.Sent)), part(upper*float64(t.Sent))), Count(failed), Count(t.Sent), duration(took), Count(int64(budget+0.5))),
		Expected: expected, Evidence: first(t.Seqs),
	}
	if most := float64(t.Sent) / budget; most <= c.Spend {
		v.Doubt = codes.TooShort.Msgf("all requests together, of %s, are %s of the budget: more cannot be spent in so short a run", duration(took), share(most))
		return v
	}
	if t.Sent < minRequests {
		v.Doubt = codes.TooFewRequests.Message(tooFew(t, "", "", minRequests))
		return v
	}
	return verdict(float64(failed) <= c.Spend*budget+1e-9, v, "%s of %s requests failed%s", Count(failed), Count(t.Sent), because(t.Errors)+unexpected(h))
}

func (c ErrorBudget) period() time.Duration { return time.Duration(c.Days * 24 * float64(time.Hour)) }

func (c ErrorBudget) scope() (string, journal.Window) { return "", "" }

// String implements Check.
func (c ErrorBudget) String() string {
	return fmt.Sprintf("the run spends at most %s of the %s-day error budget of a %s objective", percent(c.Spend), number(c.Days), percent(c.Objective))
}

// Kind implements Check.
func (c ErrorBudget) Kind() Kind {
	return Kind{Name: "error budget", About: AboutRequests, ByLoad: " spends", Means: "failed requests, as a part of those that may fail in so many days at the rate of the run", Unharmed: true,
		Needs: Needs{Load: true, Requests: minRequests, Outage: time.Duration(c.Spend * (1 - c.Objective) * float64(c.period()))},
		Sentences: []Sentence{{
			Pattern:  `the run spends at most {percent} of the {number}-day error budget of a(n) {percent} objective`,
			Means:    "failed requests / ((1 - objective) x mean rate of the run x days): 5% of 30 days at 99.9% is an outage of 130s",
			Examples: []string{`the run spends at most 5% of the 30-day error budget of a 99.9% objective`},
			Check: func(a Args) Check {
				c := ErrorBudget{Spend: a.PositiveRatio(0), Days: a.Times(1), Objective: a.PositiveRatio(2)}
				if c.Objective == 1 {
					a.Problem(2, codes.CannotFail.Message("an objective of 100% has no error budget"), "write an objective below 100%, such as 99.9%")
				}
				return c
			},
		}}}
}
