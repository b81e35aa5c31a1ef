package language

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

const stoppable = `services:
  orders: {address: "127.0.0.1:1", depends: {payments: http}}
  payments: {address: "127.0.0.1:2"}
probes: {ready: {http: "orders GET /ready"}}
`

// parseOver parses a scenario of some steps over a system file.
func parseOver(file string, steps ...string) (*scenarios.Experiment, string) {
	text := "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n"
	for _, s := range steps {
		text += "    " + s + "\n"
	}
	es, err := Parse(Source{FS: fstest.MapFS{"system.yaml": {Data: []byte(file)}, "a.feature": {Data: []byte(text)}}, Paths: []string{"."}})
	if err != nil {
		return nil, err.Error()
	}
	return es[0], ""
}

// Each kind of stop rule is the same value in a system file and in a sentence.
func TestStopRulesInFilesAndSentences(t *testing.T) {
	const delayed, lasts = `When calls from "orders" to "payments" are delayed by 1s for 30s`, `Then at least 99% of requests succeed`
	covered := map[string]bool{}
	for _, c := range []struct{ file, sentence string }{
		{`{success_below: 50%, for: 10s}`, `fewer than 50% of requests succeed for 10s`},
		{`{latency: p99, above: 2s, for: 10s}`, `the p99 latency is above 2s for 10s`},
		{`{probe: ready, for: 2m}`, `the probe "ready" fails for 2m`},
		{`{file: stop-it}`, `the file "stop-it" appears`},
		{`{http: "orders GET /stop", status: 409}`, `"GET /stop" of "orders" answers with status 409`},
	} {
		ofFile, problems := parseOver(stoppable+"stop:\n  - "+c.file+"\n", steadyLoad, delayed, lasts)
		require.Empty(t, problems)
		ofSentence, problems := parseOver(stoppable, steadyLoad, "And the run stops at once if "+c.sentence, delayed, lasts)
		require.Empty(t, problems)
		require.Len(t, ofFile.Stop, 1)
		assert.Equal(t, ofFile.Stop, ofSentence.Stop)
		covered[ofFile.Stop[0].Kind()] = true
	}
	for _, kind := range system.StopKinds() {
		assert.True(t, covered[kind], kind)
	}

	e, problems := parseOver(stoppable+"stop: [{success_below: 50%, for: 10s}, {file: stop}]\n", `When "orders" and "payments" are cut off from each other for 1s`, `Then at least 5 calls from "orders" to "payments" were affected by the fault`)
	require.Empty(t, problems)
	assert.Equal(t, []scenarios.StopRule{{File: "stop"}}, e.Stop, "a rule about requests does not apply without a load")
}

func TestMistakesInStopRules(t *testing.T) {
	few := `Given a steady load of 1 request per second on "POST /orders"`
	for name, c := range map[string]struct {
		file, load, step string
		want             []string
	}{
		"no list":                 {file: `stop: {file: stop}`, want: []string{"system.yaml:5", "has to be a list"}},
		"unknown key":             {file: `stop: [{success_under: 50%, for: 1s}]`, want: []string{"system.yaml:5", `no key "success_under"`, "success_below"}},
		"two conditions":          {file: `stop: [{file: stop, probe: ready}]`, want: []string{"system.yaml:5", "one condition, and this has 2"}},
		"no condition":            {file: `stop: [{for: 2s}]`, want: []string{"system.yaml:5", "one condition, and this has 0"}},
		"no time":                 {file: `stop: [{success_below: 50%}]`, want: []string{"system.yaml:5", "needs `for`", "for: 10s"}},
		"a time too many":         {file: `stop: [{file: stop, for: 1s}]`, want: []string{"system.yaml:5", "`for` does not belong", "leave it out"}},
		"no limit":                {file: `stop: [{latency: p95, for: 1s}]`, want: []string{"needs `above`"}},
		"no percentile":           {file: `stop: [{latency: q95, above: 1s, for: 1s}]`, want: []string{`"q95" is not a percentile`}},
		"not above 100":           {file: `stop: [{latency: p100, above: 1s, for: 1s}]`, want: []string{"p100 is not a percentile"}},
		"nothing to stop":         {file: `stop: [{success_below: 0%, for: 1s}]`, want: []string{"could stop nothing"}},
		"unknown probe":           {file: `stop: [{probe: redy, for: 1s}]`, want: []string{"system.yaml:5", `no probe "redy"`, `did you mean "ready"`}},
		"unknown service":         {file: `stop: [{http: "order GET /stop", status: 409}]`, want: []string{"system.yaml:5", `no service "order"`, "orders"}},
		"no status":               {file: `stop: [{http: "orders GET /stop"}]`, want: []string{"needs `status`"}},
		"unknown probe, said":     {step: `And the run stops at once if the probe "redy" fails for 5s`, want: []string{"a.feature:5", `no probe "redy"`}},
		"unknown service, said":   {step: `And the run stops at once if "GET /stop" of "order" answers with status 409`, want: []string{"a.feature:5", `no service "order"`}},
		"too few requests":        {load: few, step: `And the run stops at once if the p99 latency is above 1s for 10s`, want: []string{"a.feature:5", "could stop nothing", "at most 10 requests, and it needs 100", "lengthen"}},
		"too few for the file":    {load: few, file: `stop: [{latency: p95, above: 1s, for: 10s}]`, want: []string{"a.feature:3", "could stop nothing", "it needs 20"}},
		"too few to see failures": {load: few, step: `And the run stops at once if fewer than 50% of requests succeed for 2s`, want: []string{"a.feature:5", "it needs 5"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.load == "" {
				c.load = steadyLoad
			}
			steps := []string{c.load}
			if c.step != "" {
				steps = append(steps, c.step)
			}
			_, problems := parseOver(stoppable+c.file+"\n", append(steps, `When calls from "orders" to "payments" are delayed by 1s for 30s`, `Then at least 99% of requests succeed`)...)
			for _, want := range c.want {
				assert.Contains(t, problems, want)
			}
			assert.Contains(t, problems, "1 problem; nothing was started")
		})
	}
}
