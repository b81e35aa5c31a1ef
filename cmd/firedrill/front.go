package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/cmd/firedrill/screen"
	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// front shows a run to the person at its keys: line by line, or on the whole screen.
type front interface {
	Event(journal.Event)  // in the order of the journal
	Say(text string)      // lines that are not about an event
	Begin(screen.Card)    // what the scenario that follows is about
	Show(screen.Prompt)   // one at a time
	Delay() time.Duration // until what was shown is visible
	Close()
}

// shown is the screen that holds the terminal, or nil: what a signal prints has to go to it, and the terminal has to be
// given back before the program exits immediately.
var shown atomic.Pointer[screen.Screen]

// newFront returns the screen, if it is asked for and the terminal of a command can show it. failed is called if it cannot
// be shown any more.
func newFront(cmd *cobra.Command, whole bool, failed func(error)) front {
	console := cmd.ErrOrStderr()
	name := os.Getenv("TERM")
	if !whole || !isTerminal(console) || !isTerminal(cmd.InOrStdin()) || name == "" || name == "dumb" {
		return newLines(console)
	}
	s := screen.New(console, styled(console))
	s.Start(failed)
	shown.Store(s)
	return s
}

// giveBack gives the terminal back, or returns after a time: a terminal may accept no output.
func giveBack(within time.Duration) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if s := shown.Load(); s != nil {
			s.Close()
		}
	}()
	select {
	case <-done:
	case <-time.After(within):
	}
	if restore := echoing.Load(); restore != nil {
		(*restore)()
	}
}

// lines is a front that writes line by line. On a terminal the last lines are kept up to date.
type lines struct {
	*reports.Live
	echo  bool   // show each character of a note
	asked string // the question that was shown last
}

func newLines(w io.Writer) *lines {
	return &lines{Live: reports.NewLive(w, styled(w)), echo: styled(w)}
}

// Delay returns 0: what was written is visible.
func (l *lines) Delay() time.Duration { return 0 }

// Begin writes the card, if it has more than a heading.
func (l *lines) Begin(c screen.Card) {
	if c.Text != "" {
		l.Say("\n" + c.Text)
	}
}

// Show writes the question once, and keeps the keys below what happens.
func (l *lines) Show(p screen.Prompt) {
	if p.Question != l.asked && p.Question != "" {
		text := "\n" + p.Question
		if p.Undo != "" {
			text += "\n  undo: " + p.Undo
		}
		l.Say(text)
	}
	l.asked = p.Question
	line := strings.Join(p.Keys, "  ")
	switch {
	case p.Typing && l.echo:
		line = "note: " + p.Note
	case p.Typing:
		line = "note: "
	case p.OnHold:
		line = "ON HOLD " + line
	}
	l.Ask(line)
}

// cardOf returns what a scenario is about that has no card of a game day.
func cardOf(e *scenarios.Experiment) screen.Card {
	c := screen.Card{Heading: e.Name, Actions: actionsOf(e)}
	var steady []string
	for _, s := range e.Steady {
		steady = append(steady, steadyText(s))
	}
	for _, f := range [][2]string{{"feature", e.Feature}, {"steady state", strings.Join(steady, ", ")}, {"blast radius", strings.Join(e.BlastRadius, ", ")}} {
		if f[1] != "" {
			c.Facts = append(c.Facts, f)
		}
	}
	return c
}

func steadyText(s check.Steady) string {
	if s.Limit > 0 {
		return fmt.Sprintf("%s below %s", s.Measure, s.Limit)
	}
	return fmt.Sprintf("%s at least %v%%", s.Measure, 100*s.Ratio)
}

// actionsOf returns the injections of a scenario, in order.
func actionsOf(e *scenarios.Experiment) (all []screen.Action) {
	for _, step := range e.Steps {
		in, ok := step.Do.(scenarios.Inject)
		if !ok || len(in.Faults) == 0 {
			continue
		}
		a := screen.Action{ID: journal.FaultID(in.Faults[0].ID), Undo: in.Faults[0].Fault.Kind().Undo}
		var texts []string
		for i, p := range in.Faults {
			if i == 0 || journal.FaultID(p.ID) != journal.FaultID(in.Faults[i-1].ID) { // the parts of a partition share a sentence
				texts = append(texts, p.Fault.Say(p.From, p.To))
			}
		}
		a.Text = strings.Join(texts, "; ")
		if in.For > 0 {
			a.Undo = fmt.Sprintf("after %s: %s", in.For, a.Undo)
		}
		all = append(all, a)
	}
	return all
}
