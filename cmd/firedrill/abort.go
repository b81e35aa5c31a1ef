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
	dir := runsDir
	cmd := &cobra.Command{
		Use:   "abort [RUN]",
		Short: "Abort a running drill: heal everything at once, from any terminal",
		Long: `Heals all faults of a run at once, ends its scenarios, starts no other, and prints what was verified. The run ends with exit
code 4, with its report. RUN is the name or the folder of a run; it can be left out if only one runs. Links opened
without a run ("firedrill links up") are closed. Only the user who runs the drill can abort it (and root).`,
		Example: `  firedrill abort
  firedrill abort 20261130T140000Z-4f2a91
  firedrill abort --dir nightly/runs`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), abortWithin)
			defer cancel()
			dirs := []string{dir}
			if !cmd.Flags().Changed("dir") {
				dirs = append(dirs, linksDir)
			}
			run, several, err := runningIn(ctx, dirs, args)
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

// runsDir is the default parent of run folders.
var runsDir = filepath.Join(".firedrill", "runs")

// runningIn returns the folder of the run that the argument names or, without one, of the only one that runs. If several
// run, it returns them instead. A name is looked for in the first folder.
func runningIn(ctx context.Context, dirs, args []string) (run string, several []string, err error) {
	if len(args) == 1 {
		return folderOf(dirs[0], args[0]), nil, nil
	}
	var running []string
	for _, dir := range dirs {
		more, err := control.Running(ctx, dir)
		if err != nil {
			return "", nil, err
		}
		running = append(running, more...)
	}
	switch {
	case len(running) == 0:
		return "", nil, fmt.Errorf("no drill runs in %q: --dir names another folder of runs", dirs[0])
	case len(running) > 1:
		return "", running, nil
	}
	return running[0], nil, nil
}

// folderOf returns the folder that a name or a path stands for.
func folderOf(dir, name string) string {
	if filepath.Base(name) == name {
		return filepath.Join(dir, name)
	}
	return name
}

// listRunning prints what runs, and that one of them has to be named.
func listRunning(ctx context.Context, console io.Writer, runs []string) error {
	fmt.Fprintln(console, "firedrill: several drills run, so name one:")
	for _, run := range runs {
		within, cancel := context.WithTimeout(ctx, time.Second)
		reply, err := control.Call(within, run, control.Request{Do: "status"})
		cancel()
		if err != nil {
			reply.Lines = []string{err.Error()}
		}
		fmt.Fprintf(console, "  %s  %s\n", run, journal.Visible(strings.Join(reply.Lines, ", ")))
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
