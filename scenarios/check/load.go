package check

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// LoadDelivered passes if the requested number of requests was sent, within one percent or two requests, and on
// time. What was requested does not depend on what the generator made due: it is the integral of the rates in the
// steps, or their sum if requests are counted. Users of a closed load have no such number: each of them has to wait for
// an answer or to think for nine tenths of the time or more.
type LoadDelivered struct{}

// onTime limits the 99th percentile of how late requests are sent. Above it, a window does not hold the requests
// that its rate requires. Checks of latency use a lower limit, see journal.History.Late.
const onTime = 200 * time.Millisecond

// The generator was short of CPU, rather than late once, if it used mostCPU of all CPUs and was later than busyOnTime.
const (
	busyOnTime = 50 * time.Millisecond
	mostCPU    = 0.8
)

// leastAsking is how much of the time each user has to wait for an answer or to think. A user loses time by asking
// late, which matters more the less it thinks.
const leastAsking = 0.9

// Judge implements Check.
func (LoadDelivered) Judge(h *journal.History) Verdict {
	const expected = "the requested load, within 1% and on time"
	if v, ok := noLoad(h, expected); ok {
		return v
	}
	all := h.AllLoads()
	v := delivered(h, &all[0], expected)
	for _, l := range all[1:] {
		if next := delivered(h, &l, expected); v.Outcome == Passed {
			v.Outcome, v.Doubt = next.Outcome, next.Doubt
			v.Observed += "; " + next.Observed
		}
	}
	return v
}

// delivered judges one load.
func delivered(h *journal.History, l *journal.Load, expected string) Verdict {
	v := Verdict{Observed: fmt.Sprintf("%s of %s sent, at most %d of %d at once, sending delay p99 %s%s", Count(l.Sent), Count(int(math.Round(l.Requested))), l.Workers, l.Bound, duration(l.SlipP99), machineUse(l)), Expected: expected, Evidence: seqs(h, "load")}
	off := float64(l.Sent) - l.Requested
	far := math.Abs(off) > max(2, l.Requested/100)
	switch {
	case l.Error != "":
		v.Doubt = codes.LoadNotDelivered.Message("the load generator did not finish: " + l.Error)
	case len(l.GeneratorErrors) > 0:
		v.Doubt = codes.LoadNotDelivered.Message("the load generator could not send some requests, which is not caused by the system: " + reasons(l.GeneratorErrors))
	case l.Sent == 0:
		v.Doubt = codes.LoadNotDelivered.Msgf("nothing was sent")
	case far && off < 0:
		v.Doubt = codes.LoadNotDelivered.Msgf("%s requests of the load were not sent: %s", Count(int(math.Round(-off))), unsent(l))
	case far:
		v.Doubt = codes.LoadNotDelivered.Msgf("%s more requests were sent than the steps request", Count(int(math.Round(off))))
	case l.SlipP99 > onTime:
		v.Doubt = codes.LoadNotDelivered.Msgf("%s: one request in a hundred was sent at least %s late, and at most %s is allowed", latenessCause(h), duration(l.SlipP99), duration(onTime))
	case l.Shape == "closed" && l.KeptAsking < leastAsking:
		v.Doubt = codes.LoadNotDelivered.Msgf("%s, and users asked too late: one of them waited for answers or thought in only %s of the time, and at least %s is needed", latenessCause(h), percent(round(l.KeptAsking, 2)), percent(leastAsking))
	case l.SlipP99 > busyOnTime && l.CPU > mostCPU:
		v.Doubt = codes.LoadNotDelivered.Msgf("the load generator was short of CPU time: Firedrill used %s of this machine's, and one request in a hundred was sent at least %s late, of which at most %s is allowed then; reduce the load, or run it on a larger machine",
			percent(round(l.CPU, 2)), duration(l.SlipP99), duration(busyOnTime))
	case l.Shape != "counted" && l.GCPause > onTime:
		v.Doubt = codes.LoadNotDelivered.Msgf("the load generator's garbage collector paused it for up to %s, and at most %s is allowed", duration(l.GCPause), duration(onTime))
	default:
		v.Outcome = Passed
	}
	if l.Name != "" {
		v.Observed = fmt.Sprintf("%q: %s", l.Name, v.Observed)
	}
	if l.Name != "" && !v.Doubt.None() {
		v.Doubt = v.Doubt.Wrap("the %q load: %s", l.Name, v.Doubt)
	}
	return v
}

// machineUse describes how much of the machine the generator used, if that is known.
func machineUse(l *journal.Load) string {
	if l.CPU == 0 {
		return ""
	}
	return fmt.Sprintf(", Firedrill used %s of the CPUs and paused at most %s for garbage collection", percent(round(l.CPU, 2)), duration(l.GCPause))
}

// unsent returns why some requests were not sent.
func unsent(l *journal.Load) string {
	switch {
	case l.Shape == "" && l.Workers >= l.Bound:
		return fmt.Sprintf("the load generator was saturated (%d at once)", l.Bound)
	case l.Unsent > 0:
		return fmt.Sprintf("this machine did not keep up (one request in a hundred was sent at least %s late)", duration(l.SlipP99))
	}
	return "they were never due"
}

// latenessCause returns why the load generator was late: the longest pause of the runner, if there was one.
func latenessCause(h *journal.History) string {
	if len(h.Pauses) == 0 {
		return "this machine did not keep up"
	}
	return slices.MaxFunc(h.Pauses, func(a, b journal.Pause) int { return cmp.Compare(a.Took, b.Took) }).String()
}

// reasons lists the errors of the generator with their counts, in alphabetical order.
func reasons(errors map[string]int) string {
	var all []string
	for _, why := range slices.Sorted(maps.Keys(errors)) {
		all = append(all, fmt.Sprintf("%s requests: %s", Count(errors[why]), why))
	}
	return strings.Join(all, "; ")
}

func (LoadDelivered) String() string { return "the load was delivered" }

// NotRepeated passes if the wire carried no more requests than the client policy sent. Otherwise duplicates may be
// caused by the load generator.
type NotRepeated struct{}

// Judge implements Check.
func (NotRepeated) Judge(h *journal.History) Verdict {
	const expected = "as many requests on the wire as attempts"
	if v, ok := noLoad(h, expected); ok {
		return v
	}
	l := h.Load
	v := Verdict{Outcome: Passed, Observed: fmt.Sprintf("%s attempts, %s on the wire", Count(l.Attempts), Count(l.Wire)), Expected: expected, Evidence: seqs(h, "load")}
	if l.Hedges > 0 {
		v.Observed += fmt.Sprintf("; %s were made beside another one", Count(l.Hedges))
	}
	if l.OverBudget > 0 {
		v.Observed += fmt.Sprintf("; the retry budget prevented %s", Count(l.OverBudget))
	}
	if l.Stale > 0 {
		v.Observed += fmt.Sprintf("; %s were sent again, since the server had closed the idle connection without reading them", Count(l.Stale))
	}
	if more := l.Wire - l.Attempts; more > 0 {
		v.Outcome = Inconclusive
		v.Doubt = codes.LoadRepeated.Msgf("the load generator repeated %s request%s by itself: duplicates may be caused by it and not by the system", Count(more), plural(more))
	}
	return v
}

func (NotRepeated) String() string { return "the load generator repeated no request by itself" }

// noLoad returns the verdict, and true, if the results of the load are missing or no load was requested.
func noLoad(h *journal.History, expected string) (Verdict, bool) {
	switch missing := h.Missing(); {
	case h.Load != nil && len(missing) > 0:
		return inconclusive(expected, "", codes.LoadNotDelivered, "the generator of the %q load did not finish: its results are incomplete", missing[0]), true
	case h.Load != nil:
		return Verdict{}, false
	case len(h.Samples) == 0 && len(h.Phases) > 0:
		return Verdict{Outcome: Passed, Observed: "no load was requested", Expected: expected}, true
	}
	return inconclusive(expected, "", codes.LoadNotDelivered, "the load generator did not finish: its results are incomplete"), true
}

// Kind implements Check.
func (LoadDelivered) Kind() Kind {
	return implied("load delivered", "as many requests were sent as the steps ask for, and on time")
}

// Kind implements Check.
func (NotRepeated) Kind() Kind {
	k := implied("not repeated", "the wire saw what the client policy asked for")
	k.Ours = true
	return k
}
