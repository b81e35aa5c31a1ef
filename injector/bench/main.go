// Command bench compares links with other proxies: none, plain Go copy loops, Toxiproxy (embedded and its server),
// HAProxy, nginx and socat. It compares links with a message protocol with HAProxy's HTTP mode,
// httputil.ReverseProxy, Toxiproxy, a copy loop (the lower bound for a relay in Go) and a plain datagram forwarder.
// Each proxy runs in a process of its own, so that its processor time and memory can be measured. Rounds of the
// targets are interleaved, and medians are reported.
//
//	go run ./injector/bench link            # make bench-link
//	go run ./injector/bench message -quick  # a short version of make bench-message
//
// It prints a table and which of the project's goals are met, and writes bench-link.json or bench-message.json: rows
// of case, target, metric, median, vs_direct and vs_toxiproxy (ratios; null where there is nothing to compare with).
// Programs that are not installed are skipped, and the command that installs them is printed.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "serve" {
		serve(os.Args[2], os.Args[3:])
		return
	}
	i := slices.IndexFunc(suites(), func(s suite) bool { return len(os.Args) > 1 && s.name == os.Args[1] })
	if i < 0 {
		fmt.Fprintln(os.Stderr, "usage: bench link|message [-quick] [-rounds N] [-case WORD] [-target WORD]")
		os.Exit(2)
	}
	runtime.LockOSThread() // children die with the thread that starts them
	if err := run(suites()[i], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// suite is a set of cases on the same targets. Its rows are written to bench-<name>.json.
type suite struct {
	name  string
	start func(*bench) error // starts the servers and the targets
	cases func() []benchCase
	goals func() []goal
}

func suites() []suite {
	return []suite{
		{"link", startLinks, linkCases, linkGoals},
		{"message", startRelays, messageCases, messageGoals},
	}
}

// options are the options of a run.
type options struct {
	quick          bool
	quickRound     time.Duration // duration of a quick round; 0 means 300 ms; set by tests
	rounds         int
	cases, targets string // parts of names
}

func run(s suite, args []string) error {
	var o options
	flags := flag.NewFlagSet("bench "+s.name, flag.ContinueOnError)
	flags.BoolVar(&o.quick, "quick", false, "one short round for each case")
	flags.IntVar(&o.rounds, "rounds", 5, "number of rounds")
	flags.StringVar(&o.cases, "case", "", "only cases whose name contains this")
	flags.StringVar(&o.targets, "target", "", "only targets whose name contains this, and direct")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.quick {
		o.rounds = 1
	}
	raiseLimit()
	dir, err := os.MkdirTemp("", "firedrill-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b, err := newBench(s, o, dir)
	if err != nil {
		return err
	}
	defer b.close()
	for _, t := range b.targets {
		t.pause(true) // so that idle targets do not use processor time
		defer t.pause(false)
	}
	for _, c := range s.cases() {
		if strings.Contains(c.name, o.cases) {
			b.measure(c)
		}
	}
	rows := b.rows()
	fmt.Print(table(rows))
	fmt.Print(report(rows, s.goals()))
	for _, s := range b.skipped {
		fmt.Println("skipped:", s)
	}
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile("bench-"+s.name+".json", append(text, '\n'), 0o644) //nolint:gosec // readable by others
}

// measure runs all rounds of a case on all its targets.
func (b *bench) measure(c benchCase) {
	for round := range max(1, min(b.o.rounds, c.rounds(b.o.rounds))) {
		for _, t := range b.targets {
			if (c.faults && !t.faults) || !c.fits(t) {
				continue
			}
			fmt.Fprintf(os.Stderr, "%s: round %d, %s\n", c.name, round+1, t.name)
			t.pause(false)
			err := c.run(b, t)
			t.pause(true)
			if err != nil {
				fmt.Fprintf(os.Stderr, "%s on %s: %v\n", c.name, t.name, err)
			}
		}
	}
}

// raiseLimit raises the limit on open files of this process and its children as far as possible.
func raiseLimit() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return
	}
	const enough = 1 << 17
	if limit.Max < enough && syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: enough, Max: enough}) == nil {
		return // children inherit the limit
	}
	limit.Cur = limit.Max
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// openFiles returns how many files a process may have open.
func openFiles() int {
	var limit syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return int(min(limit.Cur, 1<<20)) //nolint:gosec // small
}
