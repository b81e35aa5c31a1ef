package main

import (
	"context"
	"fmt"
	"io"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/runner/control"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// abortWithin is how long "abort" waits until the faults are healed.
const abortWithin = time.Minute

func abortCommand() *cobra.Command {
	dir := filepath.Join(".firedrill", "runs")
	cmd := &cobra.Command{
		Use:   "abort [RUN]",
		Short: "Abort a drill that runs: heal everything at once, from any terminal",
		Long: `Heals all faults of a run at once, ends its scenarios, starts no other, and prints what was verified. The run ends with exit
code 4, with its report. RUN is the name or the folder of a run; it can be left out if only one runs. Only the user who
runs the drill can abort it (and root).`,
		Example: `  firedrill abort
  firedrill abort 20261130T140000Z-4f2a91
  firedrill abort --dir nightly/runs`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), abortWithin)
			defer cancel()
			run, several, err := runningIn(ctx, dir, args)
			if err != nil {
				return fmt.Errorf("abort: %w", err)
			}
			if len(several) > 0 {
				return listRunning(ctx, cmd.ErrOrStderr(), several)
			}
			return askRun(ctx, cmd.OutOrStdout(), run, control.Request{Do: "abort", By: me()})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", dir, "parent of run folders")
	return cmd
}

// askRun asks a run to do something, and prints its answer.
func askRun(ctx context.Context, out io.Writer, run string, r control.Request) error {
	reply, err := control.Call(ctx, run, r)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, journal.Visible(filepath.Base(run)))
	for _, line := range reply.Lines {
		fmt.Fprintln(out, " ", journal.Visible(line))
	}
	return nil
}

// runningIn returns the folder of the run that the argument names or, without one, of the only one that runs. If several
// run, it returns them instead.
func runningIn(ctx context.Context, dir string, args []string) (run string, several []string, err error) {
	if len(args) == 1 {
		if filepath.Base(args[0]) == args[0] {
			return filepath.Join(dir, args[0]), nil, nil
		}
		return args[0], nil, nil
	}
	running, err := control.Running(ctx, dir)
	switch {
	case err != nil:
		return "", nil, err
	case len(running) == 0:
		return "", nil, fmt.Errorf("no drill runs in %q: --dir names another folder of runs", dir)
	case len(running) > 1:
		return "", running, nil
	}
	return running[0], nil, nil
}

// listRunning prints what runs, and that one of them has to be named.
func listRunning(ctx context.Context, console io.Writer, runs []string) error {
	fmt.Fprintln(console, "firedrill: several drills run, so name one:")
	for _, run := range runs {
		reply, err := control.Call(ctx, run, control.Request{Do: "status"})
		if err != nil {
			reply.Lines = []string{err.Error()}
		}
		fmt.Fprintf(console, "  %s  %s\n", filepath.Base(run), journal.Visible(strings.Join(reply.Lines, ", ")))
	}
	return exit(usage)
}

// me returns the name of the user, for journals.
func me() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}
