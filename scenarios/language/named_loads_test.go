package language

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

const (
	checkout = `Given the "checkout" load of 20 requests per second on "POST /orders"`
	browsing = `And the "browsing" load of 10 users asking "GET /catalog", thinking 500ms in between`
	slowed   = `When calls from "orders" to "payments" are delayed by 100ms for 30s`
)

func TestLoadsWithNamesThatAreNotPossible(t *testing.T) {
	for name, c := range map[string]struct {
		steps []string
		want  []string
	}{
		"the same name twice":      {[]string{checkout, checkout, slowed, allSucceed}, []string{"a.feature:5", `a load is named "checkout" already, at a.feature:4`, "a name of its own"}},
		"unnamed after a named":    {[]string{checkout, steadyLoad, slowed, allSucceed}, []string{"a.feature:5", `is named "checkout", and this one has no name`, "name it, too"}},
		"named after an unnamed":   {[]string{steadyLoad, checkout, slowed, allSucceed}, []string{"a.feature:5", "has no name, and this is another one", "name both"}},
		"counted beside a named":   {[]string{checkout, sent, allSucceed}, []string{"a.feature:5", "another load runs already"}},
		"an empty name":            {[]string{`Given the "" load of 20 requests per second on "POST /orders"`, slowed, allSucceed}, []string{"a.feature:4", "the name of a load is empty"}},
		"unknown name in a check":  {[]string{checkout, browsing, slowed, `Then at least 99% of requests of the "browsin" load succeed`}, []string{"a.feature:7", `no load is named "browsin"`, `did you mean "browsing"?`}},
		"a check of no name":       {[]string{steadyLoad, slowed, `Then at least 99% of requests of the "browsing" load succeed`}, []string{"a.feature:6", "the only load has no name", "or leave the name out here"}},
		"a route of another load":  {[]string{checkout, browsing, slowed, `Then at least 99% of "GET /catalog" requests of the "checkout" load succeed`}, []string{"a.feature:7", `the "checkout" load has no "GET /catalog" requests`}},
		"unknown name in a change": {[]string{checkout, browsing, `When the "chekout" load changes from 20 to 60 requests per second`, allSucceed}, []string{"a.feature:6", `did you mean "checkout"?`}},
		"which load changes":       {[]string{checkout, browsing, `When the load changes from 20 to 60 requests per second`, allSucceed}, []string{"a.feature:6", `it is not known which load changes: there are "checkout", "browsing"`, `name it: the "checkout" load changes`}},
		"users have no rate":       {[]string{checkout, browsing, `When the "browsing" load changes from 20 to 60 requests per second`, allSucceed}, []string{"a.feature:6", "this load has no rate", "10 users"}},
		"another rate":             {[]string{checkout, browsing, `When the "checkout" load changes from 30 to 60 requests per second`, allSucceed}, []string{"a.feature:6", "the load is 20 requests per second here, not 30"}},
		"it has stopped":           {[]string{checkout, browsing, `When the "checkout" load stops`, `And the "checkout" load changes from 20 to 60 requests per second`, allSucceed}, []string{"a.feature:7", "no load runs here"}},
		"unknown name that stops":  {[]string{checkout, browsing, `When the "x" load stops`, `And 5s pass`, allSucceed}, []string{"a.feature:6", `no load is named "x"`}},
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

// Sentences about clients apply to all loads, and a load that no check names is valid.
func TestLoadsShareTheSettingsOfClients(t *testing.T) {
	e, problems := shaped("", checkout, browsing,
		`And every request carries a fresh idempotency key in the field "key" of its JSON body`, `And clients give up after 2s`, `And clients retry failed requests up to 3 times`, slowed,
		`Then at least 99% of "POST /orders" requests of the "checkout" load succeed during the fault`)
	require.Empty(t, problems)
	require.Len(t, e.Loads(), 2)
	for i, l := range e.Loads() {
		assert.Equal(t, []string{"checkout", "browsing"}[i], l.Name)
		assert.Equal(t, 2*time.Second, l.GiveUp)
		assert.Equal(t, 3, l.Retries)
		assert.True(t, l.Keyed())
		assert.Equal(t, []string{"orders", "front"}[i], l.Mix[0].Service)
	}
	assert.JSONEq(t, `{"n": "{{n}}", "key": "{{key}}"}`, strings.Replace(e.Load.Mix[0].Body, "{{n}}", `"{{n}}"`, 1))
	assert.False(t, e.Further[0].Changes(e.Further[0].Mix[0]), "the other load changes something, so that reads are not expected to")
	assert.True(t, e.Load.Changes(e.Load.Mix[0]))
}

func TestBuilderAndPlanOfLoadsWithNames(t *testing.T) {
	built, err := scenarios.New("b").ReadSystem(files(), "system.yaml").
		Load(scenarios.Load{Name: "checkout", Rate: 20, Mix: []scenarios.Route{{Method: "POST", Path: "/orders"}}, GiveUp: time.Second}).
		Load(scenarios.Load{Name: "browsing", Shape: scenarios.Closed, Users: 10, Think: 500 * time.Millisecond, Mix: []scenarios.Route{{Method: "GET", Path: "/catalog"}}}).
		Change(scenarios.ChangeLoad{Load: "checkout", From: 20, To: 60, Over: 5 * time.Second}).
		Change(scenarios.SpikeLoad{Load: "checkout", From: 60, To: 90, For: time.Second}).
		Change(scenarios.SwingLoad{Load: "checkout", Low: 50, High: 70, Every: time.Second}).
		Wait(time.Second).
		StopLoad("browsing").
		Check(check.OfLoad{Load: "browsing", Check: check.Success{Ratio: 0.99}}, check.OfLoad{Load: "checkout", Check: check.Latency{Percentile: 95, Route: "POST /orders", Below: 400 * time.Millisecond}}).
		Build()
	require.NoError(t, err)
	e, problems := shaped("", checkout, browsing, `And clients give up after 1s`,
		`When the "checkout" load changes from 20 to 60 requests per second over 5s`,
		`And the "checkout" load spikes from 60 to 90 requests per second for 1s`,
		`And the "checkout" load swings between 50 and 70 requests per second every 1s`,
		`And 1s pass`, `And the "browsing" load stops`,
		`Then at least 99% of requests of the "browsing" load succeed`,
		`And the p95 latency of "POST /orders" of the "checkout" load stays below 400ms`)
	require.Empty(t, problems)
	require.Empty(t, cmp.Diff(built.Loads(), e.Loads()))
	require.Len(t, built.Checks, len(e.Checks))
	for i := range e.Checks {
		require.Empty(t, cmp.Diff(built.Checks[i], e.Checks[i], cmpopts.IgnoreFields(journal.Step{}, "Keyword", "At")))
	}
	var texts []string
	for _, s := range e.Steps {
		if s.Phrase != "give up" {
			texts = append(texts, s.Text)
		}
	}
	for i, s := range built.Steps {
		assert.Equal(t, texts[i], s.Text)
		if s.Do != nil {
			assert.Contains(t, actions(e), s.Do)
		}
	}
	var plan bytes.Buffer
	require.NoError(t, scenarios.Plan(&plan, []*scenarios.Experiment{e}))
	assert.Contains(t, plan.String(), `"checkout" load: 20 requests per second on "POST /orders"`)
	assert.Contains(t, plan.String(), `"browsing" load: 10 users, thinking 500ms in between, on "GET /catalog"`)
	assert.Contains(t, plan.String(), `check: at least 99% of requests of the "browsing" load succeed`)

	_, err = scenarios.New("b").ReadSystem(files(), "system.yaml").
		Load(scenarios.Load{Name: "checkout", Rate: 20, Mix: []scenarios.Route{{Method: "POST", Path: "/orders"}}}).
		Load(scenarios.Load{Name: "browsing", Rate: 20, Retries: 3, Mix: []scenarios.Route{{Method: "GET", Path: "/catalog"}}}).
		Wait(time.Second).Check(check.Success{Ratio: 0.99}).Build()
	require.ErrorContains(t, err, `the "browsing" load sets how clients behave`)
}

func actions(e *scenarios.Experiment) (all []scenarios.Action) {
	for _, s := range e.Steps {
		if s.Do != nil {
			all = append(all, s.Do)
		}
	}
	return all
}

// TestChecksOfALoadPrintBack asks each check that can be asked about one load, prints it and parses the result.
func TestChecksOfALoadPrintBack(t *testing.T) {
	for _, k := range check.Kinds() {
		if k.ByLoad == "" {
			continue
		}
		c := check.OfLoad{Load: "checkout", Check: k.Value}
		d, out := parseSentence(t, c.String(), sentenceTables[k.Name], "")
		require.NoError(t, out.Err(), c.String())
		assert.Equal(t, c, d.Checks[0].Check)
		assert.Equal(t, k.Name, check.KindOf(c))
	}
}
