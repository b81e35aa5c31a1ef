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

// gameDay is what people did in a run, beside what the machine did. The run need not be a game day: people may also write
// notes in an ordinary one.
type gameDay struct {
	Title    string      // with date and roles; "" if the run was no game day, and has no hypotheses
	Cards    []dayCard   // without a game day those of scenarios that people detected or mitigated
	Timeline []dayMoment // in order of time
	Findings []Finding
}

// dayCard is a scenario of a game day with its times, which are those since the first fault was live.
type dayCard struct {
	Name, Outcome                  string
	Hypothesis, Held               string // what was expected; "held", "did not hold" or "not known"
	Detected, Mitigated, Recovered string // "–" if that did not happen, or nobody said so
}

// dayMoment is a row of the timeline.
type dayMoment struct {
	At   time.Duration
	By   string // a person, also who injected a fault by hand; "" for the machine
	What string
}

// newGameDay returns what people did in a run, or nil if it holds no note of a person.
func newGameDay(b *journal.Book) *gameDay {
	d := &gameDay{Findings: Findings(b)}
	cards := cardsOf(b)
	people := d.notes(b.Notes, "")
	for _, h := range b.Scenarios {
		people = d.notes(h.Notes, h.Name+": ") || people
		d.machine(h)
		d.Cards = append(d.Cards, newDayCard(h, cards[h.ID]))
	}
	if !people {
		return nil
	}
	if d.Title == "" {
		d.Cards = slices.DeleteFunc(d.Cards, func(c dayCard) bool { return c.Detected == "–" && c.Mitigated == "–" })
	}
	slices.SortStableFunc(d.Timeline, func(a, b dayMoment) int { return cmp.Compare(a.At, b.At) })
	return d
}

// notes adds notes to the timeline, and reports whether one of them is of a person.
func (d *gameDay) notes(all []journal.TimedNote, scenario string) (people bool) {
	for _, n := range all {
		people = people || n.By != ""
		if n.Kind == "day" {
			d.Title = n.Text
		}
		d.Timeline = append(d.Timeline, dayMoment{n.At, n.By, scenario + n.Text})
	}
	return people
}

// machine adds what the machine did in a scenario to the timeline.
func (d *gameDay) machine(h *journal.History) {
	add := func(at time.Duration, what string) {
		d.Timeline = append(d.Timeline, dayMoment{At: at, What: h.Name + ": " + what})
	}
	add(h.Began, "started")
	for _, in := range h.CombinedFaults() {
		if in.Live > 0 {
			d.Timeline = append(d.Timeline, dayMoment{in.Live, in.By, h.Name + ": live: " + in.Sentence})
		}
		if in.Healed > 0 {
			add(in.Healed, "healed: "+in.Sentence)
		}
	}
	add(h.Ended, outcome(h))
}

func newDayCard(h *journal.History, card journal.Card) dayCard {
	c := dayCard{Name: h.Name, Outcome: outcome(h), Hypothesis: card.Hypothesis, Held: hypothesis(h), Detected: "–", Mitigated: "–", Recovered: "–"}
	began := time.Duration(0)
	for _, in := range h.Faults {
		if in.Live > 0 && (began == 0 || in.Live < began) {
			began = in.Live
		}
	}
	if began == 0 {
		return c
	}
	since := func(kinds ...string) string {
		for _, n := range h.Notes {
			if n.By != "" && n.At >= began && slices.Contains(kinds, n.Kind) {
				return check.Duration((n.At - began).Round(100 * time.Millisecond))
			}
		}
		return "–"
	}
	c.Detected, c.Mitigated = since("detected"), since("mitigated", "heal")
	if last := recoveries(h); len(last) > 0 {
		switch r := last[len(last)-1]; r.Outcome {
		case check.Recovered:
			c.Recovered = check.Duration((r.Since + r.Took - began).Round(100 * time.Millisecond))
		default:
			c.Recovered = r.Outcome
		}
	}
	return c
}

// gameDay writes the times of the cards and the findings and, without a game day, the notes of people.
func (t textWriter) gameDay(d *gameDay) {
	if d == nil {
		return
	}
	if d.Title != "" {
		t.printf("game day: %s\n", plain(d.Title))
	} else {
		t.printf("notes of people:\n")
		for _, m := range d.Timeline {
			if m.By != "" {
				t.printf("  %s  %s: %s\n", clock(m.At), plain(m.By), plain(m.What))
			}
		}
	}
	for _, c := range d.Cards {
		held := ""
		if d.Title != "" {
			held = "hypothesis " + c.Held + "; "
		}
		t.printf("  %s: %stime to detect %s, to mitigate %s, to recover %s\n", plain(c.Name), held, c.Detected, c.Mitigated, c.Recovered)
	}
	for _, f := range d.Findings {
		t.printf("  finding %d, %s, owner %s, retest %s: %s\n", f.N, plain(f.Severity), plain(orDash(f.Owner)), plain(orDash(f.Retest)), plain(f.What))
	}
	t.printf("\n")
}

// gameDay writes the times of the cards, the findings and the timeline, which gets the room that is left.
func (s *summary) gameDay(d *gameDay) {
	if d == nil {
		return
	}
	s.line("")
	var cards, findings, moments []string
	head, hypotheses := "### Notes of people", ""
	if d.Title != "" {
		head, hypotheses = "### Game day: "+markdown(d.Title), " hypothesis | result |"
	}
	s.line("%s", head)
	for _, c := range d.Cards {
		result := ""
		if d.Title != "" {
			result = fmt.Sprintf(" %s | %s |", cell(orDash(c.Hypothesis)), c.Held)
		}
		cards = append(cards, fmt.Sprintf("| %s %s | %s |%s %s | %s | %s |", icons[c.Outcome], c.Outcome, cell(c.Name), result, c.Detected, c.Mitigated, c.Recovered))
	}
	for _, f := range d.Findings {
		findings = append(findings, fmt.Sprintf("| %d | %s | %s | %s | %s | %s | %s |", f.N, cell(f.Severity), cell(f.What), cell(orDash(f.scenarioName())), cell(orDash(f.By)), cell(orDash(f.Owner)), cell(orDash(f.Retest))))
	}
	for _, m := range d.Timeline {
		moments = append(moments, fmt.Sprintf("| %s | %s | %s |", strings.TrimSpace(clock(m.At)), cell(m.By), cell(m.What)))
	}
	if len(cards) > 0 {
		s.rows(0.03, "| | scenario |"+hypotheses+" detected after | mitigated after | recovered after |", cards)
	}
	switch {
	case len(findings) > 0:
		s.rows(0.03, "| finding | severity | what | scenario | noted by | owner | retest |", findings)
	case d.Title != "":
		s.line("")
		s.line("There are no findings.")
	}
	const reserve = 0.02 // for the command that repeats the run
	s.rows(1-reserve-float64(s.Len())/maxSummary, "| at | who | what |", moments)
}

// orDash returns a text, or a dash if there is none.
func orDash(text string) string { return cmp.Or(text, "–") }
