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
		"counted beside a named":   {[]string{checkout, sent, allSucceed}, []string{"a.feature:5", `another load runs already, the "checkout" load`, "name this one, too"}},
		"counted and not":          {[]string{checkout, strings.Replace(sent, "are sent", `of the "checkout" load are sent`, 1), allSucceed}, []string{"a.feature:5", `the "checkout" load is not counted: it is 20 requests per second`}},
		"counted after an unnamed": {[]string{steadyLoad, strings.Replace(sent, "are sent", `of the "checkout" load are sent`, 1), allSucceed}, []string{"a.feature:5", "the load at a.feature:4 has no name, and this is another one", "name both"}},
		"a recovery of counted":    {[]string{browsing, slowed, strings.Replace(sent, "are sent", `of the "checkout" load are sent`, 1), `Then "POST /orders" of the "checkout" load recovers within 5s of healing`}, []string{"a.feature:7", "of those that are counted none are sent then", "a load that is not counted"}},
		"counted that stop":        {[]string{browsing, strings.Replace(sent, "are sent", `of the "checkout" load are sent`, 1), `And the "checkout" load stops`, allSucceed}, []string{"a.feature:6", "requests that are counted stop by themselves"}},
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

// Loads with names may be of different kinds and counted. Each has its key where its requests can carry it, and sentences
// that have a meaning for one of them are valid.
func TestLoadsOfDifferentKinds(t *testing.T) {
	const stocking = "When 100 commands of the \"stock\" load are sent to \"db\", 10 at a time:\n      \"\"\"\n      RPUSH orders {{key}}\n      \"\"\""
	const reading = "And the \"reading\" load of 5 users sending commands to \"db\":\n      \"\"\"\n      GET stock\n      \"\"\""
	e, problems := shaped("", checkout, reading, `And every request carries a fresh idempotency key in the "Idempotency-Key" header`, `And clients retry failed requests up to 3 times with the same key`,
		`And clients retry only after "503, error LOADING, timeout"`, `And status 503 means that it is not known`, `And an answer that begins with "BUSY" means that it is not known`, `And clients keep cookies`,
		slowed, stocking, stocking, `And the "reading" load stops`, allSucceed, `And at least 99% of "RPUSH orders {{key}}" requests of the "stock" load succeed`,
		`And "POST /orders" recovers within 5s of healing`, `And at least 80% of "POST /orders" responses of the "checkout" load are fallbacks, marked by header "X-Degraded: true"`)
	require.Empty(t, problems)
	require.Len(t, e.Loads(), 3)
	assert.Equal(t, scenarios.HeaderKey("Idempotency-Key"), e.Load.Key)
	assert.Equal(t, scenarios.Key{}, e.Further[0].Key, "it only reads")
	assert.Equal(t, scenarios.Key{In: scenarios.InText}, e.Further[1].Key)
	assert.Equal(t, []scenarios.Shape{scenarios.Open, scenarios.Closed, scenarios.Counted}, []scenarios.Shape{e.Load.Shape, e.Further[0].Shape, e.Further[1].Shape})
	assert.Contains(t, actions(e), scenarios.SendRequests{Load: "stock", Requests: 100, AtATime: 10})
	assert.False(t, e.Counted())
	assert.Equal(t, 5*time.Second, e.Baseline)
	assert.NotNil(t, e.Further[1].Marker)

	for name, c := range map[string]struct {
		steps []string
		want  string
	}{
		"a status of commands":     {[]string{checkout, reading, slowed, `Then excess requests are refused within 50ms with status "429 or 503"`}, "this is about statuses of HTTP, and the load consists of commands"},
		"a fallback of commands":   {[]string{checkout, reading, slowed, `Then at least 80% of "GET stock" responses of the "reading" load are fallbacks, marked by header "X-Degraded: true"`}, "only answers over HTTP are marked as fallbacks"},
		"no key in the texts":      {[]string{reading, `And applied effects are read from "GET /ledger"`, slowed, `Then no request is applied more than once`}, "write {{key}} into the command"},
		"a key that none carries":  {[]string{reading, `And every request carries a fresh idempotency key in the "Idempotency-Key" header`, slowed, allSucceed}, "a command carries its key where {{key}} stands"},
		"cookies of commands":      {[]string{reading, `And clients keep cookies`, slowed, allSucceed}, "only HTTP has cookies, and the load consists of commands"},
		"unanswered beside others": {[]string{checkout, "And the \"metrics\" load of 5 datagrams per second on \"db\":\n      \"\"\"\n      a:1|c\n      \"\"\"", "And datagrams are not answered", slowed, `Then at least 99% of requests of the "metrics" load succeed`}, "this asks about answers, and nothing is answered"},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := shaped("", c.steps...)
			assert.Contains(t, problems, c.want)
			assert.Contains(t, problems, "1 problem; nothing was started")
		})
	}
	e, problems = shaped("", checkout, "And the \"metrics\" load of 5 datagrams per second on \"db\":\n      \"\"\"\n      a:1|c\n      \"\"\"", "And datagrams are not answered", `And clients retry failed requests up to 3 times`, slowed, allSucceed)
	require.Empty(t, problems)
	assert.Equal(t, []bool{false, true}, []bool{e.Load.Unanswered, e.Further[0].Unanswered})
	assert.Equal(t, []int{3, 0}, []int{e.Load.Retries, e.Further[0].Retries})
}

// A key and headers may be stated for one load: the key replaces that of all loads, and the headers come with theirs.
func TestSettingsOfOneLoad(t *testing.T) {
	const published = "And the \"events\" load of 5 messages to the subject \"orders\" per second on \"db\":\n      \"\"\"\n      {{n}}\n      \"\"\""
	e, problems := shaped("", checkout, published, browsing,
		`And every request of the "events" load carries a fresh idempotency key in the "Nats-Msg-Id" header`,
		`And every request of the "checkout" load carries a fresh idempotency key in the field "key" of its JSON body`,
		`And every request carries the header "Tenant: acme"`, `And every request of the "checkout" load carries the header "Authorization: Bearer abc"`, slowed, allSucceed)
	require.Empty(t, problems)
	assert.Equal(t, scenarios.Key{In: scenarios.InBody, Name: "key"}, e.Load.Key)
	assert.Contains(t, e.Load.Mix[0].Body, `"key": "{{key}}"`)
	assert.Equal(t, scenarios.HeaderKey("Nats-Msg-Id"), e.Further[0].Key)
	assert.Equal(t, scenarios.Key{}, e.Further[1].Key)
	tenant := scenarios.Header{Name: "Tenant", Value: "acme"}
	assert.Equal(t, []scenarios.Header{tenant, {Name: "Authorization", Value: "Bearer abc"}}, e.Load.Headers)
	assert.Equal(t, []scenarios.Header{tenant}, e.Further[0].Headers)
	assert.Equal(t, []scenarios.Header{tenant}, e.Further[1].Headers)

	built, err := scenarios.New("b").ReadSystem(files(), "system.yaml").
		Load(scenarios.Load{Name: "checkout", Rate: 20, Mix: []scenarios.Route{{Method: "POST", Path: "/orders"}}}).
		Load(scenarios.Load{Name: "browsing", Rate: 20, Mix: []scenarios.Route{{Method: "GET", Path: "/catalog"}}, Key: scenarios.HeaderKey("Key"), Headers: []scenarios.Header{tenant}}).
		Wait(time.Second).Check(check.Success{Ratio: 0.99}).Build()
	require.NoError(t, err)
	assert.Equal(t, []scenarios.Key{{}, scenarios.HeaderKey("Key")}, []scenarios.Key{built.Load.Key, built.Further[0].Key})
	assert.Equal(t, []scenarios.Header{tenant}, built.Further[0].Headers)

	for name, c := range map[string]struct{ step, where, want string }{
		"an unknown load":      {`And every request of the "chekout" load carries the header "Tenant: acme"`, "a.feature:6", `did you mean "checkout"?`},
		"a key twice":          {"And every request of the \"checkout\" load carries a fresh idempotency key in the \"A\" header\n    And every request of the \"checkout\" load carries a fresh idempotency key in the \"B\" header", "a.feature:7", "where the key is carried was said before"},
		"a header twice":       {"And every request carries the header \"Tenant: a\"\n    And every request of the \"checkout\" load carries the header \"Tenant: b\"", "a.feature:7", `the header "Tenant" was said before for all loads`},
		"a header of the key":  {"And every request of the \"checkout\" load carries a fresh idempotency key in the \"A\" header\n    And every request of the \"checkout\" load carries the header \"A: b\"", "a.feature:7", `the header "A" carries the key`},
		"a path without a key": {`And every request of the "checkout" load carries a fresh idempotency key in its path`, "a.feature:6", "does not hold the key"},
		"a key of datagrams":   {"And the \"metrics\" load of 5 datagrams per second on \"db\":\n      \"\"\"\n      a:{{key}}\n      \"\"\"\n    And every request of the \"metrics\" load carries a fresh idempotency key in the \"A\" header", "a.feature:10", "a datagram carries its key where {{key}} stands"},
		"headers of datagrams": {"And the \"metrics\" load of 5 datagrams per second on \"db\":\n      \"\"\"\n      a:1|c\n      \"\"\"\n    And every request of the \"metrics\" load carries the header \"A: b\"", "a.feature:10", "which have no headers"},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := shaped("", checkout, browsing, c.step, slowed, allSucceed)
			assert.Contains(t, problems, c.want)
			assert.Contains(t, problems, c.where)
			assert.Contains(t, problems, "1 problem; nothing was started")
		})
	}
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
	assert.Contains(t, plan.String(), `"browsing" load: 10 users who think 500ms in between on "GET /catalog"`)
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
