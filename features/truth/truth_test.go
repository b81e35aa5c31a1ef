package truth

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/injector/disk"
	"github.com/firedrill-dev/firedrill/injector/process"
	_ "github.com/firedrill-dev/firedrill/runner" // go test runs the drills again when it changes
)

var (
	full     = flag.Bool("full", false, "run all rows of the truth suite")
	reviewed = flag.Bool("cases", false, "run all rows that were once judged wrongly, and no others")
	correct  = flag.Bool("correct", false, "run all rows of correct systems, and no others")
	times    = flag.Int("times", 1, "how often TestTruth runs each row, each time with another seed")
)

// scratch is the parent of the folders of all rows.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue { // drills wait for most of their time
		_ = flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0)))
	}
	var err error
	if scratch, err = os.MkdirTemp("", "truth"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/firedrill-dev/firedrill/injector/process.init.func1.1"), goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(scratch)
		os.Exit(code)
	}))
}

// cases returns the rows that were once judged wrongly.
func cases() []row { return slices.Concat(reported(), soundness(), mistakes(), servers()) }

// rows returns the rows of all tables.
func rows() []row {
	return slices.Concat(cases(), vacuousLoad(), vacuousFault(), vacuousEffects(), trickyOrders(), trickyPages(), powerLosses())
}

// selected returns the rows that the flags select.
func selected() []row {
	switch {
	case *reviewed:
		return cases()
	case *correct:
		return slices.DeleteFunc(rows(), func(r row) bool { return r.want != "passed" })
	case *full:
		return rows()
	default:
		return slices.DeleteFunc(rows(), func(r row) bool { return r.full })
	}
}

// TestTruth runs the rows that must run alone, and then the others in parallel. A row is run again, at
// most machine.Repeats times, if it is inconclusive and must not be: this machine may have been busy. A wrong verdict is
// never repeated.
func TestTruth(t *testing.T) {
	if testing.Short() {
		t.Skip("runs drills for minutes")
	}
	var flags []string
	switch *under {
	case "", "half":
	case "load":
		burnCPU(t)
	case "clock":
		flags = append(flags, stepClock(t))
	default:
		t.Fatalf("-under %q is not one of half, load, clock", *under)
	}
	program, err := machine.Build(scratch, "cmd/firedrill", flags...)
	require.NoError(t, err)
	service, err := machine.Build(scratch, "features/truth/service", flags...)
	require.NoError(t, err)
	var tally machine.Tally
	t.Cleanup(func() {
		if *times > 1 || *under != "" {
			fmt.Println(tally.String())
			return
		}
		t.Log("\n" + tally.String())
	})
	for _, r := range selected() {
		t.Run(r.name, func(t *testing.T) {
			if !r.alone {
				t.Parallel()
			}
			r.installed(t)
			for i := range *times {
				var g got
				run := func() { g = r.runInFolder(t, service, program, 7+i) }
				require.NoError(t, machine.Share(run))
				for range machine.Repeats {
					if !busy(r, g) || limited() {
						break
					}
					t.Logf("run again, because this machine may have been busy:\n%s", g.reasons)
					tally.Busy(r.name, r.want)
					require.NoError(t, machine.Reserve(run))
				}
				if busy(r, g) && limited() {
					tally.Busy(r.name, r.want)
					continue
				}
				wrong := r.wrong(g)
				tally.Judged(r.name, r.want, wrong)
				assert.Empty(t, wrong, "wanted %s: %s\nreasons:\n%s", r.want, r.why, g.reasons)
			}
		})
	}
}

// busy reports whether a row showed nothing, or not for its reason, perhaps because this machine was busy.
func busy(r row, g got) bool {
	return g.outcome == "inconclusive" && (!strings.Contains(r.want, "inconclusive") || !r.explains(g))
}

// runInFolder runs the row in a new folder.
func (r row) runInFolder(t *testing.T, service, program string, seed int) got {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "row") // the name has no characters that are special in configurations
	require.NoError(t, err)
	f := folder{dir: dir, service: service}
	require.NoError(t, r.write(f))
	if r.before != nil {
		r.before(t, f)
	}
	f.setPort(t, machine.FreePort(t)) // for servers whose configuration needs a fixed port
	g, err := r.run(t, f, program, seed)
	require.NoError(t, err)
	return g
}

// installed skips a row if its program is not installed, unless all tests must run.
func (r row) installed(t *testing.T) {
	t.Helper()
	if r.power {
		machine.Need(t, disk.Available(), "")
	}
	if r.needs != "" {
		_, err := process.LookPath(r.needs)
		machine.Need(t, err, "")
	}
}

// TestRowsAreComplete verifies that each row has a unique name, an outcome, a reason, and why it is true.
func TestRowsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rows() {
		require.NotEmpty(t, r.why, r.name)
		require.False(t, seen[r.name], "two rows are called %q", r.name)
		seen[r.name] = true
		for want := range strings.SplitSeq(r.want, "|") {
			require.Contains(t, []string{"passed", "failed", "inconclusive", "problem", "stopped"}, want, r.name)
		}
		require.True(t, strings.Contains(r.want, "passed") || r.reason != "", "%s: a reason is needed", r.name)
		require.False(t, strings.Contains(r.want, "failed") && len(r.fails) == 0, "%s: no check is named that fails", r.name)
		for _, pattern := range append([]string{r.reason}, r.fails...) {
			_, err := regexp.Compile(pattern)
			require.NoError(t, err, r.name)
		}
	}
}
