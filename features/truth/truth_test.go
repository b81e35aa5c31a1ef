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
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/injector/disk"
	"github.com/firedrill-dev/firedrill/injector/process"
	_ "github.com/firedrill-dev/firedrill/runner" // go test runs the drills again when it changes
)

var full = flag.Bool("full", false, "run all rows of the truth suite")

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

// rows returns the rows of all tables.
func rows() []row {
	return slices.Concat(reported(), soundness(), mistakes(), servers(), vacuousLoad(), vacuousFault(), vacuousEffects(), trickyOrders(), trickyPages(), powerLosses())
}

// results is a summary with a line for each row.
type results struct {
	mu    sync.Mutex
	lines []string
	wrong int
}

func (rs *results) add(r row, g got, wrong []string) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	state := "right"
	if len(wrong) > 0 {
		rs.wrong++
		state = "WRONG (" + strings.Join(wrong, "; ") + ")"
	}
	reason, _, _ := strings.Cut(g.reasons, "\n")
	rs.lines = append(rs.lines, fmt.Sprintf("%s | wanted %s | got %s | %s | %s", r.name, r.want, g.outcome, state, reason))
}

// TestTruth runs the rows that must run alone, and then the others in parallel. A row is run again, at
// most twice, if it is inconclusive and must not be: this machine may have been busy. A wrong verdict is
// never repeated.
func TestTruth(t *testing.T) {
	if testing.Short() {
		t.Skip("runs drills for minutes")
	}
	program, err := machine.Build(scratch, "cmd/firedrill")
	require.NoError(t, err)
	service, err := machine.Build(scratch, "features/truth/service")
	require.NoError(t, err)
	var rs results
	t.Cleanup(func() {
		slices.Sort(rs.lines)
		t.Logf("%d of %d rows are judged wrongly\n%s", rs.wrong, len(rs.lines), strings.Join(rs.lines, "\n"))
	})
	for _, r := range rows() {
		if r.full && !*full {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			if !r.alone {
				t.Parallel()
			}
			r.installed(t)
			var g got
			run := func() { g = r.runInFolder(t, service, program) }
			require.NoError(t, machine.Share(run))
			for range 2 {
				if g.outcome != "inconclusive" || strings.Contains(r.want, "inconclusive") {
					break
				}
				t.Logf("run again, because this machine may have been busy:\n%s", g.reasons)
				require.NoError(t, machine.Reserve(run))
			}
			wrong := r.wrong(g)
			rs.add(r, g, wrong)
			assert.Empty(t, wrong, "wanted %s: %s\nreasons:\n%s", r.want, r.why, g.reasons)
		})
	}
}

// runInFolder runs the row in a new folder.
func (r row) runInFolder(t *testing.T, service, program string) got {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "row") // the name has no characters that are special in configurations
	require.NoError(t, err)
	f := folder{dir: dir, service: service}
	require.NoError(t, r.write(f))
	if r.before != nil {
		r.before(t, f)
	}
	f.setPort(t, strconv.Itoa(freePort(t))) // for servers whose configuration needs a fixed port
	g, err := r.run(t, f, program)
	require.NoError(t, err)
	return g
}

// installed skips a row if its program is not installed, unless FIREDRILL_MUST_RUN is set.
func (r row) installed(t *testing.T) {
	t.Helper()
	if err := disk.Available(); r.power && err != nil {
		if os.Getenv("FIREDRILL_MUST_RUN") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if r.needs == "" {
		return
	}
	if _, err := process.LookPath(r.needs); err == nil {
		return
	}
	if os.Getenv("FIREDRILL_MUST_RUN") != "" {
		t.Fatalf("%s is not installed", r.needs)
	}
	t.Skipf("%s is not installed", r.needs)
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
