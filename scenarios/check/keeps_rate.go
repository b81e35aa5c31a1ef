package check

import (
	"cmp"
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// KeepsRate passes if a counter of a service increases during the fault at no less than a share of its rate in the
// baseline. A value below the one before it means that the counter began anew at 0, as Prometheus has it.
// Answers that took long, and requests that were sent late, widen what the rates may have been: the check fails only if
// no rates within these bounds meet the limit, and passes only if all do. A failure also has to remain if the requests that
// waited for an answer at the first and the last reading were counted elsewhere.
type KeepsRate struct {
	Metric, Of string
	Ratio      float64
}

func (c KeepsRate) probe() string { return fmt.Sprintf("the key metric %q of %q", c.Metric, c.Of) }

// increase is by how much a counter increased.
type increase struct {
	sum    float64
	took   time.Duration
	resets int
	blind  time.Duration // around resets: what was counted there may be lost
	slack  time.Duration // took may be so much shorter or longer, since an answer tells the value at some moment until it arrives
}

func (i increase) rate() float64 { return i.sum / i.took.Seconds() }

// increased returns the increase of a counter over observations, of which there must be one.
func (w watch) increased() (sum increase) {
	at := func(o journal.Observation) time.Duration { return o.Asked + o.Took/2 }
	sum.slack = (w.all[0].Took + w.all[len(w.all)-1].Took) / 2
	for i, o := range w.all[1:] {
		before := w.all[i]
		step := *o.Value - *before.Value
		if step < 0 {
			step = *o.Value
			sum.resets++
			sum.blind += at(o) - at(before)
		}
		sum.sum += step
		sum.took += at(o) - at(before)
	}
	return sum
}

// Judge implements Check.
func (c KeepsRate) Judge(h *journal.History) Verdict {
	expected := fmt.Sprintf("at least %s of the rate before the fault", percent(c.Ratio))
	w := observations(h, c.probe(), func(o journal.Observation) bool { return o.Value != nil })
	acted, ok := faultActed(h)
	if !ok {
		return inconclusive(expected, journal.During, codes.NoFaultInjected, "no fault was injected")
	}
	base := w.baseline(h, acted)
	if len(base.all) < minObserved {
		return inconclusive(expected, journal.During, codes.ProbeUnanswered, "%s", cmp.Or(w.missing(0, acted), fmt.Sprintf("there were only %d answers before the fault, and %d are needed", len(base.all), minObserved)))
	}
	before := base.increased()
	switch {
	case before.resets > 0:
		return inconclusive(expected, journal.During, codes.NotComparable, "%s decreased before the fault: it is no counter, or its service started again", w.name)
	case before.sum < minRequests:
		return inconclusive(expected, journal.During, codes.TooFewRequests, "%s increased by %s only before the fault: at least %d are needed", w.name, number(before.sum), minRequests)
	}
	_, healed, _ := h.FaultSpan()
	in := w.within(acted, healed)
	if why := w.missing(acted, healed); why != "" || len(in.all) < minObserved {
		return inconclusive(expected, journal.During, codes.ProbeUnanswered, "%s", cmp.Or(why, fmt.Sprintf("there were only %d answers during the fault, and %d are needed: let it last longer", len(in.all), minObserved)))
	}
	during := in.increased()
	limit := c.Ratio * before.rate()
	perRequest := before.sum / float64(max(1, h.Total(journal.Before, "").Sent))
	after := func(w journal.Window) float64 { // how much of what belongs to a window may have been counted after it
		return perRequest * crossed(h, func(got journal.Window) bool { return dueIn(got, w) })
	}
	unanswered := func(w journal.Window) float64 { // how much may have been counted after a moment in a window although it was due before it
		return max(after(w), perRequest*unfinished(h, w))
	}
	least := c.Ratio * (before.sum - max(unanswered(journal.Warmup), unanswered(journal.Before))) / (before.took + before.slack).Seconds()
	highest := c.Ratio * (before.sum + after(journal.Before)) / max(time.Millisecond, before.took-before.slack).Seconds()
	lowest := (during.sum - after(journal.Before)) / (during.took + during.slack).Seconds()
	most := (during.sum + unanswered(journal.During) + 1 + before.rate()*during.blind.Seconds()) / max(time.Millisecond, during.took-during.slack).Seconds() // an event may be counted just outside
	v := Verdict{
		Expected: expected, Window: journal.During, Evidence: first(in.seqs),
		Observed: fmt.Sprintf("%.1f%% (%.1f per second, and %.1f before)", 100*during.rate()/before.rate(), during.rate(), before.rate()),
	}
	if during.rate() < limit && most >= least || during.rate() >= limit && lowest < highest {
		v.Doubt = codes.Undecided.Msgf("%s increased at %.1f per second, too close to the limit of %.1f to be told from it", w.name, during.rate(), limit)
		if during.resets > 0 {
			v.Doubt = v.Doubt.Wrap("%s; it began anew %d times, and what was counted just before is lost", v.Doubt, during.resets)
		}
		return v
	}
	return verdict(during.rate() >= limit, v, "%s increased at %.1f per second, and at %.1f before the fault", w.name, during.rate(), before.rate())
}

func (c KeepsRate) String() string {
	return fmt.Sprintf("%s keeps at least %s of its baseline rate during the fault", c.probe(), percent(c.Ratio))
}

// Kind implements Check.
func (c KeepsRate) Kind() Kind {
	return Kind{Name: "keeps its rate", About: AboutHealth, Means: "a counter of a service increases during the fault nearly as fast as before; counters that begin anew are handled as Prometheus does", Timed: true,
		CannotFail: func(d Drill) string { return d.Apart(c.Of) },
		Needs:      Needs{Load: true, Baseline: true, Window: journal.During, Ask: Asked{Probe: c.probe(), Number: true, Service: c.Of, Metric: c.Metric}},
		Sentences: []Sentence{{
			Pattern:  `the key metric {text} of {name} keeps at least {percent} of its baseline rate during the fault`,
			Means:    "a counter, read from GET /metrics of the service every 500ms, or as a probe of the system file with this name says",
			Examples: []string{`the key metric "orders_placed_total" of "orders" keeps at least 90% of its baseline rate during the fault`},
			Check: func(a Args) Check {
				return KeepsRate{Metric: a.Name(0), Of: a.Name(1), Ratio: a.PositiveRatio(2)}
			},
		}}}
}
