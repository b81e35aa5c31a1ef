package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func reportCommand(formats reports.Table) *cobra.Command {
	var format, runs string
	cmd := &cobra.Command{
		Use:   "report RUN",
		Short: `Render the reports of a run again from its journal; RUN is its folder, its name, or "latest"`,
		Long: `Renders the reports of a run again from its journal, even if the run was killed. RUN is its folder, its name, or
"latest".

The exit code is 0 if the reports were written, whatever the outcome of the run. Programs can read the outcome from
report.json (--format json).`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := args[0]
			if _, err := os.Stat(dir); err != nil {
				dir = filepath.Join(runs, dir)
			}
			book, err := readBook(filepath.Join(dir, "journal.ndjson"))
			if err != nil {
				return err
			}
			if format != "" {
				return formats.WriteTo(cmd.OutOrStdout(), format, book)
			}
			if err := formats.WriteDir(dir, book); err != nil {
				return err
			}
			if err := reports.Text(cmd.OutOrStdout(), book, styled(cmd.OutOrStdout())); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "\nreport: %s\n", journal.Visible(filepath.Join(dir, "report.html")))
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "print this format to standard output instead: "+strings.Join(formats.Names(), ", "))
	cmd.Flags().StringVar(&runs, "dir", filepath.Join(".firedrill", "runs"), "parent of run folders")
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
