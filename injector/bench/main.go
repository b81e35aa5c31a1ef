// Command bench measures links side by side with what else there is: no proxy, plain Go copy loops, Toxiproxy (embedded and its server), HAProxy, nginx and
// socat; and links with a message protocol with HAProxy's HTTP mode, httputil.ReverseProxy, Toxiproxy, a copy loop (the least that a relay in Go can do) and
// a plain forwarder of datagrams. Every proxy is a process of its own, so that its processor time and memory are its own; rounds are interleaved, and medians are told.
//
//	go run ./injector/bench link            # make bench-link
//	go run ./injector/bench message -quick  # make bench-message, but short
//
// It prints a table, says which of the project's goals are met, and writes bench-link.json or bench-message.json: rows of case, target, metric, median,
// vs_direct and vs_toxiproxy (ratios; null where there is nothing to compare with). What is not installed is left out, with the command that installs it.
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

// suite is a set of measurements on the same targets; its rows are written to bench-<name>.json.
type suite struct {
	name  string
	start func(*bench) error // the servers and the targets
	cases func() []kase
	aims  func() []goal
}

func suites() []suite {
	return []suite{
		{"link", startLinks, cases, aims},
		{"message", startRelays, messageCases, messageAims},
	}
}

// options of a run.
type options struct {
	quick        bool
	brief        time.Duration // of a quick round; 0 means 300 ms
	rounds       int
	cases, wants string
}

func run(s suite, args []string) error {
	var o options
	flags := flag.NewFlagSet("bench "+s.name, flag.ContinueOnError)
	flags.BoolVar(&o.quick, "quick", false, "one short round of each")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds, interleaved between the targets")
	flags.StringVar(&o.cases, "case", "", "only cases whose name holds this")
	flags.StringVar(&o.wants, "target", "", "only targets whose name holds this, and direct")
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
		t.pause(true) // those that are not measured take nothing from those that are
		defer t.pause(false)
	}
	for _, c := range s.cases() {
		if strings.Contains(c.name, o.cases) {
			b.measure(c)
		}
	}
	rows := b.rows()
	fmt.Print(table(rows))
	fmt.Print(goals(rows, s.aims()))
	for _, s := range b.skipped {
		fmt.Println("left out:", s)
	}
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile("bench-"+s.name+".json", append(text, '\n'), 0o644) //nolint:gosec // for everybody
}

// measure runs a case on all its targets, round by round.
func (b *bench) measure(c kase) {
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

// raiseLimit lets this process and its children open as many files as they may.
func raiseLimit() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return
	}
	const plenty = 1 << 17
	if limit.Max < plenty && syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: plenty, Max: plenty}) == nil {
		return // children inherit what is set here
	}
	limit.Cur = limit.Max
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// openFiles is how many files a process may have open.
func openFiles() int {
	var limit syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return int(min(limit.Cur, 1<<20)) //nolint:gosec // small
}
