package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// card describes a cause of verdicts that are not passed: the checks of a scenario, or of the rows of an outline, that
// have the same suspected mechanism or, without one, are of the same family.
type card struct {
	N         int // 1, 2, ...
	Outcome   string
	Suspected *suspicion // nil if no rule explains it
	Places    []*place   // one for each scenario, in order
	key       string
}

// place is what a card is about in one scenario.
type place struct {
	*scenario // nil for a card about the whole run
	Verdicts  []reason
	Worst     *moment  // nil if there is no such moment
	Records   []record // the facts behind the verdicts, the first few
}

// HasScenario reports whether the card is about a scenario, and not about the whole run.
func (p *place) HasScenario() bool { return p.scenario != nil }

// reason is a verdict with its position.
type reason struct {
	journal.Verdict
	Position string // file:line
	Standing string // "quarantine", "flaky", "retry" of its scenario, or ""
}

// Standing returns that of its scenarios: all have the same.
func (c card) Standing() standing {
	if s := c.Places[0].scenario; s != nil {
		return s.Standing
	}
	return standing{}
}

// lenient returns 1 if the card is about scenarios in quarantine, and otherwise 0.
func (c card) lenient() int { return map[bool]int{true: 1}[c.Standing().Quarantined] }

// Name returns the sentence of the first check.
func (c card) Name() string { return c.Places[0].Verdicts[0].Check }

// Unfolded returns how many places of a card are shown at once.
func (c card) Unfolded() int { return 3 }

// Folded returns how many places are shown when they are asked for.
func (c card) Folded() int { return max(0, len(c.Places)-c.Unfolded()) }

// More returns how many further checks the card is about.
func (c card) More() (n int) {
	for _, p := range c.Places {
		n += len(p.Verdicts)
	}
	return n - 1
}

// cards groups the verdicts that are not passed, the worst first: stopped and failed scenarios, then what is not proven.
func cards(aborted string, all []*scenario) []card {
	var list []card
	for _, s := range all {
		for _, v := range notPassed(aborted, s) {
			list = add(list, s, v)
		}
	}
	slices.SortStableFunc(list, func(a, b card) int {
		return cmp.Or(severity(b.Outcome)-severity(a.Outcome), cmp.Compare(a.lenient(), b.lenient()))
	})
	for i := range list {
		c := &list[i]
		c.N = i + 1
		for _, p := range c.Places {
			if p.FirstCard == 0 {
				p.FirstCard = c.N
			}
			for _, v := range p.Verdicts {
				w := worst(p.History, v.Verdict)
				p.Records = append(p.Records, records(p.History, v.Evidence, w, maxRecords-len(p.Records))...)
				if p.Worst == nil && w != nil {
					w.Card, w.ID = c.N, fmt.Sprintf("%s-worst-%d", p.Slug, c.N)
					p.Worst = w
					p.Moments = append(p.Moments, *w)
				}
			}
		}
	}
	return list
}

// severity orders cards: a stop first, then failures, then what is not proven.
func severity(outcome string) int {
	return slices.Index([]string{"skipped", "inconclusive", "interrupted", "failed", "stopped"}, outcome)
}

// notPassed returns the verdicts of a scenario that did not pass, the failed ones first, and one for an end for which no
// check gives a reason. If a check gives that of the end, it gets the text of the end, which also says what was healed. A
// skipped scenario has none.
func notPassed(aborted string, s *scenario) []journal.Verdict {
	var failed, unproven []journal.Verdict
	if s.Outcome == "skipped" {
		return nil
	}
	for _, v := range s.Verdicts {
		switch v.Outcome {
		case "failed":
			failed = append(failed, v)
		case "inconclusive":
			unproven = append(unproven, v)
		}
	}
	all := append(failed, unproven...)
	text := unfinishedReason(aborted, s.History, len(all) > 0)
	if text == "" {
		return all
	}
	if i := slices.IndexFunc(all, func(v journal.Verdict) bool { return endsBy(s.History, v, text) }); i >= 0 {
		all[i].Reason = text
		return all
	}
	return append(all, journal.Verdict{Check: "the scenario runs to its end", Outcome: s.Outcome, Reason: text})
}

// add adds a verdict to the card of its cause.
func add(list []card, s *scenario, v journal.Verdict) []card {
	suspected := suspect(s.History, v)
	cause := string(about(v))
	if suspected != nil {
		cause = suspected.Name
	}
	key := strings.Join([]string{v.Outcome, s.File, fmt.Sprint(s.Line), fmt.Sprint(s.Standing.Quarantined, s.Standing.Flaky), cause}, "\x00") // the rows of an outline share file and line
	if s.File == "" {
		key += "\x00" + s.ID
	}
	i := slices.IndexFunc(list, func(c card) bool { return c.key == key })
	if i < 0 {
		i = len(list)
		list = append(list, card{Outcome: v.Outcome, Suspected: suspected, key: key})
	}
	c := &list[i]
	if n := len(c.Places); n == 0 || c.Places[n-1].scenario != s {
		c.Places = append(c.Places, &place{scenario: s})
	}
	p := c.Places[len(c.Places)-1]
	p.Verdicts = append(p.Verdicts, reason{v, position(s.History, v), ""})
	return list
}

// moment is the worst moment of a scenario as a check sees it.
type moment struct {
	At   time.Duration
	What string // "70.0% of 50 requests succeeded"
	Card int
	ID   string // of its mark on the charts
}

// worst returns the worst moment for a check, or nil if the journal has none.
func worst(h *journal.History, v journal.Verdict) *moment {
	if v.Outcome != "failed" {
		return nil
	}
	switch of := about(v); {
	case isLatency(v):
		return extreme(h, v.Window, func(s second) (float64, string) {
			p95 := journal.Quantile(s.Latency, 95)
			return float64(p95), "p95 of this moment was " + ms(p95)
		})
	case of == check.AboutEffects:
		return firstAnomaly(h)
	case of == check.AboutRequests:
		return extreme(h, v.Window, func(s second) (float64, string) {
			good := h.Good(s.Totals)
			return 1 - float64(good)/float64(s.Sent), fmt.Sprintf("%s of %s succeeded", percent(good, s.Sent), things(s.Sent, "request"))
		})
	case of == check.AboutRecovery:
		return extreme(h, journal.After, func(s second) (float64, string) {
			if good := h.Good(s.Totals); good < s.Sent {
				return s.from.Seconds() + 1, fmt.Sprintf("the last moment with failures: %s of %s succeeded", percent(good, s.Sent), things(s.Sent, "request"))
			}
			return 0, ""
		})
	case of == check.AboutCalls:
		return extreme(h, journal.During, func(s second) (float64, string) {
			calls := 0
			for _, n := range s.calls {
				calls += n
			}
			return float64(calls) / float64(s.Sent), fmt.Sprintf("%s on all links for %s", things(calls, "call"), things(s.Sent, "request"))
		})
	}
	for _, p := range h.Processes {
		if p.What == "exited" {
			return &moment{At: p.At, What: p.Service + " exited"}
		}
	}
	return nil
}

// extreme returns the slice of a window for which value is greatest, if it is above 0.
func extreme(h *journal.History, w journal.Window, value func(second) (float64, string)) *moment {
	var found *moment
	most := 0.0
	for _, s := range seconds(newAxis(h)) {
		if s.Sent == 0 || w != "" && s.window != w {
			continue
		}
		if v, what := value(s); v > most {
			most, found = v, &moment{At: (s.from + s.to) / 2, What: what}
		}
	}
	return found
}

// firstAnomaly returns when the first request with an anomaly began.
func firstAnomaly(h *journal.History) *moment {
	kinds := map[string]string{}
	for _, one := range h.BySource() {
		for _, a := range check.NewLedger(one).Anomalies {
			if a.Kind != check.AnomalyReapplied { // after the load
				kinds[a.Key] = a.Kind
			}
		}
	}
	if len(kinds) == 0 {
		return nil
	}
	var found *moment
	var key []byte
	for _, r := range journal.Packed(&h.Requests) {
		key = r.AppendKey(key[:0])
		kind, ok := kinds[string(key)]
		if began, _ := r.Span(); ok && (found == nil || began < found.At) {
			found = &moment{At: began, What: fmt.Sprintf("the first of %s: key %s, %s", things(len(kinds), "anomalous key"), key, kind)}
		}
	}
	return found
}

// maxRecords limits the records that a card shows of each scenario.
const maxRecords = 4

// record is a fact of the journal for people.
type record struct {
	Seq  uint64
	Text string
}

// records returns the first facts with some sequence numbers, at most limit: of those about a time, the ones about the worst
// moment, if there is one. Those of kinds that have a chart or a table of their own are left out.
func records(h *journal.History, seqs []uint64, near *moment, limit int) (all []record) {
	seqs = slices.Sorted(slices.Values(seqs))
	if near != nil {
		if around := slices.DeleteFunc(slices.Clone(seqs), func(seq uint64) bool { return isElsewhere(h, seq, near.At) }); len(around) > 0 {
			seqs = around
		}
	}
	for _, seq := range seqs {
		if len(all) >= limit {
			break
		}
		if text := recordText(h, seq); text != "" {
			all = append(all, record{seq, text})
		}
	}
	return all
}

// isElsewhere reports whether a fact is about requests or calls of a time that at is not in.
func isElsewhere(h *journal.History, seq uint64, at time.Duration) bool {
	if i := slices.Index(h.Seqs["sample"], seq); i >= 0 {
		return at < h.Samples[i].From || at > h.Samples[i].To
	}
	if i := slices.Index(h.Seqs["calls"], seq); i >= 0 {
		return at < h.Calls[i].From || at > h.Calls[i].To
	}
	return false
}

func recordText(h *journal.History, seq uint64) string {
	if i := slices.Index(h.Seqs["sample"], seq); i >= 0 {
		s := h.Samples[i]
		text := fmt.Sprintf("%s to %s %s: %d sent, %d ok", at(s.From), at(s.To), s.Route, s.Sent, s.OK)
		for _, kind := range sorted(s.Errors) {
			text += fmt.Sprintf(", %d %s", s.Errors[kind], kind)
		}
		return text + fmt.Sprintf("; p95 %s", ms(journal.Quantile(s.Latency, 95)))
	}
	if i := slices.Index(h.Seqs["fault"], seq); i >= 0 {
		return fmt.Sprintf("%s: %s", h.Faults[i].Stated(), affected(h.Faults[i]))
	}
	if i := slices.Index(h.Seqs["calls"], seq); i >= 0 {
		c := h.Calls[i]
		return fmt.Sprintf("%s to %s %s: %d calls, %d affected, %d given up", at(c.From), at(c.To), c.Link, c.Calls, c.Affected, c.GaveUp)
	}
	if i := slices.Index(h.Seqs["process"], seq); i >= 0 {
		p := h.Processes[i]
		return fmt.Sprintf("%s %s %s", at(p.At), p.Service, strings.TrimSpace(p.What+" "+p.Detail))
	}
	if i := slices.Index(h.Seqs["observation"], seq); i >= 0 {
		o := h.Observations[i]
		return fmt.Sprintf("%s %s: %s", at(o.Asked), o.Probe, cmp.Or(o.Unanswered, o.Local, o.Detail, probeAnswers([]journal.Observation{o})))
	}
	if i := slices.Index(h.Seqs["probe"], seq); i >= 0 {
		p := h.Probes[i]
		return fmt.Sprintf("key %s, %s: %s instead of %s", p.Key, p.Kind, cmp.Or(p.Error, p.Differs, p.Got), p.Want)
	}
	if i := slices.Index(h.Seqs["trouble"], seq); i >= 0 {
		return h.Troubles[i]
	}
	return ""
}
