package main

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/reports/history"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/language"
)

func gateCommand() *cobra.Command {
	var dir string
	var asJSON jsonFormat
	var rules gateRules
	cmd := &cobra.Command{
		Use:   "gate RULE...",
		Short: `Judge the failures of recorded runs: "fewer than 3 failed drills in 4 weeks"`,
		Long: `Judges rules on the recorded runs of a time that ends now, for example whether a service may be handed over. A rule is

  fewer than N | at most N | no   failed   drills | runs   in N   hours | days | weeks

Each failure of a scenario counts, or each run in which one failed. It counts even if the scenario passed when it was
run again.

A rule that has not been broken still needs evidence: each drill of that time must have been judged in at least --runs
runs, and never have gone unjudged for longer than --gap, the start and the end of the time included. Drills that were
inconclusive, skipped or not run were not judged. Runs with --without do not count.

Exit codes: 0 all rules hold; 1 there were too many failures; 2 wrong usage; 3 undecided: too little is known.`,
		Example: `  firedrill gate "fewer than 3 failed drills in 4 weeks"
  firedrill gate --tags @orders --runs 20 --gap 48h "no failed drill in 4 weeks"   # nightly runs of one service`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			gates, longest, err := rules.parse(args)
			if err != nil {
				return err
			}
			now := time.Now()
			runs, unread, err := history.List(dir, now.Add(-longest), 0)
			if err != nil {
				return err
			}
			var all []history.Judgement
			for _, g := range gates {
				all = append(all, g.Judge(runs, unread, now))
			}
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), all)
			} else {
				for _, j := range all {
					fmt.Fprint(cmd.OutOrStdout(), journal.Visible(j.Text()))
				}
			}
			if code := worst(all); err == nil && code != 0 {
				return exit(code)
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&dir, "dir", runsDir, "parent of run folders")
	flags.StringVar(&rules.tags, "tags", "", `drills that count, by a tag expression such as "@orders"`)
	flags.StringVar(&rules.name, "name", "", "drills that count, by a regular expression on their names")
	flags.IntVar(&rules.least, "runs", 5, "in how many runs each drill must have been judged, at least")
	flags.DurationVar(&rules.gap, "gap", 0, "the longest time for which a drill may have gone unjudged, such as 48h (default: a quarter of the time of the rule)")
	flags.Var(&asJSON, "format", "text or json")
	return cmd
}

// gateRules are the flags that apply to each rule.
type gateRules struct {
	tags, name string        // which drills count
	least      int           // how many runs must have judged each of them
	gap        time.Duration // the longest time without; 0 for that of the rule
}

// parse returns the gates of rules, and the longest time that one looks back.
func (r gateRules) parse(rules []string) (gates []history.Gate, longest time.Duration, err error) {
	wanted, err := language.SelectTags(r.tags)
	if err != nil {
		return nil, 0, err
	}
	named, err := regexp.Compile(r.name)
	if err != nil {
		return nil, 0, fmt.Errorf("--name: %w", err)
	}
	if r.least < 1 || r.gap < 0 {
		return nil, 0, errors.New("--runs must be at least 1, and --gap must not be negative")
	}
	for _, rule := range rules {
		g, err := history.ParseGate(rule)
		if err != nil {
			return nil, 0, err
		}
		g.Least = r.least
		if r.gap > 0 {
			g.Gap = r.gap
		}
		g.Select = func(s *history.Scenario) bool { return wanted(s.Tags) && named.MatchString(s.Name) }
		gates, longest = append(gates, g), max(longest, g.Window)
	}
	return gates, longest, nil
}

// worst returns the exit code of several judgements: a closed gate counts more than an undecided one.
func worst(all []history.Judgement) (code int) {
	for _, j := range all {
		switch c := j.ExitCode(); {
		case c == 1:
			return 1
		case c != 0:
			code = c
		}
	}
	return code
}
