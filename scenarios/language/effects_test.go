package language

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// sourcesFile declares a source of each kind.
const sourcesFile = `services:
  orders: {command: [orders, "${port}"], serves: [/], depends: {db: postgres}}
  db: {command: [db, "${port}"]}
effects:
  orders table: {sql: "postgres://app:${env:DB_PASSWORD}@${address:db}/shop", query: "with a as (select 1) select 'x;y' as key -- all\n, id from orders;"}
  database: {sql: "${env:DATABASE_URL}", query: table orders, driver: pgx}
  file: {sql: "sqlite:${dir:orders}/orders.db", query: "select key from orders"}
  stream: {redis: "${address:db}", stream: orders, key: reference}
  hash: {redis: "rediss://u:p@${address:db}/1", hash: orders, id: $.id}
  list: {redis: "${address:db}", list: orders, key: $.order.key, id: id}
  keys: {redis: "${address:db}", keys: "order:*"}
  bus: {nats: "${address:db}", stream: ORDERS}
  log: {file: "${log:orders}", format: 'applied (?P<key>\S+) as (?P<id>\S+)'}
  lines: {file: orders.log, format: json, key: order.key}
  pages: {http: "orders GET /orders", items: $.data, key: reference, next: $.next}
  linked: {http: "orders GET /orders", items: $, next: Link, value: $.amount}
commands:
  lag: [check-lag, "${address:db}"]
`

const effectsPrelude = `Feature: a
  Scenario: b
    Given the system described in "system.yaml"
    And a steady load of 20 requests per second on "POST /orders"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
`

func parseWith(file, text string) ([]*scenarios.Experiment, error) {
	return Parse(Source{FS: fstest.MapFS{"a.feature": {Data: []byte(effectsPrelude + text)}, "system.yaml": {Data: []byte(file)}}, Paths: []string{"a.feature"}})
}

func TestSourcesOfEffects(t *testing.T) {
	require.NoError(t, validateSchema(t, compiledSchema(t), sourcesFile))
	es, err := parseWith(sourcesFile, `    And applied effects are read from "orders table"
    And applied effects are read from "GET /ledger"
    And applied effects are read from "pages"
    And effects are read once "GET /replication" of "db" says "in sync"
    And effects are read once the query of "database" returns "0"
    And effects are read once the command "lag" says "0"
    And effects settle within 20s
    When 5s pass
    Then no acknowledged request is lost
`)
	require.NoError(t, err)
	e := es[0]
	var names, services []string
	for _, s := range e.Effects.Sources {
		names, services = append(names, s.Name), append(services, s.Service)
	}
	assert.Equal(t, []string{"orders table", "GET /ledger", "pages"}, names)
	assert.Equal(t, []string{"", "orders", ""}, services)
	assert.True(t, e.ReadsEffectsOf("db"))
	assert.Equal(t, "sql", e.System.Effects[0].Kind)
	assert.Equal(t, `"GET /replication" of "db" says "in sync"`, e.Effects.Once[0].String())
	assert.True(t, e.Effects.Once[0].Met("it is in sync now"))
	assert.False(t, e.Effects.Once[1].Met("10"))
	assert.Equal(t, `the command "lag" says "0"`, e.Effects.Once[2].String())
	assert.False(t, e.Effects.Once[2].Met("10"))
}

// Effects of a source with an order can be asked for it. Of one without, the reason and the remedy are reported.
func TestOrderOfDeclaredSources(t *testing.T) {
	for declared, want := range map[string][2]string{
		`{sql: "postgres://a@h/x", query: "select key, customer_id from orders"}`:                    {"returns its rows in no order", `end with "order by"`},
		`{sql: "postgres://a@h/x", query: "select key, customer_id from (select 1 order by 1)"}`:     {"returns its rows in no order", `a column "seq"`},
		`{sql: "postgres://a@h/x", query: "select key, customer_id from orders order by id"}`:        {},
		`{sql: "postgres://a@h/x", query: "select key, customer_id, applied_at as seq from orders"}`: {},
		`{redis: "${address:db}", hash: orders}`:                                                     {"has no order", "a stream or a list"},
		`{redis: "${address:db}", keys: "order:*"}`:                                                  {"has no order", "a stream or a list"},
		`{redis: "${address:db}", list: orders}`:                                                     {`have no field "customer_id"`, "key: $.key"},
		`{redis: "${address:db}", list: orders, key: $.key}`:                                         {},
		`{redis: "${address:db}", stream: orders}`:                                                   {},
		`{nats: "${address:db}", stream: ORDERS}`:                                                    {},
		`{file: log, format: 'applied (?P<key>\S+)'}`:                                                {`has no group "customer_id"`, `(?P<customer_id>\S+)`},
		`{file: log, format: 'applied (?P<key>\S+) of (?P<customer_id>\S+)'}`:                        {},
		`{http: "orders GET /orders", items: $.data}`:                                                {},
	} {
		file := "services:\n  orders: {address: \"localhost:1\", serves: [/]}\n  db: {address: \"localhost:2\"}\neffects:\n  x: " + declared + "\n"
		_, err := parseWith(file, "    And applied effects are read from \"x\"\n    When 5s pass\n    Then effects with the same \"customer_id\" are applied in the order they were sent\n")
		if want[0] == "" {
			assert.NoError(t, err, declared)
			continue
		}
		assert.ErrorContains(t, err, "a.feature:8", declared)
		assert.ErrorContains(t, err, want[0], declared)
		assert.ErrorContains(t, err, want[1], declared)
	}
}

// What cannot be compared is reported where the check stands.
func TestBrokenAgreements(t *testing.T) {
	const fault = "    When \"db\" is cut off from \"orders\" for 5s\n"
	for text, want := range map[string][2]string{
		fault + "    Then \"orders table\" and \"GET /ledger\" agree within 10s of healing\n": {},
		fault + "    Then \"order table\" and \"GET /ledger\" agree within 10s of healing\n":  {"neither a route nor a source", `did you mean "orders table"?`},
		fault + "    Then \"orders table\" and \"/ledger\" agree within 10s of healing\n":     {"is not a route", "GET /catalog"},
		fault + "    Then \"bus\" and \"bus\" agree within 10s of healing\n":                  {"compared with itself", "name two sources"},
		"    When 5s pass\n    Then \"bus\" and \"log\" agree within 10s of healing\n":        {"nothing is healed", "add a fault"},
	} {
		_, err := parseWith(sourcesFile, text)
		if want[0] == "" {
			require.NoError(t, err)
			continue
		}
		require.Error(t, err, text)
		assert.ErrorContains(t, err, "a.feature:7", text)
		assert.ErrorContains(t, err, want[0], text)
		assert.ErrorContains(t, err, want[1], text)
	}
}

// Faults on the process of a stand-in are refused, and so is what it cannot do.
func TestStandIns(t *testing.T) {
	file := func(payments string) string {
		return "services:\n  orders: {command: [orders, \"${link:payments}\"], serves: [/], depends: {payments: http}}\n  payments: " + payments + "\neffects:\n  charges: {stand_in: payments}\n"
	}
	const right = `{port: 9090, stand_in: {key: $.order, once: Idempotency-Key, value: $.amount, routes: {"POST /charge": {status: 201, body: '{"id": {{n}}}', headers: {X-Bank: b}, delay: 20ms}, "GET /charges/{id}": {}}}}`
	const drill = "    And applied effects are read from \"charges\"\n    When 50% of replies from \"payments\" to \"orders\" are lost after the work was done for 5s\n    Then every acknowledged request is applied exactly once\n"
	require.NoError(t, validateSchema(t, compiledSchema(t), file(right)))
	es, err := parseWith(file(right), drill)
	require.NoError(t, err)
	assert.Equal(t, "payments", es[0].System.Effects[0].At)
	assert.Equal(t, 201, es[0].System.Services[1].StandIn.Routes[0].Status)
	for payments, want := range map[string][2]string{
		`{stand_in: {key: a}}`:                                           {"answers nothing", "add routes"},
		`{stand_in: {routes: {"POST /a": {}}}, command: [a]}`:            {"has a command, an address or a handler as well", "leave one out"},
		`{stand_in: {routes: {"POST /a": {}}}, env: {A: b}}`:             {"which is not a process", "`ready`"},
		`{stand_in: {routes: {"/a": {}}}}`:                               {"is not a route", "GET /catalog"},
		`{stand_in: {routes: {"POST /a": {statuss: 201}}}}`:              {`has no key "statuss"`, `did you mean "status"?`},
		`{stand_in: {routes: {"POST /a": {status: 100}}}}`:               {"not a status of HTTP", "200 to 599"},
		`{stand_in: {routes: {"POST /a": {body: "{{x}}"}}}}`:             {`"{{x}}" stands for nothing`, "{{key}}"},
		`{stand_in: {routes: {"POST /a/{b}": {}, "POST /a/c": {}}}}`:     {"answered by an earlier one", "put it first"},
		`{stand_in: {routes: {"POST /a?b=c": {}}}}`:                      {"has a query", "leave the query out"},
		`{stand_in: {routes: {"POST /a": {}}, key: "a b"}}`:              {"cannot be the name of a header", "$.order.key"},
		`{stand_in: {routes: {"POST /a": {}}, once: "$.a[x]"}}`:          {"is not a path in JSON", "$.items[0].id"},
		`{stand_in: {routes: {"POST /a": {headers: {"A B": c}}}}}`:       {"is not a header of HTTP", "a name and a value"},
		`{stand_in: {routes: {"POST /a": {}}}, depends: {orders: http}}`: {"which depends on nothing", "leave `depends` out"},
		`{command: [a, "${port}"]}`:                                      {`no service "payments" has a stand_in`, "name the service"},
	} {
		_, err := parseWith(file(payments), drill)
		require.Error(t, err, payments)
		assert.ErrorContains(t, err, "system.yaml:", payments)
		assert.ErrorContains(t, err, want[0], payments)
		assert.ErrorContains(t, err, want[1], payments)
	}
	_, err = parseWith(strings.Replace(file(right), "payments: http", "payments: grpc", 1), drill)
	assert.ErrorContains(t, err, "speaks HTTP/1.1, and the link orders -> payments speaks grpc")
	_, err = parseWith(file(right), strings.Replace(drill, "50% of replies from \"payments\" to \"orders\" are lost after the work was done", "\"payments\" crashes", 1))
	assert.ErrorContains(t, err, `"payments" is a stand-in, which has no process of its own`)
	assert.ErrorContains(t, err, "break the links to it")
	_, err = parseWith(file(right), strings.Replace(drill, "50% of replies from \"payments\" to \"orders\" are lost after the work was done", "\"payments\" loses power", 1))
	assert.ErrorContains(t, err, "1 problem", "not that it has no data folder")
	_, err = parseWith(file(right), drill+"    And effects with the same \"customer\" are applied in the order they were sent\n")
	assert.ErrorContains(t, err, `keeps no field "customer"`)
}

// A source that cannot list who held a lock, and when, is refused before anything starts.
func TestSourcesWithoutLocks(t *testing.T) {
	const drill = "    When calls from \"orders\" to \"payments\" are delayed by 1s for 5s\n    Then at most one holder of the lock \"leader\" at a time, as \"x\" lists\n"
	for declared, want := range map[string]string{
		`{stand_in: payments}`:                                                            `"x" lists requests to a stand-in, and not the holders of a lock`,
		`{redis: "127.0.0.1:1", hash: a}`:                                                 `"x" lists no times at which a lock was acquired and released`,
		`{redis: "127.0.0.1:1", list: a}`:                                                 `"x" lists no times`,
		`{file: a, format: '(?P<value>\w+) (?P<key>\w+) by (?P<id>\w+)'}`:                 `the format of "x" has no group "seq", which the holders of a lock need`,
		`{file: a, format: '(?P<value>\w+) (?P<key>\w+) by (?P<id>\w+) at (?P<seq>\S+)'}`: "",
		`{redis: "127.0.0.1:1", list: a, key: $.lock}`:                                    "",
	} {
		file := "services:\n  orders: {address: \"127.0.0.1:2\", serves: [/], depends: {payments: http}}\n  payments: {stand_in: {routes: {\"POST /a\": {}}}}\neffects:\n  x: " + declared + "\n"
		_, err := parseWith(file, drill)
		if want == "" {
			require.NoError(t, err, declared)
			continue
		}
		assert.ErrorContains(t, err, want, declared)
	}
}

// One mistake each: the line, what is reported, and what to do.
func TestBrokenSourcesOfEffects(t *testing.T) {
	const read = "    And applied effects are read from \"x\"\n    When 5s pass\n    Then no acknowledged request is lost\n"
	for declared, want := range map[string][2]string{
		`{query: select 1}`: {"names 0 places", "sql, redis, nats, file, http"},
		`{sql: "postgres://a@h/x", file: y, query: "select 1"}`:                  {"names 2 places", "write one of"},
		`{sqll: "postgres://a@h/x"}`:                                             {`has no key "sqll"`, `did you mean "sql"?`},
		`{sql: "mysql://a@h/x", query: "select 1"}`:                              {"is not the URL of a database", "postgres://"},
		`{sql: "postgres://a@h/x"}`:                                              {"has no query", "columns are key"},
		`{sql: "postgres://a@h/x", query: "delete from orders"}`:                 {"the query begins with DELETE", "only reads"},
		`{sql: "postgres://a@h/x", query: "select 1; select 2"}`:                 {"more than one statement", "only reads"},
		`{sql: "postgres://a@h/x", query: "with a as (delete from o) select 1"}`: {"contains DELETE", "only reads"},
		`{sql: "postgres://a@h/x", query: "/* ; */ -- x"}`:                       {"is empty", "only reads"},
		`{sql: "postgres://${env:A B}@h/x", query: "select 1"}`:                  {"stands for nothing", "${env:NAME}"},
		`{sql: "postgres://a@${address:dbb}/x", query: "select 1"}`:              {"is of no service", `did you mean "db"?`},
		`{sql: "postgres://a@${port}/x", query: "select 1"}`:                     {"stands for nothing", "${dir:service}"},
		`{sql: "postgres://a@h/x", query: "select 1", stream: y}`:                {`of the kind sql has no key "stream"`, "query"},
		`{redis: "${address:db}"}`:                                               {"names 0 keys of Redis", "stream, hash, list and keys"},
		`{redis: "http://h", list: a}`:                                           {"is not the address of a Redis server", "redis://"},
		`{redis: "${address:db}", keys: order}`:                                  {"does not say which part", "order:*"},
		`{redis: "${address:db}", list: a, id: b}`:                               {"has no id", "add the path of the key"},
		`{nats: "${address:db}"}`:                                                {"names no stream", "stream: ORDERS"},
		`{file: a, format: "("}`:                                                 {"is not a regular expression", "(?P<key>"},
		`{file: a, format: "a(b)"}`:                                              {`has no group "key"`, "(?P<key>"},
		`{file: a, key: "$.a[x]"}`:                                               {"is not a path in JSON", "$.items[0].id"},
		`{http: "orders GET /orders", items: "$.a[0]"}`:                          {"has an index, and `items` is a path of names", "$.data.orders"},
		`{http: "GET /orders"}`:                                                  {"is not a service and a route", "orders GET /orders"},
		`{http: "order GET /orders"}`:                                            {`there is no service "order"`, `did you mean "orders"?`},
	} {
		file := "services:\n  orders: {address: \"localhost:1\", serves: [/]}\n  db: {address: \"localhost:2\"}\neffects:\n  x: " + declared + "\n"
		_, err := parseWith(file, read)
		require.Error(t, err, declared)
		assert.ErrorContains(t, err, "system.yaml:5", declared)
		assert.ErrorContains(t, err, want[0], declared)
		assert.ErrorContains(t, err, want[1], declared)
	}
	for text, want := range map[string][2]string{
		"    And applied effects are read from \"order table\"\n":                                                               {"neither a route nor a source", `did you mean "orders table"?`},
		"    And applied effects are read from \"/ledger\"\n":                                                                   {"is not a route", "GET /catalog"},
		"    And applied effects are read from \"\"\n":                                                                          {"the source of effects is empty", "GET /ledger"},
		"    And applied effects are read from \"bus\"\n    And applied effects are read from \"bus\"\n":                        {"it was said before", "say it once"},
		"    And applied effects are read from \"bus\"\n    And effects are read once the command \"lagg\" says \"0\"\n":        {`no command "lagg"`, `did you mean "lag"?`},
		"    And effects are read once the query of \"database\" returns \"0\"\n":                                               {"no effects are read in this scenario", "add: applied effects"},
		"    And applied effects are read from \"bus\"\n    And effects are read once the query of \"bus\" returns \"0\"\n":     {"has no query: it is of the kind nats", "kind sql"},
		"    And applied effects are read from \"bus\"\n    And effects are read once \"GET /x\" of \"dbb\" says \"in sync\"\n": {`no service "dbb"`, `did you mean "db"?`},
		"    And applied effects are read from \"bus\"\n    And effects are read once the query of \"databas\" returns \"0\"\n": {"neither a route nor a source", `did you mean "database"?`},
	} {
		_, err := parseWith(sourcesFile, text+"    When 5s pass\n")
		require.Error(t, err, text)
		assert.ErrorContains(t, err, want[0], text)
		assert.ErrorContains(t, err, want[1], text)
	}
}
