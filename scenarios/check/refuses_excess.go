package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// RefusesExcess passes if at least 99% of the requests that did not succeed were refused with one of Statuses within
// Within, which is how long their last attempt took. All others count against it: time-outs, resets and other statuses.
// It is inconclusive if fewer than 20 requests were refused.
type RefusesExcess struct {
	Statuses   []int // ascending
	Within     time.Duration
	RetryAfter bool // the answer must carry a valid Retry-After header
	Window     journal.Window
}

// refusedShare is the share of requests without success that must be refused as stated.
const refusedShare = 0.99

// Judge implements Check.
func (c RefusesExcess) Judge(h *journal.History) Verdict {
	expected := fmt.Sprintf("at least %s of what does not succeed", percent(refusedShare))
	t, v, ok := requests(h, "", c.Window, expected)
	if !ok {
		return v
	}
	bad := t.Sent - t.OK - t.Fallback
	good, slow, bare := c.count(t)
	v = Verdict{Expected: expected, Window: c.Window, Evidence: first(t.Seqs)}
	if bad == 0 {
		v.Doubt = codes.NotExercised.Msgf("all %s requests%s succeeded, so nothing was refused: more load, or a fault that takes capacity away, would show it", Count(t.Sent), when(c.Window))
		return v
	}
	v.Observed = observed(good, bad)
	meets := float64(good) >= refusedShare*float64(bad)-1e-9
	if bad < minRequests && (meets || binomialTail(bad-good, bad, 1-refusedShare) > 0.001) {
		v.Doubt = codes.TooFewRequests.Msgf("only %s of %s requests%s did not succeed: at least %d are needed", Count(bad), Count(t.Sent), when(c.Window), minRequests)
		return v
	}
	reason := fmt.Sprintf("%s of %s requests without success%s were not refused as stated%s", Count(bad-good), Count(bad), when(c.Window), because(t.Errors))
	if slow > 0 {
		reason += fmt.Sprintf("; %s were refused later than %s", Count(slow), Duration(c.Within))
	}
	if bare > 0 {
		reason += fmt.Sprintf("; %s were refused without a Retry-After header", Count(bare))
	}
	return verdict(meets, v, "%s", reason+waited(t))
}

// count counts the requests that were refused as stated, those that were refused too late, and those without the
// Retry-After header that is asked for. An answer can be late and without it: at most that many are as stated.
func (c RefusesExcess) count(t journal.Totals) (good, slow, bare int) {
	for _, r := range t.Rejections {
		if !slices.Contains(c.Statuses, r.Status) {
			continue
		}
		all, inTime := 0, 0
		for _, b := range r.Took {
			all += int(b.N)
			if b.Up <= c.Within+c.Within/resolution {
				inTime += int(b.N)
			}
		}
		slow += all - inTime
		if c.RetryAfter {
			bare += all - r.RetryAfter
			inTime = min(inTime, r.RetryAfter)
		}
		good += inTime
	}
	return good, slow, bare
}

func (c RefusesExcess) scope() (string, journal.Window) { return "", c.Window }

// String implements Check.
func (c RefusesExcess) String() string {
	header := ""
	if c.RetryAfter {
		header = " and a Retry-After header"
	}
	return fmt.Sprintf("excess requests are refused within %s with status %q%s%s", Duration(c.Within), statusList(c.Statuses), header, when(c.Window))
}

// statusList formats statuses: "429 or 503".
func statusList(statuses []int) string {
	var all []string
	for _, s := range statuses {
		all = append(all, strconv.Itoa(s))
	}
	return strings.Join(all, " or ")
}

// Kind implements Check.
func (c RefusesExcess) Kind() Kind {
	return Kind{Name: "refuses excess", About: AboutRequests, Means: "load shedding: of the requests without success, 99% are refused quickly; time-outs count against it; inconclusive where nothing was refused", Timed: true, Refusing: true,
		Needs:    Needs{Load: true, Window: c.Window, Requests: minRequests, Statuses: true},
		Untested: c.noExcess,
		Sentences: []Sentence{{
			Pattern:  `excess requests are refused within {duration} with status {text}( and a Retry-After header)( {when})`,
			Means:    "of the requests without success, 99% get one of these statuses in this time; time-outs and other errors count against it",
			Examples: []string{`excess requests are refused within 50ms with status "429 or 503"`, `excess requests are refused within 50ms with status "429" and a Retry-After header during the fault`},
			Check: func(a Args) Check {
				return RefusesExcess{Within: a.Duration(0), Statuses: a.Statuses(1), RetryAfter: a.Says(" and a Retry-After header"), Window: a.Window(2)}
			},
		}}}
}

// noExcess returns why there are no excess requests.
func (c RefusesExcess) noExcess(d Drill) string {
	if len(d.Faults) > 0 || d.Rises {
		return ""
	}
	return "no fault is injected and the load does not rise, so that no request is in excess; raise it: When the load changes from 100 to 500 requests per second over 30s"
}
