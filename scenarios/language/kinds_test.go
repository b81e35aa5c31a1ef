package language

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// parseOther parses a scenario with a load that is not HTTP.
func parseOther(steps ...string) ([]*scenarios.Experiment, error) {
	return Parse(Source{FS: files("Feature: A\n  Scenario: B\n    Given the system described in \"system.yaml\"\n    And " + strings.Join(steps, "\n    And ") + "\n"), Paths: []string{"a.feature"}, Vocabulary: Standard()})
}

const commands = "a steady load of 50 commands per second on \"db\":\n      \"\"\"\n      RPUSH orders {{key}}\n      \"\"\""

const datagrams = "a steady load of 50 datagrams per second on \"db\":\n      \"\"\"\n      count:1|c\n      \"\"\""

// A call of gRPC has the key in its message or in a header. One that reads by its name is not expected to have effects.
func TestLoadOfCalls(t *testing.T) {
	for sentence, want := range map[string]struct {
		key  scenarios.Key
		body string
	}{
		`every request carries a fresh idempotency key in the field "order.key" of its JSON body`: {scenarios.Key{In: scenarios.InBody, Name: "order.key"}, `{"order": {"key": "{{key}}"}}`},
		`every request carries a fresh idempotency key in the "Idempotency-Key" header`:           {scenarios.HeaderKey("Idempotency-Key"), `{}`},
	} {
		es, err := parseOther("a steady load of 50 calls of \"shop.Orders/Create\" per second on \"db\":\n      \"\"\"\n      {}\n      \"\"\"", sentence,
			"10s pass", `at least 99% of "shop.Orders/Create" requests succeed`)
		require.NoError(t, err)
		l := es[0].Load
		assert.Equal(t, []scenarios.Route{{Kind: "grpc", Service: "db", Path: "shop.Orders/Create", Body: want.body, Share: 1}}, l.Mix)
		assert.Equal(t, want.key, l.Key)
		assert.True(t, l.Changes(l.Mix[0]))
		assert.True(t, scenarios.Route{Kind: "grpc", Path: "shop.Orders/GetOrder"}.ReadOnly())
	}
}

func TestDatagramsThatAreNotAnswered(t *testing.T) {
	es, err := parseOther(datagrams, "datagrams are not answered", `calls from "orders" to "payments" are delayed by 10ms for 5s`, `at least 10 calls from "orders" to "payments" were affected by the fault`)
	require.NoError(t, err)
	assert.True(t, es[0].Load.Unanswered)
}

func TestLoadOfCommands(t *testing.T) {
	es, err := parseOther(commands, "clients retry failed requests up to 3 times with the same key", `applied effects are read from "GET /ledger"`,
		`"db" is cut off from "orders" for 2s`, `at least 99% of "RPUSH orders {{key}}" requests succeed`, "no request is applied more than once")
	require.NoError(t, err)
	l := es[0].Load
	assert.Equal(t, []scenarios.Route{{Kind: "redis", Service: "db", Body: "RPUSH orders {{key}}", Share: 1}}, l.Mix)
	assert.Equal(t, scenarios.Key{In: scenarios.InText}, l.Key, "{{key}} stands in the text")
	assert.True(t, l.Changes(l.Mix[0]))
}

// A mix of commands: those that read are not expected to have effects.
func TestMixOfCommands(t *testing.T) {
	es, err := parseOther("a steady load of 50 commands per second on \"db\" with this mix:\n      | text | share | name |\n      | GET stock | 80% | |\n      | SADD orders {{key}} | 20% | place an order |",
		"10s pass", `at least 99% of "place an order" requests succeed`)
	require.NoError(t, err)
	l := es[0].Load
	assert.False(t, l.Changes(l.Mix[0]))
	assert.True(t, l.Changes(l.Mix[1]))
	assert.Equal(t, "GET stock", l.Mix[0].Name())
	assert.Equal(t, "place an order", l.Mix[1].Name())
}

func TestMistakesInOtherLoads(t *testing.T) {
	for _, c := range []struct {
		name, want string
		steps      []string
	}{
		{"an unknown service", `there is no service "cache"`, []string{strings.Replace(commands, `"db"`, `"cache"`, 1), "10s pass"}},
		{"an empty text", "a command is empty", []string{"a steady load of 50 commands per second on \"db\":\n      \"\"\"\n      \"\"\"", "10s pass"}},
		{"a quotation that is not closed", "is not closed", []string{"a steady load of 50 commands per second on \"db\":\n      \"\"\"\n      SET a 'b\n      \"\"\"", "10s pass"}},
		{"a command about the connection", "MULTI changes the state of a connection", []string{"a steady load of 50 commands per second on \"db\":\n      \"\"\"\n      MULTI\n      \"\"\"", "10s pass"}},
		{"an unknown placeholder", "{{kye}} stands for nothing here", []string{"a steady load of 50 commands per second on \"db\":\n      \"\"\"\n      SET a {{kye}}\n      \"\"\"", "10s pass"}},
		{"a name twice", `two commands are named "GET a"`, []string{"a steady load of 50 commands per second on \"db\" with this mix:\n      | text | share |\n      | GET a | 50% |\n      | GET  a | 50% |", "10s pass"}},
		{"shares", "the shares sum to 90%", []string{"a steady load of 50 commands per second on \"db\" with this mix:\n      | text | share |\n      | GET a | 40% |\n      | GET b | 50% |", "10s pass"}},
		{"a route that is not sent", `no load runs on "GET stock"`, []string{commands, "10s pass", `at least 99% of "GET stock" requests succeed`}},
		{"a header", "they have no headers", []string{commands, `every request carries the header "A: b"`, "10s pass"}},
		{"a key in a header", "a command carries its key where {{key}} stands", []string{commands, `every request carries a fresh idempotency key in the "Idempotency-Key" header`, "10s pass"}},
		{"no key", "write {{key}} into the command", []string{strings.Replace(commands, "{{key}}", "x", 1), `applied effects are read from "GET /ledger"`, "10s pass", "no request is applied more than once"}},
		{"cookies", "only HTTP has cookies, and the load consists of commands", []string{commands, "clients keep cookies", "10s pass"}},
		{"redirects", "only HTTP has redirects", []string{commands, "redirects are followed", "10s pass"}},
		{"connections", "this is about connections of HTTP", []string{commands, "clients open a new connection for each request", "10s pass"}},
		{"an expected status", "only HTTP has such statuses", []string{commands, `"RPUSH orders {{key}}" answers 201`, "10s pass"}},
		{"a meaning of a status", "only HTTP has such statuses", []string{commands, `status 503 means that it was refused`, "10s pass"}},
		{"a key reused", "this is about statuses of HTTP", []string{commands, "10s pass", "a key reused with a different body is refused with status 422"}},
		{"load shedding", "this is about statuses of HTTP", []string{commands, "10s pass", `excess requests are refused within 50ms with status "429 or 503"`}},
		{"a fallback", "only answers over HTTP are marked", []string{commands, "10s pass", `at least 80% of "RPUSH orders {{key}}" responses are fallbacks, marked by header "X-Degraded: true"`}},
		{"a wildcard", `"orders.*" cannot be the subject of a message`, []string{"a steady load of 50 messages to the subject \"orders.*\" per second on \"db\":\n      \"\"\"\n      x\n      \"\"\"", "10s pass"}},
		{"several lines", "the text has several lines", []string{"a steady load of 50 lines per second on \"db\":\n      \"\"\"\n      a\n      b\n      \"\"\"", "10s pass"}},
		{"no single answer", "COPY has no single answer", []string{"a steady load of 50 statements per second on \"db\":\n      \"\"\"\n      copy a from stdin\n      \"\"\"", "10s pass"}},
		{"the meaning of an answer twice", "was said before", []string{commands, `an answer that begins with "ERR" means that it was refused`, `an answer that begins with "ERR" means that it is not known`, "10s pass"}},
		{"the meaning of an answer over HTTP", "the meaning of answers over HTTP is that of their status", []string{`a steady load of 50 requests per second on "GET /catalog"`, `an answer that begins with "ERR" means that it was refused`, "10s pass"}},
		{"a command without a key beside one with it", `"INCR count" changes something and does not contain the key`, []string{"a steady load of 50 commands per second on \"db\" with this mix:\n      | text | share |\n      | INCR count | 50% |\n      | SADD a {{key}} | 50% |", "10s pass"}},
		{"two loads", "a load was said before", []string{commands, `a steady load of 5 requests per second on "GET /catalog"`, "10s pass"}},
		{"a status to retry after", "only HTTP has such statuses", []string{commands, "clients retry failed requests up to 3 times with the same key", `clients retry only after "503"`, "10s pass"}},
		{"Retry-After", "only HTTP has Retry-After", []string{commands, "clients retry failed requests up to 3 times with the same key", "clients ignore Retry-After", "10s pass"}},
		{"a method without a service", `"Create" is not a method of gRPC`, []string{"a steady load of 50 calls of \"Create\" per second on \"db\":\n      \"\"\"\n      {}\n      \"\"\"", "10s pass"}},
		{"a body that is no object", "is not an object of JSON that could carry the key", []string{"a steady load of 50 calls of \"shop.Orders/Create\" per second on \"db\":\n      \"\"\"\n      []\n      \"\"\"", `every request carries a fresh idempotency key in the field "key" of its JSON body`, "10s pass"}},
		{"lengths without a framing", `it is not known how messages to "db" say their length`, []string{"a steady load of 50 length-prefixed messages per second on \"db\":\n      \"\"\"\n      {{n}}\n      \"\"\"", "10s pass"}},
		{"commands that are not answered", "only datagrams may be left unanswered", []string{commands, "datagrams are not answered", "10s pass"}},
		{"requests that are not answered", "the load sends no datagrams", []string{`a steady load of 50 requests per second on "GET /catalog"`, "datagrams are not answered", "10s pass"}},
		{"retries of what is not answered", "clients retry what was not answered, and nothing is answered", []string{datagrams, "datagrams are not answered", "clients retry failed requests up to 3 times", "10s pass"}},
		{"giving up on what is not answered", "clients wait for no answer that they could give up on", []string{datagrams, "datagrams are not answered", "clients give up after 1s", "10s pass"}},
		{"the meaning of no answer", "this is about answers", []string{datagrams, "datagrams are not answered", `an answer that begins with "ERR" means that it was refused`, "10s pass"}},
		{"success of what is not answered", "this asks about answers, and nothing is answered", []string{datagrams, "datagrams are not answered", "10s pass", "at least 99% of requests succeed"}},
		{"a kind of failure", "there is no kind of failure", []string{commands, "10s pass", "failures are only of these kinds:\n      | kind | at most |\n      | error  | 5% |"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseOther(c.steps...)
			require.ErrorContains(t, err, c.want)
			assert.Regexp(t, `^a\.feature:\d+`, err.Error())
		})
	}
}
