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

// gameDay is what people did in a run, beside what the machine did.
type gameDay struct {
	Title    string // with date and roles
	Cards    []dayCard
	Timeline []dayMoment // in order of time
}

// dayCard is a scenario of a game day with its times, which are those since the first fault was live.
type dayCard struct {
	Name, Outcome                  string
	Detected, Mitigated, Recovered string // "–" if that did not happen, or nobody said so
}

// dayMoment is a row of the timeline.
type dayMoment struct {
	At   time.Duration
	By   string // a person; "" for the machine
	What string
}

// newGameDay returns what people did in a run, or nil if it holds no note of a person.
func newGameDay(b *journal.Book) *gameDay {
	d := &gameDay{}
	people := d.notes(b.Notes, "")
	for _, h := range b.Scenarios {
		people = d.notes(h.Notes, h.Name+": ") || people
		d.machine(h)
		d.Cards = append(d.Cards, newDayCard(h))
	}
	if !people {
		return nil
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
			add(in.Live, "live: "+in.Sentence)
		}
		if in.Healed > 0 {
			add(in.Healed, "healed: "+in.Sentence)
		}
	}
	add(h.Ended, outcome(h))
}

func newDayCard(h *journal.History) dayCard {
	c := dayCard{Name: h.Name, Outcome: outcome(h), Detected: "–", Mitigated: "–", Recovered: "–"}
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

// gameDay writes the times of the cards.
func (t textWriter) gameDay(d *gameDay) {
	if d == nil {
		return
	}
	t.printf("game day: %s\n", plain(d.Title))
	for _, c := range d.Cards {
		t.printf("  %s: detected %s, mitigated %s, recovered %s (since the first fault was live)\n", plain(c.Name), c.Detected, c.Mitigated, c.Recovered)
	}
	t.printf("\n")
}

// gameDay writes the times of the cards and the timeline.
func (s *summary) gameDay(d *gameDay) {
	if d == nil {
		return
	}
	s.line("")
	s.line("### Game day: %s", markdown(d.Title))
	var cards, moments []string
	for _, c := range d.Cards {
		cards = append(cards, fmt.Sprintf("| %s %s | %s | %s | %s | %s |", icons[c.Outcome], c.Outcome, cell(c.Name), c.Detected, c.Mitigated, c.Recovered))
	}
	for _, m := range d.Timeline {
		moments = append(moments, fmt.Sprintf("| %s | %s | %s |", strings.TrimSpace(clock(m.At)), cell(m.By), cell(m.What)))
	}
	s.rows(0.02, "| | scenario | detected after | mitigated after | recovered after |", cards)
	s.rows(0.06, "| at | who | what |", moments)
}
