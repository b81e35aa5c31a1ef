package language

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

const chosenFile = `services:
  orders: {command: [orders], serves: [/], depends: {payments: http, bus: nats, cache: redis, stock: grpc}}
  payments: {command: [payments]}
  bus: {address: "127.0.0.1:10"}
  cache: {address: "127.0.0.1:11"}
  stock: {command: [stock]}
`

// Each way to select calls and messages, in three forms: the sentence, the value in Go, and the printed form.
func TestCallSelections(t *testing.T) {
	about := func(method, path string) message.Match { return message.Match{Method: method, Path: path} }
	for pattern, p := range map[string]injector.Pick{
		`%s`:                                 {},
		`20% of %s`:                          {Share: 0.2},
		`the first 5 %s`:                     {First: 5},
		`every 3rd of the %s`:                {Every: 3},
		`from the 100th to the 200th, %s`:    {From: 100, To: 200},
		`only "/orders/{id}" %s`:             {Match: about("", "/orders/{id}")},
		`10% of "GET /orders/{id}" %s`:       {Match: about("GET", "/orders/{id}"), Share: 0.1},
		`only %s with key "k-1"`:             {Match: message.Match{Key: "k-1"}},
		`only %s with header "Tenant: acme"`: {Match: message.Match{Header: "Tenant: acme"}},
		`the first 2 "POST /a" %s with key "k-1" and header "Tenant: acme: b/c"`:        {Match: message.Match{Method: "POST", Path: "/a", Key: "k-1", Header: "Tenant: acme: b/c"}, First: 2},
		`only %s caused by "POST /orders" requests`:                                     {Match: message.Match{CausedBy: "POST /orders"}},
		`10% of "POST /a" %s with header "Tenant: acme" caused by "GET /page" requests`: {Match: message.Match{Method: "POST", Path: "/a", Header: "Tenant: acme", CausedBy: "GET /page"}, Share: 0.1},
		`only %s with 12.5% of keys`:                                                    {Share: 0.125, Sticky: true},
		`every 2nd of the %s with 10% of keys and header "Tenant: acme"`:                {Share: 0.1, Sticky: true, Every: 2, Match: message.Match{Header: "Tenant: acme"}},
	} {
		for noun, f := range map[string]injector.Fault{
			"calls": injector.SlowCalls{By: time.Second, Pick: p}, "requests": injector.LoseRequests{Pick: p}, "replies": injector.LoseReplies{Pick: p},
			"messages": injector.LoseMessages{Messages: injector.Messages{Pick: p}},
		} {
			from, to := "orders", "payments"
			if noun == "messages" {
				to = "bus"
			}
			text := sentence(pattern, noun, from, to)
			if noun == "replies" {
				text = sentence(pattern, noun, to, from)
			}
			got := f.Say(from, to)
			assert.Equal(t, text, got[:len(text)], "printed")
			require.Len(t, Standard().match(got), 1, got)
			_, out := parseSelection(t, got+" for 5s", scenarios.Placed{From: from, To: to, Fault: f})
			require.NoError(t, out, got)
		}
	}
}

func sentence(pattern, noun, from, to string) string {
	before, after, _ := strings.Cut(pattern, "%s")
	return before + noun + after + ` from "` + from + `" to "` + to + `"`
}

// causes is a load whose requests cause calls.
const causes = `    And a steady load of 50 requests per second with this mix:
      | route        | share |
      | POST /orders | 50%   |
      | GET /page    | 50%   |
`

// parseSelection parses a sentence, builds the same in Go, and compares the results.
func parseSelection(t *testing.T, text string, want scenarios.Placed) (*scenarios.Experiment, error) {
	t.Helper()
	fsys := fstest.MapFS{"system.yaml": {Data: []byte(chosenFile)}, "a.feature": {Data: []byte("Feature: F\n  Scenario: S\n    Given the system described in \"system.yaml\"\n" + causes + "    When " + text + "\n")}}
	es, err := Parse(Source{FS: fsys, Paths: []string{"a.feature"}})
	if err != nil {
		return nil, err
	}
	built, err := scenarios.New("S").ReadSystem(fsys, "system.yaml").
		Load(scenarios.Load{Rate: 50, Mix: []scenarios.Route{{Method: "POST", Path: "/orders", Share: 0.5}, {Method: "GET", Path: "/page", Share: 0.5}}}).
		Inject(want.From, want.To, want.Fault).For(5 * time.Second).Build()
	if err != nil {
		return nil, err
	}
	assert.Equal(t, built.Steps[2].Do, es[0].Steps[2].Do, text)
	assert.Equal(t, built.Steps[2].Text, es[0].Steps[2].Text)
	return es[0], nil
}

func TestWrongCallSelections(t *testing.T) {
	for text, what := range map[string]string{
		`only calls from "orders" to "payments" are delayed by 1s`:                                   "it does not say which only",
		`10% of calls with 10% of keys from "orders" to "payments" are delayed by 1s`:                "a share of a share of keys",
		`calls with 0% of keys from "orders" to "payments" are delayed by 1s`:                        "touches nothing",
		`only calls with header "acme" from "orders" to "payments" are delayed by 1s`:                `header "acme": write its name and value`,
		`only messages with key "a" from "orders" to "cache" are lost`:                               "redis has no headers and no keys",
		`only replies with header "A: b" from "cache" to "orders" are lost after the work was done`:  "redis has no headers and no keys",
		`only calls caused by "POST /ordres" requests from "orders" to "payments" are delayed by 1s`: `did you mean "POST /orders"?`,
		`only calls caused by "orders" requests from "orders" to "payments" are delayed by 1s`:       `the load has no "orders" requests`,
		`only messages caused by "POST /orders" requests from "orders" to "cache" are lost`:          "redis has no headers and no keys",
		`calls from "orders" to "payments" are answered with "UNAVAILABLE"`:                          `answers with a status and not with "UNAVAILABLE"`,
		`calls from "orders" to "stock" are answered with "BUSY"`:                                    `code "BUSY" is not an error of gRPC`,
		`calls from "orders" to "stock" answer with status 200`:                                      "is not an error of gRPC",
		`calls from "orders" to "bus" are corrupted`:                                                 "which has messages and no calls",
	} {
		_, err := parseSelection(t, text+" for 5s", scenarios.Placed{})
		require.ErrorContains(t, err, what, text)
	}
	for text, f := range map[string]injector.Fault{
		`only "POST /shop.Stock/Take" replies from "stock" to "orders" are lost after the work was done`: injector.LoseReplies{Pick: injector.Pick{Match: message.Match{Method: "POST", Path: "/shop.Stock/Take"}}},
		`only "/shop.*" calls from "orders" to "stock" are corrupted`:                                    injector.CorruptCalls{Pick: injector.Pick{Match: message.Match{Path: "/shop.*"}}},
		`only "/shop.Stock/Take" calls from "orders" to "stock" are answered with "UNAVAILABLE"`:         injector.Answer{Code: "UNAVAILABLE", Pick: injector.Pick{Match: message.Match{Path: "/shop.Stock/Take"}}},
		`calls from "orders" to "stock" are truncated`:                                                   injector.TruncateCalls{},
		`calls from "orders" to "stock" are corrupted`:                                                   injector.CorruptCalls{},
	} {
		_, err := parseSelection(t, text+" for 5s", scenarios.Placed{From: "orders", To: "stock", Fault: f})
		require.NoError(t, err)
	}
}

// TestImpossibleOperations: selections that can never match are rejected, with the correct form as a hint.
func TestImpossibleOperations(t *testing.T) {
	for _, c := range []struct{ text, what, hint string }{
		{`only "GET /x?a=1" calls from "orders" to "payments" are delayed by 1s`, "has a query", `leave the query out: "GET /x"`},
		{`only "/x?a=1" replies from "payments" to "orders" are delayed by 1s`, "has a query", `leave the query out: "/x"`},
		{`only "GET /x?a=1" requests from "orders" to "payments" are lost`, "has a query", `leave the query out: "GET /x"`},
		{`only "/shop.Stock/Take?a=1" calls from "orders" to "stock" are delayed by 1s`, "has a query", `leave the query out: "/shop.Stock/Take"`},
		{`only "GET /x#a" calls from "orders" to "payments" are delayed by 1s`, "has a fragment", `leave it out: "GET /x"`},
		{`only "/x#a" calls from "orders" to "payments" are delayed by 1s`, "has a fragment", `leave it out: "/x"`},
		{`only "/x y" calls from "orders" to "payments" are delayed by 1s`, "has white space in its path", "write method and path"},
		{"only \"GET /x\x00\" calls from \"orders\" to \"payments\" are delayed by 1s", "control character U+0000", "leave it out"},
		{"only \"a\x1bb\" messages from \"orders\" to \"bus\" are delayed by 1s", "control character U+001B", "leave it out"},
		{`only "GET /shop.Stock/Take" calls from "orders" to "stock" are delayed by 1s`, "all are POST requests", `write "/shop.Stock/Take"`},
		{`only "GET" replies from "stock" to "orders" are delayed by 1s`, "all are POST requests", "leave it out"},
		{`only "/shop.Stock" calls from "orders" to "stock" are delayed by 1s`, "names no method of gRPC", `"/shop.Payments/Charge"`},
		{`only "shop.Stock/Take" calls from "orders" to "stock" are delayed by 1s`, "is not a route", `begin with a slash: "/shop.Stock/Take"`},
		{`only "shop.Stock/Take" requests from "orders" to "stock" are lost`, "is not a route", `begin with a slash: "/shop.Stock/Take"`},
		{`only "Take" calls from "orders" to "stock" are delayed by 1s`, "is not a route", `a method of gRPC, as in "/shop.Payments/Charge"`},
	} {
		_, err := parseSelection(t, c.text+" for 5s", scenarios.Placed{})
		var problems source.Problems
		require.ErrorAs(t, err, &problems, c.text)
		require.Len(t, problems, 1, c.text)
		assert.Contains(t, problems[0].What, c.what, c.text)
		assert.Contains(t, problems[0].Hint, c.hint, c.text)
	}
}
