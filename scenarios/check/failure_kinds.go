package check

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// FailureKinds passes if all requests that failed did so in one of Kinds, and each kind stays within its share of all
// requests. Requests that were not answered before healing count as timed out.
type FailureKinds struct {
	Kinds  []FailureLimit
	Window journal.Window
}

// FailureLimit is a kind of failure and the share of the requests that may fail so. Names are "status 503", "error WRONGTYPE"
// (of a load that is not HTTP) and those of failureKinds.
type FailureLimit struct {
	Name   string
	AtMost float64
}

// failureKinds maps the kinds of failure in sentences, in the order of problems, to those of the journal.
var failureKinds = []struct{ name, kind string }{
	{"timed out", "timeout"}, {"refused", "refused"}, {"reset", "reset"}, {"closed", "closed"}, {"unreachable", "unreachable"},
	{"truncated answer", "truncated answer"}, {"malformed answer", "malformed answer"}, {"TLS failure", "TLS failure"}, {"other error", "other error"},
}

// failureName returns the name of a kind of error of the journal in sentences.
func failureName(kind string) string {
	if kind == journal.UnansweredAtHealing {
		kind = "timeout"
	}
	for _, k := range failureKinds {
		if k.kind == kind {
			return k.name
		}
	}
	return kind
}

// Judge implements Check.
func (c FailureKinds) Judge(h *journal.History) Verdict {
	expected := c.limits()
	t, v, ok := requests(h, "", c.Window, expected)
	if !ok {
		return v
	}
	counts, failed := map[string]int{}, 0
	for kind, n := range t.Errors {
		counts[failureName(kind)] += n
		failed += n
	}
	v = Verdict{Observed: "no failures of " + Count(t.Sent) + " requests", Expected: expected, Window: c.Window, Evidence: first(t.Seqs)}
	var kinds, wrong []string
	certain := false // a violation that too few requests do not explain
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		n, limit := counts[name], 0.0
		i := slices.IndexFunc(c.Kinds, func(k FailureLimit) bool { return k.Name == name })
		if i >= 0 {
			limit = c.Kinds[i].AtMost
		}
		kinds = append(kinds, name+" "+observed(n, t.Sent))
		switch {
		case i < 0:
			wrong, certain = append(wrong, fmt.Sprintf("%s request%s%s failed as %q, which is not listed", Count(n), plural(n), when(c.Window), name)), true
		case float64(n) > limit*float64(t.Sent)+1e-9:
			wrong = append(wrong, fmt.Sprintf("%s of %s requests%s failed as %q, above %s", Count(n), Count(t.Sent), when(c.Window), name, percent(limit)))
			certain = certain || binomialTail(n, t.Sent, limit) <= alphaFailed
		}
	}
	if failed > 0 {
		v.Observed = strings.Join(kinds, "; ")
	}
	if t.Sent < minRequests && !certain {
		v.Doubt = codes.TooFewRequests.Message(tooFew(t, "", c.Window, minRequests))
		return v
	}
	return verdict(len(wrong) == 0, v, "%s", strings.Join(wrong, "; ")+unexpected(h))
}

// limits lists the kinds with their limits.
func (c FailureKinds) limits() string {
	var all []string
	for _, k := range c.Kinds {
		all = append(all, fmt.Sprintf("%s at most %s", k.Name, percent(k.AtMost)))
	}
	return strings.Join(all, ", ")
}

func (c FailureKinds) scope() (string, journal.Window) { return "", c.Window }

// String implements Check. The table is not part of it; verdicts list its rows as what is expected.
func (c FailureKinds) String() string {
	return "failures are only of these kinds" + when(c.Window) + ":"
}

// Kind implements Check.
func (c FailureKinds) Kind() Kind {
	return Kind{Name: "failure kinds", About: AboutRequests, ByLoad: " are only", Means: "requests fail in no other way than listed, and in each way no more often", Unharmed: true,
		Idle: slices.ContainsFunc(c.Kinds, func(k FailureLimit) bool { return k.AtMost == 1 }), // all may fail that way
		CannotFail: func(Drill) string {
			for _, k := range c.Kinds {
				if k.AtMost >= 1 {
					return fmt.Sprintf("all requests may fail as %q, so that this kind of failure never counts; write a share below 100%%", k.Name)
				}
			}
			return ""
		},
		Needs: Needs{Load: true, Window: c.Window, Requests: minRequests},
		Sentences: []Sentence{{
			Pattern:  `failures are only of these kinds( {when}):`,
			Means:    "a table: kind (status 503, error WRONGTYPE, timed out, refused, reset, closed, ...) | at most (a share of all requests)",
			Examples: []string{`failures are only of these kinds during the fault:`},
			Table:    true,
			Check:    func(a Args) Check { return FailureKinds{Kinds: failureLimits(a), Window: a.Window(0)} },
		}}}
}

// failureLimits reads the table of the sentence.
func failureLimits(a Args) (all []FailureLimit) {
	for _, row := range a.Rows("kind", "at most") {
		name := row.Cell("kind")
		switch {
		case !knownFailure(name):
			var names []string
			for _, k := range failureKinds {
				names = append(names, k.name)
			}
			row.Problem("kind", codes.UnknownName.Msgf("there is no kind of failure %q", name), "write a status, such as status 503, or one of: "+strings.Join(names, ", ")+"; or, of a load that is not HTTP, the word of its answer: error WRONGTYPE")
		case slices.ContainsFunc(all, func(k FailureLimit) bool { return k.Name == name }):
			row.Problem("kind", codes.Duplicate.Msgf("%q stands there twice", name), "leave one of them out")
		}
		all = append(all, FailureLimit{Name: name, AtMost: row.Ratio("at most")})
	}
	return all
}

func knownFailure(name string) bool {
	if word, ok := strings.CutPrefix(name, "error "); ok { // an answer of a load that is not HTTP
		return word != "" && !strings.Contains(word, " ")
	}
	if text, ok := strings.CutPrefix(name, "status "); ok {
		status, err := strconv.Atoi(text)
		return err == nil && status >= 100 && status <= 599
	}
	for _, k := range failureKinds {
		if k.name == name {
			return true
		}
	}
	return false
}
