package language

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// parseTimeout parses a scenario of about 17 seconds, with sentences in its Background.
func parseTimeout(background string) ([]*scenarios.Experiment, error) {
	return read(fstest.MapFS{"system.yaml": {Data: []byte(adviceSystem)}, "a.feature": {Data: []byte(`Feature: f
  Background:
    Given the system described in "system.yaml"
    ` + background + `
  Scenario: s
    Given a steady load of 100 requests per second on "POST /orders"
    When calls from "orders" to "payments" are delayed by 300ms for 5s
    Then at least 99% of requests succeed after healing
`)}})
}

// A time limit that the estimate exceeds is warned of, at its sentence.
func TestTimeoutIsCompared(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]struct {
		timeout time.Duration
		warned  bool
	}{
		"And the scenario takes at most 2m":         {2 * time.Minute, false},
		"And the scenario takes at most 10 seconds": {10 * time.Second, true},
		"": {0, false},
	} {
		es, err := parseTimeout(said)
		require.NoError(t, err)
		assert.Equal(t, want.timeout, es[0].Timeout)
		if !want.warned {
			assert.Empty(t, es[0].Warnings, said)
			continue
		}
		require.Len(t, es[0].Warnings, 1)
		w := es[0].Warnings[0]
		assert.Equal(t, codes.TimedOut.String(), w.Code)
		assert.Equal(t, 4, w.Line)
		assert.Contains(t, w.What, "the scenario may take 10s, and takes about 17s, as estimated")
	}
}

func TestMistakesInTimeouts(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"And the scenario takes at most 0s":                                          "it has to be above 0",
		"And the scenario takes at most 10":                                          "has no unit",
		"And the scenario takes at most soon":                                        "did you mean: the scenario takes at most 2m",
		"And the scenario takes at most 20s\n    And the scenario takes at most 30s": "how long the scenario may take was said before, at a.feature:4",
		"And the scenario takes 20s":                                                 "the scenario takes at most",
	} {
		_, err := parseTimeout(said)
		require.ErrorContains(t, err, want, said)
		require.ErrorContains(t, err, "a.feature:", said)
	}
	_, err := scenarios.New("s").System(system.System{}).Timeout(-time.Second).Build()
	require.ErrorContains(t, err, "a scenario needs a time above 0")
}
