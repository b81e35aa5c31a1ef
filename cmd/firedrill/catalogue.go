package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/features"
)

func catalogueCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "catalogue",
		Short: "Print the built-in drills: where each failure comes from, how to run it, and what catches it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printCatalogue(cmd.OutOrStdout())
		},
	}
}

func printCatalogue(out io.Writer) error {
	rows := features.Rows()
	for _, row := range rows {
		about, err := about(row.File)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s  %s\n\n", row.N, row.Claim)
		for _, line := range about {
			fmt.Fprintf(out, "    %s\n", line)
		}
		fmt.Fprintf(out, "\n    holds:   firedrill run --tags @row-%s   # %s\n", row.N, row.File)
		fmt.Fprintf(out, "    caught:  firedrill run --tags @row-%s --without %q\n", row.N, row.Without)
		for _, c := range row.CaughtBy {
			fmt.Fprintf(out, "             ✗ %s\n", c)
		}
		fmt.Fprintln(out)
	}
	_, err := fmt.Fprintf(out, "%d drills. They run in a folder without features of its own. What real servers and clients are known to do: firedrill run --tags @real\n", len(rows))
	return err
}

// about returns the description below the title of a feature file, line by line: where the failure comes from.
func about(file string) (lines []string, err error) {
	text, err := features.FS.ReadFile(file)
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(text), "Feature:")
	for line := range strings.Lines(rest) {
		if line = strings.TrimSpace(line); line == "" && len(lines) > 0 {
			break
		}
		lines = append(lines, line)
	}
	return lines[1:], nil
}
