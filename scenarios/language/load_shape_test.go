package language

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// shaped parses a scenario without a load, with a file of recorded rates, and returns the problems as text.
func shaped(rates string, steps ...string) (*scenarios.Experiment, string) {
	fsys := files("Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    " + strings.Join(steps, "\n    ") + "\n")
	fsys["rates.csv"] = &fstest.MapFile{Data: []byte(rates)}
	es, err := Parse(Source{FS: fsys, Paths: []string{"."}})
	if err != nil {
		return nil, err.Error()
	}
	return es[0], ""
}

const (
	sent       = `When 200 requests on "POST /orders" are sent, 10 at a time`
	lost       = `When replies from "payments" to "orders" are lost after the work was done`
	allSucceed = `Then at least 99% of requests succeed`
	steadyLoad = `Given a steady load of 100 requests per second on "POST /orders"`
)

func TestShapesThatAreNotPossible(t *testing.T) {
	for name, c := range map[string]struct {
		steps []string
		want  []string
	}{
		"baseline of counted requests":        {[]string{`Given a baseline is measured for 5s`, lost, sent, allSucceed}, []string{"a.feature:4", "requests that are counted measure no baseline", "leave the baseline out"}},
		"compared with none":                  {[]string{lost, sent, `Then "POST /orders" is not affected by the fault`}, []string{"a.feature:6", "requests that are counted measure none", "take a load that goes on: a steady load"}},
		"recovery without requests":           {[]string{lost, sent, `Then "POST /orders" recovers within 10s of healing`}, []string{"a.feature:6", "none are sent then", "take a load that goes on"}},
		"counted requests do not stop":        {[]string{sent, `When the load stops`, allSucceed}, []string{"a.feature:5", "stop by themselves", "leave this step out"}},
		"counted requests have no rate":       {[]string{sent, `When the load changes from 100 to 200 requests per second`, allSucceed}, []string{"a.feature:5", "this load has no rate", "a steady load"}},
		"users have no rate":                  {[]string{`Given 20 users ask "POST /orders"`, `When the load spikes from 100 to 200 requests per second for 5s`, allSucceed}, []string{"a.feature:5", "this load has no rate", "20 users"}},
		"users who think have no rate":        {[]string{`Given 20 users ask "POST /orders", thinking 500ms in between`, `When the load spikes from 100 to 200 requests per second for 5s`, allSucceed}, []string{"it is 20 users who think 500ms in between; add: a steady load"}},
		"other requests":                      {[]string{sent, `When 200 requests on "GET /catalog" are sent, 10 at a time`, allSucceed}, []string{"a.feature:5", "sent before, at a.feature:4, are others", "the same routes"}},
		"another chain":                       {[]string{sentChain("pay"), sentChain("refund"), allSucceed}, []string{"a.feature:8", "sent before, at a.feature:4, are others"}},
		"more at a time than in all":          {[]string{`When 5 requests on "POST /orders" are sent, 10 at a time`, allSucceed}, []string{"5 requests cannot be sent 10 at a time"}},
		"no requests":                         {[]string{`When 0 requests on "POST /orders" are sent, 1 at a time`, allSucceed}, []string{`"0" is not a whole number from 1 up`}},
		"too many users":                      {[]string{`Given 5000 users ask "POST /orders"`, `When 5s pass`, allSucceed}, []string{"5000 users are more than one machine makes well", "at most 2000"}},
		"a swing from a rate that it has not": {[]string{steadyLoad, `When the load swings between 50 and 150 requests per second every 20s`, `And the load changes from 200 to 100 requests per second`, allSucceed}, []string{"swings between 50 and 150 requests per second here, and is never 200"}},
		"a swing of a swing":                  {[]string{steadyLoad, `When the load swings between 50 and 150 requests per second every 20s`, `And the load swings between 10 and 150 requests per second every 20s`, allSucceed}, []string{"the load swings already"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := shaped("", c.steps...)
			for _, want := range c.want {
				assert.Contains(t, problems, want)
			}
			assert.Contains(t, problems, "1 problem; nothing was started")
		})
	}
}

func TestRecordingsThatAreNotPossible(t *testing.T) {
	for rates, want := range map[string][]string{
		"":                             {"rates.csv: ", "two rates or more"},
		"second,rate\n0,100\n":         {"two rates or more"},
		"0,100\n10\n":                  {"rates.csv:2", "1 values instead of 2", "10,250"},
		"0,100\n10,fast\n":             {"rates.csv:2", `"fast" is not a number from 0 up`},
		"0,100\n10,-5\n":               {"rates.csv:2", `"-5" is not a number`},
		"5,100\n10,50\n":               {"rates.csv:1", "begins at second 5", "0,100"},
		"0,100\n\n10,50\n10,60\n":      {"rates.csv:4", "second 10 does not come after second 10", "sort the lines"},
		"0,100\n10,100001\n":           {"rates.csv:2", "more than one machine sends"},
		"0,100\n90000,50\n":            {"rates.csv:2", "later than a day"},
		strings.Repeat("0,1\n", 1<<21): {"is larger than"},
		strings.Repeat("0,1\n", 100):   {"rates.csv:6: ", "5 problems"},
	} {
		_, problems := shaped(rates, steadyLoad, `When the load follows the rates in "rates.csv"`, allSucceed)
		for _, want := range want {
			assert.Contains(t, problems, want, "%.40q", rates)
		}
	}
}

func TestShapesAreRead(t *testing.T) {
	e, problems := shaped("second, rate\r\n0, 100\r\n2.5,250\r\n\r\n10,50\r\n", steadyLoad,
		`When the load spikes from 100 to 500 requests per second for 5s`,
		`And the load follows the rates in "rates.csv"`,
		`And the load swings between 50 and 150 requests per second every 20s`,
		`And 30s pass`,
		`And the load changes from 70 to 100 requests per second over 2s`, allSucceed)
	require.Empty(t, problems)
	var got []scenarios.Action
	for _, s := range e.Steps {
		if s.Do != nil {
			got = append(got, s.Do)
		}
	}
	assert.Equal(t, []scenarios.Action{
		scenarios.SpikeLoad{From: 100, To: 500, For: 5 * time.Second},
		scenarios.ReplayLoad{File: "rates.csv", Rates: []scenarios.RateAt{{Rate: 100}, {At: 2500 * time.Millisecond, Rate: 250}, {At: 10 * time.Second, Rate: 50}}},
		scenarios.SwingLoad{From: 50, Low: 50, High: 150, Every: 20 * time.Second},
		scenarios.Wait{For: 30 * time.Second},
		scenarios.ChangeLoad{From: 70, To: 100, Over: 2 * time.Second},
	}, got)
	assert.InDelta(t, 49, e.Estimate().Seconds(), 3)
}

// sentChain sends requests that are chains of two steps.
func sentChain(second string) string {
	return "When 200 requests are sent, 10 at a time, with this chain:\n      | request | keep |\n      | POST /orders | order = $.id |\n      | POST /orders/{{order}}/" + second + " | |"
}

func TestChainsOfAllShapes(t *testing.T) {
	table := sentChain("pay")[len("When 200 requests are sent, 10 at a time, with this chain:"):]
	want := scenarios.Route{Method: "POST", Path: "/orders", Body: `{"n": {{n}}}`, Share: 1, Keep: []scenarios.Kept{{Name: "order", Path: "$.id"}}, Service: "orders",
		Then: []scenarios.Route{{Method: "POST", Path: "/orders/{{order}}/pay", Body: `{"n": {{n}}}`, Service: "orders"}}}
	for shape, steps := range map[scenarios.Shape][]string{
		scenarios.Open:    {"Given a steady load of 50 requests per second of this chain:" + table, "When 5s pass"},
		scenarios.Closed:  {"Given 20 users ask, thinking 500ms in between, with this chain:" + table, "When 5s pass"},
		scenarios.Counted: {sentChain("pay"), sentChain("pay")},
	} {
		e, problems := shaped("", append(steps, allSucceed)...)
		require.Empty(t, problems)
		assert.Equal(t, shape, e.Load.Shape)
		assert.Equal(t, []scenarios.Route{want}, e.Load.Mix)
	}
}

// The order of counted requests and faults decides what the faults act on.
func TestCountedRequestsWithoutAFaultAreWarnedOf(t *testing.T) {
	warned := func(steps ...string) bool {
		e, problems := shaped("", append(steps, allSucceed)...)
		require.Empty(t, problems)
		assert.Zero(t, e.Baseline)
		return slices.ContainsFunc(e.Warnings, func(w scenarios.Problem) bool {
			return strings.Contains(w.What, "no request is sent while this fault is live")
		})
	}
	assert.False(t, warned(lost, sent))
	assert.False(t, warned(sent, lost, sent, `When the fault is healed`, sent))
	assert.True(t, warned(lost+" for 5s", sent))
	assert.True(t, warned(sent, lost, `When 1s passes`))
	assert.False(t, warned(`When "payments" crashes for 5s`, sent), "what a crash leaves behind is asked after it")
}

func TestBuilderOfShapesMatchesSentences(t *testing.T) {
	rates := "0,100\n10,50\n"
	mix := []scenarios.Route{{Method: "POST", Path: "/orders"}}
	fsys := files()
	fsys["rates.csv"] = &fstest.MapFile{Data: []byte(rates)}
	begin := func() *scenarios.Builder { return scenarios.New("b").ReadSystem(fsys, "system.yaml") }
	success := check.Success{Ratio: 0.99}
	for name, c := range map[string]struct {
		b     *scenarios.Builder
		steps []string
	}{
		"open": {
			begin().Load(scenarios.Load{Rate: 100, Mix: mix}).SpikeLoad(100, 500, 5*time.Second).ReplayLoad(fsys, "rates.csv").SwingLoad(50, 150, 20*time.Second).Wait(30 * time.Second).Check(success),
			[]string{steadyLoad, `When the load spikes from 100 to 500 requests per second for 5s`, `When the load follows the rates in "rates.csv"`, `When the load swings between 50 and 150 requests per second every 20s`, `When 30s pass`, allSucceed},
		},
		"closed": {
			begin().Load(scenarios.Load{Shape: scenarios.Closed, Users: 20, Think: 500 * time.Millisecond, Mix: mix}).Wait(time.Second).Check(success),
			[]string{`Given 20 users ask "POST /orders", thinking 500ms in between`, `When 1s pass`, allSucceed},
		},
		"counted": {
			begin().Load(scenarios.Load{Shape: scenarios.Counted, Mix: mix}).Inject("orders", "payments", injector.LoseReplies{}).Send(200, 10).Check(success),
			[]string{lost, sent, allSucceed},
		},
	} {
		built, err := c.b.Build()
		require.NoError(t, err, name)
		parsed, problems := shaped(rates, c.steps...)
		require.Empty(t, problems, name)
		assert.Equal(t, parsed.Load, built.Load, name)
		assert.Equal(t, parsed.Baseline, built.Baseline, name)
		actions := func(e *scenarios.Experiment) (all []scenarios.Action) {
			for _, s := range e.Steps {
				if s.Do != nil {
					all = append(all, s.Do)
				}
			}
			return all
		}
		assert.Equal(t, actions(parsed), actions(built), name)
	}
}

func TestBuilderRefusesShapesThatAreNotPossible(t *testing.T) {
	mix := []scenarios.Route{{Method: "POST", Path: "/orders"}}
	for want, l := range map[string]scenarios.Load{
		"the load's rate has to be above 0":      {Mix: mix},
		"0 users cannot ask":                     {Shape: scenarios.Closed, Mix: mix},
		"think for less than no time":            {Shape: scenarios.Closed, Users: 1, Think: -1, Mix: mix},
		"a closed load has no rate":              {Shape: scenarios.Closed, Users: 1, Rate: 1, Mix: mix},
		"only a closed load has users who think": {Rate: 1, Users: 1, Mix: mix},
		`a load has no shape "odd"`:              {Shape: "odd", Mix: mix},
	} {
		_, err := scenarios.New("b").ReadSystem(files(), "system.yaml").Load(l).Wait(time.Second).Check(check.Success{Ratio: 0.99}).Build()
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "load_shape_test.go:", "the position is that of the caller")
	}
	_, err := scenarios.New("b").ReadSystem(files(), "system.yaml").Send(0, 1).Check(check.Success{Ratio: 0.99}).Build()
	require.ErrorContains(t, err, "0 requests cannot be sent 1 at a time")
}
