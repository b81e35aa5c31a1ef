package check

import (
	"cmp"
	"fmt"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// QueueBounded passes if a probe of the system file never answers with a number above Most, from the baseline to the end
// of the load. What it held before and after that, such as items of an earlier run, does not count. What the queue held
// between two observations is not known.
type QueueBounded struct {
	Queue string // name of the probe
	Most  float64
}

// Judge implements Check.
func (c QueueBounded) Judge(h *journal.History) Verdict {
	expected := fmt.Sprintf("at most %s messages", number(c.Most))
	w := observations(h, c.Queue, func(o journal.Observation) bool { return o.Value != nil })
	w.name = fmt.Sprintf("the queue %q", c.Queue)
	begin, underLoad := h.Phase("baseline")
	end, over := h.Phase("collect")
	if !over {
		end.From = h.Ended
	}
	in := w.within(begin.From, end.From)
	if len(in.all) == 0 {
		return inconclusive(expected, "", codes.ProbeUnanswered, "%s", cmp.Or(w.missing(begin.From, end.From), fmt.Sprintf("%s was not observed under load", w.name)))
	}
	top := 0
	for i, o := range in.all {
		if *o.Value > *in.all[top].Value {
			top = i
		}
	}
	most := *in.all[top].Value
	v := Verdict{Expected: expected, Evidence: in.around(top), Observed: fmt.Sprintf("at most %s, of %s observations", number(most), Count(len(in.all)))}
	if most > c.Most {
		return verdict(false, v, "%s held %s messages at +%.1fs", w.name, number(most), in.all[top].Asked.Seconds())
	}
	switch {
	case !underLoad || !over:
		v.Doubt = codes.Unfinished.Msgf("the load did not run to its end")
	case most == 0:
		v.Doubt = codes.NotExercised.Msgf("%s held nothing from the baseline to the end of the load, so that its bound was not put to the test", w.name)
	default:
		v.Doubt = codes.ProbeUnanswered.Message(w.missing(begin.From, end.From))
	}
	if !v.Doubt.None() {
		return v
	}
	return verdict(true, v, "")
}

func (c QueueBounded) String() string {
	return fmt.Sprintf("the queue %q never holds more than %s messages", c.Queue, number(c.Most))
}

// Kind implements Check.
func (c QueueBounded) Kind() Kind {
	return Kind{Name: "queue bounded", About: AboutHealth, Means: "the number that a probe of the system file answers, such as the length of a queue, stays within its bound; inconclusive where it was always 0", Idle: true,
		CannotFail: func(d Drill) string {
			if d.Requests > 0 && c.Most >= d.Requests {
				return fmt.Sprintf("the load sends about %s requests, which is fewer than the messages that the queue may hold; write a lower number, unless requests cause several messages each", Count(int(d.Requests)))
			}
			return ""
		},
		Needs: Needs{Load: true, Ask: Asked{Probe: c.Queue, Number: true}},
		Sentences: []Sentence{{
			Pattern:  `the queue {text} never holds more than {number} message(s)`,
			Means:    "an upper limit of the number that a probe of the system file answers, from the baseline to the end of the load",
			Examples: []string{`the queue "outbox" never holds more than 1000 messages`},
			Check:    func(a Args) Check { return QueueBounded{Queue: a.Name(0), Most: a.Number(1)} },
		}}}
}
