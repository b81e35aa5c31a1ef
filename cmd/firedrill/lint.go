package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/language"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// lintFinding is a problem or a warning as lint writes it.
type lintFinding struct {
	Severity string `json:"severity"` // "error" or "warning"
	source.Problem
}

func lintCommand() *cobra.Command {
	var tags, name string
	format := "text"
	cmd := &cobra.Command{
		Use:   "lint [paths]",
		Short: "Find mistakes in features, and what makes a scenario prove less than it seems to; starts nothing",
		Long: `Prints the mistakes that keep features from running, and warns of what would make a run inconclusive, of checks that
cannot fail, and of scenarios that are hard to read. The manual of scenarios lists the codes. The exit code is 0 if
nothing was found, 1 if there are warnings, and 2 if there are mistakes.`,
		Example: `  firedrill lint
  firedrill lint --format json features/orders.feature   # a JSON object on each line`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("lint --format %s: unknown format: use text or json", format)
			}
			in, err := inputOf(args, tags)
			if err != nil {
				return err
			}
			all, err := lint(language.Source{FS: in.fsys, Root: in.root, Paths: in.paths, Tags: in.tags, Name: name, Find: process.FindProgram, LookupEnv: os.LookupEnv})
			if err != nil {
				return err
			}
			for _, f := range all {
				if err := f.write(cmd, format); err != nil {
					return err
				}
			}
			switch {
			case len(all) == 0:
				return nil
			case slices.ContainsFunc(all, func(f lintFinding) bool { return f.Severity == "error" }):
				return exit(usage)
			}
			return exit(1)
		},
	}
	cmd.Flags().StringVar(&format, "format", format, "text, or json, which is an object for each mistake or warning, one a line")
	cmd.Flags().StringVar(&tags, "tags", "", "tag expression")
	cmd.Flags().StringVar(&name, "name", "", "regular expression on scenario names")
	return cmd
}

// lint returns the mistakes of features or, if there are none, the warnings.
func lint(s language.Source) ([]lintFinding, error) {
	es, err := language.Parse(s)
	var problems scenarios.Problems
	if err != nil && !errors.As(err, &problems) {
		return nil, err
	}
	var all []lintFinding
	add := func(severity string, p source.Problem) {
		if p.Hint == "" {
			p.Hint = remedy(p.Code)
		}
		if f := (lintFinding{severity, p.Redacted()}); !slices.Contains(all, f) { // a Background warns for each scenario
			all = append(all, f)
		}
	}
	for _, p := range problems {
		add("error", p)
	}
	for _, e := range es {
		for _, p := range e.Warnings {
			add("warning", p)
		}
	}
	slices.SortStableFunc(all, func(a, b lintFinding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return all, nil
}

// remedy returns what the table of codes says to do.
func remedy(code string) string {
	for _, r := range codes.Table() {
		if r.Code == code {
			return r.Remedy
		}
	}
	return ""
}

func (f lintFinding) write(cmd *cobra.Command, format string) error {
	if format == "json" {
		return source.WriteLine(cmd.OutOrStdout(), f)
	}
	place := ""
	if f.File != "" {
		place = fmt.Sprintf("%s:%d: ", f.File, f.Line)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), journal.Visible(fmt.Sprintf("%s%s: %s: %s\n  %s\n", place, f.Severity, f.Code, f.What, f.Hint)))
	return err
}
