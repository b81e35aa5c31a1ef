package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/features"
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
	var asJSON jsonFormat
	cmd := &cobra.Command{
		Use:   "lint [paths]",
		Short: "Find mistakes in features, and what makes a scenario prove less than it seems to; starts nothing",
		Long: `Prints the mistakes that keep features from running, and warns of what would make a run inconclusive, of checks that
cannot fail, of scenarios that are hard to read, and of what system files declare and nothing uses. The manual of
scenarios lists the codes. The exit code is 0 if nothing was found, 1 if there are warnings, and 2 if there are mistakes.`,
		Example: `  firedrill lint
  firedrill lint --format json features/orders.feature   # a JSON object on each line`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := inputOf(args, tags)
			if err != nil {
				return err
			}
			all, err := lint(language.Source{FS: in.fsys, Root: in.root, Paths: in.paths, Tags: in.tags, Name: name, Find: process.FindProgram, LookupEnv: os.LookupEnv}, in.usersOf)
			if err != nil {
				return err
			}
			for _, f := range all {
				if err := f.write(cmd, bool(asJSON)); err != nil {
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
	cmd.Flags().Var(&asJSON, "format", "text, or json, which is an object for each mistake or warning, one a line")
	cmd.Flags().StringVar(&tags, "tags", "", "tag expression")
	cmd.Flags().StringVar(&name, "name", "", "regular expression on scenario names")
	return cmd
}

// lint returns the mistakes of features or, if there are none, the warnings. usersOf returns the folder of all that may use
// the system files at these paths, or nil if it is not known.
func lint(s language.Source, usersOf func(systemFiles []string) fs.FS) ([]lintFinding, error) {
	es, err := language.Parse(s)
	var problems scenarios.Problems
	if err != nil && !errors.As(err, &problems) {
		return nil, err
	}
	var all []lintFinding
	add := func(severity string, p source.Problem) {
		p.File = s.Place(p.File)
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
	files := systemFiles(es)
	if users := usersOf(files); users != nil {
		for _, p := range language.Unreferenced(s.FS, files, users, foreignFolder) {
			add("warning", p)
		}
	}
	slices.SortStableFunc(all, func(a, b lintFinding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return all, nil
}

// systemFiles returns the paths of the system files of experiments.
func systemFiles(es []*scenarios.Experiment) (all []string) {
	for _, e := range es {
		if e.System.File != "" {
			all = append(all, path.Join(path.Dir(e.File), e.System.File))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// usersOf returns the folder of all features and Go files that may use these system files: the whole repository, or else
// the working directory or, if paths lie outside of it, the folder of them all. It returns nil if that is a whole file
// system.
func (in input) usersOf(systemFiles []string) fs.FS {
	if in.fsys == features.FS {
		return in.fsys
	}
	root, err := filepath.Abs(cmp.Or(in.root, "."))
	if err != nil {
		return nil
	}
	if in.root != "" {
		root = commonFolder(root, slices.Concat(in.paths, systemFiles))
	}
	for dir := root; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return os.DirFS(dir)
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if root == filepath.Dir(root) {
		return nil // a whole file system
	}
	return os.DirFS(root)
}

// commonFolder returns the deepest folder that holds all these paths, which are relative to root.
func commonFolder(root string, names []string) string {
	var common []string
	for i, name := range names {
		parts := strings.Split(name, "/")
		if i == 0 {
			common = parts
		}
		n := 0
		for n < min(len(common), len(parts)) && common[n] == parts[n] {
			n++
		}
		common = common[:n]
	}
	return filepath.Join(root, filepath.Join(common...))
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

func (f lintFinding) write(cmd *cobra.Command, asJSON bool) error {
	if asJSON {
		return source.WriteLine(cmd.OutOrStdout(), f)
	}
	place := ""
	if f.File != "" {
		place = fmt.Sprintf("%s:%d: ", f.File, f.Line)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), journal.Visible(fmt.Sprintf("%s%s: %s: %s\n  %s\n", place, f.Severity, f.Code, f.What, f.Hint)))
	return err
}
