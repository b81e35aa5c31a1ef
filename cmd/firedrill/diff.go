package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/reports/history"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// runsInBand is how many comparable runs a noise band is taken from, at most; mostRuns is how many runs are read for it.
const (
	runsInBand = 20
	mostRuns   = 100
)

func diffCommand() *cobra.Command {
	var dir string
	var asJSON jsonFormat
	var all bool
	cmd := &cobra.Command{
		Use:   "diff BEFORE NOW",
		Short: "Compare a run with an earlier one: new failures, what was fixed, and figures that are not as usual",
		Long: `Compares two runs. Each is a folder, the name of a run, or "latest".

Each scenario, and each check, is a new failure, fixed, still failing, flaky (its outcome changed, as it did at least
twice in earlier runs), or passing. Each figure is compared with what is usual: the median of the last 20 comparable
runs that are recorded beside NOW, and three median absolute deviations to either side. With fewer than five of them,
there is no such band, and the output says so.

Runs on machines with other numbers of CPUs, or with other protections switched off (--without), are not compared; neither
are scenarios whose steps, load, links or description of the system differ. The output says what differs.

Exit codes: 0 nothing failed that did not fail before, though it may still fail; 1 a new failure; 2 wrong usage; 3
undecided, because something is not comparable, was not judged, or is missing. Figures do not change the exit
code: of many, some leave their band by chance.`,
		Example: `  firedrill diff 20261129T020000Z-3fa1c2 latest
  firedrill diff --format json last-week/run latest | jq '.scenarios[] | select(.state == "new failure").name'`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			before, err := history.Find(dir, args[0])
			if err != nil {
				return err
			}
			now, err := history.Find(dir, args[1])
			if err != nil {
				return err
			}
			runs, err := listRuns(cmd.ErrOrStderr(), filepath.Dir(filepath.Clean(now.Dir)), time.Time{}, mostRuns)
			if err != nil {
				return err
			}
			c := history.Compare(before, now, runs, runsInBand)
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), c)
			} else {
				err = c.Text(cmd.OutOrStdout(), all)
			}
			if err == nil && c.ExitCode() != 0 {
				err = exit(c.ExitCode())
			}
			return err
		},
	}
	cmd.Flags().Var(&asJSON, "format", "text or json")
	cmd.Flags().StringVar(&dir, "dir", runsDir, "parent of run folders")
	cmd.Flags().BoolVar(&all, "all", false, "print all figures and checks, not only those that changed or are unusual")
	return cmd
}

// listRuns reads recorded runs, and prints which of them cannot be read.
func listRuns(console io.Writer, dir string, after time.Time, most int) ([]*history.Run, error) {
	runs, unread, err := history.List(dir, after, most)
	for _, why := range unread {
		fmt.Fprintln(console, "firedrill:", journal.Visible(why))
	}
	return runs, err
}

// writeJSON writes a value as indented JSON.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// comparison returns what --against does when a run has ended, given its folder: it compares the run, prints what changed to
// out, and writes comparison.json, and the page of the run with the comparison. The earlier run is read at once, so that a
// mistake shows before anything is started.
func comparison(cmd *cobra.Command, out io.Writer, parent, against string) (func(dir string) error, error) {
	var base *history.Run
	switch against {
	case "":
		return func(string) error { return nil }, nil
	case "last-green":
	default:
		var err error
		if base, err = history.Find(parent, against); err != nil {
			return nil, fmt.Errorf("--against: %w", err)
		}
	}
	return func(dir string) error {
		now, err := history.Find("", dir)
		if err != nil {
			return err
		}
		runs, err := listRuns(cmd.ErrOrStderr(), parent, time.Time{}, mostRuns)
		if err != nil {
			return err
		}
		base := base
		if base == nil {
			base = history.LastGreen(now, runs)
		}
		if base == nil {
			_, err = fmt.Fprintln(out, "\nNo earlier run passed that this one can be compared with.")
			return err
		}
		fmt.Fprintln(out)
		c := history.Compare(base, now, runs, runsInBand)
		if err := c.Text(out, false); err != nil {
			return err
		}
		var content bytes.Buffer
		if err := writeJSON(&content, c); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "comparison.json"), content.Bytes(), 0o600); err != nil {
			return err
		}
		against, err := c.Page(base)
		if err != nil {
			return err
		}
		book, err := readBook(filepath.Join(dir, "journal.ndjson"))
		if err != nil {
			return err
		}
		return reports.Table{reports.PageAgainst(against)}.WriteDir(dir, book)
	}, nil
}
