package check

import (
	"fmt"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Fallback passes if at least Ratio of the responses are fallbacks. It is inconclusive if a fault was injected and
// more than half of Ratio were fallbacks before it.
type Fallback struct {
	Ratio  float64
	Route  string
	Mark   Mark // the zero value is the one of the system file
	Window journal.Window
}

// Judge implements Check.
func (c Fallback) Judge(h *journal.History) Verdict {
	expected := "at least " + percent(c.Ratio) + " fallbacks"
	t, v, ok := requests(h, c.Route, c.Window, expected)
	if !ok {
		return v
	}
	v = Verdict{Observed: observed(t.Fallback, t.Sent), Expected: expected, Window: c.Window, Evidence: first(t.Seqs)}
	if t.Sent < minRequests {
		v.Doubt = codes.TooFewRequests.Message(tooFew(t, c.Route, c.Window, minRequests))
		return v
	}
	if c.Window != journal.Before && len(h.Faults) > 0 {
		if b := h.Total(journal.Before, c.Route); float64(b.Fallback) > c.Ratio/2*float64(b.Sent) {
			v.Doubt = codes.NotComparable.Msgf("%s of the responses%s were fallbacks before the fault, too: later fallbacks prove nothing", ratio(b.Fallback, b.Sent), of(c.Route))
			return v
		}
	}
	reason := fmt.Sprintf("only %s of %s responses%s carried %q%s", Count(t.Fallback), Count(t.Sent), of(c.Route), c.Mark.Text, c.Mark.where())
	if len(t.Errors) > 0 {
		reason += "; others failed: " + topErrors(t.Errors)
	}
	return verdict(float64(t.Fallback) >= c.Ratio*float64(t.Sent)-1e-9, v, "%s", reason)
}

func (c Fallback) scope() (string, journal.Window) { return c.Route, c.Window }

// String implements Check.
func (c Fallback) String() string {
	return fmt.Sprintf("at least %s of %sresponses are fallbacks%s%s", percent(c.Ratio), quotedRoute(c.Route), c.Mark, when(c.Window))
}

// Mark is what marks a response as a fallback.
type Mark struct {
	Text   string // a header, such as "X-Degraded: true", or a field of the JSON body, such as "order.estimated: true"
	InBody bool
}

func (m Mark) where() string {
	if m.InBody {
		return " in the body"
	}
	return ""
}

// String returns the part of the sentence that names the mark.
func (m Mark) String() string {
	if m.InBody {
		return fmt.Sprintf(", marked by %q in the body", m.Text)
	}
	return fmt.Sprintf(", marked by header %q", m.Text)
}

// Kind implements Check.
func (c Fallback) Kind() Kind {
	return Kind{Name: "fallback", About: AboutRequests, ByLoad: " are fallbacks", Means: "share of responses that carry the mark; inconclusive where they did in the baseline",
		Needs:    Needs{Load: true, Route: c.Route, Window: c.Window, Requests: minRequests, Fallback: true, Mark: c.Mark},
		Complete: func(s Settings) Check { c.Mark = s.Mark; return c },
		Sentences: []Sentence{{
			Pattern: `at least {percent} of( {route}) responses are fallbacks(, marked by header {text})( {when})`,
			Means:   "degraded answers that say so; the system file may name the header once",
			Examples: []string{
				`at least 80% of "GET /recs" responses are fallbacks, marked by header "X-Degraded: true" during the fault`,
				`at least 80% of responses are fallbacks during the fault`,
			},
			Check: func(a Args) Check {
				return Fallback{Ratio: a.PositiveRatio(0), Route: a.Route(1), Mark: Mark{Text: a.Header(2)}, Window: a.Window(3)}
			},
		}, {
			Name:     "fallback in the body",
			Pattern:  `at least {percent} of( {route}) responses are fallbacks, marked by {text} in the body( {when})`,
			Means:    "the same with a field of the JSON body, by its path, and its value",
			Examples: []string{`at least 80% of "POST /v1/checkout" responses are fallbacks, marked by "tax_estimated: true" in the body`},
			Check: func(a Args) Check {
				return Fallback{Ratio: a.PositiveRatio(0), Route: a.Route(1), Mark: Mark{a.Field(2), true}, Window: a.Window(3)}
			},
		}}}
}
