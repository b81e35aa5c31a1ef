package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/features"
	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func demoCommand() *cobra.Command {
	var fixed bool
	var o runner.Options
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See a drill find a bug in a small shop, within seconds; --fixed runs the same drill without the bug",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), o, fixed)
		},
	}
	cmd.Flags().BoolVar(&fixed, "fixed", false, "with the protection that the shop lacks otherwise: idempotency keys")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 0, seedUsage+"; the report shows it")
	cmd.Flags().StringVar(&o.Dir, "dir", runsDir, "parent of run folders")
	return cmd
}

// demo prints the drill, runs it, and prints its result. The exit code is that of the run: the shop with its bug fails.
func demo(ctx context.Context, out, console io.Writer, o runner.Options, fixed bool) error {
	const file = "shop/demo.feature"
	text, err := features.Demo.ReadFile(file)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n", text)
	o.FS, o.Paths = features.Demo, []string{file}
	if !fixed {
		o.Without = []string{"idempotency keys"}
	}
	live := reports.NewLive(console, styled(console))
	o.Watch = live.Event
	result, err := runner.Run(ctx, o)
	live.Close()
	if result == nil || len(result.Book.Scenarios) != 1 {
		return err
	}
	if err != nil {
		fmt.Fprintln(console, "firedrill:", journal.Visible(err.Error()))
	}
	fmt.Fprint(out, outcomeOfDemo(result.Book.Scenarios[0], fixed))
	fmt.Fprintf(out, "\nThe evidence: %s\n", journal.Visible(filepath.Join(result.Dir, "report.html")))
	if code := result.ExitCode(); code != 0 {
		return exit(code)
	}
	return nil
}

// outcomeOfDemo describes how many orders were charged once, and how many more than once.
func outcomeOfDemo(h *journal.History, fixed bool) string {
	charges := map[string]int{}
	for _, e := range h.Effects.All() {
		charges[e.Key]++
	}
	twice := 0
	for _, n := range charges {
		if n > 1 {
			twice++
		}
	}
	lost := int64(0)
	for _, f := range h.Faults {
		lost += f.Affected
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d acknowledgements were lost. ", lost)
	switch {
	case h.End == nil || h.End.Outcome == "inconclusive":
		fmt.Fprintf(&b, "The drill proved nothing on this machine: see the report.\n")
	case twice > 0:
		fmt.Fprintf(&b, "%d of %d orders were charged more than once.\n", twice, h.Requests.Len())
	default:
		fmt.Fprintf(&b, "Each of %d orders was charged once.\n", h.Requests.Len())
	}
	if !fixed {
		b.WriteString("\nThe shop ran without its idempotency keys. With them: firedrill demo --fixed\n")
	} else {
		b.WriteString("\nA drill of your own system: firedrill init\n")
	}
	return b.String()
}
