package language

import (
	"errors"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// withBody returns a feature whose load has a body on one line, and its system file.
func withBody(body, system string) fstest.MapFS {
	feature := "Feature: f\n  Scenario: s\n    Given the system described in \"system.yaml\"\n" +
		"    And a steady load of 20 requests per second on \"POST /x\" with this body:\n      \"\"\"\n" + body + "\n      \"\"\"\n" +
		"    When 2s pass\n    Then at least 50% of requests succeed\n"
	return fstest.MapFS{"a.feature": {Data: []byte(feature)}, "system.yaml": {Data: []byte(system)}}
}

const oneService = "services:\n  front: {address: \"127.0.0.1:1\", serves: [/]}\n"

func read(files fstest.MapFS) ([]*scenarios.Experiment, error) {
	return Parse(Source{FS: files, Paths: []string{"a.feature"}})
}

func TestLongLinesAreRead(t *testing.T) {
	t.Parallel()
	for _, size := range []int{64<<10 - 1, 64 << 10, 1<<20 - 10} {
		es, err := read(withBody(strings.Repeat("x", size), oneService))
		require.NoError(t, err, "%d bytes", size)
		assert.Len(t, es[0].Load.Mix[0].Body, size)
	}
	_, err := read(withBody(strings.Repeat("x", 1<<20+1), oneService))
	require.ErrorContains(t, err, "a.feature:6: the line is longer than 1 MiB")
	assert.Less(t, len(err.Error()), 1000, "the line is not shown whole")
}

func TestLongWrongLineIsTruncated(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"a.feature": {Data: []byte("Feature: f\n  Scenario: s\n    Given " + strings.Repeat("x", 100_000) + "\n")}}
	_, err := read(files)
	require.ErrorContains(t, err, "a.feature:3")
	assert.Less(t, len(err.Error()), 2000)
}

func TestLargeFilesAreRejected(t *testing.T) {
	t.Parallel()
	line := strings.Repeat("# "+strings.Repeat("x", 98)+"\n", 10_000) // 1 MB
	_, err := read(fstest.MapFS{"a.feature": {Data: []byte("Feature: f\n" + strings.Repeat(line, 9))}})
	require.ErrorContains(t, err, "larger than 8 MiB")
	_, err = read(withBody("x", oneService+strings.Repeat(line, 2)))
	require.ErrorContains(t, err, "larger than 1 MiB")
}

func TestLargeOutlinesAreRejected(t *testing.T) {
	t.Parallel()
	text := "Feature: f\n  Scenario Outline: s\n    Given <a>:\n      \"\"\"\n" + strings.Repeat("y", 500_000) + "\n      \"\"\"\n    Examples:\n      | a |\n" +
		strings.Repeat("      | b |\n", 10_000)
	_, err := read(fstest.MapFS{"a.feature": {Data: []byte(text)}})
	require.ErrorContains(t, err, "larger than 64 MiB")
}

// TestDeeplyNestedSystemFilesAreRejected: the YAML parser would need 800 MB for the flow mapping.
func TestDeeplyNestedSystemFilesAreRejected(t *testing.T) {
	for name, system := range map[string]string{
		"flow mapping":      "services: " + strings.Repeat("{a: ", 20_000) + "x" + strings.Repeat("}", 20_000),
		"flow list":         "services: " + strings.Repeat("[", 80_000),
		"lists on a line":   "services:\n  " + strings.Repeat("- ", 40_000) + "x",
		"keys on a line":    strings.Repeat("a: ", 40_000),
		"complex keys":      strings.Repeat("? ", 40_000),
		"indented mappings": indented(1_000),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := scenarios.ReadSystem(fstest.MapFS{"s.yaml": {Data: []byte(system)}}, "s.yaml")
		runtime.ReadMemStats(&after)
		requireFirst(t, err, "nested more than 32 deep")
		assert.Less(t, (after.TotalAlloc-before.TotalAlloc)>>20, uint64(120), "%s: MiB allocated", name)
	}
}

// TestAliasesAreNotExpanded: ten levels of ten aliases each would be ten billion values.
func TestAliasesAreNotExpanded(t *testing.T) {
	var b strings.Builder
	b.WriteString("services:\n  a0: &a0 [x]\n")
	for i := range 10 {
		b.WriteString("  a" + strconv.Itoa(i+1) + ": &a" + strconv.Itoa(i+1) + " [" + strings.TrimSuffix(strings.Repeat("*a"+strconv.Itoa(i)+", ", 10), ", ") + "]\n")
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := scenarios.ReadSystem(fstest.MapFS{"s.yaml": {Data: []byte(b.String())}}, "s.yaml")
	runtime.ReadMemStats(&after)
	require.ErrorContains(t, err, "an anchor or an alias")
	assert.Less(t, (after.TotalAlloc-before.TotalAlloc)>>20, uint64(100), "MiB allocated")
}

// TestAnchorsAreRejectedQuickly: the time of the parser grows with the square of the number of anchors.
func TestAnchorsAreRejectedQuickly(t *testing.T) {
	_, err := scenarios.ReadSystem(fstest.MapFS{"s.yaml": {Data: []byte("services: " + strings.Repeat("&a ", 100_000) + "x")}}, "s.yaml")
	requireFirst(t, err, "an anchor or an alias")
}

// requireFirst requires that the first problem is one of s.yaml. It does not print the problem, since that redacts the
// whole line.
func requireFirst(t *testing.T, err error, what string) {
	t.Helper()
	var all source.Problems
	require.ErrorAs(t, err, &all)
	require.Equal(t, "s.yaml", all[0].File)
	require.Contains(t, all[0].What, what)
}

func TestSystemFileWithByteOrderMark(t *testing.T) {
	_, err := scenarios.ReadSystem(fstest.MapFS{"s.yaml": {Data: []byte("\ufeffservices:\n  a: {address: \"localhost:1\"}\n")}}, "s.yaml")
	require.NoError(t, err)
}

// TestProblemsAreRedacted: the caret stays at the correct character, unless that is redacted.
func TestProblemsAreRedacted(t *testing.T) {
	p := source.Problem{File: "a.yaml", Line: 1, Col: 25, Text: "db: {password: hunter2, comand: [x]}", What: `"http://app:hunter2@h" is not an address`}
	assert.Equal(t, "a.yaml:1:25: \"http://app:***@h\" is not an address\n    db: {password: ***, comand: [x]}\n                        ^\n", p.Error())
}

// indented returns nested mappings, each on its own line.
func indented(depth int) string {
	var b strings.Builder
	for i := range depth {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestParserPanicIsAProblem(t *testing.T) {
	t.Parallel()
	var c source.List
	func() {
		defer c.RecoverPanic("a.feature")
		panic("index out of range")
	}()
	err := c.Err()
	require.ErrorContains(t, err, "a.feature: reading the file panicked: index out of range")
	require.ErrorContains(t, err, "this is a bug in firedrill")
}

func TestProblemsAreLimited(t *testing.T) {
	t.Parallel()
	text := "Feature: f\n  Scenario: s\n" + strings.Repeat("    Given nonsense\n", 2*source.MaxProblems)
	_, err := read(fstest.MapFS{"a.feature": {Data: []byte(text)}})
	var ps source.Problems
	require.True(t, errors.As(err, &ps))
	assert.LessOrEqual(t, len(ps), source.MaxProblems+1)
	assert.Contains(t, err.Error(), "there are more than 500 problems")
}
