package features

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/features/services"
	"github.com/firedrill-dev/firedrill/features/shop"
	"github.com/firedrill-dev/firedrill/injector/process"
	_ "github.com/firedrill-dev/firedrill/runner" // go test runs the drills again when it changes
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/language"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

var catalogue = flag.Bool("catalogue", false, "run all rows of the catalogue")

// starters are the features of the rows that run without -catalogue.
var starters = []string{"idempotency.feature", "isolation.feature"}

// program builds firedrill as users do.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "firedrill")
	if err != nil {
		return "", err
	}
	programDir = dir
	return machine.Build(dir, "cmd/firedrill")
})

// programDir is the folder of program, or "" if no test needed it.
var programDir string

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue { // drills wait for most of their time
		_ = flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0)))
	}
	code := m.Run()
	if programDir != "" {
		_ = os.RemoveAll(programDir)
	}
	os.Exit(code)
}

// repeated counts the scenarios that drill ran again.
var repeated atomic.Int64

// drill runs features as users do, with further arguments of firedrill run, and returns the histories of their
// scenarios. Those that are inconclusive, as each may be if this machine is busy, are run again without others beside them, at
// most machine.Repeats times; a verdict is never repeated.
func drill(t *testing.T, args ...string) []*journal.History {
	t.Helper()
	var all []*journal.History
	require.NoError(t, machine.Share(func() { all = run(t, args...) }))
	for range machine.Repeats {
		var names []string
		for _, h := range all {
			if h.End != nil && h.End.Outcome == "inconclusive" {
				t.Logf("run again, because this machine may have been busy: %s", describe(h))
				repeated.Add(1)
				names = append(names, regexp.QuoteMeta(h.Name))
			}
		}
		if len(names) == 0 {
			break
		}
		var again []*journal.History
		require.NoError(t, machine.Reserve(func() {
			again = run(t, append(args, "--name", "^("+strings.Join(names, "|")+")$", "--parallel", "1")...)
		}))
		for _, h := range again {
			all[slices.IndexFunc(all, func(old *journal.History) bool { return old.ID == h.ID })] = h
		}
	}
	return all
}

// run runs the program once.
func run(t *testing.T, args ...string) []*journal.History {
	t.Helper()
	path, err := program()
	require.NoError(t, err)
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), path, append([]string{"run", "--dir", dir}, args...)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.True(t, err == nil || errors.As(err, &exit), "%v", err)
	f, err := os.Open(filepath.Join(dir, "latest", "journal.ndjson"))
	require.NoError(t, err, "%s", out)
	defer f.Close()
	book, err := journal.Fold(f)
	require.NoError(t, err)
	require.NotEmpty(t, book.Scenarios, "%s", out)
	for _, h := range book.Scenarios {
		for _, p := range h.Processes {
			if p.What == "exited" {
				t.Logf("%s exited unexpectedly: %s", p.Service, p.Detail)
			}
		}
	}
	return book.Scenarios
}

// disturbed reports whether a scenario is inconclusive because of this machine.
func disturbed(h *journal.History) bool {
	return h.End != nil && h.End.Outcome == "inconclusive" && slices.ContainsFunc(h.Verdicts, late)
}

// late reports whether a check is inconclusive because this machine was too busy: the baseline was not
// steady, the load was late, or the runner did not run for a while, also if that withheld the check. Or it is inconclusive
// by coincidence: as many effects happened to be applied as a page would list.
func late(v journal.Verdict) bool {
	return v.Outcome == "inconclusive" && (v.Kind == "baseline steady" || v.Kind == "load delivered" || lateReason.MatchString(v.Reason))
}

var lateReason = regexp.MustCompile("the load generator may have caused|the load was late|Firedrill was that late|runner was paused|a pause of the runner|it is not shown that the (load was delivered|baseline was steady)|that may be a page")

// describe returns the verdicts of a scenario, for the log.
func describe(h *journal.History) string {
	var b strings.Builder
	for _, v := range h.Verdicts {
		fmt.Fprintf(&b, "\n  %-12s %s\n               observed %s; %s", v.Outcome, v.Check, v.Observed, v.Reason)
	}
	return fmt.Sprintf("%s: %s%s", h.Name, outcome(h), b.String())
}

func outcome(h *journal.History) string {
	if h.End == nil {
		return "aborted"
	}
	return strings.TrimSpace(h.End.Outcome + " " + h.End.Reason)
}

// installed skips a test if a server of its features is not installed, unless all tests must run.
func installed(t *testing.T, files ...string) {
	t.Helper()
	es, err := language.Parse(language.Source{FS: FS, Paths: files})
	require.NoError(t, err)
	for _, e := range es {
		for _, s := range e.System.Services {
			if s.Needs == "" {
				continue
			}
			_, err := process.LookPath(s.Needs)
			machine.Need(t, err, s.Install)
		}
	}
}

// TestCatalogue verifies both halves of each row: it holds, and it is caught without its protection, for the reason that
// the row states. It prints a line for each row and a summary. Without -catalogue it runs the starters only.
func TestCatalogue(t *testing.T) {
	if testing.Short() {
		t.Skip("runs drills")
	}
	rows := slices.DeleteFunc(Rows(), func(r Row) bool { return !*catalogue && !slices.Contains(starters, r.File) })
	var mu sync.Mutex
	hold, caught := 0, 0
	t.Cleanup(func() {
		fmt.Printf("%d rows, %d hold, %d caught\n", len(rows), hold, caught)
		if n := repeated.Load(); n > 0 {
			fmt.Printf("inconclusive, and run again: %d scenarios\n", n)
		}
	})
	for _, row := range rows {
		t.Run("row "+row.N+" "+row.File, func(t *testing.T) {
			t.Parallel()
			installed(t, row.File)
			began := time.Now()
			holds := t.Run("holds", func(t *testing.T) { assertHolds(t, row) })
			between := time.Now()
			var failed []string
			catches := t.Run("without "+row.Without, func(t *testing.T) { failed = assertCaught(t, row) })
			mu.Lock()
			defer mu.Unlock()
			hold, caught = hold+count(holds), caught+count(catches)
			fmt.Printf("row %-5s %-30s %-13s %3.0fs   without %s: %-10s %3.0fs   %s\n", row.N, row.File, map[bool]string{true: "holds", false: "DOES NOT HOLD"}[holds], between.Sub(began).Seconds(),
				row.Without, map[bool]string{true: "caught", false: "NOT CAUGHT"}[catches], time.Since(between).Seconds(), strings.Join(failed, "; "))
		})
	}
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func assertHolds(t *testing.T, row Row) {
	t.Helper()
	for _, h := range drill(t, row.File, "--parallel", "3") {
		t.Log(describe(h))
		assert.Equal(t, "passed", outcome(h), h.Name)
	}
}

// explainedElsewhere reports whether a check is inconclusive because of a failure that another check reports: one of latency
// because most requests failed, one of a health check because it never turned unhealthy.
func explainedElsewhere(v journal.Verdict) bool {
	return (v.Kind == "latency" || v.Kind == "nothing slower") && strings.Contains(v.Reason, "the latency of failures is not meaningful") ||
		v.Kind == "turns healthy" && strings.Contains(v.Reason, "did not turn unhealthy during the fault")
}

// assertCaught asserts that without its protection each scenario of a row fails for the reason of the row: the checks of
// the row fail, no other check does, and nothing else makes the scenario inconclusive. It returns the checks that failed.
func assertCaught(t *testing.T, row Row) (failed []string) {
	t.Helper()
	for _, h := range drill(t, row.File, "--parallel", "3", "--without", row.Without) {
		t.Log(describe(h))
		for _, check := range assertFailsFor(t, row.CaughtBy, h) {
			if !slices.Contains(failed, check) {
				failed = append(failed, check)
			}
		}
	}
	return failed
}

func assertFailsFor(t *testing.T, checks []string, h *journal.History) (failed []string) {
	t.Helper()
	assert.Equal(t, "failed", outcome(h), h.Name)
	var unanswered []string
	for _, v := range h.Verdicts {
		switch v.Outcome {
		case "failed":
			failed = append(failed, v.Check)
		case "inconclusive":
			if late(v) {
				unanswered = append(unanswered, v.Check)
				continue
			}
			assert.True(t, explainedElsewhere(v), "%s: inconclusive: %s: %s", h.Name, v.Check, v.Reason)
		}
	}
	for _, check := range checks {
		if !slices.Contains(unanswered, check) {
			assert.Contains(t, failed, check, h.Name)
		}
	}
	for _, check := range failed {
		assert.Contains(t, checks, check, "%s also failed for another reason", h.Name)
	}
	return failed
}

// protectionsOf returns the protections of the services that a system consists of, sorted.
func protectionsOf(s system.System) []string {
	var names []string
	for _, p := range shop.Protections() {
		of := strings.Split(p.Service, ", ")
		if slices.ContainsFunc(s.Services, func(s system.Service) bool {
			return len(s.Command) > 2 && s.Command[1] == "shop" && slices.Contains(of, s.Command[2])
		}) {
			names = append(names, p.Name)
		}
	}
	for _, p := range services.Protections() {
		if slices.ContainsFunc(s.Services, func(s system.Service) bool {
			return len(s.Command) > 2 && s.Command[1] == "service" && s.Command[2] == p.Service && slices.Contains(s.Command, "${without}")
		}) {
			names = append(names, p.Name)
		}
	}
	return names
}

func TestRowsAreTheFeatures(t *testing.T) {
	var files []string
	require.NoError(t, fs.WalkDir(FS, ".", func(name string, _ fs.DirEntry, err error) error {
		if path.Ext(name) == ".feature" {
			files = append(files, name)
		}
		return err
	}))
	var listed, tested []string
	for _, row := range Rows() {
		if !slices.Contains(listed, row.File) { // one for each protection
			listed = append(listed, row.File)
		}
		es, err := language.Parse(language.Source{FS: FS, Paths: []string{row.File}})
		require.NoError(t, err)
		for _, e := range es {
			assert.Equal(t, protectionsOf(e.System), e.System.Protections, "the protections of %s are those of its services", e.System.File)
			var checks []string
			for _, c := range e.Checks {
				checks = append(checks, c.String())
			}
			assert.Subset(t, checks, row.CaughtBy, "%s lacks a check that catches row %s", e.ID, row.N)
			assert.Contains(t, e.Tags, "@row-"+row.N)
			if path.Dir(row.File) == "real" {
				assert.Contains(t, e.Tags, "@real")
			}
		}
		tested = append(tested, row.Without)
	}
	var all []string
	for _, p := range shop.Protections() {
		all = append(all, p.Name)
	}
	for _, p := range services.Protections() {
		all = append(all, p.Name)
	}
	slices.Sort(all)
	slices.Sort(tested)
	assert.Equal(t, all, slices.Compact(tested), "each protection has a row")
	for _, f := range Findings() {
		if !slices.Contains(listed, f.File) {
			listed = append(listed, f.File)
		}
	}
	assert.ElementsMatch(t, files, listed)
}

// TestNothingToWarnOf: what users copy has checks that only a working system passes.
func TestNothingToWarnOf(t *testing.T) {
	es, err := language.Parse(language.Source{FS: FS, Paths: []string{"."}})
	require.NoError(t, err)
	for _, e := range es {
		for _, w := range e.Warnings {
			if w.Code != codes.SharedTarget.String() { // of what is cut off from a whole group
				t.Errorf("%s: %v", e.ID, w)
			}
		}
	}
}
