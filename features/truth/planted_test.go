package truth

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/language"
)

// planted names where a bug is planted that a kind of check finds. One of the fields is set.
type planted struct {
	row     string // a row of this suite
	without string // a protection of the demo shop, which a row of the catalogue switches off
	finding string // a scenario of the known findings
	test    string // a Go test, as "runner/sums_test.go TestConservedSums"
}

// plantedBugs has the bug that each kind of check finds: the check fails, or one that cannot fail is inconclusive. The
// histories with which it passes, fails and is inconclusive are in the conformance tests of scenarios/check.
var plantedBugs = map[string]planted{
	"affected":            {test: "scenarios/check/evidence_test.go TestAffectedPasses"},
	"success":             {row: "a system that fails after the last fault only"},
	"latency":             {without: "timeouts"},
	"fallback":            {without: "fallbacks"},
	"not affected":        {without: "isolation"},
	"nothing slower":      {finding: "five answers are lost"},
	"gives up":            {row: "a caller waits five times as long as it should"},
	"recovers":            {row: "a service that starts slowly after a crash"},
	"calls times normal":  {row: "a call is tried four times"},
	"calls per second":    {row: "held calls arrive together at healing"},
	"stops calling":       {test: "runner/degradation_test.go TestDegradationChecks"},
	"resumes calling":     {test: "runner/degradation_test.go TestDegradationChecks"},
	"refuses excess":      {test: "runner/degradation_test.go TestDegradationChecks"},
	"failure kinds":       {test: "runner/degradation_test.go TestDegradationChecks"},
	"error budget":        {test: "runner/degradation_test.go TestDegradationChecks"},
	"stays healthy":       {test: "runner/probing_test.go TestProbesFindBugs"},
	"turns unhealthy":     {test: "runner/probing_test.go TestProbesFindBugs"},
	"turns healthy":       {test: "runner/probing_test.go TestProbesFindBugs"},
	"queue bounded":       {test: "runner/probing_test.go TestProbesFindBugs"},
	"detects":             {test: "runner/probing_test.go TestProbesFindBugs"},
	"keeps its rate":      {test: "runner/probing_test.go TestProbesFindBugs"},
	"sends again":         {without: "retransmit suppression"},
	"exactly once":        {without: "idempotency keys"},
	"none lost":           {row: "orders are kept in memory only"},
	"none twice":          {row: "keys that are taken during the fault are forgotten"},
	"no phantom":          {test: "runner/effects_test.go TestLedgers"},
	"same response":       {row: "a repetition is answered in other words"},
	"key reuse refused":   {row: "a key may come with another body"},
	"one effect":          {test: "runner/pairs_test.go TestPairsOfRequests"},
	"one answer":          {test: "runner/pairs_test.go TestPairsOfRequests"},
	"in order":            {test: "runner/in_order_test.go TestEffectsInOrder"},
	"linearizable":        {test: "runner/registers_test.go TestRegisters"},
	"linearizable queue":  {test: "runner/queues_test.go TestQueues"},
	"linearizable set":    {test: "runner/sets_test.go TestSets"},
	"mutual exclusion":    {test: "runner/locks_test.go TestLocks"},
	"conserved":           {test: "runner/sums_test.go TestConservedSums"},
	"succeeds as control": {test: "runner/control_test.go TestCopyWithoutATimeOutDoesWorseThanItsControl"},
	"fast as control":     {test: "runner/control_test.go TestCopyWithoutATimeOutDoesWorseThanItsControl"},
	"agree":               {test: "runner/agreements_test.go TestSourcesAgree"},

	"accounts add up":  {test: "scenarios/check/implied_test.go TestImpliedChecksDetectInvalidRuns"}, // a bug of Firedrill
	"baseline steady":  {row: "the service warms up during the baseline"},
	"effects settled":  {row: "the ledger does not exist"},
	"faults acted":     {row: "the link is not used by the load"},
	"in time":          {test: "runner/timeout_test.go TestTimeout"},
	"healed":           {test: "scenarios/check/implied_test.go TestImpliedChecksDetectInvalidRuns"},
	"load delivered":   {row: "the program stands still during the fault"},
	"no trouble":       {row: "a stop that the service does not follow"},
	"none by hand":     {test: "cmd/firedrill/inject_test.go TestInjectIntoADrill"},
	"not repeated":     {test: "scenarios/check/implied_test.go TestImpliedChecksDetectInvalidRuns"}, // a bug of Firedrill
	"proves something": {row: "calls per second are all that is asked about"},
	"services stayed":  {row: "a service exits unexpectedly during the drill"},
}

// TestPlantedBugs fails if a kind of check has no planted bug, or one that does not exist or is not found by this check.
// Whether it is found is verified where the drill runs: by TestTruth and by the tests of the catalogue and of findings.
func TestPlantedBugs(t *testing.T) {
	kinds := check.Kinds()
	for _, k := range kinds {
		t.Run(k.Name, func(t *testing.T) {
			p, ok := plantedBugs[k.Name]
			require.True(t, ok, "plant a bug that this check finds, and name it in plantedBugs")
			switch {
			case p.row != "":
				i := slices.IndexFunc(rows(), func(r row) bool { return r.name == p.row })
				require.GreaterOrEqual(t, i, 0, "there is no row %q", p.row)
				r := rows()[i]
				require.False(t, r.full, "this row is not part of the usual tests")
				if k.Implied {
					assert.Contains(t, r.want, "inconclusive")
				} else {
					assert.Equal(t, "failed", r.want)
					assert.Contains(t, r.kinds(t), k.Name)
				}
			case p.without != "":
				var found []string
				for _, r := range features.Rows() {
					if r.Without == p.without {
						found = append(found, kindsOf(t, language.Source{FS: features.FS, Paths: []string{r.File}}, is(r.CaughtBy))...)
					}
				}
				assert.Contains(t, found, k.Name)
			case p.finding != "":
				i := slices.IndexFunc(features.Findings(), func(f features.Finding) bool { return f.Scenario == p.finding })
				require.GreaterOrEqual(t, i, 0, "there is no finding %q", p.finding)
				f := features.Findings()[i]
				assert.Contains(t, kindsOf(t, language.Source{FS: features.FS, Paths: []string{f.File}}, is(f.Fails)), k.Name)
			default:
				assertTestFinds(t, p.test, k)
			}
		})
	}
	for name := range plantedBugs {
		assert.True(t, slices.ContainsFunc(kinds, func(k check.Kind) bool { return k.Name == name }), "there is no kind of check %q", name)
	}
}

// finds returns the kinds of checks that find the bug of a row, and their outcomes, as "success: failed".
func (r row) finds() []string {
	var all []string
	for _, k := range check.Kinds() {
		switch {
		case plantedBugs[k.Name].row != r.name:
		case k.Implied:
			all = append(all, k.Name+": inconclusive")
		default:
			all = append(all, k.Name+": failed")
		}
	}
	return all
}

// kinds returns the kinds of the checks of a row that must fail.
func (r row) kinds(t *testing.T) []string {
	t.Helper()
	f := folder{dir: t.TempDir(), service: "service"}
	require.NoError(t, r.write(f))
	f.setPort(t, "1")
	return kindsOf(t, language.Source{FS: os.DirFS(f.dir), Paths: []string{"a.feature"}}, func(check string) bool {
		return slices.ContainsFunc(r.fails, func(p string) bool { return regexp.MustCompile(p).MatchString(check) })
	})
}

func is(checks []string) func(string) bool {
	return func(check string) bool { return slices.Contains(checks, check) }
}

// kindsOf returns the kinds of those checks of features that must fail.
func kindsOf(t *testing.T, from language.Source, fails func(check string) bool) []string {
	t.Helper()
	es, err := language.Parse(from)
	require.NoError(t, err)
	var all []string
	for _, e := range es {
		for _, c := range e.Checks {
			if fails(c.String()) {
				all = append(all, check.KindOf(c))
			}
		}
	}
	return all
}

// assertTestFinds asserts that a Go test exists, and that it names an outcome and, it or its file, the kind of check.
func assertTestFinds(t *testing.T, where string, k check.Kind) {
	t.Helper()
	name, test, _ := strings.Cut(where, " ")
	file, err := parser.ParseFile(token.NewFileSet(), "../../"+name, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	i := slices.IndexFunc(file.Decls, func(d ast.Decl) bool {
		f, ok := d.(*ast.FuncDecl)
		return ok && f.Name.Name == test
	})
	require.GreaterOrEqual(t, i, 0, "%s has no %s", name, test)
	outcomes := []string{"failed", "fail", "Failed"}
	if k.Implied || k.Name == "affected" {
		outcomes = []string{"inconclusive", "Inconclusive"}
	}
	assert.True(t, slices.ContainsFunc(words(file.Decls[i]), func(w string) bool { return slices.Contains(outcomes, w) }), "%s asserts no outcome of %v", test, outcomes)
	names := []string{k.Name, reflect.TypeOf(k.Value).Name()}
	assert.True(t, slices.ContainsFunc(words(file), func(w string) bool { return slices.Contains(names, w) }), "%s does not name %v", name, names)
}

// words returns the identifiers and texts below a node.
func words(n ast.Node) []string {
	var all []string
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			all = append(all, n.Name)
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil {
				all = append(all, text)
			}
		}
		return true
	})
	return all
}
