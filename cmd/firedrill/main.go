// Command firedrill runs failure drills: feature files that describe what a system must survive.
//
// "firedrill --help" prints the commands. The README of this folder lists their flags and exit codes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func main() {
	os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// exit is an error that carries an exit code only: its message has already been printed.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Exit codes of commands; those of run are in runner.Result.
const (
	usage        = 2
	inconclusive = 3
	unwritten    = 5
	interrupted  = 130
)

// Main runs the command line and returns the exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := interruptible(stderr)
	defer stop()
	root := command()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var code exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	default:
		fmt.Fprintln(stderr, "firedrill:", journal.Visible(journal.RedactText(err.Error())))
		return usage
	}
}

// interruptible returns a context that is cancelled by the first Ctrl-C, SIGTERM or loss of the terminal, so that
// everything is healed. The second signal kills the services and ends the program immediately.
func interruptible(stderr io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		select {
		case <-ctx.Done():
			return
		case s := <-signals:
			text := fmt.Sprintf("\nfiredrill: %v: healing and stopping; repeat to exit immediately", s)
			if screen := shown.Load(); screen != nil {
				screen.Say(text)
			} else {
				fmt.Fprintln(stderr, text)
			}
			cancel()
		}
		s := <-signals
		process.Abandon()
		giveBack(time.Second)
		fmt.Fprintf(stderr, "\nfiredrill: %v: exiting immediately; services are killed, nothing is healed and no report is written\n", s)
		os.Exit(interrupted)
	}()
	return ctx, func() { signal.Stop(signals); cancel() }
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "firedrill",
		Short:         "Rehearse failure: inject the faults that a feature names, under load, and verify how the system copes",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
		Example: `  firedrill run                              # ./features, or the built-in drills of the demo shop
  firedrill run features/orders.feature:23   # one scenario
  firedrill plan                             # what would happen; touches nothing
  firedrill steps delay                      # sentences about delay`,
	}
	root.AddCommand(abortCommand(), archiveCommand(), catalogueCommand(), demoCommand(), diffCommand(), doctorCommand(), fmtCommand(), gamedayCommand(), gateCommand(), healCommand(), initCommand(), injectCommand(), completeShells(lintCommand()), linksCommand(), completeShells(runCommand()), completeShells(planCommand()), stepsCommand(), trendCommand(), reportCommand(reports.Formats()), schemaCommand(), serveCommand(), serviceCommand(), shopCommand())
	completeFlags(root)
	return root
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}
