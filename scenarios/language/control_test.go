package language

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

const copiesFile = `services:
  orders: {command: ["${self}"], serves: [/orders], depends: {payments: http}}
  orders-control: {command: ["${self}"], serves: [/orders], depends: {payments: http}}
  payments: {command: ["${self}"]}
  recs: {command: ["${self}"], serves: [/recs]}
`

func TestSplitsThatAreNotPossible(t *testing.T) {
	const (
		split   = `And the load is split between "orders" and its untouched copy "orders-control"`
		delayed = `When calls from "orders" to "payments" are delayed by 100ms for 30s`
		success = `Then requests to "orders" succeed at most 1 point less often than to "orders-control" during the fault`
	)
	parse := func(steps ...string) (*scenarios.Experiment, string) {
		text := "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n"
		for _, s := range steps {
			text += "    " + s + "\n"
		}
		es, err := Parse(Source{FS: fstest.MapFS{"system.yaml": {Data: []byte(copiesFile)}, "a.feature": {Data: []byte(text)}}, Paths: []string{"."}})
		if err != nil {
			return nil, err.Error()
		}
		return es[0], ""
	}
	for name, c := range map[string]struct {
		steps []string
		want  []string
	}{
		"a fault on a link of the copy": {[]string{steadyLoad, split, `When calls from "orders-control" to "payments" are delayed by 100ms for 30s`, success}, []string{"a.feature:6", `"orders-control" is the untouched copy`, `act on "orders" only`}},
		"a fault on the copy":           {[]string{steadyLoad, split, `When "orders-control" hangs for 5s`, success}, []string{"a.feature:6", `"orders-control" is the untouched copy`}},
		"it does not answer the route":  {[]string{steadyLoad, `And the load is split between "orders" and its untouched copy "recs"`, delayed, allSucceed}, []string{"a.feature:5", `"recs" does not answer "POST /orders"`, "`serves`"}},
		"with itself":                   {[]string{steadyLoad, `And the load is split between "orders" and its untouched copy "orders"`, delayed, allSucceed}, []string{"a.feature:5", "cannot be compared with itself"}},
		"unknown copy":                  {[]string{steadyLoad, `And the load is split between "orders" and its untouched copy "orders-contrl"`, delayed, allSucceed}, []string{"a.feature:5", `no service "orders-contrl"`, "did you mean"}},
		"no request goes there":         {[]string{`Given a steady load of 5 requests per second on "GET /recs"`, split, delayed, allSucceed}, []string{"a.feature:5", `no request of the load goes to "orders"`}},
		"the load is not split":         {[]string{steadyLoad, delayed, success}, []string{"a.feature:6", `the load is not split between "orders" and "orders-control"`, "add: the load is split"}},
		"split otherwise":               {[]string{steadyLoad, split, delayed, `Then the p95 latency to "orders-control" is at most 1.2 times that of "orders" during the fault`}, []string{"a.feature:7", "it is split between"}},
		"twice":                         {[]string{steadyLoad, split, split, delayed, success}, []string{"a.feature:6", "was said before"}},
		"no load":                       {[]string{`Given the load is split between "orders" and its untouched copy "orders-control"`, delayed, `Then at least 5 calls from "orders" to "payments" were affected by the fault`}, []string{"a.feature:4", "a split without a load"}},
		"100 points":                    {[]string{steadyLoad, split, delayed, `Then requests to "orders" succeed at most 100 points less often than to "orders-control" during the fault`}, []string{"a.feature:7", "can never be exceeded"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := parse(c.steps...)
			for _, want := range c.want {
				assert.Contains(t, problems, want)
			}
			assert.Contains(t, problems, "1 problem; nothing was started")
		})
	}
	e, problems := parse(steadyLoad, split, delayed, success)
	require.Empty(t, problems)
	assert.Equal(t, []string{"orders", "orders-control"}, e.Load.Copies)
	assert.Equal(t, "orders", e.Load.Mix[0].Service)
	assert.Equal(t, check.SucceedsAsControl{Of: "orders", Control: "orders-control", Points: 1}, e.Checks[0].Check)
}
