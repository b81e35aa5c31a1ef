package language

import (
	"slices"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

const adviceSystem = `
services:
  orders: {command: [orders, "${port}", "${link:payments}"], serves: [/orders, /ledger], depends: {payments: http}}
  payments: {command: [payments, "${port}"]}
  shipping: {command: [shipping, "${port}", "${link:stock}"], serves: [/parcels], depends: {stock: http}}
  stock: {command: [stock, "${port}"]}
`

// TestAdvice pairs each scenario that is warned of with a similar one that is not.
func TestAdvice(t *testing.T) {
	t.Parallel()
	const keyed = "every request carries a fresh idempotency key in the \"Idempotency-Key\" header\n    And applied effects are read from \"GET /ledger\""
	const slow = "calls from \"orders\" to \"payments\" are delayed by 300ms for 5s"
	const success = "at least 99% of requests succeed during the fault"
	warned := map[string]bool{}
	for name, c := range map[string]struct {
		load, when, then string
		code             codes.Code // 0: no warning
	}{
		"effects and no check of them": {keyed, slow, success, codes.Unused},
		"effects and a check":          {keyed, slow, success + "\n    And no acknowledged request is lost", 0},
		"no effects":                   {"a baseline is measured for 5s", slow, success, 0},
		"two stories":                  {"a baseline is measured for 5s", slow + "\n    And traffic from \"shipping\" to \"stock\" is delayed by 300ms for 5s", success, codes.ManyStories},
		"the same fault elsewhere":     {"a baseline is measured for 5s", slow + "\n    And calls from \"shipping\" to \"stock\" are delayed by 300ms for 5s", success, 0},
		"a service and what it calls":  {"a baseline is measured for 5s", slow + "\n    And \"payments\" hangs for 5s", success, 0},
		"one after the other":          {"a baseline is measured for 5s", slow + "\n    And 5s pass\n    And " + slow, success, 0},
	} {
		feature := "Feature: f\n  Scenario: s\n    Given the system described in \"system.yaml\"\n    And a steady load of 100 requests per second on \"POST /orders\"\n    And " +
			c.load + "\n    When " + c.when + "\n    Then " + c.then + "\n"
		es, err := read(fstest.MapFS{"a.feature": {Data: []byte(feature)}, "system.yaml": {Data: []byte(adviceSystem)}})
		require.NoError(t, err, name)
		if c.code == 0 {
			assert.Empty(t, es[0].Warnings, name)
			continue
		}
		require.Len(t, es[0].Warnings, 1, name)
		assert.Equal(t, c.code.String(), es[0].Warnings[0].Code, name)
		assert.Positive(t, es[0].Warnings[0].Line, name)
		warned[c.code.String()] = true
	}
	es, err := read(fstest.MapFS{"a.feature": {Data: []byte("Feature: f\n  Scenario: s\n    Given the system described in \"system.yaml\"\n    And a steady load of 100 requests per second on \"POST /orders\"\n    And " +
		keyed + "\n    When " + slow + "\n    Then " + success + "\n    And no effect appears that was never requested\n")}, "system.yaml": {Data: []byte("services:\n  orders: {address: \"127.0.0.1:1\", serves: [/], depends: {payments: http}}\n  payments: {address: \"127.0.0.1:2\"}\n")}})
	require.NoError(t, err)
	require.Len(t, es[0].Warnings, 1)
	warned[es[0].Warnings[0].Code] = true
	warned[codes.Unreferenced.String()] = true // no scenario is: see TestUnreferenced
	for _, r := range codes.Table() {
		if r.Of == codes.OfWarning {
			assert.True(t, warned[r.Code], "no scenario is warned of with %q", r.Code)
		}
	}
}

// TestUnusedHistories requires a warning of a queue or set that is declared if, and only if, no check asks about it.
func TestUnusedHistories(t *testing.T) {
	t.Parallel()
	for check, c := range map[string]struct{ routes, declared string }{
		`the history of the queue "jobs" is linearizable`: {"      | POST /orders | 50% | {{n}} |\n      | POST /orders/take | 50% | |\n",
			`"POST /orders" puts into and "POST /orders/take" takes from the queue "jobs"`},
		`the history of the set "members" is linearizable`: {"      | POST /orders/add | 30%   | {\"element\": {{random 1 9}}} |\n      | POST /orders/remove | 20%   | {\"element\": {{random 1 9}}} |\n      | POST /orders/find | 50%   | {\"element\": {{random 1 9}}} |\n",
			`"POST /orders/add" adds to, "POST /orders/remove" removes from and "POST /orders/find" looks into the set "members"`},
	} {
		feature := "Feature: f\n  Scenario: s\n    Given the system described in \"system.yaml\"\n    And a steady load of 60 requests per second with this mix:\n      | route | share | body |\n" +
			c.routes + "    And " + c.declared + "\n    When calls from \"orders\" to \"payments\" are delayed by 300ms for 5s\n    Then at least 99% of requests succeed during the fault\n"
		for text, unused := range map[string]bool{feature: true, feature + "    And " + check + "\n": false} {
			es, err := read(fstest.MapFS{"a.feature": {Data: []byte(text)}, "system.yaml": {Data: []byte(adviceSystem)}})
			require.NoError(t, err, check)
			warned := slices.ContainsFunc(es[0].Warnings, func(p source.Problem) bool { return p.Code == codes.Unused.String() })
			assert.Equal(t, unused, warned, check)
		}
	}
}
