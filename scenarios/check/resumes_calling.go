package check

import (
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// ResumesCalling passes if, from Within after healing until the end of the load, From makes at least 80% of its normal
// calls to To again. Normal is what the requests of that time cause in the baseline.
//
// It is inconclusive if From did not call To in the baseline, if the load stopped or was too low, or if the calls did
// not fall during the fault, so that there was nothing to resume.
type ResumesCalling struct {
	From, To string
	Within   time.Duration
}

// Judge implements Check.
func (c ResumesCalling) Judge(h *journal.History) Verdict {
	expected := "80% of the normal calls after " + Duration(c.Within)
	_, healed, ok := h.FaultSpan()
	if !ok {
		return inconclusive(expected, journal.After, codes.NoFaultInjected, "no fault was injected")
	}
	link := c.From + " -> " + c.To
	perRequest, reason := callsPerRequest(h, link)
	if reason != "" {
		return inconclusive(expected, journal.After, codes.NotComparable, "%s", reason)
	}
	fault := callSlices(h, link, perRequest, 0, func(w journal.Window) bool { return w == journal.During || w == journal.AtHealing })
	if _, low := lastFall(fault); low.normal == 0 {
		return inconclusive(expected, journal.After, codes.NotExercised, "%q did not stop calling %q during the fault (%s), so there was nothing to resume", c.From, c.To, sum(fault).describe())
	}
	all := callSlices(h, link, perRequest, healed, func(w journal.Window) bool { return w == journal.After })
	late := 0 // the first slice that is judged
	for late < len(all) && all[late].from < healed+c.Within-time.Millisecond {
		late++
	}
	rest := sum(all[late:])
	v := Verdict{Expected: expected, Window: journal.After, Evidence: seqs(h, "calls")}
	from, low := resumed(all)
	switch {
	case from <= late && sum(all[from:]).normal < minRequests, from > late && rest.normal < minRequests:
		v.Doubt = codes.TooFewRequests.Msgf("after healing and %s the load would normally have caused %.0f calls: at least %d are needed, by more load", Duration(c.Within), rest.normal, minRequests)
		return v
	case from <= late:
		v.Observed = fmt.Sprintf("resumed after %s; then %s", duration(max(0, all[from].from-healed)), sum(all[from:]).describe())
		return verdict(true, v, "")
	}
	v.Observed = "not resumed; " + rest.describe()
	if from < len(all) {
		v.Observed = fmt.Sprintf("resumed after %s", duration(all[from].from-healed))
	}
	return verdict(false, v, "%q did not call %q as before: %s from +%.1fs", c.From, c.To, low.describe(), low.from.Seconds())
}

func (c ResumesCalling) scope() (string, journal.Window) { return "", journal.After }

// String implements Check.
func (c ResumesCalling) String() string {
	return fmt.Sprintf("%q resumes calling %q within %s of healing", c.From, c.To, Duration(c.Within))
}

// Kind implements Check.
func (c ResumesCalling) Kind() Kind {
	return Kind{Name: "resumes calling", About: AboutCalls, Means: "a circuit breaker closes in time: at least 80% of the normal calls until the load ends; inconclusive where the calls did not fall during the fault",
		Needs: Needs{Load: true, Baseline: true, Window: journal.After, From: c.From, To: c.To, Calls: true, Requests: minRequests, Recovery: c.Within},
		Sentences: []Sentence{{
			Pattern:  `{name} resumes calling {name} within {duration} of healing`,
			Means:    "a circuit breaker closes again: at least 80% of the normal calls until the load ends",
			Examples: []string{`"orders" resumes calling "payments" within 10s of healing`},
			Check:    func(a Args) Check { return ResumesCalling{From: a.Name(0), To: a.Name(1), Within: a.Duration(2)} },
		}}}
}
