package check

import (
	"fmt"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// healthCheck names the probe of a health check.
func healthCheck(path, of string) string { return fmt.Sprintf("the health check %q of %q", path, of) }

// askHealth returns the needs of a check that asks a path of a service.
func askHealth(path, of string, w journal.Window) Needs {
	return Needs{Load: true, Window: w, Ask: Asked{Probe: healthCheck(path, of), Service: of, Path: path}}
}

// healthPath returns the path of a health check.
func healthPath(a Args, i int) string {
	path := a.Name(i)
	if path != "" && (!strings.HasPrefix(path, "/") || strings.ContainsAny(path, " #")) {
		a.Problem(i, codes.BadValue.Msgf("%q is not a path", path), `write a path on the service, such as "/readyz"`)
	}
	return path
}

// StaysHealthy passes if a path of a service answers with 2xx each time that it is asked during the fault. Requests that
// get no answer are unhealthy ones. The service is asked directly, past links and their faults.
type StaysHealthy struct{ Path, Of string }

// Judge implements Check.
func (c StaysHealthy) Judge(h *journal.History) Verdict {
	const expected = "healthy at every answer"
	w := observations(h, healthCheck(c.Path, c.Of), nil)
	acted, ok := faultActed(h)
	if !ok {
		return inconclusive(expected, journal.During, codes.NoFaultInjected, "no fault was injected")
	}
	if why := w.baselineOf(h, acted, true); why != "" {
		return inconclusive(expected, journal.During, codes.ProbeUnanswered, "%s", why)
	}
	_, healed, _ := h.FaultSpan()
	in := w.within(acted, healed)
	v := Verdict{Expected: expected, Window: journal.During, Evidence: first(in.seqs), Observed: fmt.Sprintf("healthy at all of %s answers", Count(len(in.all)))}
	if i := in.index(no); i >= 0 {
		bad := 0
		for _, o := range in.all {
			if !o.Yes {
				bad++
			}
		}
		v.Observed, v.Evidence = fmt.Sprintf("unhealthy at %s of %s answers", Count(bad), Count(len(in.all))), in.around(i)
		return verdict(false, v, "%s was unhealthy, the first time %s", w.name, describeAnswer(in.all[i]))
	}
	if v.Doubt = codes.ProbeUnanswered.Message(w.missing(acted, healed)); !v.Doubt.None() {
		return v
	}
	if len(in.all) < minObserved {
		v.Doubt = codes.TooFewRequests.Msgf("there were only %d answers during the fault, and %d are needed: let the fault last longer", len(in.all), minObserved)
		return v
	}
	return verdict(true, v, "")
}

func (c StaysHealthy) String() string {
	return healthCheck(c.Path, c.Of) + " stays healthy during the fault"
}

// Kind implements Check.
func (c StaysHealthy) Kind() Kind {
	return Kind{Name: "stays healthy", About: AboutHealth, Means: "a path of a service answers 2xx each time during the fault; it is asked directly, every 250ms", Timed: true,
		CannotFail: func(d Drill) string { return d.Apart(c.Of) },
		Needs:      askHealth(c.Path, c.Of, journal.During),
		Sentences: []Sentence{{
			Pattern:  `the health check {text} of {name} stays healthy during the fault`,
			Means:    "the path is asked every 250ms, past the links, and answers 2xx each time",
			Examples: []string{`the health check "/livez" of "orders" stays healthy during the fault`},
			Check:    func(a Args) Check { return StaysHealthy{Path: healthPath(a, 0), Of: a.Name(1)} },
		}}}
}

// TurnsUnhealthy passes if a path of a service, which was healthy before the fault, stops answering with 2xx within a
// time after the fault's first effect.
type TurnsUnhealthy struct {
	Path, Of string
	Within   time.Duration
}

// Judge implements Check.
func (c TurnsUnhealthy) Judge(h *journal.History) Verdict {
	w := observations(h, healthCheck(c.Path, c.Of), nil)
	return turns(h, w, turn{to: false, word: "unhealthy", within: c.Within, onlyLive: true})
}

func (c TurnsUnhealthy) String() string {
	return fmt.Sprintf("%s turns unhealthy within %s of the fault", healthCheck(c.Path, c.Of), Duration(c.Within))
}

// Kind implements Check.
func (c TurnsUnhealthy) Kind() Kind {
	return Kind{Name: "turns unhealthy", About: AboutHealth, Means: "a path of a service, healthy before the fault, stops answering 2xx soon enough", Timed: true, Idle: true,
		CannotFail: func(d Drill) string { return d.endsBefore(c.Within) },
		Needs:      askHealth(c.Path, c.Of, journal.During),
		Sentences: []Sentence{{
			Pattern:  `the health check {text} of {name} turns unhealthy within {duration} of the fault`,
			Means:    "of the fault's first effect; the fault has to last at least as long",
			Examples: []string{`the health check "/readyz" of "orders" turns unhealthy within 5s of the fault`},
			Check: func(a Args) Check {
				return TurnsUnhealthy{Path: healthPath(a, 0), Of: a.Name(1), Within: a.Duration(2)}
			},
		}}}
}

// TurnsHealthy passes if a path of a service that was unhealthy during the fault answers with 2xx within a time after
// healing began, and remains healthy while it is watched.
type TurnsHealthy struct {
	Path, Of string
	Within   time.Duration
}

// Judge implements Check.
func (c TurnsHealthy) Judge(h *journal.History) Verdict {
	expected := "healthy within " + Duration(c.Within) + " of healing"
	w := observations(h, healthCheck(c.Path, c.Of), nil)
	acted, ok := faultActed(h)
	if !ok {
		return inconclusive(expected, journal.After, codes.NoFaultInjected, "no fault was injected")
	}
	if why := w.baselineOf(h, acted, true); why != "" {
		return inconclusive(expected, journal.After, codes.ProbeUnanswered, "%s", why)
	}
	_, healed, _ := h.FaultSpan()
	if w.within(acted, healed).index(no) < 0 {
		return inconclusive(expected, journal.After, codes.NotExercised, "%s did not turn unhealthy during the fault, so that it could not turn healthy after it", w.name)
	}
	deadline := healed + c.Within
	v := Verdict{Expected: expected, Window: journal.After}
	if i := w.index(func(o journal.Observation) bool { return !o.Yes && o.Asked >= deadline }); i >= 0 {
		v.Observed, v.Evidence = "not healthy in time", w.around(i)
		again := ""
		if w.within(healed, deadline).index(yes) >= 0 {
			again = ", after it had turned healthy"
		}
		return verdict(false, v, "%s was unhealthy %s after healing%s: %s", w.name, duration(w.all[i].Asked-healed), again, describeAnswer(w.all[i]))
	}
	last := -1
	for i, o := range w.all {
		if !o.Yes || o.Asked < healed {
			last = i
		}
	}
	v.Evidence = w.around(last + 1)
	switch {
	case last+1 == len(w.all):
		v.Doubt = codes.TooShort.Msgf("%s was watched for %s after healing only", w.name, duration(max(0, w.all[last].Asked-healed)))
	case w.all[last+1].Answered() > deadline:
		v.Doubt = codes.Undecided.Msgf("%s turned healthy between +%.1fs and +%.1fs: whether that was in time is not known", w.name, w.all[last].Asked.Seconds(), w.all[last+1].Answered().Seconds())
	default:
		v.Doubt = codes.ProbeUnanswered.Message(w.missing(healed, deadline))
	}
	if !v.Doubt.None() {
		return v
	}
	v.Observed = "healthy after " + duration(w.all[last+1].Answered()-healed)
	return verdict(true, v, "")
}

func (c TurnsHealthy) String() string {
	return fmt.Sprintf("%s turns healthy within %s of healing", healthCheck(c.Path, c.Of), Duration(c.Within))
}

// Kind implements Check.
func (c TurnsHealthy) Kind() Kind {
	needs := askHealth(c.Path, c.Of, journal.After)
	needs.Watch = c.Within
	return Kind{Name: "turns healthy", About: AboutHealth, Means: "a path of a service, unhealthy during the fault, answers 2xx again soon enough, and from then on", Timed: true, Needs: needs,
		Sentences: []Sentence{{
			Pattern:  `the health check {text} of {name} turns healthy within {duration} of healing`,
			Means:    "it has to have been unhealthy during the fault, and remains healthy from then on",
			Examples: []string{`the health check "/readyz" of "orders" turns healthy within 5s of healing`},
			Check: func(a Args) Check {
				return TurnsHealthy{Path: healthPath(a, 0), Of: a.Name(1), Within: a.Duration(2)}
			},
		}}}
}
