package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/runner/control"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func injectCommand() *cobra.Command {
	var run, heal, scenario string
	var untilHeal, list bool
	dir := linksDir
	cmd := &cobra.Command{
		Use:   "inject [SENTENCE]",
		Short: "Inject a fault by hand into links opened by \"firedrill links up\", or into a running drill (--run)",
		Long: `Injects one fault, written as a sentence of "firedrill steps". The command keeps running until the fault is healed: when its
time is over, on Ctrl-C, or by "firedrill inject --heal" in another terminal. It then says what the fault affected. If this
program is killed, stopped for 10 seconds or loses its terminal, the fault is healed. The limits of the system file apply.

A drill into which a fault was injected by hand is no longer the one that its feature describes: it is inconclusive, or
failed if something happened that may never happen, such as that an acknowledged request was lost.

The exit code is 0 if the fault affected something, 3 if it affected nothing, and 130 after Ctrl-C.`,
		Example: `  firedrill inject 'calls from "orders" to "payments" are delayed by 400ms for 30s'
  firedrill inject --until-heal '"payments" refuses connections from "orders"'
  firedrill inject --list
  firedrill inject --heal hand-1
  firedrill inject --run latest 'calls from "orders" to "payments" are delayed by 400ms for 30s'`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveNoFileComp // a sentence is no file
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			asked := len(args)
			for _, given := range []bool{list, heal != ""} {
				if given {
					asked++
				}
			}
			if asked != 1 || untilHeal && len(args) == 0 {
				return errors.New("inject: give a sentence (\"firedrill steps\" lists them), or --list, or --heal ID")
			}
			if scenario != "" && (run == "" || len(args) == 0) {
				return errors.New("inject: --scenario goes with --run and a sentence: links without a run have no scenarios")
			}
			folder, several, err := targetOf(cmd.Context(), dir, run)
			if err != nil {
				return fmt.Errorf("inject: %w", err)
			}
			out := cmd.OutOrStdout()
			switch {
			case len(several) > 0:
				return listRunning(cmd.Context(), cmd.ErrOrStderr(), several)
			case list:
				return askRun(cmd.Context(), out, folder, control.Request{Do: "faults"})
			case heal != "":
				return askRun(cmd.Context(), out, folder, control.Request{Do: "heal", Fault: heal, By: me()})
			}
			return injectInto(cmd.Context(), out, folder, control.Request{Do: "inject", Sentence: args[0], UntilHeal: untilHeal, Scenario: scenario, By: me()})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&dir, "dir", dir, "parent of the folders of links without a run, as in firedrill links up --dir")
	flags.StringVar(&run, "run", "", "a running drill: its name, its folder, or latest; or the folder of links without a run, if there are several")
	flags.StringVar(&scenario, "scenario", "", "the name or ID of a scenario of the drill, if several run side by side and the sentence fits more than one")
	flags.BoolVar(&untilHeal, "until-heal", false, "the sentence has no duration: the fault is live until it is healed, or this program ends")
	flags.BoolVar(&list, "list", false, "list the live faults that were injected by hand")
	flags.StringVar(&heal, "heal", "", "heal the fault with this ID, or all that were injected by hand")
	if err := cmd.RegisterFlagCompletionFunc("heal", cobra.FixedCompletions([]cobra.Completion{"all"}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the command has no such flag
	}
	return cmd
}

// targetOf returns the folder of the run that is named or, without one, of the only links that stand. If several stand, it
// returns them instead.
func targetOf(ctx context.Context, dir, run string) (folder string, several []string, err error) {
	if run != "" {
		return folderOf(runsDir, run), nil, nil
	}
	standing, err := control.Running(ctx, dir)
	switch {
	case err != nil:
		return "", nil, err
	case len(standing) == 0:
		return "", nil, fmt.Errorf("no links without a run are open in %q: start them with \"firedrill links up\", or name a running drill: --run latest", dir)
	case len(standing) > 1:
		return "", standing, nil
	}
	return standing[0], nil, nil
}

// injectInto injects a fault and waits until it is healed.
func injectInto(ctx context.Context, out io.Writer, folder string, r control.Request) error {
	show := func(reply control.Reply) {
		for _, line := range reply.Lines {
			fmt.Fprintln(out, journal.Visible(line))
		}
	}
	reply, err := control.Hold(ctx, folder, r, show)
	if err != nil {
		return err
	}
	show(reply)
	switch {
	case ctx.Err() != nil:
		return exit(interrupted)
	case reply.Nothing:
		return exit(inconclusive)
	}
	return nil
}
