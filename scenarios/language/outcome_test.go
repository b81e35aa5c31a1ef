package language

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

func TestOutcomeSentences(t *testing.T) {
	e := parsed(t, Source{FS: files(prelude + `    And "POST /orders" answers 303, 201 or 201
    And status 503 means that it was refused
    And status 404 means that it is not known
    When 5s pass
    Then at least 9% of requests succeed
`)})[0]
	assert.Equal(t, []int{201, 303}, e.Load.Mix[0].Expect)
	assert.Empty(t, e.Load.Mix[1].Expect)
	assert.Equal(t, map[int]scenarios.Outcome{503: scenarios.Refused, 404: scenarios.NotKnown}, e.Load.Means)
}

// TestKeyReuseNeedsVaryingBodies: bodies are never altered, so a constant body is rejected before the run.
func TestKeyReuseNeedsVaryingBodies(t *testing.T) {
	of := func(body string) error {
		load := "    And a steady load of 50 requests per second on \"POST /orders\" with this body:\n      \"\"\"\n      " + body + "\n      \"\"\"\n"
		_, err := Parse(Source{Paths: []string{"."}, FS: files("Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n" + load + `    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    When 5s pass
    Then a key reused with a different body is refused with status 422
`)})
		return err
	}
	require.NoError(t, of(`{"item": "x", "n": {{n}}}`))
	for _, body := range []string{`{"item": "x"}`, `{"key": "{{key}}", "seed": {{seed}}}`} {
		require.ErrorContains(t, of(body), `every "POST /orders" request has the same body`)
		require.ErrorContains(t, of(body), "{{n}}")
	}
	_, err := Parse(Source{Paths: []string{"."}, FS: files("Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n" + `    And a steady load of 50 requests per second on "GET /catalog"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    When 5s pass
    Then a key reused with a different body is refused with status 422
`)})
	require.ErrorContains(t, err, "no request of the load has a body")
}
