package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/reports/history"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/feature"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/language"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

func exportCommand() *cobra.Command {
	var n int
	var allowed []string
	runs := runsDir
	cmd := &cobra.Command{
		Use:   "export RUN",
		Short: "Write a feature that reproduces a finding",
		Long: `Writes a feature file that reproduces a finding of a run: the system, the load, the faults with the times for which they were
live, those injected or healed by hand included, and the checks that failed. RUN is its folder, its name, or "latest". The
file is written beside the feature of the scenario, and none is overwritten.`,
		Example: `  firedrill gameday export latest
  firedrill gameday export latest --finding 2`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := history.Folder(runs, args[0])
			if err != nil {
				return err
			}
			book, err := readBook(filepath.Join(dir, "journal.ndjson"))
			if err != nil {
				return err
			}
			f, err := chooseFinding(reports.Findings(book), n)
			if err != nil {
				return fmt.Errorf("gameday export: %w", err)
			}
			name, err := exportFinding(book, f, allowed)
			if err != nil {
				return fmt.Errorf("gameday export: finding %d: %w", f.N, err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s: run it with: firedrill run %[1]s\n", journal.Visible(name))
			return err
		},
	}
	cmd.Flags().IntVar(&n, "finding", 0, "the number of the finding in the report; needed if there are several")
	cmd.Flags().StringSliceVar(&allowed, "allow-target", nil, allowTarget)
	cmd.Flags().StringVar(&runs, "dir", runs, "parent of run folders")
	return cmd
}

// chooseFinding returns the finding with a number, or the only one if the number is 0.
func chooseFinding(all []reports.Finding, n int) (reports.Finding, error) {
	var list strings.Builder
	for _, f := range all {
		fmt.Fprintf(&list, "\n  %d: %s: %s", f.N, f.Severity, journal.Visible(f.What))
		if f.N == n || n == 0 && len(all) == 1 {
			if f.Scenario == nil {
				return f, fmt.Errorf("finding %d was noted before any scenario began: there is nothing to reproduce", f.N)
			}
			return f, nil
		}
	}
	switch {
	case len(all) == 0:
		return reports.Finding{}, errors.New("the run has no findings: no scenario failed, and no finding was noted")
	case n == 0:
		return reports.Finding{}, fmt.Errorf("the run has several findings: name one with --finding:%s", &list)
	}
	return reports.Finding{}, fmt.Errorf("there is no finding %d:%s", n, &list)
}

// exportFinding writes the feature that reproduces a finding, and returns its name.
func exportFinding(book *journal.Book, f reports.Finding, allowed []string) (name string, err error) {
	ran, err := readScenario(f.Scenario, allowed)
	if err != nil {
		return "", err
	}
	base := fmt.Sprintf("finding-%d-%s.feature", f.N, scenarios.ID("", f.Scenario.Name, nil))
	name = path.Join(path.Dir(f.Scenario.File), base)
	text, err := feature.Format(name, []byte(reproduction(book, f, ran)))
	if err != nil {
		return "", err
	}
	onDisk := filepath.FromSlash(path.Join(filepath.ToSlash(ran.root), name))
	file, err := os.OpenFile(onDisk, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644) //nolint:gosec // as other features
	if errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("%q exists already: delete or rename it", onDisk)
	}
	if err != nil {
		return "", err
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Close())
	if err == nil {
		_, err = language.Parse(language.Source{FS: ran.fsys, Root: ran.root, Paths: []string{name}, AllowTargets: allowed})
	}
	if err != nil {
		err = fmt.Errorf("what happened cannot be written as a feature: %w", errors.Join(err, os.Remove(onDisk)))
	}
	return onDisk, err
}

// ranScenario is the scenario of a run, as its feature file describes it.
type ranScenario struct {
	fsys  fs.FS
	root  string // the folder that fsys shows; "" means the working directory
	text  *feature.Scenario
	steps []scenarios.Step // parallel to text.Steps
}

// readScenario reads the scenario of a run from its feature file, which is the one that was run only if its steps are the
// same: the journal does not hold tables and doc strings.
func readScenario(h *journal.History, allowed []string) (*ranScenario, error) {
	ran := &ranScenario{fsys: os.DirFS(".")}
	if _, err := fs.Stat(ran.fsys, h.File); err != nil {
		ran.root = string(filepath.Separator) // where files outside of the working directory are read from
		ran.fsys = os.DirFS(ran.root)
		if _, err := fs.Stat(ran.fsys, h.File); err != nil {
			return nil, fmt.Errorf("find the feature of the scenario: %w: change to the folder in which the run was started; what is built into firedrill cannot be exported", err)
		}
	}
	problems := &source.List{}
	vocabulary := language.Standard()
	all := feature.Read(ran.fsys, h.File, func(text string) bool { return vocabulary.Group(text) != "" }, problems)
	if err := problems.Err(); err != nil {
		return nil, fmt.Errorf("read %q: %w", h.File, err)
	}
	i := slices.IndexFunc(all, func(sc *feature.Scenario) bool {
		return sc.Name == h.Name && slices.EqualFunc(sc.Steps, h.Steps, func(a feature.Step, b journal.Step) bool { return journal.RedactText(a.Text) == b.Text })
	})
	if i < 0 {
		return nil, fmt.Errorf("%q does not hold the scenario %q as it was run: use the version of the file that was run", h.File, h.Name)
	}
	ran.text = all[i]
	es, err := language.Parse(language.Source{FS: ran.fsys, Root: ran.root, Paths: []string{h.File}, AllowTargets: allowed})
	if err != nil {
		return nil, err
	}
	ran.steps = es[i].Steps
	return ran, nil
}

// reproduction returns the text of the feature of a finding, unformatted.
func reproduction(book *journal.Book, f reports.Finding, ran *ranScenario) string {
	h := f.Scenario
	var out strings.Builder
	oneLine := strings.NewReplacer("\r", " ", "\n", " ")
	line := func(format string, args ...any) {
		fmt.Fprintln(&out, oneLine.Replace(journal.Visible(fmt.Sprintf(format, args...))))
	}
	line("# Reproduces finding %d of the run %s: %s", f.N, book.Run.ID, f.What)
	about := "# Severity: " + f.Severity
	for _, part := range [][2]string{{"owner", f.Owner}, {"noted by", f.By}, {"retest", f.Retest}} {
		if part[1] != "" {
			about += "; " + part[0] + ": " + part[1]
		}
	}
	line("%s", about)
	line("Feature: Finding %d: %s", f.N, h.Name)
	if len(h.Tags) > 0 {
		line("%s", strings.Join(h.Tags, " "))
	}
	line("Scenario: %s", h.Name)
	for _, s := range keywords(ran.reproduce(h)) {
		line("%s %s", s.Keyword, s.Text)
		writeArgument(&out, s)
	}
	return out.String()
}

// keywords sets the keywords of steps by their kinds.
func keywords(steps []feature.Step) []feature.Step {
	of := map[string]string{"Context": "Given", "Action": "When", "Outcome": "Then"}
	for i := range steps {
		steps[i].Keyword = of[steps[i].Kind]
		if i > 0 && steps[i].Kind == steps[i-1].Kind {
			steps[i].Keyword = "And"
		}
	}
	return steps
}

// writeArgument writes the table or the doc string of a step.
func writeArgument(out *strings.Builder, s feature.Step) {
	cells := strings.NewReplacer(`\`, `\\`, "|", `\|`, "\n", `\n`)
	for _, row := range s.Table {
		for _, cell := range row.Cells {
			out.WriteString("| " + cells.Replace(cell) + " ")
		}
		out.WriteString("|\n")
	}
	if s.Doc != nil {
		fmt.Fprintf(out, "\"\"\"\n%s\n\"\"\"\n", strings.ReplaceAll(*s.Doc, `"""`, `\"\"\"`))
	}
}
