package language

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

const probedFile = `services:
  orders:
    command: [orders, "${port}"]
    serves: [/orders]
    depends: {standby: http}
  standby: {command: [standby, "${port}"], dir: pg, env: {MODE: replica}}
probes:
  alert firing: {http: "orders GET /alerts", contains: "OrdersFailing", within: 2s}
  in recovery: {http: "standby GET /status", status: 200, json: "data.recovery", is: "true"}
  open: {tcp: standby, every: 250ms}
  in sync: {command: lag, every: 2s}
  outbox: {metric: "orders GET /metrics", name: "outbox_messages", every: 500ms}
  placed: {metric: "orders GET /stats", json: "orders.placed"}
commands:
  promote: {of: standby, run: [pg_ctl, promote, "-D", "${dir}/data"], within: 30s}
  lag: [check-lag, "${address:standby}"]
`

// parseProbed parses a scenario of the system with probes; file replaces the system file unless it is "".
func parseProbed(file, steps string) ([]*scenarios.Experiment, error) {
	if file == "" {
		file = probedFile
	}
	text := "Feature: F\n  Scenario: S\n    Given the system described in \"system.yaml\"\n    And a steady load of 50 requests per second on \"GET /orders\"\n" + steps
	return Parse(Source{FS: fstest.MapFS{"system.yaml": {Data: []byte(file)}, "a.feature": {Data: []byte(text)}}, Paths: []string{"a.feature"}})
}

func TestProbesOfAScenario(t *testing.T) {
	es, err := parseProbed("", `    When calls from "orders" to "standby" are delayed by 1s for 8s
    And "POST /promote" of "standby" is asked with this body:
      """
      {"wait": true}
      """
    And the command "promote" is run
    Then the health check "/readyz" of "orders" turns unhealthy within 5s of the fault
    And the health check "/readyz" of "orders" turns healthy within 7s of healing
    And the queue "outbox" never holds more than 1000 messages
    And the probe "alert firing" detects the fault within 6s
    And the key metric "orders_total" of "orders" keeps at least 90% of its baseline rate during the fault
    And the key metric "outbox_messages" of "orders" keeps at least 90% of its baseline rate during the fault
    And the key metric "placed" of "orders" keeps at least 90% of its baseline rate during the fault
`)
	require.NoError(t, err)
	e := es[0]
	require.Equal(t, []scenarios.Probe{
		{Name: "alert firing", HTTP: "orders GET /alerts", Contains: "OrdersFailing", Within: 2 * time.Second},
		{Name: "in recovery", HTTP: "standby GET /status", Status: 200, JSON: "data.recovery", Is: "true"},
		{Name: "open", TCP: "standby", Every: 250 * time.Millisecond},
		{Name: "in sync", Command: "lag", Every: 2 * time.Second},
		{Name: "outbox", Metric: "orders GET /metrics", Series: "outbox_messages", Every: 500 * time.Millisecond},
		{Name: "placed", Metric: "orders GET /stats", JSON: "orders.placed"},
	}, e.System.Probes)
	require.Equal(t, []scenarios.Probe{
		{Name: `the health check "/readyz" of "orders"`, HTTP: "orders GET /readyz", Every: 250 * time.Millisecond},
		{Name: `the key metric "orders_total" of "orders"`, Metric: "orders GET /metrics", Series: "orders_total", Every: 500 * time.Millisecond},
		{Name: `the key metric "outbox_messages" of "orders"`, Metric: "orders GET /metrics", Series: "outbox_messages", Every: 500 * time.Millisecond},
		{Name: `the key metric "placed" of "orders"`, Metric: "orders GET /stats", JSON: "orders.placed"},
	}, e.Probes[len(e.System.Probes):], "each once, and as declared if it is")
	require.Equal(t, 8*time.Second, e.Recovery, "so that the last health check can be judged")
	require.Equal(t, scenarios.Ask{Service: "standby", Method: "POST", Path: "/promote", Body: `{"wait": true}`}, e.Steps[3].Do)
	require.Equal(t, scenarios.RunCommand{Name: "promote"}, e.Steps[4].Do)
	promote, ok := e.System.CommandNamed("promote")
	require.True(t, ok)
	require.Equal(t, 30*time.Second, promote.Limit())
	p := e.System.Process(promote)
	require.Equal(t, []string{"pg_ctl", "promote", "-D", "${dir}/data"}, p.Command)
	require.Equal(t, "pg", p.Dir)
	require.Equal(t, map[string]string{"MODE": "replica"}, p.Env)

	var plan bytes.Buffer
	require.NoError(t, scenarios.Plan(&plan, es))
	for _, want := range []string{
		`faults touch orders -> standby; not undone: "POST /promote" of "standby" is asked, the command "promote" is run`,
		"ask every 500ms: outbox (metric outbox_messages of orders GET /metrics)", "ask every 1s: alert firing (http orders GET /alerts)",
		"ask every 2s: in sync (command lag)", "ask every 250ms: open (tcp standby)",
		`the command "promote" is run`,
	} {
		assert.Contains(t, plan.String(), want)
	}
}

func TestBuilderAsksAndRuns(t *testing.T) {
	e, err := scenarios.New("b").
		System(scenarios.System{
			Services: []scenarios.Service{{Name: "orders", Command: []string{"orders"}}},
			Probes:   []scenarios.Probe{{Name: "alert", HTTP: "orders GET /alerts"}},
			Commands: []scenarios.Command{{Name: "resync", Run: []string{"resync"}}},
		}).
		Load(scenarios.Load{Rate: 50, Mix: []scenarios.Route{{Method: "GET", Path: "/"}}}).
		Ask("orders", "POST /scale", "3").RunCommand("resync").Wait(time.Second).
		Check(check.Success{Ratio: 0.99}).Build()
	require.NoError(t, err)
	require.Equal(t, scenarios.Ask{Service: "orders", Method: "POST", Path: "/scale", Body: "3"}, e.Steps[2].Do)
	require.Equal(t, `"POST /scale" of "orders" is asked`, e.Steps[2].Text)
	require.Equal(t, scenarios.RunCommand{Name: "resync"}, e.Steps[3].Do)
	require.Len(t, e.Probes, 1)

	_, err = scenarios.New("b").System(scenarios.System{
		Services: []scenarios.Service{{Name: "orders", Command: []string{"orders"}}},
		Probes:   []scenarios.Probe{{Name: "alert"}},
		Commands: []scenarios.Command{{Name: "resync"}},
	}).Ask("order", "scale", "").Check(check.StaysHealthy{Path: "/", Of: "orders"}).Build()
	for _, want := range []string{`the probe "alert" asks 0 things`, `the command "resync" runs nothing`, `"scale" is not`, `there is no service "order"`} {
		require.ErrorContains(t, err, want)
	}
}

// TestProblemsOfProbes has mistakes of a system file, each with its place and what to do.
func TestProblemsOfProbes(t *testing.T) {
	const fault = "    When calls from \"orders\" to \"standby\" are delayed by 1s for 8s\n"
	const services = "services:\n  orders: {command: [orders, \"${port}\"], depends: {standby: http}}\n  standby: {command: [standby]}\n"
	for name, c := range map[string]struct{ file, steps, want string }{
		"no service":       {services + "probes:\n  a: {http: \"order GET /\"}\n", "", `system.yaml:5:13: there is no service "order"`},
		"no request":       {services + "probes:\n  a: {http: orders}\n", "", `"orders" names no request`},
		"no path":          {services + "probes:\n  a: {http: \"orders GET livez\"}\n", "", `system.yaml:5:13: "GET livez"`},
		"two kinds":        {services + "probes:\n  a: {tcp: orders, http: \"orders GET /\"}\n", "", `system.yaml:5:3: the probe "a" asks 2 things`},
		"no kind":          {services + "probes:\n  a: {every: 1s}\n", "", `the probe "a" asks 0 things`},
		"unknown key":      {services + "probes:\n  a: {https: \"orders GET /\"}\n", "", `the probe "a" has no key "https"`},
		"stray setting":    {services + "probes:\n  a: {tcp: orders, contains: x}\n", "", "system.yaml:5:30: `contains` belongs to a probe of http"},
		"which number":     {services + "probes:\n  a: {metric: \"orders GET /metrics\"}\n", "", "it is not known which number"},
		"which value":      {services + "probes:\n  a: {http: \"orders GET /\", json: ready}\n", "", "it is not known which value means yes"},
		"path of nothing":  {services + "probes:\n  a: {http: \"orders GET /\", json: \"a..b\", is: \"1\"}\n", "", `"a..b" is not a path into a document`},
		"too often":        {services + "probes:\n  a: {tcp: orders, every: 1ms}\n", "", "a probe cannot be asked every 1ms"},
		"status":           {services + "probes:\n  a: {http: \"orders GET /\", status: 99}\n", "", "99 is not a status of HTTP"},
		"quoted name":      {services + "probes:\n  'a \"b\"': {tcp: orders}\n", "", "cannot be the name of a probe"},
		"unknown command":  {services + "commands: {lag: [lag]}\nprobes:\n  a: {command: lags}\n", "", `there is no command "lags"`},
		"a line":           {services + "commands:\n  lag: check-lag now\n", "", "system.yaml:5:8: a command is a list of arguments, not a line for a shell"},
		"nothing to run":   {services + "commands:\n  lag: {of: orders}\n", "", `the command "lag" runs nothing`},
		"of nobody":        {services + "commands:\n  lag: {of: order, run: [lag]}\n", "", `system.yaml:5:13: there is no service "order"`},
		"no port":          {services + "commands:\n  lag: [lag, \"${port}\"]\n", "", `the command "lag" belongs to no service, so it has no port and no links`},
		"no link":          {services + "commands:\n  lag: {of: standby, run: [lag, \"${link:orders}\"]}\n", "", `system.yaml:5:33: ${link:orders} needs a link that is not there`},
		"no placeholder":   {services + "commands:\n  lag: [lag, \"${what}\"]\n", "", `system.yaml:5:14: "${what}" stands for nothing`},
		"step: service":    {"", "    When \"POST /promote\" of \"stand\" is asked\n", `a.feature:5:10: there is no service "stand"`},
		"step: command":    {"", "    When the command \"promot\" is run\n", `there is no command "promot"`},
		"step: none":       {services, "    When the command \"promote\" is run\n", "declare it in the system file, beside `services`: commands: {promote: {of: standby, run: [...]}}"},
		"step: route":      {"", "    When \"promote\" of \"standby\" is asked\n", `a.feature:5:10: "promote" is not`},
		"check: probe":     {"", fault + "    Then the probe \"alert fires\" detects the fault within 60s\n", `there is no probe "alert fires"`},
		"check: none":      {services, fault + "    Then the queue \"outbox\" never holds more than 10 messages\n", `probes: {outbox: {metric: "orders GET /metrics", name: outbox_messages}}`},
		"check: number":    {"", fault + "    Then the queue \"open\" never holds more than 10 messages\n", `the probe "open" answers with yes or no, and this asks about a number`},
		"check: yes or no": {"", fault + "    Then the probe \"outbox\" detects the fault within 60s\n", `the probe "outbox" answers with a number, and this asks for yes or no`},
		"check: service":   {"", fault + "    Then the health check \"/livez\" of \"order\" stays healthy during the fault\n", `there is no service "order"`},
		"check: path":      {"", fault + "    Then the health check \"livez\" of \"orders\" stays healthy during the fault\n", `a.feature:6:27: "livez" is not a path`},
		"check: no fault":  {"", "    When 5s pass\n    Then the health check \"/livez\" of \"orders\" stays healthy during the fault\n", "no fault is injected in this scenario"},
	} {
		t.Run(name, func(t *testing.T) {
			steps := c.steps
			if !strings.Contains(steps, "Then") {
				steps += "    When 1s pass\n    Then at least 99% of requests succeed\n"
			}
			_, err := parseProbed(c.file, steps)
			require.ErrorContains(t, err, c.want)
		})
	}
}
