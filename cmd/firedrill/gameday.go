package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/runner/sources"
)

func gamedayCommand() *cobra.Command {
	var o runner.Options
	var check, plain bool
	var page livePage
	by := me()
	cmd := &cobra.Command{
		Use:   "gameday DAY.yaml",
		Short: "Lead a team through a game day: checklist, one card after another, notes of people in the report",
		Long: `Runs the scenarios of the cards of a game day, one after another. It first asks for each item of the checklist, then before
each card and each injection. What people do goes to the journal with time and author, and the report shows it beside what
the machine did, with the time to detect, to mitigate and to recover.

Keys, at any time: c or space continues when it asks; o: on hold; h: heal what is live; n: write a note, up to Enter;
d: detected; m: mitigated; !: abort, which heals everything and ends the day; q: stop the run. Without a terminal, they are
read from standard input, whose end stops the run at the next question. No flag answers the questions: a person has to read the checklist.

The exit codes are those of firedrill run.`,
		Example: `  firedrill gameday init day.yaml
  firedrill gameday --check day.yaml
  firedrill gameday day.yaml --as ana
  firedrill gameday day.yaml --as ana --web --blind   # a page for the others, which does not say what comes next`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return []cobra.Completion{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := readDay(args[0])
			if err == nil && check {
				err = d.check(cmd.OutOrStdout(), o.AllowTargets)
			}
			if err != nil || check {
				return printProblems(cmd, err)
			}
			return playDay(cmd, o, d, by, plain, page)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&check, "check", false, "say what is missing, or print the agenda; starts nothing")
	flags.BoolVar(&plain, "plain", false, "show the day line by line, as without a terminal, and not on the whole screen")
	flags.StringVar(&by, "as", by, "the name of the person at the keys, for journal and report")
	page.flags(cmd)
	flags.StringVar(&o.Dir, "dir", runsDir, "parent of run folders")
	flags.Uint64Var(&o.Seed, "seed", 0, seedUsage)
	flags.StringSliceVar(&o.AllowTargets, "allow-target", nil, allowTarget)
	cmd.AddCommand(gamedayInitCommand(), exportCommand())
	return cmd
}

func gamedayInitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [DAY.yaml]",
		Short: "Write a game day to fill in",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return writeDay(cmd.OutOrStdout(), append(args, "day.yaml")[0])
		},
	}
}

// playDay runs a game day.
func playDay(cmd *cobra.Command, o runner.Options, d *day, by string, plain bool, page livePage) error {
	in := d.features
	o.FS, o.Root, o.Paths = in.fsys, in.root, in.paths
	o.Meter, o.Sources, o.Loads, o.Parallel = &runner.Meter{}, sources.Kinds(), sources.Loads(), 1
	o.Select = d.choose
	return run(cmd, o, output{screen: !plain}, func(o *runner.Options, view front, cancelRun context.CancelCauseFunc) (func(), error) {
		team := people{title: d.title, page: page, by: by, keys: cmd.InOrStdin(), actions: append([]action{hold}, anytime()...)}
		op, leave, err := team.join(cmd.Context(), o, view, cancelRun)
		if err == nil {
			(&facilitator{operator: op, day: d}).lead(o)
		}
		return leave, err
	}, func(string) error { return nil })
}
