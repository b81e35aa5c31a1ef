package history

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Gate is a condition on the failures of a time, such as for handing a service over to those who will run it.
type Gate struct {
	Rule   string // as it was written
	Most   int    // failures that are allowed
	Runs   bool   // failed runs count, not failed drills
	Window time.Duration

	Least  int                  // how often each drill must have been judged in the window
	Gap    time.Duration        // the longest time without a judgement of a drill, from the start of the window until now
	Select func(*Scenario) bool // the drills that count; nil means all
}

// The outcomes of a gate.
const (
	Open      = "open"      // the condition holds
	Closed    = "closed"    // there were too many failures
	Undecided = "undecided" // too little is known: never taken for open
)

var gateRule = regexp.MustCompile(`^(?:fewer than ([0-9]+)|at most ([0-9]+)|(no)) failed (drill|run)s? in ([0-9]+) (hour|day|week)s?$`)

var gateUnits = map[string]time.Duration{"hour": time.Hour, "day": 24 * time.Hour, "week": 7 * 24 * time.Hour}

// ParseGate reads "fewer than 3 failed drills in 4 weeks": "fewer than N", "at most N" or "no", "drills" (each failure of a
// scenario counts) or "runs" (those in which some drill failed), and hours, days or weeks. Least is 5, and Gap a quarter
// of the window.
func ParseGate(rule string) (Gate, error) {
	m := gateRule.FindStringSubmatch(strings.ToLower(strings.Join(strings.Fields(rule), " ")))
	if m == nil {
		return Gate{}, fmt.Errorf(`%q is not understood: write "fewer than 3 failed drills in 4 weeks", "at most 1 failed run in 10 days" or "no failed drill in 36 hours"`, rule)
	}
	limit, err := strconv.Atoi(cmp.Or(m[1], m[2], "0"))
	n, err2 := strconv.Atoi(m[5])
	switch {
	case err != nil || limit > 1_000_000:
		return Gate{}, fmt.Errorf("%q: %s failures are more than a gate can count: at most 1000000", rule, cmp.Or(m[1], m[2]))
	case m[1] != "" && limit == 0:
		return Gate{}, fmt.Errorf(`%q: there cannot be fewer than 0: write "no failed drill"`, rule)
	case err2 != nil || n == 0 || n > 10_000:
		return Gate{}, fmt.Errorf("%q: the time must be between 1 and 10000 %ss", rule, m[6])
	}
	if m[1] != "" {
		limit--
	}
	window := time.Duration(n) * gateUnits[m[6]]
	return Gate{Rule: rule, Most: limit, Runs: m[4] == "run", Window: window, Least: 5, Gap: window / 4}, nil
}

// Judgement is the result of a gate.
type Judgement struct {
	Rule     string    `json:"rule"`
	Outcome  string    `json:"outcome"`
	From     time.Time `json:"from"` // start of the window
	To       time.Time `json:"to"`
	Runs     int       `json:"runs"` // in the window, without those that are ignored
	Drills   int       `json:"drills"`
	Count    int       `json:"count"`             // failures, by the rule
	Failures []Failure `json:"failures"`          // of drills, the oldest first
	Unknown  []string  `json:"unknown,omitempty"` // why the gate cannot open
	Ignored  []string  `json:"ignored,omitempty"` // runs that do not count, and why
}

// Failure is a drill that failed in a run.
type Failure struct {
	Run      string    `json:"run"`
	Began    time.Time `json:"began"`
	Scenario string    `json:"scenario"`
	Name     string    `json:"name"`
	Outcome  string    `json:"outcome"`
}

// Judge judges the gate for the time until now. A failure counts whatever else is known. The gate opens only if each
// drill of the window was judged often enough, without a gap; a drill that was inconclusive, skipped or not run was not
// judged. Runs without protections that the system has otherwise do not count. Unread lists runs that cannot be read:
// with any, the gate does not open.
func (g Gate) Judge(runs []*Run, unread []string, now time.Time) Judgement {
	j := Judgement{Rule: g.Rule, From: now.Add(-g.Window), To: now, Failures: []Failure{}}
	for _, why := range unread {
		j.Unknown = append(j.Unknown, why+": restore it, or move its folder away")
	}
	judged := map[string][]time.Time{} // by drill
	var drills []*Scenario             // one for each ID
	for _, r := range runs {
		switch {
		case r.Began.Before(j.From):
			continue
		case r.Began.After(now):
			j.Ignored = append(j.Ignored, fmt.Sprintf("run %s: it began in the future, by this machine's clock", r.ID))
			continue
		case len(r.Without) > 0:
			j.Ignored = append(j.Ignored, fmt.Sprintf("run %s: %s", r.ID, without(r)))
			continue
		}
		failures := 0
		counts := false
		for _, s := range r.Scenarios {
			if g.Select != nil && !g.Select(s) {
				continue
			}
			counts = true
			if _, seen := judged[s.ID]; !seen {
				judged[s.ID] = nil
				drills = append(drills, s)
			}
			if proved(s.Outcome) {
				judged[s.ID] = append(judged[s.ID], r.Began)
			}
			if failed(s.Outcome) {
				failures++
				j.Failures = append(j.Failures, Failure{r.ID, r.Began, s.ID, s.Name, s.Outcome})
			}
		}
		if counts {
			j.Runs++
		}
		if g.Runs {
			failures = min(failures, 1)
		}
		j.Count += failures
	}
	j.Drills = len(drills)
	if len(drills) == 0 {
		j.Unknown = append(j.Unknown, "no drill ran in this time")
	}
	for _, s := range drills {
		if why := g.thin(judged[s.ID], j); why != "" {
			j.Unknown = append(j.Unknown, fmt.Sprintf("%q %s", s.Name, why))
		}
	}
	switch {
	case j.Count > g.Most:
		j.Outcome = Closed
	case len(j.Unknown) > 0:
		j.Outcome = Undecided
	default:
		j.Outcome = Open
	}
	return j
}

// thin returns why the times at which a drill was judged are too few, or "".
func (g Gate) thin(at []time.Time, j Judgement) string {
	if len(at) < g.Least {
		return fmt.Sprintf("was judged in %d runs, and %d are needed", len(at), g.Least)
	}
	last := j.From
	for _, t := range slices.Concat(at, []time.Time{j.To}) {
		if t.Sub(last) > g.Gap {
			return fmt.Sprintf("was not judged from %s to %s: %s at most may be between two judgements", day(last), day(t), days(g.Gap))
		}
		last = t
	}
	return ""
}

// ExitCode returns 0 for open, 1 for closed, and 3 for undecided.
func (j Judgement) ExitCode() int {
	switch j.Outcome {
	case Open:
		return 0
	case Closed:
		return 1
	}
	return 3
}

// maxLines is how many failures, reasons or ignored runs are printed of each.
const maxLines = 10

// Text returns the judgement for people.
func (j Judgement) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n", strings.ToUpper(j.Outcome), j.Rule)
	fmt.Fprintf(&b, "    %d failed; %s in %s, from %s to %s\n", j.Count, counted(j.Drills, "drill"), counted(j.Runs, "run"), day(j.From), day(j.To))
	var failures []string
	for _, f := range j.Failures {
		failures = append(failures, fmt.Sprintf("%s  %s  %s", f.Run, f.Outcome, f.Name))
	}
	for _, part := range []struct {
		mark  string
		lines []string
	}{{"✗ ", failures}, {"? ", j.Unknown}, {"– ignored: ", j.Ignored}} {
		for _, line := range part.lines[:min(maxLines, len(part.lines))] {
			fmt.Fprintf(&b, "    %s%s\n", part.mark, line)
		}
		if more := len(part.lines) - maxLines; more > 0 {
			fmt.Fprintf(&b, "    %sand %d more\n", part.mark, more)
		}
	}
	return b.String()
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }

// days formats a duration in days and hours.
func days(d time.Duration) string {
	if n := int(d / (24 * time.Hour)); n > 0 {
		if rest := d % (24 * time.Hour); rest >= time.Hour {
			return fmt.Sprintf("%s %d h", counted(n, "day"), int(rest.Hours()))
		}
		return counted(n, "day")
	}
	return d.Round(time.Second).String()
}
