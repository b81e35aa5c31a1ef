package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/reports/history"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func reportCommand(formats reports.Table) *cobra.Command {
	var format, runs, against string
	cmd := &cobra.Command{
		Use:   "report RUN",
		Short: `Render the reports of a run again from its journal; RUN is its folder, its name, or "latest"`,
		Long: `Renders the reports of a run again from its journal, even if the run was killed. RUN is its folder, its name, or
"latest".

The exit code is 0 if the reports were written, whatever the outcome of the run, and 5 if one could not be written.
Programs can read the outcome from report.json (--format json).

With --against, the page also shows what changed since an earlier run, and its curves in the charts, if the runs can be
compared.`,
		Example: `  firedrill report latest
  firedrill report latest --against last-green`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := history.Folder(runs, args[0])
			if err != nil {
				return err
			}
			book, err := readBook(filepath.Join(dir, "journal.ndjson"))
			if err != nil {
				return err
			}
			if format != "" && against != "" {
				return errors.New("--against: the comparison is shown by report.html: leave out --format")
			}
			compare, err := comparison(cmd, cmd.OutOrStdout(), runs, against)
			if err != nil {
				return err
			}
			if format != "" {
				if lacks := formats.Lacks(format, book); lacks != "" {
					fmt.Fprintf(cmd.ErrOrStderr(), "firedrill: %s: %s\n", format, journal.Visible(lacks))
				}
				return formats.WriteTo(cmd.OutOrStdout(), format, book)
			}
			missing := formats.WriteDir(dir, book)
			if err := reports.Text(cmd.OutOrStdout(), book, styled(cmd.OutOrStdout())); err != nil {
				return err
			}
			if missing != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "firedrill:", journal.Visible(missing.Error()))
				return exit(unwritten)
			}
			if err := compare(dir); err != nil {
				return fmt.Errorf("compare with an earlier run: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "\nreport: %s\n", journal.Visible(filepath.Join(dir, "report.html")))
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "print this format to standard output instead: "+strings.Join(formats.Names(), ", "))
	cmd.Flags().StringVar(&against, "against", "", `compare the run with an earlier one, and write comparison.json: a folder or name of a run, "latest", or "last-green" for the last one before it that passed`)
	cmd.Flags().StringVar(&runs, "dir", runsDir, "parent of run folders")
	return cmd
}

func readBook(path string) (*journal.Book, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the run's journal: %w", err)
	}
	defer f.Close()
	book, err := journal.Fold(f)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	return book, nil
}
