package language

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/check"
)

const cannotFailSystem = `
services:
  pay: {command: [pay, "${port}"]}
  orders: {command: [orders, "${port}", "${link:pay}"], serves: [/orders], depends: {pay: http}}
  static: {command: [static, "${port}"], serves: [/assets]}
clients: {depends: {orders: http, static: http}}
probes:
  outbox: {metric: "orders GET /metrics", name: outbox_messages}
  alert: {http: "orders GET /alert", contains: firing}
`

// TestPlanWarnsOfChecksThatCannotFail pairs each way in which a check can never fail with a similar scenario in which it
// can. Every kind that names such a way has to be in the table.
func TestPlanWarnsOfChecksThatCannotFail(t *testing.T) {
	t.Parallel()
	const load = `a steady load of 100 requests per second on "POST /orders" with this body:` + "\n      \"\"\"\n      {\"customer_id\": {{n}}, \"basket\": {{random 1 9}}}\n      \"\"\""
	const reads = `a steady load of 100 requests per second on "GET /orders"`
	const keyed = load + "\n    And every request carries a fresh idempotency key in the \"Idempotency-Key\" header\n    And applied effects are read from \"GET /orders/ledger\""
	const hangs = `"pay" hangs for 4s`
	table := func(most string) string {
		return "failures are only of these kinds during the fault:\n      | kind | at most |\n      | status 503 | 5% |\n      | timed out | " + most + " |"
	}
	covered := map[string]bool{}
	for _, c := range []struct{ load, fault, fails, never, why string }{
		{load, hangs, `at least 99.9% of requests succeed before the fault`, `at least 99% of requests succeed before the fault`, "with a success of less than 99% before the fault, nothing is injected"},
		{load, hangs, `the p95 latency stays within 1.5 times the baseline during the fault`, `the p95 latency stays within 1.5 times the baseline before the fault`, "the baseline, which is compared with itself; ask about the time during"},
		{load, hangs, `"pay" receives at most 1.5 times its normal calls during the fault`, `"pay" receives at most 1.5 times its normal calls before the fault`, "compared with itself"},
		{load + "\n    And clients retry failed requests up to 2 times", hangs, `"orders" receives at most 2 times its normal calls`, `"orders" receives at most 3 times its normal calls`, `only clients of the load call "orders", at most 3 times for each request`},
		{load, hangs, `"orders" receives at most 120 calls per second`, `"orders" receives at most 200 calls per second`, `only clients of the load call "orders", at most 150 times a second`},
		{load, hangs, table("50%"), table("100%"), `all requests may fail as "timed out"`},
		{load, hangs, `the queue "outbox" never holds more than 1000 messages`, `the queue "outbox" never holds more than 5000 messages`, "the load sends about 1,100 requests"},
		{load, hangs, `the health check "/livez" of "orders" stays healthy during the fault`, `the health check "/livez" of "static" stays healthy during the fault`, `no link connects "static" with what breaks ("pay")`},
		{load, hangs, `the health check "/readyz" of "orders" turns unhealthy within 2s of the fault`, `the health check "/readyz" of "orders" turns unhealthy within 4s of the fault`, "the fault lasts 4s, so that nothing is left of it after 4s"},
		{load, hangs, `the probe "alert" detects the fault within 2s`, `the probe "alert" detects the fault within 5s`, "the fault lasts 4s"},
		{load, hangs, `the key metric "orders_total" of "orders" keeps at least 90% of its baseline rate during the fault`, `the key metric "assets_total" of "static" keeps at least 90% of its baseline rate during the fault`, `no link connects "static"`},
		{keyed, hangs, `effects with the same "basket" are applied in the order they were sent`, `effects with the same "customer_id" are applied in the order they were sent`, `each request has a "customer_id" of its own`},
		{load, hangs, `the sum of "balance" over "GET /orders/accounts" stays the same`, "", ""},
		{reads, hangs, "", `the sum of "balance" over "GET /orders/accounts" stays the same`, "all requests of the load only read"},
	} {
		warnings := func(sentence string) (string, string) {
			feature := "Feature: f\n  Scenario: s\n    Given the system described in \"system.yaml\"\n    And " + c.load +
				"\n    When " + c.fault + "\n    Then at least 50% of requests succeed\n    And " + sentence + "\n"
			es, err := read(fstest.MapFS{"a.feature": {Data: []byte(feature)}, "system.yaml": {Data: []byte(cannotFailSystem)}})
			require.NoError(t, err)
			last := es[0].Checks[len(es[0].Checks)-1]
			return last.Kind().Name, es[0].Warnings.Error()
		}
		if c.fails != "" {
			kind, got := warnings(c.fails)
			assert.NotContains(t, got, "this can never fail", kind)
		}
		if c.never != "" {
			kind, got := warnings(c.never)
			assert.Contains(t, got, "this can never fail: ", c.never)
			assert.Contains(t, got, c.why)
			assert.Contains(t, got, "a.feature:", "the place")
			covered[kind] = true
		}
	}
	for _, k := range check.Kinds() {
		assert.Equal(t, k.CannotFail != nil, covered[k.Name], "%s: a scenario in which it cannot fail", k.Name)
	}
}

// TestPlanWarnsWhereRefusingPasses: a scenario whose checks a system satisfies that refuses everything is warned of, and not
// one with a check of success.
func TestPlanWarnsWhereRefusingPasses(t *testing.T) {
	t.Parallel()
	for checks, warned := range map[string]bool{
		"every acknowledged request is applied exactly once":                                                                    true,
		"no request is applied more than once\n    And no effect appears that was never requested":                              true,
		"no request is applied more than once\n    And \"pay\" receives at most 2 times its normal calls":                       true,
		"no request is applied more than once\n    And at least 90% of requests succeed after healing":                          false,
		"every acknowledged request is applied exactly once\n    And \"POST /orders\" recovers within 5s of healing":            false,
		"no acknowledged request is lost\n    And requests repeated with the same key get the same response":                    false,
		"excess requests are refused within 50ms with status \"503\" during the fault\n    And no acknowledged request is lost": true,
	} {
		feature := "Feature: f\n  Scenario: s\n    Given the system described in \"system.yaml\"\n    And a steady load of 100 requests per second on \"POST /orders\"\n" +
			"    And every request carries a fresh idempotency key in the \"Idempotency-Key\" header\n    And applied effects are read from \"GET /orders/ledger\"\n" +
			"    When \"pay\" hangs for 4s\n    Then " + checks + "\n"
		es, err := read(fstest.MapFS{"a.feature": {Data: []byte(feature)}, "system.yaml": {Data: []byte(cannotFailSystem)}})
		require.NoError(t, err)
		assert.Equal(t, warned, strings.Contains(es[0].Warnings.Error(), "a system that refuses every request from the fault on would satisfy every check of this scenario: add one that asks for success"), checks)
		assert.Empty(t, es[0].Unproven)
	}
}
