package language

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/source"
)

const findingFeature = `Feature: f
  Scenario Outline: s <n>
    Given the service "orders" at "http://127.0.0.1:8080"
    And "clients" depends on "orders" over http
    And a steady load of 100 requests per second on "POST /orders"
    And a baseline is measured for 5s
    When "clients" and "orders" are cut off from each other for 5s
    Then at least 90% of requests succeed during the fault
    And "POST /orders" recovers within 5s of healing
    And it is known that "<fails>" fails

    Examples:
      | n | fails                                             |
      | 1 | at least 90% of requests succeed during the fault |
      | 2 | nothing                                           |
      | 4 | "POST /orders" recovers within 5s of healing      |
`

func TestKnownFindings(t *testing.T) {
	t.Parallel()
	_, err := read(fstest.MapFS{"a.feature": {Data: []byte(findingFeature + "      | 3 | at least 99% of requests succeed during the fault |\n")}})
	var problems source.Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 1)
	assert.Contains(t, problems[0].Error(), `"at least 99% of requests succeed during the fault" is not a check of this scenario`)
	assert.Contains(t, problems[0].Error(), "at least 90%", "the hint names the check that was meant")

	es, err := read(fstest.MapFS{"a.feature": {Data: []byte(findingFeature)}})
	require.NoError(t, err)
	require.Len(t, es, 3)
	assert.Equal(t, []int{1}, es[2].Findings(), "a check that has quotes itself")
	assert.Equal(t, []int{0}, es[0].Findings())
	assert.Empty(t, es[1].Findings())
}
