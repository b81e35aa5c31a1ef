package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/firedrill-dev/firedrill/cmd/firedrill/screen"
	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/reports/grafana"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/runner/sources"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func runCommand() *cobra.Command {
	var r runFlags
	cmd := &cobra.Command{
		Use:   "run [paths]",
		Short: "Run features: files, folders, file.feature:line",
		Long: `Runs the scenarios of the given features and writes the journal, reports and logs to a new folder.
Without a path, it runs ./features or, where there are no features at all, the built-in catalogue: drills of a demo
shop. Scenarios tagged @real need real servers, and run if a path or a tag is given.

Scenarios run in parallel only if they share no port, address, folder or handler, and the machine can carry their
services and loads together. A scenario that is inconclusive because others may have disturbed it is run again alone.

Exit codes: 0 passed; 1 a check failed, even if it passed when it was run again (--allow-flaky accepts that); 2 wrong usage or an invalid feature; 3 inconclusive, or some scenarios were
skipped; 4 stopped by a stop rule or "firedrill abort"; 5 passed, as the journal says, but a report could not be written; 130 interrupted.
Processes and files left by an earlier run that was killed are removed first.`,
		Example: `  firedrill run --tags "@smoke and not @real"
  firedrill run --without "idempotency keys"   # the demo shop without one protection: a check fails
  firedrill run --step features/orders.feature # ask before each injection, heal on a key
  firedrill run --web features/orders.feature  # a page that shows the run while it lasts, to browsers on this machine
  firedrill run --retries 2 --max-duration 10m # a job of CI: a failure that does not repeat is flaky, and still fails it
  firedrill run --against last-green           # what changed since the last run that passed`,
	}
	r.add(cmd)
	cmd.RunE = r.run
	return cmd
}

// seedUsage describes a flag.
const seedUsage = "seed of all random decisions; 0 takes $FIREDRILL_SEED or else one from the clock"

// runFlags are the flags of a run.
type runFlags struct {
	options runner.Options
	show    output
	step    bool
	page    livePage
	metrics string // host:port, or "" for none
	against string // an earlier run; "" for none
}

// add adds the flags to a command.
func (r *runFlags) add(cmd *cobra.Command) {
	o := &r.options
	flags := cmd.Flags()
	flags.StringVar(&o.Tags, "tags", "", `tag expression, such as "@smoke and not @real"`)
	flags.StringVar(&o.Name, "name", "", "regular expression on scenario names")
	flags.Uint64Var(&o.Seed, "seed", 0, seedUsage+"; every report shows it")
	flags.StringSliceVar(&o.Without, "without", nil, "protections to switch off in the system, by name (passed to the commands of services as ${without})")
	flags.IntVar(&o.Parallel, "parallel", 4*runtime.NumCPU(), "maximum number of scenarios at once; fewer if they would disturb each other; those tagged @serial run alone")
	flags.StringVar(&o.Dir, "dir", runsDir, "parent of run folders")
	flags.StringSliceVar(&o.AllowTargets, "allow-target", nil, allowTarget)
	flags.StringVar(&r.metrics, "metrics", "", "serve /metrics for Prometheus at host:port during the run, such as 127.0.0.1:9464; without a host, only to this machine")
	flags.BoolVar(&o.AllowSkipped, "allow-skipped", false, "let the run pass even if scenarios were skipped because a required program is not installed")
	flags.Var(&r.show.json, "format", "what to print to standard output: text, or json, which is each event as it happens, one a line, as in the journal")
	flags.BoolVar(&r.show.github, "github", false, "print annotations for GitHub Actions, too: at most 10, at the lines of the steps")
	flags.StringVar(&r.show.grafana, "grafana", "", "after the run, mark its scenarios and faults on the dashboards of the Grafana at an address, such as http://127.0.0.1:3000; with the token in $GRAFANA_TOKEN")
	flags.IntVar(&o.Repeat, "repeat", 1, "run each scenario so many times, with seeds derived from that of the run, and report how often it had which outcome")
	flags.IntVar(&o.Retries, "retries", 0, "run a scenario that failed again, at most so many times until it passes: first with the same seed, then with new ones; it is flaky if it passes")
	flags.BoolVar(&o.AllowFlaky, "allow-flaky", false, "let the run pass even if scenarios were flaky")
	flags.DurationVar(&o.MaxDuration, "max-duration", 0, "do not start scenarios that would end later than this after the start of the run, as estimated, such as 10m; a run with such scenarios is inconclusive")
	flags.DurationVar(&o.ScenarioTimeout, "scenario-timeout", 0, "stop a scenario that takes longer, such as 2m, unless its feature says how long it may take; it is healed and inconclusive, and the run goes on")
	flags.BoolVar(&o.DryRun, "dry-run", false, "start everything, inject nothing: say what would be injected, try the undo of each fault on a link, and prove what can be proved of the others; exit code 0 if nothing would prevent the drill, which is reported as skipped")
	flags.BoolVar(&r.step, "step", false, "ask before each injection, heal on a key; one scenario at a time")
	flags.BoolVar(&r.show.screen, "screen", false, "show the run on the whole terminal, with keys to heal, write notes and abort; one scenario at a time; lines, as without it, if the terminal cannot do that")
	r.page.flags(cmd)
	flags.StringVar(&r.against, "against", "", `after the run, print what changed since an earlier one, show it in the report, and write comparison.json: a folder or name of a run, "latest", or "last-green" for the last one that passed; the exit code stays that of the run`)
}

// check returns an error if the flags contradict each other, or have values that they cannot have.
func (r *runFlags) check(parallelGiven bool) error {
	if err := r.show.check(r.against); err != nil {
		return err
	}
	o := r.options
	if o.Repeat < 1 || o.Retries < 0 || o.MaxDuration < 0 || o.ScenarioTimeout < 0 {
		return errors.New("--repeat must be at least 1, and --retries, --max-duration and --scenario-timeout must not be negative")
	}
	if with := r.peopleFlag(); with != "" && parallelGiven && o.Parallel != 1 {
		return fmt.Errorf("--parallel %d: with %s, people take part in one scenario at a time: leave out --parallel or %[2]s", o.Parallel, with)
	}
	return nil
}

// peopleFlag returns the flag with which people take part in the run, or "".
func (r *runFlags) peopleFlag() string {
	switch {
	case r.step:
		return "--step"
	case r.show.screen:
		return "--screen"
	case r.page != livePage{}:
		return "--web"
	}
	return ""
}

// run runs the features that the arguments name.
func (r *runFlags) run(cmd *cobra.Command, args []string) error {
	if err := r.check(cmd.Flags().Changed("parallel")); err != nil {
		return err
	}
	o := r.options
	in, err := inputOf(args, o.Tags)
	if err != nil {
		return err
	}
	o.FS, o.Root, o.Paths, o.Tags = in.fsys, in.root, in.paths, in.tags
	o.Meter, o.Sources, o.Loads = &runner.Meter{}, sources.Kinds(), sources.Loads()
	served, err := serveMetrics(r.metrics, o.Meter.Counts)
	if err != nil {
		return err
	}
	defer served.close()
	to := cmd.OutOrStdout()
	if r.show.json {
		to = cmd.ErrOrStderr()
	}
	compare, err := comparison(cmd, to, o.Dir, r.against)
	if err != nil {
		return err
	}
	var join joining
	if r.peopleFlag() != "" {
		join = withPeople(cmd, r.step, r.step || r.show.screen, r.page)
	}
	return run(cmd, o, r.show, join, compare)
}

// output is what a run prints to standard output, and shows elsewhere.
type output struct {
	json    jsonFormat
	github  bool   // annotations, too
	grafana string // the address of the Grafana whose dashboards are annotated; "" for none
	screen  bool   // show the run on the whole terminal, if that can be
}

// check returns an error if a run cannot be shown so, and compared with an earlier one.
func (p output) check(against string) error {
	switch {
	case bool(p.json) && (p.github || against != ""):
		return errors.New("--format json: what --github and --against print is not JSON: leave out one of them")
	}
	if err := grafana.CheckAddress(p.grafana); p.grafana != "" && err != nil {
		return fmt.Errorf("--grafana: %w", err)
	}
	return nil
}

// joining lets people take part in a run. leave ends that.
type joining func(o *runner.Options, view front, cancelRun context.CancelCauseFunc) (leave func(), err error)

// withPeople lets people take part in a run of one scenario at a time: at its page and, with keys, at the terminal of a
// command. With step, the person at the terminal is asked before each injection, and for confirmations.
func withPeople(cmd *cobra.Command, step, keys bool, page livePage) joining {
	return func(o *runner.Options, view front, cancelRun context.CancelCauseFunc) (func(), error) {
		p := people{title: "Firedrill run", page: page, by: me(), keys: strings.NewReader("")}
		if keys {
			p.keys, p.actions = cmd.InOrStdin(), anytime()
		}
		op, leave, err := p.join(cmd.Context(), o, view, cancelRun)
		if err != nil {
			return nil, err
		}
		o.Parallel = 1
		var actions []screen.Action
		o.BeforeScenario = func(_ context.Context, e *scenarios.Experiment) error {
			c := cardOf(e)
			actions = c.Actions
			view.Begin(c)
			return nil
		}
		if step {
			done := choice{"\n\r c", "Enter: continue"}
			op.askBefore(o, []choice{done, {"s", "s: skip"}}, []choice{done}, func(says string) string {
				for _, a := range actions {
					if a.Text == says {
						return a.Undo
					}
				}
				return ""
			})
		}
		return leave, nil
	}
}

// run runs features, and passes the folder of the run to compare at the end. join may be nil.
func run(cmd *cobra.Command, o runner.Options, show output, join joining, compare func(dir string) error) error {
	sources.Silence() // the screen is drawn on standard error
	out, console := cmd.OutOrStdout(), cmd.ErrOrStderr()
	ctx, cancelRun := context.WithCancelCause(cmd.Context())
	defer cancelRun(nil)
	sameTerminal := bool(show.json) && isTerminal(out)
	view := newFront(cmd, show.screen && !sameTerminal, cancelRun)
	defer view.Close()
	o.Watch = func(e journal.Event) {
		if e.Run != nil {
			view.Say(estimate(e.Run.Plan))
		}
		view.Event(e)
	}
	if show.json {
		events, progress := printEvents(out), o.Watch
		o.Watch = func(e journal.Event) { events(e); progress(e) }
	}
	if join != nil {
		leave, err := join(&o, view, cancelRun)
		if err != nil {
			return err
		}
		defer leave()
	}
	result, err := runner.Run(ctx, o)
	view.Close()
	var problems scenarios.Problems
	if errors.As(err, &problems) {
		fmt.Fprint(console, problems.Error())
		if show.github {
			if err := annotate(out, o.Root, annotateProblems(problems)); err != nil {
				return err
			}
		}
		return exit(usage)
	}
	if result == nil {
		return err
	}
	printErr := show.result(out, o.Root, result) // the terminal may be lost: that changes no outcome
	for _, err := range publish(context.WithoutCancel(cmd.Context()), result.Book, show.grafana) {
		fmt.Fprintln(console, "firedrill:", journal.Visible(journal.RedactText(err.Error())))
	}
	if err != nil {
		fmt.Fprintln(console, "firedrill:", journal.Visible(journal.RedactText(err.Error())))
	}
	if err := compare(result.Dir); err != nil {
		fmt.Fprintln(console, "firedrill: compare with an earlier run:", journal.Visible(err.Error()))
	}
	switch code := result.ExitCode(); {
	case code != 0:
		return exit(code)
	case printErr != nil:
		fmt.Fprintln(console, "firedrill: print the result:", journal.Visible(printErr.Error()))
		return exit(unwritten)
	}
	return nil
}

// result prints the result of a run whose features are in the folder root.
func (p output) result(out io.Writer, root string, result *runner.Result) error {
	if !p.json {
		if err := printText(out, result); err != nil {
			return err
		}
	}
	if p.github {
		return annotate(out, root, reports.Annotations(result.Book))
	}
	return nil
}

// estimate describes how long planned scenarios take.
func estimate(plan []journal.Planned) string {
	total := time.Duration(0)
	for _, p := range plan {
		total += p.About
	}
	if len(plan) == 1 {
		return fmt.Sprintf("1 scenario, about %s", total.Round(time.Second))
	}
	return fmt.Sprintf("%d scenarios, about %s one after the other", len(plan), total.Round(time.Second))
}

// printText prints the verdict table and the path of the report.
func printText(out io.Writer, result *runner.Result) error {
	if err := reports.Text(out, result.Book, styled(out)); err != nil {
		return err
	}
	page := filepath.Join(result.Dir, "report.html")
	if info, err := os.Stat(page); err != nil || !info.Mode().IsRegular() {
		return nil // why it is missing is printed, too
	}
	if abs, err := filepath.Abs(page); err == nil {
		page = abs
	}
	fmt.Fprintf(out, "\nreport: %s\n", journal.Visible(page))
	return nil
}

// styled reports whether w may get colours and cursor movements: it is a terminal that supports them, and NO_COLOR
// is not set.
func styled(w io.Writer) bool {
	name := os.Getenv("TERM")
	return isTerminal(w) && name != "" && name != "dumb" && os.Getenv("NO_COLOR") == ""
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
