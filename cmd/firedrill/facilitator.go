package main

import (
	"context"
	"fmt"

	"github.com/firedrill-dev/firedrill/cmd/firedrill/screen"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// facilitator leads through a game day: the questions of its checklist, its cards and their injections.
type facilitator struct {
	*operator
	day     *day
	checked bool  // the checklist was confirmed
	card    *card // that is played; nil before the first
}

// goOn answers each question of a game day.
var goOn = []choice{{"c ", "c: continue"}}

// lead makes a run, which the operator has joined, ask the facilitator.
func (f *facilitator) lead(o *runner.Options) {
	f.askBefore(o, goOn, goOn, func(string) string { return f.card.undo })
	o.BeforeScenario = f.beforeCard
}

// beforeCard asks for the checklist once, and before each card.
func (f *facilitator) beforeCard(ctx context.Context, e *scenarios.Experiment) error {
	if !f.checked {
		f.view.Begin(screen.Card{Heading: f.day.summary()})
		f.record(f.day.note(f.by))
		for i, item := range f.day.preflight {
			q := question{text: fmt.Sprintf("before the first card, %d of %d: %s", i+1, len(f.day.preflight), item), choices: goOn}
			if err := f.confirm(ctx, q, "confirmed: "+item); err != nil {
				return err
			}
		}
		f.checked = true
	}
	for i, c := range f.day.cards {
		if c.experiment == e {
			f.card = c
			f.view.Begin(c.shown(i+1, len(f.day.cards)))
			q := question{text: "next: start the services and the load of this card", undo: "they are ended with the card", choices: goOn}
			return f.confirm(ctx, q, fmt.Sprintf("card %d: %s; hypothesis: %s; owner: %s", i+1, c.title, c.hypothesis, c.owner))
		}
	}
	return fmt.Errorf("no card runs the scenario %q", e.Name)
}

// shown returns the card for a front. Its undo is that of the card.
func (c *card) shown(n, of int) screen.Card {
	actions := actionsOf(c.experiment)
	for i := range actions {
		actions[i].Undo = c.undo
	}
	return screen.Card{
		Heading: fmt.Sprintf("card %d of %d: %s", n, of, c.title), Text: c.text(n, of), Actions: actions,
		Facts: [][2]string{{"hypothesis", c.hypothesis}, {"steady state", c.steadyState}, {"blast radius", c.blastRadius}, {"owner", c.owner}},
	}
}
