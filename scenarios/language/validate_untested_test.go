package language

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

const apartSystem = `
services:
  pay: {command: [pay, "${port}"]}
  orders: {command: [orders, "${port}", "${link:pay}"], serves: [/b], depends: {pay: http}}
  static: {command: [static, "${port}"], serves: [/health]}
`

// experimentOf returns an experiment with a load of two routes.
func experimentOf(t *testing.T, system, prelude, rest string) *scenarios.Experiment {
	t.Helper()
	feature := "Feature: f\n  Scenario: s\n    Given the system described in \"system.yaml\"\n" +
		"    And a steady load of 100 requests per second with this mix:\n      | route | share |\n      | GET /b | 50% |\n      | GET /health | 50% |\n" +
		prelude + "    And a baseline is measured for 5s\n    When " + rest + "\n    And at least 40% of requests succeed\n"
	es, err := read(fstest.MapFS{"a.feature": {Data: []byte(feature)}, "system.yaml": {Data: []byte(system)}})
	require.NoError(t, err)
	return es[0]
}

// TestPlanWarnsOfUntestedChecks pairs each warning with a similar scenario that has none.
func TestPlanWarnsOfUntestedChecks(t *testing.T) {
	t.Parallel()
	const slow, cut, lost = `calls from "orders" to "pay" are delayed by `, `"orders" and "pay" are cut off from each other`, `requests from "orders" to "pay" are lost, then silence for 5s`
	const two, three = "\n    Then \"orders\" gives up on \"pay\" within 2s", "\n    Then no request takes longer than 3s during the fault"
	times := "\n    Then \"pay\" receives at most 1.5 times its normal calls during the fault"
	const stops, refused = "\n    Then \"orders\" stops calling \"pay\" within 5s of the fault", "\n    Then excess requests are refused within 50ms with status \"429 or 503\""
	for name, c := range map[string]struct{ prelude, rest, want string }{
		"a cut-off shorter than the limit":    {"", cut + " for 2s" + three, "the fault lasts 2s"},
		"a cut-off as long in two steps":      {"", cut + "\n    And 2s pass\n    And 2s pass\n    And the fault is healed" + three, ""},
		"a longer cut-off":                    {"", cut + " for 5s" + three, ""},
		"a shorter delay":                     {"", slow + "400ms for 2s" + three, "the fault lasts 2s"},
		"lost requests outlast healing":       {"", strings.Replace(lost, "5s", "2s", 1) + three, ""},
		"one of two outlasts healing":         {"", cut + " for 2s\n    And " + strings.Replace(lost, "5s", "2s", 1) + three, ""},
		"no call waits for so long":           {"", slow + "800ms for 5s" + two, "no call wait for longer than 800ms"},
		"a call waits for longer":             {"", slow + "3s for 5s" + two, ""},
		"clients give up earlier":             {"    And clients give up after 1s\n", lost + two, "clients of the load give up after 1s"},
		"clients keep waiting":                {"    And clients give up after 4s\n", lost + two, ""},
		"a cut-off hides how long calls wait": {"", cut + " for 5s" + two, "cannot be observed"},
		"no reason to retry":                  {"", slow + "20ms for 3s" + times, "no caller has a reason to retry"},
		"copies of calls":                     {"", `calls from "orders" to "pay" are delivered twice for 3s` + times, "no caller has a reason to retry"},
		"pieces of messages":                  {"", `traffic from "orders" to "pay" is sliced into pieces of 64 B for 3s` + times, "no caller has a reason to retry"},
		"late ends of connections":            {"", `connections from "orders" to "pay" close 1s late for 3s` + times, "no caller has a reason to retry"},
		"a fault elsewhere":                   {"", `"orders" hangs for 3s` + times, ""},
		"a reason to retry":                   {"", slow + "300ms for 3s" + times, ""},
		"a fault over before calls stop":      {"", `"pay" hangs for 3s` + stops, "the fault lasts 3s, so that nothing is left of it after 5s"},
		"a fault that outlasts the stop":      {"", `"pay" hangs for 8s` + stops, ""},
		"a cut-off hides whether calls stop":  {"", cut + " for 8s" + stops, "whether \"orders\" stops cannot be observed"},
		"nothing is in excess":                {"", "10s pass" + refused, "no fault is injected and the load does not rise"},
		"a load that rises":                   {"", "the load changes from 100 to 300 requests per second over 3s" + refused, ""},
		"a load that spikes":                  {"", "the load spikes from 100 to 300 requests per second for 3s" + refused, ""},
		"a fault that takes capacity":         {"", `"orders" hangs for 3s` + refused, ""},
		"calls fail":                          {"", `calls from "orders" to "pay" answer with status 503 for 3s` + times, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := experimentOf(t, apartSystem, c.prelude, c.rest)
			if c.want == "" {
				assert.Empty(t, e.Warnings)
				return
			}
			require.Len(t, e.Warnings, 1)
			assert.Contains(t, e.Warnings[0].What, c.want)
			assert.Nil(t, e.Untested(), "the run finds it by itself")
		})
	}
}

// TestUnconnectedRoute: the warning appears only if the description of the system cannot lack a dependency.
func TestUnconnectedRoute(t *testing.T) {
	t.Parallel()
	with := func(old, new string) string { return strings.Replace(apartSystem, old, new, 1) }
	for name, c := range map[string]struct {
		system string
		apart  bool
	}{
		"apart":                        {apartSystem, true},
		"it depends on what breaks":    {with(`serves: [/health]`, `serves: [/health], depends: {pay: http}`), false},
		"what breaks depends on it":    {with(`depends: {pay: http}`, `depends: {pay: http, static: http}`), false},
		"it is told the address":       {with(`[static, "${port}"]`, `[static, "${port}", "${address:pay}"]`), false},
		"told in the environment":      {with(`[static, "${port}"]`, `[static, "${port}"], env: {PAY: "${address:orders}"}`), false},
		"it runs elsewhere":            {with(`{command: [static, "${port}"]`, `{address: "localhost:1"`), false},
		"what breaks has a fixed port": {with(`[pay, "${port}"]`, `[pay, "${port}"], port: 7301`), false},
		"they are of a group":          {apartSystem + "groups: {g: [pay, static]}\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			e := experimentOf(t, c.system, "", `"pay" crashes for 3s`+"\n    Then \"GET /health\" is not affected by the fault\n    And \"GET /health\" recovers within 2s of healing\n    And \"GET /b\" recovers within 2s of healing")
			if !c.apart {
				assert.Empty(t, e.Warnings)
				assert.Nil(t, e.Untested())
				return
			}
			require.Len(t, e.Untested(), 4)
			assert.Contains(t, e.Untested()[0], `"GET /health" is answered by "static", which no link connects with what breaks ("pay")`)
			assert.Contains(t, e.Untested()[1], `it cannot be affected`)
			assert.Equal(t, []string{"", ""}, e.Untested()[2:])
			assert.Len(t, e.Warnings, 2)
		})
	}
}

func TestPatienceOfASentence(t *testing.T) {
	t.Parallel()
	e := experimentOf(t, apartSystem, "    And clients give up after 1s\n", `"pay" crashes for 3s`+"\n    Then the p95 latency stays below 900ms during the fault")
	assert.Equal(t, time.Second, e.Load.Patience(true))
}

// TestPlanWarnsWhereADeadSystemPasses pairs checks that a dead system satisfies with one that it does not.
func TestPlanWarnsWhereADeadSystemPasses(t *testing.T) {
	t.Parallel()
	table := func(most string) string {
		return "    Then failures are only of these kinds during the fault:\n      | kind | at most |\n      | refused | " + most + " |\n"
	}
	for name, c := range map[string]struct {
		checks string
		idle   bool
	}{
		"stops calling":                 {"    Then \"orders\" stops calling \"pay\" within 1s of the fault\n", true},
		"and resumes":                   {"    Then \"orders\" stops calling \"pay\" within 1s of the fault\n    And \"orders\" resumes calling \"pay\" within 1s of healing\n", false},
		"all may fail":                  {table("100%"), true},
		"half may fail":                 {table("50%"), false},
		"refusals have to come in time": {"    Then excess requests are refused within 50ms with status \"503\" during the fault\n", false},
		"a budget":                      {"    Then the run spends at most 5% of the 1-day error budget of a 99.99% objective\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			feature := "Feature: f\n  Scenario: s\n    Given the system described in \"system.yaml\"\n    And a steady load of 100 requests per second on \"GET /b\"\n    When \"pay\" hangs for 8s\n" + c.checks
			es, err := read(fstest.MapFS{"a.feature": {Data: []byte(feature)}, "system.yaml": {Data: []byte(apartSystem)}})
			require.NoError(t, err)
			assert.Equal(t, c.idle, strings.Contains(es[0].Unproven, "a system that does nothing would satisfy every check"), es[0].Unproven)
		})
	}
}
