package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/language"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// day is a game day, as its file describes it.
type day struct {
	source.YAML
	title, date string
	roles       []string // "facilitator: Ana"
	preflight   []string
	cards       []*card
	features    input // that the cards name
}

// card is an experiment of a game day. Its texts are for people, except feature and scenario.
type card struct {
	title, hypothesis, owner, steadyState, blastRadius, stopRules, undo, feature, scenario string

	severity, retest string // of the finding if the card fails

	at       map[string]source.Pos // by key; "" is the card itself
	mistaken bool                  // it has problems already, such as a key that is spelled wrongly

	experiment *scenarios.Experiment // set by choose
}

// cardKeys are the keys of a card. Those with a hint are needed.
var cardKeys = []struct {
	key, hint string
	field     func(*card) *string
}{
	{"title", "name the component, its failure and the expected result", func(c *card) *string { return &c.title }},
	{"hypothesis", "say what the system does while the fault is live", func(c *card) *string { return &c.hypothesis }},
	{"owner", "name who decides about this card", func(c *card) *string { return &c.owner }},
	{"steady_state", "say how everybody sees that the system is well, such as: 99% of requests succeed within 300ms", func(c *card) *string { return &c.steadyState }},
	{"blast_radius", "say who and what is affected at most", func(c *card) *string { return &c.blastRadius }},
	{"stop_rules", "say when the experiment is stopped, such as: fewer than 50% of requests succeed for 10s", func(c *card) *string { return &c.stopRules }},
	{"undo", "say how the fault is undone", func(c *card) *string { return &c.undo }},
	{"feature", "name a feature file, relative to this file", func(c *card) *string { return &c.feature }},
	{"scenario", "name a scenario of the feature", func(c *card) *string { return &c.scenario }},
	{"severity", "", func(c *card) *string { return &c.severity }},
	{"retest", "", func(c *card) *string { return &c.retest }},
}

// facilitatorRole is the role that each game day needs.
const facilitatorRole = "facilitator"

var fileKeys = []string{"title", "date", "roles", "preflight", "cards"}

// readDay reads the file of a game day. The error is of type scenarios.Problems if the file is not valid.
func readDay(name string) (*day, error) {
	d := &day{}
	in, err := inputOf([]string{name}, "")
	if err != nil {
		return nil, err
	}
	err = d.ReadYAML(in.fsys, in.paths[0], "\"firedrill gameday init\" writes a file to start with", func(document ast.Node) {
		d.Mapping(document, "the game day", fileKeys, d.key)
		d.complete()
	})
	if err != nil {
		return nil, fmt.Errorf("read the game day: %w", err)
	}
	if err := d.Out.Err(); err != nil {
		return nil, err
	}
	var paths []string
	for _, c := range d.cards {
		paths = append(paths, filepath.Join(filepath.Dir(name), filepath.FromSlash(c.feature)))
	}
	if d.features, err = inputOf(slices.Clone(paths), ""); err != nil {
		return nil, err
	}
	for i, c := range d.cards {
		c.feature = d.features.paths[i]
	}
	d.features.paths = slices.Compact(slices.Sorted(slices.Values(d.features.paths)))
	return d, nil
}

func (d *day) key(key string, v ast.Node, _ source.Pos) {
	switch key {
	case "title":
		d.title = d.optional(v)
	case "date":
		d.date = d.optional(v)
		d.checkDate(d.date, d.At(v))
	case "roles":
		d.Mapping(v, "roles", nil, func(role string, v ast.Node, at source.Pos) {
			person := d.optional(v)
			if person == "" {
				d.Out.Add(at, codes.Missing.Msgf("nobody has the role %q", role), "name a person, or leave the role out")
			}
			d.roles = append(d.roles, role+": "+person)
		})
	case "preflight":
		d.preflight = d.List(v, func(_ int, v ast.Node) {
			if s, ok := v.(*ast.StringNode); ok && strings.TrimSpace(s.Value) == "" {
				d.Out.Add(d.At(v), codes.Missing.Msgf("this item of the checklist is empty"), "say what has to be confirmed")
			}
		})
	case "cards":
		d.Sequence(v, func(_ int, v ast.Node) {
			c := &card{at: map[string]source.Pos{"": d.At(v)}}
			var keys []string
			for _, k := range cardKeys {
				keys = append(keys, k.key)
			}
			before := len(d.Out.All)
			d.Mapping(v, "a card", keys, func(key string, v ast.Node, at source.Pos) {
				for _, k := range cardKeys {
					if k.key == key {
						*k.field(c), c.at[key] = d.optional(v), at
					}
				}
				d.ifItFails(c, key, d.At(v))
			})
			c.mistaken = len(d.Out.All) > before
			d.cards = append(d.cards, c)
		})
	}
}

// checkDate reports a text that is neither a date nor empty.
func (d *day) checkDate(text string, at source.Pos) {
	if _, err := time.Parse(time.DateOnly, text); err != nil && text != "" {
		d.Out.Add(at, codes.BadValue.Msgf("%q is not a date", text), "write year, month and day, such as \"2026-12-02\"")
	}
}

// ifItFails checks the value of a key that is about the finding of a failed card.
func (d *day) ifItFails(c *card, key string, at source.Pos) {
	switch all := journal.Severities(); {
	case key == "retest":
		d.checkDate(c.retest, at)
	case key == "severity" && c.severity != "" && !slices.Contains(all, c.severity):
		d.Out.Add(at, codes.UnknownName.Msgf("there is no severity %q", c.severity), source.DidYouMean(c.severity, all, "severities"))
	}
}

// optional reads a text. Nothing is an empty text: complete reports it.
func (d *day) optional(v ast.Node) string {
	if _, nothing := v.(*ast.NullNode); nothing || v == nil {
		return ""
	}
	return strings.TrimSpace(d.Text(v))
}

// complete reports what a game day lacks.
func (d *day) complete() {
	missing := func(at source.Pos, what, hint string) { d.Out.Add(at, codes.Missing.Message(what), hint) }
	whole := d.PosAt(1, 1)
	if d.title == "" {
		missing(whole, "the game day has no title", "write title: and what it is about")
	}
	if d.date == "" {
		missing(whole, "the game day has no date", "write date: and year, month and day, such as \"2026-12-02\"")
	}
	if !slices.ContainsFunc(d.roles, func(r string) bool { return strings.HasPrefix(r, facilitatorRole+": ") }) {
		missing(whole, "the game day has no facilitator", "name a person below roles:, as facilitator: Ana")
	}
	if len(d.preflight) == 0 {
		missing(whole, "the game day has no checklist before its start", "write it below preflight:, such as [\"the dashboards are open\", \"abort was tested\"]")
	}
	if len(d.cards) == 0 {
		missing(whole, "the game day has no cards", "write at least one below cards:")
	}
	for i, c := range d.cards {
		for _, k := range cardKeys {
			if *k.field(c) == "" && k.hint != "" && !c.mistaken {
				at, known := c.at[k.key]
				if !known {
					at = c.at[""]
				}
				missing(at, fmt.Sprintf("card %d has no %s", i+1, k.key), k.hint)
			}
		}
	}
}

// choose returns the scenario of each card, in the order of the cards. The error is of type scenarios.Problems.
func (d *day) choose(es []*scenarios.Experiment) ([]*scenarios.Experiment, error) {
	var chosen []*scenarios.Experiment
	for _, c := range d.cards {
		var names []string
		var of []*scenarios.Experiment
		for _, e := range es {
			if e.File != c.feature {
				continue
			}
			if names = append(names, e.Name); e.Name == c.scenario {
				of = append(of, e)
			}
		}
		switch {
		case len(of) == 0:
			d.Out.Add(c.at["scenario"], codes.UnknownName.Msgf("%s has no scenario %q", c.feature, c.scenario), source.DidYouMean(c.scenario, names, "scenarios"))
		case len(of) > 1:
			d.Out.Add(c.at["scenario"], codes.Duplicate.Msgf("%s has %d scenarios %q, such as rows of an outline", c.feature, len(of), c.scenario), "a card runs one scenario: give it a name of its own")
		case slices.Contains(chosen, of[0]):
			d.Out.Add(c.at["scenario"], codes.Duplicate.Msgf("an earlier card runs the scenario %q", c.scenario), "write one card for each scenario")
		case len(of[0].Stop) == 0:
			d.Out.Add(c.at["stop_rules"], codes.Missing.Msgf("no stop rule watches the scenario %q: the words of a card stop nothing", c.scenario),
				"add a step, such as: Given the run stops at once if fewer than 50% of requests succeed for 10s")
		default:
			c.experiment, chosen = of[0], append(chosen, of[0])
		}
	}
	return chosen, d.Out.Err()
}

// check reads the features of the game day and prints its agenda.
func (d *day) check(out io.Writer, allowed []string) error {
	in := d.features
	es, err := language.Parse(language.Source{FS: in.fsys, Root: in.root, Paths: in.paths, Find: process.FindProgram, LookupEnv: os.LookupEnv, AllowTargets: allowed})
	if err != nil {
		return err
	}
	if es, err = d.choose(es); err != nil {
		return err
	}
	total := time.Duration(0)
	fmt.Fprintf(out, "%s\n", journal.Visible(d.summary()))
	for i, c := range d.cards {
		fmt.Fprintf(out, "\n%s\n", journal.Visible(c.text(i+1, len(d.cards))))
		total += es[i].Estimate()
	}
	_, err = fmt.Fprintf(out, "\nnothing is missing: %d to confirm first, then %d to play, about %s without the time of people\n", len(d.preflight), len(d.cards), total.Round(time.Second))
	return err
}

func (d *day) summary() string {
	return strings.Join(append([]string{d.title + ", " + d.date}, d.roles...), "; ")
}

// text describes a card before it is played. choose was called.
func (c *card) text(n, of int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "card %d of %d: %s\n", n, of, c.title)
	rules := c.stopRules
	for _, r := range c.experiment.Stop {
		rules += fmt.Sprintf("; watched: %s", r)
	}
	for _, line := range [][2]string{{"hypothesis", c.hypothesis}, {"steady state", c.steadyState}, {"blast radius", c.blastRadius}, {"stops if", rules}, {"undo", c.undo}, {"owner", c.owner}, {"scenario", c.scenario}} {
		fmt.Fprintf(&b, "  %-13s %s\n", line[0], line[1])
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// dayToFill is the file that "gameday init" writes.
const dayToFill = `# A game day. Fill in what is empty; "firedrill gameday --check" says what is missing.
title: ""
date: ""             # "2026-12-02"
roles:
  facilitator: ""    # leads through the day, and does nothing else
  observer: ""       # writes notes; add further roles as you need them
preflight:           # each is asked before the first card
  - the dashboards are open
  - the alerts were test-fired
  - firedrill abort was tested
  - the baseline was captured
cards:
  - title: ""        # component, failure, expected result
    hypothesis: ""
    owner: ""
    steady_state: "" # how everybody sees that the system is well
    blast_radius: "" # who and what is affected at most
    stop_rules: ""   # when it is stopped; the scenario needs a stop rule of its own, too
    undo: ""
    feature: ""      # relative to this file
    scenario: ""     # its name
    # severity: high # of the finding if the card fails: low, medium, high or critical
    # retest:        # when it is tested again in that case, such as "2027-01-15"
`

// writeDay writes a file to fill in. It overwrites none.
func writeDay(out io.Writer, name string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the game day: %w", err)
	}
	_, err = io.WriteString(f, dayToFill)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the game day: %w", err)
	}
	_, err = fmt.Fprintf(out, "wrote %s: fill it in, then: firedrill gameday --check %[1]s\n", name)
	return err
}
