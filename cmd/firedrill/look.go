package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/features/services"
	"github.com/firedrill-dev/firedrill/features/shop"
	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func planCommand() *cobra.Command {
	var tags, name string
	cmd := &cobra.Command{
		Use:   "plan [paths]",
		Short: "Print timeline, targets, undo and estimated duration; touches nothing",
		RunE: func(cmd *cobra.Command, args []string) error {
			fsys, paths, err := source(args)
			if err != nil {
				return err
			}
			es, err := scenarios.Parse(scenarios.Source{FS: fsys, Paths: paths, Tags: tagsOrDefault(tags, args), Name: name, Find: runner.FindProgram})
			if err != nil {
				return printProblems(cmd, err)
			}
			return scenarios.Plan(cmd.OutOrStdout(), es)
		},
	}
	cmd.Flags().StringVar(&tags, "tags", "", "tag expression")
	cmd.Flags().StringVar(&name, "name", "", "regular expression on scenario names")
	return cmd
}

// printProblems prints the problems of features to standard error and returns an exit code. It returns other
// errors unchanged.
func printProblems(cmd *cobra.Command, err error) error {
	var problems scenarios.Problems
	if !errors.As(err, &problems) {
		return err
	}
	fmt.Fprint(cmd.ErrOrStderr(), problems.Error())
	return exit(usage)
}

func stepsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "steps [word]",
		Short: "Print the sentences of feature files",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return scenarios.PrintSteps(cmd.OutOrStdout(), strings.Join(args, ""))
		},
	}
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of system.yaml, for editors",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(scenarios.Schema())
			return err
		},
	}
}

func reportCommand() *cobra.Command {
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
				return reports.WriteTo(cmd.OutOrStdout(), format, book)
			}
			if err := reports.WriteDir(dir, book); err != nil {
				return err
			}
			if err := reports.Text(style(cmd.OutOrStdout()))(cmd.OutOrStdout(), book); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "\nreport: %s\n", journal.Visible(filepath.Join(dir, "report.html")))
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "print this format to standard output instead: "+strings.Join(formatNames(), ", "))
	cmd.Flags().StringVar(&runs, "dir", filepath.Join(".firedrill", "runs"), "parent of run folders")
	return cmd
}

func readBook(path string) (*journal.Book, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the run's journal: %w", err)
	}
	book, err := journal.Fold(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	return book, nil
}

func formatNames() []string {
	var names []string
	for _, f := range reports.Formats() {
		names = append(names, f.Name)
	}
	return names
}

// shopCommand serves one part of the demo shop. The shop's system.yaml starts it.
func shopCommand() *cobra.Command {
	return hidden("shop PART", "Serve one part of the demo shop", shop.Main)
}

// serviceCommand serves a service under test of the features in real/.
func serviceCommand() *cobra.Command {
	return hidden("service NAME", "Serve a service of the features in real/", services.Main)
}

func hidden(use, short string, serve func(args []string) int) *cobra.Command {
	return &cobra.Command{
		Use:                use,
		Short:              short,
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if code := serve(args); code != 0 {
				return exit(code)
			}
			return nil
		},
	}
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}
