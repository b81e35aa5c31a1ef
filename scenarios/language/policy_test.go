package language

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// Sentences make the policy that Go states, and the plan prints it.
func TestPolicyOfClients(t *testing.T) {
	for _, c := range []struct {
		sentences string
		want      scenarios.RetryPolicy
		plan      string
	}{
		{"", scenarios.RetryPolicy{}, "clients give up on an attempt after 2s; retry up to 3 times after no answer, 429, and errors that leave the outcome open; " +
			"wait 50ms before the first retry, twice as long before each next one, at most 1.6s, with jitter; honour Retry-After up to 1s\n"},
		{`    And clients wait 100ms between attempts
    And clients give up on a request after 5s
    And clients retry only after "503, TLS failure"
    And clients ignore Retry-After
    And clients send a second attempt if there is no answer within 50ms
    And clients retry at most 10% of requests
`, scenarios.RetryPolicy{BackOff: scenarios.BackOff{First: 100 * time.Millisecond}, Within: 5 * time.Second, Only: []string{"503", "TLS failure"}, IgnoreRetryAfter: true, Hedge: 50 * time.Millisecond, Budget: 0.1},
			"clients give up on an attempt after 2s; give up on a request after 5s; send a second attempt if there is no answer within 50ms; retry up to 3 times after 503, TLS failure only; " +
				"wait 100ms between attempts; ignore Retry-After; retry at most 10% of requests\n"},
		{"    And clients wait 100ms before the first retry, twice as long before each next one, at most 2s, with jitter\n",
			scenarios.RetryPolicy{BackOff: scenarios.BackOff{First: 100 * time.Millisecond, Most: 2 * time.Second, Jitter: true}}, "wait 100ms before the first retry, twice as long before each next one, at most 2s, with jitter;"},
	} {
		e := parsed(t, Source{FS: files("Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    And clients retry failed requests up to 3 times\n    And clients give up after 2s\n" +
			c.sentences + "    And a steady load of 50 requests per second on \"GET /catalog\"\n    When 2s pass\n")})[0]
		assert.Equal(t, c.want, e.Load.Policy)
		built, err := scenarios.New("b").ReadSystem(files(), "system.yaml").
			Load(scenarios.Load{Rate: 50, Retries: 3, GiveUp: 2 * time.Second, Policy: c.want, Mix: []scenarios.Route{{Method: "GET", Path: "/catalog"}}}).Wait(2 * time.Second).Build()
		require.NoError(t, err)
		for _, one := range []*scenarios.Experiment{e, built} {
			var plan strings.Builder
			require.NoError(t, scenarios.Plan(&plan, []*scenarios.Experiment{one}))
			assert.Contains(t, plan.String(), c.plan)
		}
	}
}
