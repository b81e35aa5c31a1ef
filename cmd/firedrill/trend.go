package main

import (
	"fmt"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/reports/history"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func trendCommand() *cobra.Command {
	var dir, name string
	var asJSON jsonFormat
	var last int
	cmd := &cobra.Command{
		Use:   "trend",
		Short: "Print a table of the last recorded runs: the outcomes of each scenario, its p95 and its success",
		Long: `Prints for each scenario its outcomes in the last recorded runs, the oldest first, and its p95 and its success during
the fault: those of the last run, and the median of all. On a terminal, small graphs show their course, each between its
least and its greatest value; elsewhere the table is plain text. A bar (|) stands before a run that is not comparable
with the one before it, because its steps, system, protections or machine differ.`,
		Example: `  firedrill trend
  firedrill trend --last 50 --name checkout`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			named, err := regexp.Compile(name)
			if err != nil {
				return fmt.Errorf("--name: %w", err)
			}
			if last < 1 {
				return fmt.Errorf("--last must be at least 1")
			}
			runs, err := listRuns(cmd.ErrOrStderr(), dir, time.Time{}, last)
			if err != nil {
				return err
			}
			all := []history.Trend{}
			for _, t := range history.NewTrend(runs, last) {
				if named.MatchString(t.Name) {
					all = append(all, t)
				}
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), all)
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), journal.Visible(history.TrendText(all, isTerminal(cmd.OutOrStdout()))))
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&dir, "dir", runsDir, "parent of run folders")
	flags.StringVar(&name, "name", "", "regular expression on scenario names")
	flags.IntVar(&last, "last", 20, "how many runs, at most")
	flags.Var(&asJSON, "format", "text or json")
	return cmd
}
