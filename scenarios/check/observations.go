package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Asked is something that is asked at an interval during the whole run, for a check.
type Asked struct {
	Probe  string // its name, as in journal.Observation.Probe; "" if the check asks nothing
	Number bool   // it has to answer with a number, and otherwise with yes or no

	// A probe of the system file has no Service. For others, Path of Service is asked, for yes or no, or for the series
	// Metric.
	Service, Path, Metric string
}

// maxUnobserved is how many intervals may pass without an observation.
const maxUnobserved = 3

// minObserved is how many answers a window has to hold at least.
const minObserved = 3

// watch holds the observations of one probe that count, in the order in which it was asked. Those that were not asked
// because of an error of this machine do not.
type watch struct {
	name  string
	all   []journal.Observation
	seqs  []uint64
	local string // the first error of this machine
	why   string // the first reason why an observation does not count
}

// observations returns the observations of a probe that keep accepts; nil accepts all.
func observations(h *journal.History, probe string, keep func(journal.Observation) bool) watch {
	w := watch{name: probe}
	seqs := h.Seqs["observation"]
	for i, o := range h.Observations {
		switch {
		case o.Probe != probe:
		case o.Local != "":
			w.local = cmp.Or(w.local, fmt.Sprintf("%s could not be asked at +%.1fs: %s", probe, o.Asked.Seconds(), o.Local))
			w.why = cmp.Or(w.why, w.local)
		case keep != nil && !keep(o):
			w.why = cmp.Or(w.why, fmt.Sprintf("at +%.1fs the answer was: %s", o.Asked.Seconds(), cmp.Or(o.Unanswered, o.Detail)))
		default:
			w.all = append(w.all, o)
			if i < len(seqs) {
				w.seqs = append(w.seqs, seqs[i])
			}
		}
	}
	return w
}

// within returns the observations that were asked and answered between two moments, with their sequence numbers.
func (w watch) within(from, to time.Duration) watch {
	in := watch{name: w.name, local: w.local, why: w.why}
	for i, o := range w.all {
		if o.Asked >= from && o.Answered() <= to {
			in.all = append(in.all, o)
			if i < len(w.seqs) {
				in.seqs = append(in.seqs, w.seqs[i])
			}
		}
	}
	return in
}

// missing returns why the observations do not cover the time between two moments, or "" if they do. The time in which
// an answer is awaited is covered.
func (w watch) missing(from, to time.Duration) string {
	last := from
	for _, o := range w.all {
		if o.Answered() < from {
			continue
		}
		if o.Asked > to {
			break
		}
		if o.Asked-last > maxUnobserved*o.Every {
			return w.gap(last, o.Asked, o.Every)
		}
		last = max(last, o.Answered())
	}
	switch n := len(w.all); {
	case n == 0:
		return cmp.Or(w.why, fmt.Sprintf("%s was not observed", w.name))
	case to-last > maxUnobserved*w.all[n-1].Every:
		return w.gap(last, to, w.all[n-1].Every)
	}
	return w.local
}

func (w watch) gap(from, to, every time.Duration) string {
	why := fmt.Sprintf("nothing is known of %s from +%.1fs to +%.1fs, although it is asked every %s", w.name, from.Seconds(), to.Seconds(), Duration(every))
	if w.why != "" {
		why += ": " + w.why
	}
	return why
}

// faultActed returns when a fault first acted: its first effect or, if it counts none, when it went live. ok is false if
// no fault was injected.
func faultActed(h *journal.History) (at time.Duration, ok bool) {
	for _, in := range h.Faults {
		if in.Stage == "skipped" {
			continue
		}
		if acted := max(in.Injected, cmp.Or(in.First, in.Live)); !ok || acted < at {
			at, ok = acted, true
		}
	}
	return at, ok
}

// index returns the index of the first observation that is, or -1.
func (w watch) index(is func(journal.Observation) bool) int { return slices.IndexFunc(w.all, is) }

// baseline returns the observations before the fault acted that were made under load.
func (w watch) baseline(h *journal.History, acted time.Duration) watch {
	from := time.Duration(0)
	if p, ok := h.Phase("baseline"); ok {
		from = p.From
	}
	return w.within(from, acted)
}

// baselineOf returns why what a probe of yes or no answered before the fault shows nothing, or "" if each answer was as
// expected there.
func (w watch) baselineOf(h *journal.History, acted time.Duration, expected bool) string {
	base := w.baseline(h, acted)
	if i := base.index(func(o journal.Observation) bool { return o.Yes != expected }); i >= 0 {
		return "already before the fault the answer was: " + describeAnswer(base.all[i])
	}
	if n := len(base.all); n < minObserved {
		return fmt.Sprintf("there were only %d answers before the fault, and %d are needed", n, minObserved)
	}
	return ""
}

// around returns the sequence numbers of the i-th observation and its neighbours.
func (w watch) around(i int) []uint64 {
	from, to := min(max(0, i-1), len(w.seqs)), min(i+2, len(w.seqs))
	return w.seqs[from:max(from, to)]
}

// describeAnswer describes what a probe of yes or no observed.
func describeAnswer(o journal.Observation) string {
	return fmt.Sprintf("%s at +%.1fs", cmp.Or(o.Unanswered, o.Detail, map[bool]string{true: "yes", false: "no"}[o.Yes]), o.Asked.Seconds())
}

func yes(o journal.Observation) bool { return o.Yes }
func no(o journal.Observation) bool  { return !o.Yes }
