package language

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// TestEveryCodeIsProduced: each problem of the broken files of the other tests has a code of the table, and each code of
// the table is that of a problem.
func TestEveryCodeIsProduced(t *testing.T) {
	t.Parallel()
	produced := map[string]bool{}
	add := func(err error) {
		t.Helper()
		var all source.Problems
		require.ErrorAs(t, err, &all)
		for _, p := range all {
			require.True(t, slices.ContainsFunc(codes.Table(), func(r codes.Row) bool { return r.Code == p.Code }), "%q has no code", p.What)
			produced[p.Code] = true
		}
	}
	collect := func(s Source) {
		t.Helper()
		_, err := Parse(s)
		add(err)
	}
	const head = "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n"
	for _, c := range brokenSteps {
		collect(Source{FS: files(prelude + "    " + c.text + "\n"), Paths: []string{"."}})
	}
	for _, c := range brokenFeatures {
		collect(Source{FS: files(c.text), Paths: []string{"."}})
	}
	for _, c := range brokenLoads {
		collect(Source{FS: files(head + "    And a steady load of 50 requests per second " + c.text + "\n    When 5s pass\n"), Paths: []string{"."}})
	}
	for _, c := range brokenSystems {
		fsys := files(head + "    When 5s pass\n")
		fsys["system.yaml"] = &fstest.MapFile{Data: []byte(c.text)}
		collect(Source{FS: fsys, Paths: []string{"."}})
	}
	collect(Source{FS: files(prelude + "    When 5s pass\n"), Paths: []string{"b.feature"}})
	collect(Source{FS: files(prelude + "    When 5s pass\n"), Paths: []string{"."}, Name: "another"})
	collect(Source{FS: files(prelude + "    When 5s pass\n"), Paths: []string{"."}, Own: []string{"^5s pass$"}})
	programs := files(head + "    When 5s pass\n")
	programs["system.yaml"] = &fstest.MapFile{Data: []byte("services:\n  orders: {command: [orders], env: {TOKEN: \"${env:TOKEN}\"}}\n")}
	collect(Source{FS: programs, Paths: []string{"."}, Find: func(_, program string) (string, error) { return "", fmt.Errorf("%s is not installed", program) }})
	secret := files(head + "    When 5s pass\n")
	secret["system.yaml"] = &fstest.MapFile{Data: []byte("services:\n  db: {address: \"db:5432\", login: \"postgres://app:hunter2@/shop\"}\n")}
	collect(Source{FS: secret, Paths: []string{"."}})
	collect(Source{FS: programs, Paths: []string{"."}, LookupEnv: func(string) (string, bool) { return "", false }})
	collect(Source{FS: files(prelude + strings.Repeat("    When it rains\n", source.MaxProblems+1)), Paths: []string{"."}})
	add(panicked())

	for _, r := range codes.Table() {
		assert.Equal(t, r.Of == codes.OfProblem || r.Of == codes.OfBoth, produced[r.Code], "no test produces %q", r.Code)
	}
}

// panicked returns the problem of a parser that panicked.
func panicked() (err error) {
	var all source.List
	defer func() { err = all.Err() }()
	defer all.RecoverPanic("a.feature")
	panic("a defect")
}
