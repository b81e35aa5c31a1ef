package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/features"
	"github.com/firedrill-dev/firedrill/scenarios/feature"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// standardInput is the path that stands for standard input and standard output.
const standardInput = "-"

func fmtCommand() *cobra.Command {
	var check, showDiff bool
	cmd := &cobra.Command{
		Use:   "fmt [paths]",
		Short: "Format feature files in one style, and print the names of those that changed",
		Long: `Rewrites feature files in one style: indentation, aligned tables, empty lines. What they mean does not change, nor do
their comments and the content of doc strings. Without a path, it takes the files that run takes. In folders it leaves
out hidden folders, vendor and node_modules. If one of the files is not Gherkin, none is written.

The exit code is 0 if all files are formatted now; 1 if --check or --diff found some that are not; 2 for a mistake.`,
		Example: `  firedrill fmt
  firedrill fmt --check                            # for CI: print the names, write nothing
  firedrill fmt --diff features/orders.feature
  firedrill fmt - < orders.feature                 # for editors: from standard input to standard output`,
		ValidArgsFunction: completePaths,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := textsToFormat(args, cmd.InOrStdin())
			if err != nil {
				return err
			}
			if !formatAll(all, cmd.ErrOrStderr()) {
				return exit(usage)
			}
			if check || showDiff {
				return reportUnformatted(cmd.OutOrStdout(), all, check, showDiff)
			}
			return writeFormatted(cmd.OutOrStdout(), all)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "write nothing; print the names of files that are not formatted, and exit with 1 if there are any")
	cmd.Flags().BoolVar(&showDiff, "diff", false, "write nothing; print what would change as a unified diff, and exit with 1 if there is anything")
	return cmd
}

// featureText is a feature file, or standard input.
type featureText struct {
	name      string // as it is printed
	text      []byte
	formatted []byte
}

func (f featureText) changes() bool { return !bytes.Equal(f.text, f.formatted) }

// textsToFormat reads the files that the arguments of fmt name.
func textsToFormat(args []string, stdin io.Reader) ([]featureText, error) {
	if slices.Contains(args, standardInput) {
		if len(args) > 1 {
			return nil, errors.New(`fmt: "-" is standard input: name no other path beside it`)
		}
		text, err := io.ReadAll(stdin)
		if err != nil {
			return nil, fmt.Errorf("fmt: read standard input: %w", err)
		}
		return []featureText{{name: standardInput, text: text}}, nil
	}
	if len(args) == 0 {
		in, err := inputOf(nil, "")
		if err != nil {
			return nil, err
		}
		if in.fsys == features.FS {
			return nil, errors.New("fmt: there are no features here: name a file or a folder")
		}
		args = in.paths
	}
	var all []featureText
	for _, arg := range args {
		names, err := featureFiles(arg)
		if err != nil {
			return nil, fmt.Errorf("fmt: %w", err)
		}
		for _, name := range names {
			if slices.ContainsFunc(all, func(f featureText) bool { return f.name == name }) {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("fmt: %w: check that it may be read", err)
			}
			all = append(all, featureText{name: name, text: text})
		}
	}
	return all, nil
}

// featureFiles returns the feature files at a path, at least one.
func featureFiles(at string) (all []string, err error) {
	if before, _, ok := strings.Cut(at, ".feature:"); ok {
		return nil, fmt.Errorf("%q is one scenario, and files are formatted as a whole: name %q", at, before+".feature")
	}
	err = filepath.WalkDir(filepath.Clean(at), func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != filepath.Clean(at) && foreignFolder(d.Name()):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(name, ".feature"):
			all = append(all, name)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: name a feature file, or a folder that holds some", err)
	case len(all) == 0:
		return nil, fmt.Errorf("%q is not a feature file and holds none: the names of feature files end in .feature", at)
	}
	return all, nil
}

// formatAll sets the formatted texts. It prints the problems of files that are not Gherkin and reports whether there
// are none.
func formatAll(all []featureText, console io.Writer) bool {
	n := 0
	for i := range all {
		formatted, err := feature.Format(all[i].name, all[i].text)
		var problems source.Problems
		if errors.As(err, &problems) {
			for _, p := range problems {
				fmt.Fprint(console, p.Error())
			}
			n += len(problems)
		}
		all[i].formatted = formatted
	}
	switch n {
	case 0:
		return true
	case 1:
		fmt.Fprintln(console, "1 problem; nothing was written")
	default:
		fmt.Fprintf(console, "%d problems; nothing was written\n", n)
	}
	return false
}

// reportUnformatted prints the names of files that are not formatted, and how they differ. The error is an exit code
// if there are any.
func reportUnformatted(out io.Writer, all []featureText, names, diffs bool) error {
	found := false
	for _, f := range all {
		if !f.changes() {
			continue
		}
		found = true
		if names {
			fmt.Fprintln(out, journal.Visible(f.name))
		}
		if diffs {
			text := string(diff.Diff(journal.Visible(f.name)+".orig", f.text, journal.Visible(f.name), f.formatted))
			if isTerminal(out) {
				text = journal.Visible(text) // elsewhere, programs such as patch read it
			}
			fmt.Fprint(out, text)
		}
	}
	if found {
		return exit(1)
	}
	return nil
}

// writeFormatted replaces the files that are not formatted, and prints their names. It prints all of standard input.
func writeFormatted(out io.Writer, all []featureText) error {
	for _, f := range all {
		switch {
		case f.name == standardInput:
			if _, err := out.Write(f.formatted); err != nil {
				return fmt.Errorf("fmt: %w", err)
			}
		case f.changes():
			if err := replaceFile(f.name, f.formatted); err != nil {
				return fmt.Errorf("fmt: write %q: %w; the file is as before", f.name, err)
			}
			fmt.Fprintln(out, journal.Visible(f.name))
		}
	}
	return nil
}

// replaceFile replaces the content of a file, at once: other programs see the old content or the new one. The mode of
// the file stays. If name is a symbolic link, the file that it points to is replaced.
func replaceFile(name string, content []byte) (err error) {
	target, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	old, err := os.OpenFile(target, os.O_WRONLY, 0) // a file that may not be written is not replaced either
	if err != nil {
		return err
	}
	info, err := old.Stat()
	if err := errors.Join(err, old.Close()); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(content)
	if err := errors.Join(err, tmp.Chmod(info.Mode().Perm()), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), target)
}
