package runner_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner"
)

const mixed = `
Feature: Orders
  Scenario Outline: orders with <what>
    Given the system described in "system.yaml"
    And a steady load of 50 requests per second with this mix:
      | route       | share |
      | POST /orders | 50%  |
      | PUT /orders  | 50%  |
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And a baseline is measured for 1s
    When 2s pass
    Then at least 50% of requests succeed
    Examples:
      | what |
      | keys |
`

// routesByRequest returns the route that the seed selected for each request, by request number.
func routesByRequest(t *testing.T, res *runner.Result) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, r := range res.Book.Scenarios[0].Requests.All() {
		all[regexp.MustCompile(`\d+$`).FindString(r.Key)] = r.Route
	}
	require.Greater(t, len(all), 50)
	return all
}

// equalRoutes returns for how many of the requests sent by both runs the route is the same, and how
// many such requests there are.
func equalRoutes(a, b map[string]string) (equal, all int) {
	for n, route := range a {
		if other, ok := b[n]; ok {
			all++
			if route == other {
				equal++
			}
		}
	}
	return equal, all
}

// seedInReport returns the seed in a report.
func seedInReport(t *testing.T, res *runner.Result, file, pattern string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(res.Dir, file))
	require.NoError(t, err)
	all := regexp.MustCompile(pattern).FindAllSubmatch(raw, -1)
	require.NotEmpty(t, all, "%s has no seed", file)
	for _, m := range all {
		assert.Equal(t, string(all[0][1]), string(m[1]), "%s has one seed", file)
	}
	return string(all[0][1])
}

// A seed from the clock has the same text in all reports, is exact as a float, and reproduces the same
// choices.
func TestReportsHaveTheSeed(t *testing.T) {
	t.Parallel()
	first := runFeature(t, mixed, runner.Options{})
	want := routesByRequest(t, first)
	seeds := map[string]string{}
	for file, pattern := range map[string]string{
		"journal.ndjson": `"seed":"(\d+)"`,
		"report.json":    `"seed": "(\d+)"`,
		"junit.xml":      `name="seed" value="(\d+)"`,
		"report.txt":     `seed (\d+)`,
		"report.html":    `seed (\d+)`,
	} {
		seeds[seedInReport(t, first, file, pattern)] = file
	}
	require.Len(t, seeds, 1, "all reports have the same seed: %v", seeds)
	for text := range seeds {
		seed, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
		assert.Less(t, seed, uint64(1)<<53)
		equal, all := equalRoutes(want, routesByRequest(t, runFeature(t, mixed, runner.Options{Seed: seed})))
		assert.Greater(t, all, 50)
		assert.Equal(t, all, equal, "the same seed chooses the same")
		equal, all = equalRoutes(want, routesByRequest(t, runFeature(t, mixed, runner.Options{Seed: seed + 1})))
		assert.Less(t, equal, all*3/4, "another seed chooses otherwise")
	}
}
