package check

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// SendsAgain passes if a counter of what a service sent again increases by at most Most for each message, request or reply
// that faults lost, from the first effect of a fault to the end of the load. What was sent again and got lost counts as lost,
// too. A counter that did not increase shows no retransmissions, and is inconclusive.
type SendsAgain struct {
	Of     string
	Most   float64
	Metric string
}

func (c SendsAgain) probe() string { return fmt.Sprintf("the metric %q of %q", c.Metric, c.Of) }

// losing lists the kinds of faults that lose messages.
var losing = []string{"lost messages", "lost replies", "lost requests"}

// Judge implements Check.
func (c SendsAgain) Judge(h *journal.History) Verdict {
	expected := fmt.Sprintf("at most %s for each one lost", number(c.Most))
	acted, ok := faultActed(h)
	if !ok {
		return inconclusive(expected, "", codes.NoFaultInjected, "no fault was injected")
	}
	lost := int64(0)
	for _, in := range h.Faults {
		if slices.Contains(losing, in.Kind) {
			lost += in.Affected
		}
	}
	if lost < minRequests {
		return inconclusive(expected, "", codes.TooFewRequests, "faults lost only %s messages: at least %d are needed", Count(lost), minRequests)
	}
	w := observations(h, c.probe(), func(o journal.Observation) bool { return o.Value != nil })
	from := -1 // the last observation before the fault
	for i, o := range w.all {
		if o.Answered() <= acted {
			from = i
		}
	}
	end, over := h.Phase("collect")
	if from < 0 || !over {
		return inconclusive(expected, "", codes.ProbeUnanswered, "%s", cmp.Or(w.missing(0, acted), "the load did not run to its end"))
	}
	w.all = w.all[from:]
	w.seqs = w.seqs[min(from, len(w.seqs)):]
	sent := w.increased()
	times := sent.sum / float64(lost)
	v := Verdict{Expected: expected, Evidence: first(slices.Concat(seqs(h, "fault"), w.seqs)), Observed: fmt.Sprintf("%.1f for each one lost (%s sent again, %s lost)", times, Count(int64(sent.sum)), Count(lost))}
	if times > c.Most {
		return verdict(false, v, "%q sent %s messages again although %s were lost", c.Of, Count(int64(sent.sum)), Count(lost))
	}
	switch v.Doubt = codes.ProbeUnanswered.Message(w.missing(acted, end.From)); {
	case !v.Doubt.None():
	case sent.resets > 0:
		v.Doubt = codes.NotComparable.Msgf("%s began anew, and what was counted just before is lost", c.probe())
	case sent.sum == 0:
		v.Doubt = codes.NotExercised.Msgf("%s did not increase: nothing was sent again", c.probe())
	default:
		v.Outcome = Passed
	}
	return v
}

func (c SendsAgain) String() string {
	return fmt.Sprintf("%q sends at most %s messages again for each one lost, by its metric %q", c.Of, number(c.Most), c.Metric)
}

// Kind implements Check.
func (c SendsAgain) Kind() Kind {
	return Kind{Name: "sends again", About: AboutCalls, Means: "a counter of what a service sent again, compared with what faults lost; inconclusive where nothing was sent again",
		Needs: Needs{Load: true, Window: journal.During, Ask: Asked{Probe: c.probe(), Number: true, Service: c.Of, Metric: c.Metric}},
		Sentences: []Sentence{{
			Pattern:  `{name} sends at most {number} message(s) again for each one lost, by its metric {text}`,
			Means:    "a counter of what was sent again, read from GET /metrics of the service every 500ms, or as a probe of the system file with this name says; what faults lose is counted on links",
			Examples: []string{`"orders" sends at most 6 messages again for each one lost, by its metric "datagrams_resent_total"`},
			Check:    func(a Args) Check { return SendsAgain{Of: a.Name(0), Most: a.Times(1), Metric: a.Name(2)} },
		}}}
}
