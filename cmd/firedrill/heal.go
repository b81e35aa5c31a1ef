package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/runner/control"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func healCommand() *cobra.Command {
	dir := runsDir
	cmd := &cobra.Command{
		Use:   "heal",
		Short: "Undo what killed or hanging runs of this user have left: processes, disks, sockets, toxics; prints what it verified",
		Long: `Ends the processes, unmounts the disks, removes the sockets, and deletes the toxics and proxies on Toxiproxy servers that
runs of this user have left, and verifies that they are gone. This is needed only if the guardian of a run was killed, too.
A run that holds its lease is not touched. It may be called at any time, and again. It also removes the control sockets of
killed runs below --dir.

Exit codes: 0 nothing is left; 1 something could not be undone, and stays recorded; 2 wrong usage, or the records cannot be read.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := process.Heal()
			if err != nil {
				return err
			}
			dirs := []string{dir}
			if !cmd.Flags().Changed("dir") {
				dirs = append(dirs, linksDir)
			}
			return printHealed(cmd.OutOrStdout(), all, removeSockets(cmd.Context(), dirs))
		},
	}
	cmd.Flags().StringVar(&dir, "dir", dir, "parent of run folders")
	return cmd
}

// sockets are the folders of killed runs from which their control sockets were removed, and why others could not be.
type sockets struct {
	of  []string
	err error
}

// removeSockets removes the control sockets of killed runs and links below some folders.
func removeSockets(ctx context.Context, dirs []string) (removed sockets) {
	for _, dir := range dirs {
		of, err := control.RemoveStale(ctx, dir)
		removed.of = append(removed.of, of...)
		removed.err = errors.Join(removed.err, err)
	}
	return removed
}

// printHealed prints what was found of each program, and returns exit code 1 if something could not be undone.
func printHealed(out io.Writer, all []process.Healed, removed sockets) error {
	if len(all) == 0 && len(removed.of) == 0 && removed.err == nil {
		fmt.Fprintln(out, "nothing is recorded: no run is going on, and none has left anything")
		return nil
	}
	failed := removed.err != nil
	for _, folder := range removed.of {
		fmt.Fprintf(out, "✓ removed the control socket of %s, which was killed\n", journal.Visible(folder))
	}
	if failed {
		fmt.Fprintf(out, "✗ %s\n", journal.Visible(removed.err.Error()))
	}
	for _, h := range all {
		switch {
		case h.Err != nil:
			failed = true
			fmt.Fprintf(out, "✗ %s\n", journal.Visible(h.Err.Error()))
		case h.State == process.OwnerRuns:
			fmt.Fprintf(out, "– the run of pid %d %s and holds its lease: not touched\n", h.PID, h.State)
			continue
		default:
			fmt.Fprintf(out, "✓ the run of pid %d %s\n", h.PID, h.State)
		}
		for _, what := range h.Undone {
			fmt.Fprintf(out, "    %s\n", journal.Visible(what))
		}
		if len(h.Undone) == 0 && h.Err == nil {
			fmt.Fprintln(out, "    there was nothing to undo")
		}
		if len(h.Proved) > 0 {
			fmt.Fprintf(out, "    verified: %s\n", journal.Visible(strings.Join(h.Proved, "; ")))
		}
		if h.State == process.OwnerHangs {
			fmt.Fprintf(out, "    pid %d still exists, and injects nothing more if it continues: end it with kill -9 %d\n", h.PID, h.PID)
		}
	}
	if failed {
		return exit(1)
	}
	return nil
}
