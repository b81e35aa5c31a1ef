package language

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// prelude is the valid beginning of a feature. A case appends wrong lines, starting at line 8.
const prelude = `Feature: Broken
  Scenario: broken
    Given the system described in "system.yaml"
    And a steady load of 50 requests per second with this mix:
      | route        | share |
      | POST /orders | 50%   |
      | GET /catalog | 50%   |
`

// brokenCase is a broken file and the problem that must be reported. mark is the text at the caret.
type brokenCase struct {
	name, text string
	line       int
	mark       string
	what, hint string
}

// brokenSteps are lines after prelude; the first of them is line 8.
var brokenSteps = []brokenCase{
	{"unknown sentence", `When at leest 99% of requests succeed`, 8, "at leest", "this sentence is not known", "did you mean: at least 99.9% of requests succeed"},
	{"sentence from nowhere", `When the moon turns blue`, 8, "the moon", "this sentence is not known", "firedrill steps"},
	{"unknown service", `When "payment" crashes for 5s`, 8, `"payment"`, `no service "payment"`, `did you mean "payments"?`},
	{"unknown end of a link", `When calls from "orders" to "paymens" are delayed by 1s for 5s`, 8, "calls", `no service "paymens"`, `did you mean "payments"?`},
	{"link the wrong way round", `When calls from "payments" to "orders" are delayed by 1s for 5s`, 8, "calls", `"payments" does not depend on "orders"`, `did you mean from "orders" to "payments"?`},
	{"link of replies the wrong way round", `When 20% of replies from "orders" to "payments" are lost after the work was done for 5s`, 8, "20%", `"payments" does not depend on "orders"`, `did you mean from "payments" to "orders"?`},
	{"link of events the wrong way round", `When replies from "orders" to "payments" stall after 3 events for 5s`, 8, "replies", `"payments" does not depend on "orders"`, `did you mean from "payments" to "orders"?`},
	{"no such link", `When calls from "front" to "payments" are delayed by 1s for 5s`, 8, "calls", `"front" does not depend on "payments"`, `"front" depends on "orders", "recs"`},
	{"calls on tcp", `When calls from "orders" to "db" are delayed by 1s for 5s`, 8, "calls", "speaks tcp, which has no calls", "traffic or connections"},
	{"unknown toxic", `When the toxic "latncy" is on traffic from "orders" to "payments" for 5s`, 8, `"latncy"`, "latency", "Toxiproxy's list"},
	{"toxic that would crash Toxiproxy", `When the toxic "bandwidth" with "rate=-1" is on traffic from "orders" to "payments" for 5s`, 8, `"bandwidth"`, "rate is -1", "Toxiproxy's list"},
	{"toxic attribute without a number", `When the toxic "latency" with "latency=much" is on traffic from "orders" to "payments" for 5s`, 8, `"latency"`, "name=number", "Toxiproxy's list"},
	{"wrong unit", `When calls from "orders" to "payments" are delayed by 800 parsecs for 5s`, 8, "800 parsecs", `"800 parsecs" is not a duration`, "800ms"},
	{"no unit", `When calls from "orders" to "payments" are delayed by 800 for 5s`, 8, "800", "has no unit", "800ms"},
	{"no time at all", `When calls from "orders" to "payments" are delayed by 0s for 5s`, 8, "0s", "not a time that can pass", "above 0"},
	{"negative time", `When calls from "orders" to "payments" are delayed by 1s for -5s`, 8, "-5s", "not a time that can pass", "above 0"},
	{"too long", `When calls from "orders" to "payments" are delayed by 1s for 48h`, 8, "48h", "longer than a day", ""},
	{"spread above the delay", `When calls from "orders" to "payments" are delayed by 1s, give or take 2s for 5s`, 8, "2s", "more than the delay", "smaller spread"},
	{"share above 100%", `When 120% of calls from "orders" to "payments" are delayed by 1s for 5s`, 8, "120%", "is not a share", "0% to 100%"},
	{"share of nothing", `When 0% of calls from "orders" to "payments" are delayed by 1s for 5s`, 8, "0%", "touches nothing", "above 0%"},
	{"the 0th call", `When every 0th of the calls from "orders" to "payments" are delayed by 1s for 5s`, 8, "every 0th", "counted from 1", ""},
	{"from late to early", `When from the 9th to the 3rd, calls from "orders" to "payments" are delayed by 1s for 5s`, 8, "from the 9th", "there is no call", "smaller number first"},
	{"wrong route of calls", `When only "charge" calls from "orders" to "payments" are delayed by 1s for 5s`, 8, `only "charge"`, `"charge" is not a route`, "method and path"},
	{"unknown ending", `When requests from "orders" to "payments" are lost, then burned for 5s`, 8, "burned", "not a way for a connection to end", "reset, closed, silence, held"},
	{"register without a load on it", `Given "PUT /orders" writes and "GET /catalog" reads the register "r"`, 8, `"PUT`, `no load runs on "PUT /orders"`, "let the load have all of these routes"},
	{"register that one route writes and reads", `Given "POST /orders" writes and "POST /orders" reads the register "r"`, 8, `"POST`, "reads a register, a queue or a set already", "one route to write"},
	{"register declared twice", "Given \"POST /orders\" writes and \"GET /catalog\" reads the register \"r\"\n    And \"POST /orders\" writes and \"GET /catalog\" reads the register \"r\"", 9, `"POST`, "declared twice", "a name of its own"},
	{"queue that is not declared", `Then the history of the queue "jobs" is linearizable`, 8, "the history", `it is not known what puts into and takes from "jobs"`, `takes from the queue "jobs"`},
	{"queue without a load on it", `Given "PUT /jobs" puts into and "GET /catalog" takes from the queue "jobs"`, 8, `"PUT`, `no load runs on "PUT /jobs"`, "let the load have all of these routes"},
	{"lock in an unknown source", `Then at most one holder of the lock "leader" at a time, as "lock log" lists`, 8, "at most", `"lock log" is neither a route nor a source of effects of the system`, "declare the source"},
	{"set that is not declared", `Then the history of the set "members" is linearizable`, 8, "the history", `it is not known what adds to, removes from and looks into the set "members"`, `looks into the set "members"`},
	{"set without a load on it", `Given "PUT /m/{{n}}" adds to, "DELETE /m/{{n}}" removes from and "GET /m/{{n}}" looks into the set "members"`, 8, `"PUT`, `no load runs on "PUT /m/{{n}}"`, "let the load have all of these routes"},
	{"set of one element", `Given "GET /catalog" adds to, "DELETE /m/{{n}}" removes from and "POST /orders" looks into the set "members"`, 8, `"GET`, `every "GET /catalog" request has the same path and body`, "write a placeholder"},
	{"set whose elements are never looked for", `Given "POST /orders" adds to, "DELETE /m/{{n}}" removes from and "GET /catalog" looks into the set "members"`, 8, `"POST`, `each "POST /orders" request is about another element`, "let requests share elements"},
	{"register that is not declared", `Then the history of "greeting" is linearizable`, 8, "the history", `it is not known what writes and reads "greeting"`, `reads the register "greeting"`},
	{"no status", `When calls from "orders" to "payments" answer with status 1000 for 5s`, 8, "1000", "not a status of HTTP", "100 to 599"},
	{"header without a value", `When calls from "orders" to "payments" carry the header "X-Tenant" for 5s`, 8, `header "X-Tenant"`, "not a header with a value", "name and value"},
	{"lost header with a value", `When calls from "orders" to "payments" lose the header "X-Tenant: acme" for 5s`, 8, `header "X-Tenant`, "lost whatever its value is", `write only its name: "X-Tenant"`},
	{"header of the framing", `When calls from "orders" to "payments" lose the header "Content-Length" for 5s`, 8, `header "Content-Length"`, "where a message ends", "another header"},
	{"answer without the body that it has", "When calls from \"orders\" to \"payments\" answer with status 503 with this body for 5s:\n\"\"\"\n\"\"\"", 8, "calls", "the doc string is empty", "for a short text"},
	{"answer that has no body", "When calls from \"orders\" to \"payments\" answer with status 204 with this body for 5s:\n\"\"\"\nbody\n\"\"\"", 8, "204", "an answer with status 204 has no body", "another status"},
	{"body that is missing", `When replies from "payments" to "orders" have this body for 5s:`, 8, "replies", "a doc string has to follow", "the body"},
	{"stream that is held", `When replies from "payments" to "orders" are cut after 3 events, then held for 5s`, 8, "held", "goes on when the fault is healed", "stall after 3 events"},
	{"stream that is cut before it begins", `When replies from "payments" to "orders" are cut after 0 events for 5s`, 8, "0", "not a whole number from 1 up", "1 or more"},
	{"quota of nothing", `When "payments" accepts at most 0 calls per second from "orders" for 5s`, 8, "0", "not a whole number from 1 up", "1 or more"},
	{"code of gRPC over HTTP", `When "payments" answers more than 5 calls per second from "orders" with "ABORTED" for 5s`, 8, `"payments"`, "answers with a status and not with \"ABORTED\"", "with status 503"},
	{"fraction of a second in a header", `When calls from "orders" to "payments" answer with status 503 and retry after 1500ms for 5s`, 8, "1500ms", "whole seconds", "1s, 2s"},
	{"a late copy that answers", `When calls from "orders" to "payments" are delivered twice and the second answer is returned, the copy 2s late for 5s`, 8, "2s", "cannot answer", "leave out"},
	{"wrong size", `When traffic from "orders" to "db" is limited to 64 bananas per second for 5s`, 8, "64 bananas", "is not a size", "64 KB"},
	{"neither a size nor a time", `When connections from "orders" to "db" are reset after 4 bananas for 5s`, 8, "4 bananas", "neither a size nor a duration", "4 KB or 2s"},
	{"reset after no time", `When connections from "orders" to "db" are reset after 0s for 5s`, 8, "0s", "not a time that can pass", "above 0"},
	{"reset after the fault", `When connections from "orders" to "db" are reset after 5s for 5s`, 8, "connections", "healed after 5s, before anything is reset", "longer than `for 5s`"},
	{"reset after bytes, healed at once", `When connections from "orders" to "db" are reset after 4 KB`, 8, "connections", "healed at once", "for 30s"},
	{"closed after nothing", `When connections from "orders" to "db" are closed after 0 KB for 5s`, 8, "0 KB", "is not a size", "64 KB"},
	{"closes in no time", `When connections from "orders" to "db" close 0s late for 5s`, 8, "0s", "not a time that can pass", "above 0"},
	{"pieces of what", `When traffic from "orders" to "db" is sliced into pieces of 64 for 5s`, 8, "64", "is not a size", "512 B"},
	{"pieces apart by nothing", `When traffic from "orders" to "db" is sliced into pieces of 64 B, 0ms apart for 5s`, 8, "0ms", "not a time that can pass", "above 0"},
	{"deviation above half of the delay", `When traffic from "orders" to "db" is delayed by 50ms, give or take 26ms, normally distributed for 5s`, 8, "26ms", "more than half of the delay of 50ms", "at most 25ms"},
	{"spread evenly above the delay", `When one-way traffic from "db" to "orders" is delayed by 50ms, give or take 51ms for 5s`, 8, "51ms", "more than the delay", "smaller spread"},
	{"ramp longer than the fault", `When latency from "orders" to "db" ramps from 0ms to 800ms over 20s for 10s`, 8, "latency", "healed after 10s, before the ramp comes to its end: that takes 20s", "`for 20s` or longer"},
	{"ramp healed too soon", "When latency from \"orders\" to \"db\" ramps from 0ms to 800ms over 20s\n    And 10s pass\n    And the fault is healed", 8, "latency", "healed after 10s", "`for 20s` or longer"},
	{"ramp longer than what passes", "When latency from \"orders\" to \"db\" ramps from 0ms to 800ms over 20s\n    And 19s pass", 8, "latency", "healed after 19s", "`for 20s` or longer"},
	{"level ramp", `When latency from "orders" to "db" ramps from 1s to 1000ms over 5s for 5s`, 8, "1s", "nothing rises or falls", "is delayed by"},
	{"ramp in no time", `When latency from "orders" to "db" ramps from 0ms to 1s over 0s for 5s`, 8, "0s", "not a time that can pass", "above 0"},
	{"ramp from below zero", `When latency from "orders" to "db" ramps from -1s to 1s over 5s for 5s`, 8, "-1s", "not a time that can pass", ""},
	{"wave longer than the fault", `When latency from "orders" to "db" follows a square wave of 500ms, 2s on and 4s off for 5s`, 8, "latency", "before one wave has passed: that takes 6s", "`for 6s` or longer"},
	{"wave of nothing", `When latency from "orders" to "db" follows a square wave of 0ms, 2s on and 3s off for 5s`, 8, "0ms", "not a time that can pass", "above 0"},
	{"one way between strangers", `When one-way traffic from "front" to "payments" is delayed by 1s for 5s`, 8, "one-way", `"front" does not depend on "payments"`, `"front" depends on`},
	{"both ways the wrong way round", `When traffic from "db" to "orders" is delayed by 1s for 5s`, 8, "traffic", `"db" does not depend on "orders"`, `did you mean from "orders" to "db"?`},
	{"silence of nobody", `When 20% of connections from "orders" to "bd" fall silent for 5s`, 8, "20%", `no service "bd"`, "services"},
	{"share of no connections", `When 0% of connections from "orders" to "db" fall silent for 5s`, 8, "0%", "touches nothing", "above 0%"},
	{"too large a share of traffic", `When traffic on 101% of connections from "orders" to "db" is delayed by 1s for 5s`, 8, "traffic", "is not a share", "0% to 100%"},
	{"the first 0 connections", `When the first 0 connections from "orders" to "db" are half-open for 5s`, 8, "the first 0", "counted from 1", ""},
	{"connections from late to early", `When the 9th to the 3rd new connections from "orders" to "db" are accepted 1s late for 5s`, 8, "the 9th", "there is no connection", "smaller number first"},
	{"handshakes at once", `When TLS handshakes from "orders" to "db" stall`, 8, "TLS", "healed at once", "for 30s"},
	{"one-way crash in a table", "When these faults run together for 5s:\n      | fault         | to       |\n      | one-way crash | payments |", 10, "one-way crash", `no fault "one-way crash"`, `did you mean "crash"?`},
	{"short ramp in a table", "When these faults run together for 5s:\n      | fault | from   | to | value |\n      | ramp  | orders | db | 0ms to 1s over 6s |", 8, "these", "before the ramp comes to its end", "`for 6s` or longer"},
	{"process of a service that runs at an address", `When "db" crashes for 5s`, 8, `"db"`, "was not started by Firedrill", "connections are reset"},
	{"power loss without a data folder", `When "payments" loses power for 5s`, 8, `"payments"`, "it has no data folder", "data: {folder: data}"},
	{"crash once, apart", `When "payments" crashes 1 times, 5s apart`, 8, "1", "whole number from 2 up", ""},
	{"down twice", "When \"payments\" crashes\n    And \"payments\" hangs for 5s", 9, `"payments"`, "down or hangs already", "starts again"},
	{"starts again without a crash", `When "payments" starts again`, 8, `"payments"`, "no crash or stop or power loss of it is live", "for 30s"},
	{"resumes after a crash", "When \"payments\" crashes\n    And \"payments\" resumes", 9, `"payments"`, "no hang of it is live", "for 30s"},
	{"nothing to heal", `When the fault is healed`, 8, "the fault", "nothing to heal", "for 30s"},
	{"healed already", "When \"payments\" hangs for 5s\n    And all faults are healed", 9, "all faults", "nothing to heal", "for 30s"},
	{"healed at once", "When \"payments\" hangs\n    Then at least 99% of requests succeed", 8, `"payments"`, "healed at once", "for 30s"},
	{"outside of the blast radius", "And the blast radius is limited to \"recs\"\n    When \"payments\" hangs for 5s", 9, `"payments"`, "outside of the blast radius", "widen"},
	{"blast radius of nobody", `And the blast radius is limited to "recs, ordrs"`, 8, `"recs, ordrs"`, `no service "ordrs"`, `did you mean "orders"?`},
	{"two loads", `And a steady load of 5 requests per second on "GET /recs"`, 8, "a steady load", "was said before, at a.feature:4", "once"},
	{"two systems", `And the system described in "system.yaml"`, 8, "the system", "was said before", "once"},
	{"load after the fault", "When \"payments\" hangs for 5s\n    And clients give up after 2s", 9, "clients", "too late", "before the first fault"},
	{"fault after a check", "When \"payments\" hangs for 5s\n    Then at least 9% of requests succeed\n    When \"payments\" hangs for 5s", 10, `"payments"`, "after the first check", "before the checks"},
	{"spike from another rate", `When the load spikes from 100 to 500 requests per second for 5s`, 8, "100", "is 50 requests per second here", "write `from 50`"},
	{"spike beyond any machine", `When the load spikes from 50 to 200000 requests per second for 5s`, 8, "200000", "more than one machine sends", "at most 100000"},
	{"swing upside down", `When the load swings between 150 and 50 requests per second every 20s`, 8, "150", "cannot swing between 150 and 50", "the lower rate first"},
	{"swing beside the rate", `When the load swings between 60 and 150 requests per second every 20s`, 8, "60", "does not lie between 60 and 150", "swing around the present rate"},
	{"recording that is not there", `When the load follows the rates in "none.csv"`, 8, `"none.csv"`, "the recorded rates cannot be read", "relative to the feature file"},
	{"recording elsewhere", `When the load follows the rates in "../rates.csv"`, 8, `"../rates.csv"`, "lies outside of the folder", ""},
	{"counted beside a load", `When 200 requests on "POST /orders" are sent, 10 at a time`, 8, "200", "another load runs already, since a.feature:4", "name both"},
	{"load of another rate", `When the load changes from 100 to 500 requests per second over 3s`, 8, "100", "is 50 requests per second here", "write `from 50`"},
	{"load stopped twice", "When the load stops\n    And the load stops", 9, "the load", "no load runs here", ""},
	{"check during no fault", `Then at least 99% of requests succeed during the fault`, 8, "at least", "no fault is injected", "leave out when"},
	{"recovery from nothing", `Then "POST /orders" recovers within 5s of healing`, 8, `"POST /orders"`, "no fault is injected", "add a fault"},
	{"check of a route without load", "When \"payments\" hangs for 5s\n    Then at least 9% of \"GET /catalogue\" requests succeed", 9, "at least", `no load runs on "GET /catalogue"`, `did you mean "GET /catalog"?`},
	{"route with a fragment", `Then at least 99% of "GET /catalog#top" requests succeed`, 8, `"GET /catalog#top"`, "has a fragment", `leave it out: "GET /catalog"`},
	{"route with a NUL", "Then at least 99% of \"GET /c\x00\" requests succeed", 8, "\x00", "control character U+0000", "leave it out"},
	{"route without a method", `Then at least 99% of "/catalog" requests succeed`, 8, `"/catalog"`, "is not a route", "GET /catalog"},
	{"route with a method nobody has", `Then at least 99% of "FETCH /catalog" requests succeed`, 8, `"FETCH /catalog"`, `"FETCH" is not a method`, "GET"},
	{"percentile of all", `Then the p100 latency stays below 1s`, 8, "p100", "not a percentile", "p99"},
	{"more than all", `Then at least 101% of requests succeed`, 8, "101%", "is not a share", "100%"},
	{"unknown ledger", "And every request carries a fresh idempotency key in the \"K\" header\n    When \"payments\" hangs for 5s\n    Then no acknowledged request is lost", 10, "no acknowledged", "where applied effects can be read", "applied effects are read from"},
	{"ledger without keys", "And applied effects are read from \"GET /ledger\"\n    When \"payments\" hangs for 5s\n    Then no acknowledged request is lost", 10, "no acknowledged", "carry no key", "fresh idempotency key"},
	{"settling of nothing", `And effects settle within 5s`, 8, "effects", "no effects are read", "applied effects are read from"},
	{"no time to settle", "And applied effects are read from \"GET /ledger\"\n    And effects settle within 0s", 9, "0s", "not a time that can pass", "above 0"},
	{"answers of no route", `And "GET /catalogue" answers 200`, 8, `"GET /catalogue"`, `no load runs on "GET /catalogue"`, `did you mean "GET /catalog"?`},
	{"answers twice", "And \"GET /catalog\" answers 200\n    And \"GET /catalog\" answers 303", 9, `"GET /catalog"`, "was said before, at a.feature:8", "201 or 303"},
	{"answers no status", `And "GET /catalog" answers 20 or 303`, 8, "20 or 303", `"20" is not a status`, "100 to 599"},
	{"expected and refused", "And \"GET /catalog\" answers 303\n    And status 303 means that it was refused", 9, "status", "is said to mean that it is refused", "one of the two"},
	{"meaning twice", "And status 503 means that it was refused\n    And status 503 means that it is not known", 9, "status", "was said before", "once"},
	{"same key of none", `And clients retry failed requests up to 3 times with the same key`, 8, "clients", "no key that could be the same", "fresh idempotency key"},
	{"pauses without retries", `And clients wait 100ms between attempts`, 8, "100ms", "clients do not retry", "clients retry failed requests up to 3 times"},
	{"pauses twice", "And clients wait 100ms between attempts\n    And clients wait 1s before the first retry, twice as long before each next one, at most 2s", 9, "1s", "was said before, at a.feature:8", "once"},
	{"pauses that shrink", "And clients retry failed requests up to 3 times\n    And clients wait 3s before the first retry, twice as long before each next one, at most 2s", 9, "3s", "the first pause of 3s is longer than the longest, 2s", "shorter time first"},
	{"no pause", "And clients retry failed requests up to 3 times\n    And clients wait 0s between attempts", 9, "0s", "not a time that can pass", "above 0"},
	{"retries after nothing known", "And clients retry failed requests up to 3 times\n    And clients retry only after \"503, timed out\"", 9, `"503, timed out"`, `nothing called "timed out"`, "timeout, refused, reset"},
	{"retries after no status", "And clients retry failed requests up to 3 times\n    And clients retry only after \"5030\"", 9, `"5030"`, "5030 is not a status", "100 to 599"},
	{"retries after success", "And clients retry failed requests up to 3 times\n    And clients retry only after \"503, 201\"", 9, `"503, 201"`, "status 201 acknowledges", "leave it out"},
	{"retries only after, without retries", `And clients retry only after "503"`, 8, `"503"`, "clients do not retry", "clients retry failed requests"},
	{"ignored Retry-After without retries", `And clients ignore Retry-After`, 8, "clients", "clients do not retry", "clients retry failed requests"},
	{"second attempt too late", "And clients give up after 2s\n    And clients send a second attempt if there is no answer within 2s", 9, "2s", "no second attempt would ever be sent: clients give up after 2s", "shorter"},
	{"second attempt after the request", "And clients give up on a request after 1s\n    And clients send a second attempt if there is no answer within 2s", 9, "2s", "clients give up after 1s", "shorter"},
	{"retries of no requests", "And clients retry failed requests up to 3 times\n    And clients retry at most 0% of requests", 9, "0%", "allows no retry", "leave out"},
	{"retries of more than all", "And clients retry failed requests up to 3 times\n    And clients retry at most 101% of requests", 9, "101%", "is not a share", "100%"},
	{"retry budget without retries", `And clients retry at most 10% of requests`, 8, "10%", "clients do not retry", "clients retry failed requests"},
	{"limit above the time-out of requests", "And clients give up on a request after 1s\n    When \"payments\" hangs for 5s\n    Then no request takes longer than 2s", 10, "no request", "no request takes longer than 1s", "below 1s"},
	{"header of two words", `And every request carries a fresh idempotency key in the "Idempotency Key" header`, 8, `"Idempotency Key"`, "cannot be the name of a header", "Idempotency-Key"},
	{"key in no field", `And every request carries a fresh idempotency key in the field "order..key" of its JSON body`, 8, `"order..key"`, "cannot be the name of a field", "order.key"},
	{"key in a parameter of two words", `And every request carries a fresh idempotency key in the query parameter "a key"`, 8, `"a key"`, "cannot be the name of a query parameter", `"key"`},
	{"key in a path that has none", `And every request carries a fresh idempotency key in its path`, 8, "every", `the path of "POST /orders" does not hold the key`, `"POST /orders/{{key}}"`},
	{"keys at two places", "And every request carries a fresh idempotency key in the \"K\" header\n    And every request carries a fresh idempotency key in the query parameter \"k\"", 9, "every", "was said before, at a.feature:8", "once"},
	{"header without a value", `And every request carries the header "X-Tenant"`, 8, `"X-Tenant"`, "is not a header", "name and value"},
	{"header twice", "And every request carries the header \"X-A: 1\"\n    And every request carries the header \"x-a: 2\"", 9, `"x-a: 2"`, `the header "X-A" was said before`, "once"},
	{"header with an unknown placeholder", `And every request carries the header "X-A: {{sead}}"`, 8, `"X-A: {{sead}}"`, "{{sead}} stands for nothing here", `did you mean "seed"?`},
	{"variable of another kind", `And every request carries the header "X-A: ${TENANT}"`, 8, `"X-A: ${TENANT}"`, "stands for nothing in a request", "${env:NAME}"},
	{"variable that is not set", `And every request carries the header "X-A: ${env:FIREDRILL_TEST_NOT_SET}"`, 8, `"X-A: ${env`, "FIREDRILL_TEST_NOT_SET is not set", "set FIREDRILL_TEST_NOT_SET"},
	{"rows that nothing contains", `And rows are taken from "customers.csv"`, 8, "rows", "no request contains a value of these rows", "{{row.column}}"},
	{"rows that are not there", `And rows are taken from "customer.csv"`, 8, `"customer.csv"`, `the rows of "customer.csv" cannot be read`, "relative to the feature"},
	{"idle for no time", `And clients close idle connections after 0s`, 8, "0s", "not a time that can pass", "above 0"},
	{"connections in two ways", "And clients open a new connection for each request\n    And clients close idle connections after 1s", 9, "clients", "was said before", "once"},
	{"fallbacks marked by no field", "When \"payments\" hangs for 5s\n    Then at least 9% of responses are fallbacks, marked by \"estimated\" in the body", 9, `"estimated"`, "is not a field with a value", "tax_estimated: true"},
	{"a header and a field as marks", "When \"payments\" hangs for 5s\n    Then at least 9% of responses are fallbacks, marked by header \"A: 1\"\n    And at least 9% of responses are fallbacks, marked by \"a: 1\" in the body", 10, "at least", "marked by", "one mark"},
	{"fallbacks without a mark", "When \"payments\" hangs for 5s\n    Then at least 9% of responses are fallbacks", 9, "at least", "how a fallback is marked", "X-Degraded"},
	{"two marks", "When \"payments\" hangs for 5s\n    Then at least 9% of responses are fallbacks, marked by header \"A: 1\"\n    And at least 9% of responses are fallbacks, marked by header \"B: 1\"", 10, "at least", `marked by "A: 1" elsewhere`, "one mark"},
	{"affected by no fault", "When \"payments\" hangs for 5s\n    Then at least 5 calls from \"orders\" to \"inventory\" were affected by the fault", 9, "at least", `no fault of this scenario acts from "orders" to "inventory"`, "injected above"},
	{"gives up on tcp", "When \"payments\" hangs for 5s\n    Then \"orders\" gives up on \"db\" within 1s", 9, `"orders"`, "has no calls", "http"},
	{"calls of a tcp service", "When \"payments\" hangs for 5s\n    Then \"db\" receives at most 5 calls per second", 9, `"db"`, "no link to \"db\" has calls", "http"},
	{"TLS of no link", `And TLS from "front" to "payments" is terminated`, 8, `"front"`, `no link from "front" to "payments"`, `"front" depends on`},
	{"TLS twice", "And TLS from \"orders\" to \"payments\" is terminated\n    And TLS from \"orders\" to \"payments\" is terminated, trusting any certificate", 9, `"orders"`, "terminated already", "once"},
	{"a CA and trust in any certificate", `And TLS from "orders" to "payments" is terminated, trusting the CA in "a.pem", trusting any certificate`, 8, `"a.pem"`, "both a CA and trust in any certificate", "leave one out"},
	{"a CA without a name", `And TLS from "orders" to "payments" is terminated, trusting the CA in ""`, 8, `""`, "name is empty", "path"},
	{"stops calling over tcp", "When \"payments\" hangs for 5s\n    Then \"orders\" stops calling \"db\" within 1s of the fault", 9, `"orders"`, "has no calls", "declare its protocol: grpc, http"},
	{"unknown kind of failure", "When \"payments\" hangs for 5s\n    Then failures are only of these kinds during the fault:\n      | kind | at most |\n      | slow | 5% |", 11, "slow", `no kind of failure "slow"`, "status 503, or one of: timed out, refused"},
	{"kind of failure twice", "When \"payments\" hangs for 5s\n    Then failures are only of these kinds during the fault:\n      | kind | at most |\n      | reset | 5% |\n      | reset | 5% |", 12, "reset", `"reset" stands there twice`, "leave one"},
	{"limit of a kind that is none", "When \"payments\" hangs for 5s\n    Then failures are only of these kinds during the fault:\n      | kind | at most |\n      | status 503 | few |", 11, "few", `"few" is not a share`, ""},
	{"no status of a refusal", "When \"payments\" hangs for 5s\n    Then excess requests are refused within 50ms with status \"too many\"", 9, `"too many"`, `"too many" names no status of HTTP`, "429 or 503"},
	{"status of a refusal out of range", "When \"payments\" hangs for 5s\n    Then excess requests are refused within 50ms with status \"42\"", 9, `"42"`, `"42" is not a status`, "from 100 to 599"},
	{"budget that no run can spend", "When \"payments\" hangs for 5s\n    Then the run spends at most 5% of the 30-day error budget of a 99.9% objective", 9, "the run", "this can never fail: it allows an outage of 2m9.6s, and the whole load lasts 12s", "lower limit"},
	{"objective without a budget", "When \"payments\" hangs for 5s\n    Then the run spends at most 5% of the 30-day error budget of a 100% objective", 9, "100%", "an objective of 100% has no error budget", "99.9%"},
	{"table where none belongs", "When \"payments\" hangs for 5s\n      | a |", 8, `"payments"`, "takes no table", "leave the table out"},
	{"table that lacks", `When these faults run together for 5s:`, 8, "these faults", "a table has to follow", "fault"},
	{"doc string that lacks", `And the service "x" is started with:`, 8, "the service", "a doc string has to follow", "program"},
	{"unknown column", "When these faults run together for 5s:\n      | fault | to       | amount |\n      | hang  | payments | 5      |", 9, "amount", `no column "amount"`, `"value"`},
	{"unknown fault in a table", "When these faults run together for 5s:\n      | fault | to       |\n      | hangs | payments |", 10, "hangs", `no fault "hangs"`, `did you mean "hang"?`},
	{"link of replies the wrong way round in a table", "When these faults run together for 5s:\n      | fault        | from     | to     | value |\n      | lost replies | payments | orders | reset |", 8, "these", `"payments" does not depend on "orders"`, `did you mean from "orders" to "payments"?`},
	{"value that lacks", "When these faults run together for 5s:\n      | fault      | from   | to       |\n      | slow calls | orders | payments |", 10, "slow calls", "needs a value", "are delayed by"},
	{"value that does not belong", "When these faults run together for 5s:\n      | fault | to       | value |\n      | hang  | payments | 5s    |", 10, "5s", "has no value", "empty"},
	{"steady state nobody measures", "And the steady state is:\n      | measure | condition |\n      | mood    | good      |", 10, "good", "not a measure of the steady state", "p95 latency"},
	{"command for a shell", "And the service \"x\" is started with:\n      \"\"\"\n      run 'a b' | tee log\n      \"\"\"", 8, "the service", "no shell reads the command", "lists"},
	{"service described twice", `And the service "orders" at "127.0.0.1:80"`, 8, `"orders"`, "was described before, at a.feature:3", "once"},
	{"wrong address", `And the service "extra" at "somewhere"`, 8, `"somewhere"`, "is not an address", "127.0.0.1:8080"},
	{"unknown protocol", "And the service \"extra\" at \"127.0.0.1:80\"\n    And \"front\" depends on \"extra\" over htp", 9, `"front"`, `no protocol "htp"`, `did you mean "http"?`},
}

// brokenFeatures are complete feature files.
var brokenFeatures = []brokenCase{
	{"empty", ``, 1, "", "holds no feature", "begin with"},
	{"prose", "Once upon a time", 1, "Once", "not Gherkin", "begins with: Feature:"},
	{"step outside of a scenario", "Feature: a\n  Given the load stops\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    When 5s pass\n", 2, "Given", "prose to Gherkin", "stand in a scenario"},
	{"misspelt keyword", "Feature: a\n  Scenario: b\n    Gven the system described in \"system.yaml\"\n    When 5s pass\n", 3, "Gven", "prose to Gherkin", "Given, When, Then"},
	{"misspelt keyword further down", "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    Wen 5s pass\n", 4, "Wen", "not Gherkin", "Given, When, Then"},
	{"no scenario", "Feature: a\n", 1, "Feature", "no scenario", "Scenario:"},
	{"no steps", "Feature: a\n  Scenario: b\n", 2, "", "no steps", "take it out"},
	{"no system", "Feature: a\n  Scenario: b\n    When \"a\" hangs for 5s\n", 2, "", "no system is described", "system.yaml"},
	{"system file that is not there", "Feature: a\n  Scenario: b\n    Given the system described in \"sistem.yaml\"\n", 3, `"sistem.yaml"`, "cannot be read", "relative to the feature"},
	{"system file outside", "Feature: a\n  Scenario: b\n    Given the system described in \"../system.yaml\"\n", 3, `"../system.yaml"`, "outside", "relative to the feature"},
	{"outline without examples", "Feature: a\n  Scenario Outline: b\n    When <x> pass\n", 2, "Scenario Outline", "no examples", "Examples:"},
	{"column that lacks", "Feature: a\n  Scenario Outline: b\n    Given the system described in \"system.yaml\"\n    When <tine> pass\n    Examples:\n      | time |\n      | 5s   |\n", 4, "When", `no column "tine"`, `did you mean "time"?`},
	{"row of other length", "Feature: a\n  Scenario Outline: b\n    When <time> pass\n    Examples:\n      | time |\n      | 5s   | 6s |\n", 6, "| 5s", "another number of cells", "ends with |"},
	{"wrong value in a row", "Feature: a\n  Scenario Outline: b\n    Given the system described in \"system.yaml\"\n    When <time> pass\n    Examples:\n      | time |\n      | 5    |\n", 4, "<time>", `"5" has no unit`, "2s"},
	{"unknown language", "# language: xx\nFeature: a\n", 1, "", `no language xx`, "language: en"},
	{"doc string without an end", "Feature: a\n  Scenario: b\n    Given the service \"x\" is started with:\n      \"\"\"\n      run\n", 6, "", "ends too early", "doc string"},
	{"check without load", "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    When \"payments\" hangs for 5s\n    Then at least 99% of requests succeed\n", 5, "at least", "there is no load", "steady load"},
	{"baseline check without load", "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    When \"payments\" hangs for 5s\n    Then \"payments\" receives at most 2 times its normal calls\n", 5, `"payments"`, "no load to measure", "steady load"},
	{"retries without load", "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    And clients retry failed requests up to 3 times\n", 4, "clients", "without a load", "steady load"},
	{"baseline without load", "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    And a baseline is measured for 5s\n", 4, "a baseline", "without a load", "steady load"},
	{"stop rule without load", "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    And the run stops at once if fewer than 5% of requests succeed for 5s\n", 4, "the run", "there is no load", "steady load"},
	{"load of nothing", "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    And a steady load of 0 requests per second on \"GET /recs\"\n    When 5s pass\n", 4, "0", "is none", "at least 1"},
	{"load for no time", "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    And a steady load of 5 requests per second on \"GET /recs\"\n", 4, "a steady", "last no time", "When 30s pass"},
	{"shares that do not add up", "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    And a steady load of 5 requests per second with this mix:\n      | route | share |\n      | GET /recs | 80% |\n    When 5s pass\n", 4, "a steady", "sum to 80%", "100%"},
	{"route that could be anybody's", "Feature: a\n  Scenario: b\n    Given the service \"x\" at \"127.0.0.1:81\"\n    And the service \"y\" at \"127.0.0.1:82\"\n    And a steady load of 5 requests per second on \"GET /\"\n    When 5s pass\n", 5, "a steady", `could be "x", "y"`, "serves"},
	{"load over a socket", "Feature: a\n  Scenario: b\n    Given the service \"x\" at \"unix:/x.sock\"\n    And a steady load of 5 requests per second on \"GET /\"\n    When 5s pass\n", 4, "a steady", "listens on a Unix socket", "has a port"},
	{"link to nobody", "Feature: a\n  Scenario: b\n    Given the service \"x\" at \"127.0.0.1:81\"\n    And \"x\" depends on \"y\" over http\n    When 5s pass\n", 4, `"x"`, `no service "y"`, "services"},
	{"circle", "Feature: a\n  Scenario: b\n    Given the service \"x\" at \"127.0.0.1:81\"\n    And \"x\" depends on \"y\" at \"127.0.0.1:82\"\n    And \"y\" depends on \"x\"\n    When 5s pass\n", 4, `"x"`, "in a circle (x -> y -> x)", "leave out"},
}

// brokenSystems are system files.
var brokenSystems = []brokenCase{
	{"empty", "", 1, "", "the file is empty", "services"},
	{"no services", "services: {}", 1, "", "describes no service", "services"},
	{"not a mapping", "- a\n- b\n", 1, "-", "has to be a mapping, not a list", "key: value"},
	{"broken YAML", "services:\n  a: {command: [x}\n", 2, "", "", "brackets"},
	{"unknown key", "service:\n  a: {address: \"localhost:1\"}\n", 1, "service", `has no key "service"`, `did you mean "services"?`},
	{"unknown key of a service", "services:\n  a:\n    comand: [x]\n", 3, "comand", `the service "a" has no key "comand"`, `did you mean "command"?`},
	{"key twice", "services:\n  a: {address: \"localhost:1\"}\n  a: {address: \"localhost:2\"}\n", 3, "a", "already defined", "leave one"},
	{"command for a shell", "services:\n  a:\n    command: run -p 80\n", 3, "run", "a list of arguments, not a line for a shell", `write a list: ["run", "-p", "80"]`},
	{"empty command", "services:\n  a:\n    command: []\n", 3, "[]", "the command is empty", "the program"},
	{"number among the arguments", "services:\n  a:\n    command: [run, 80]\n", 3, "80", "has to be a text, not a number", "in quotes"},
	{"NUL in an argument", "services:\n  a:\n    command: [run, \"a\\0b\"]\n", 3, "\"a\\0b\"", "holds the control character U+0000", "leave it out"},
	{"escape in a path", "services:\n  a:\n    command: [run]\n    ready: {http: \"/\\e\"}\n", 4, "\"/\\e\"", "holds the control character U+001B", "leave it out"},
	{"port of words", "services:\n  a:\n    command: [run]\n    port: http\n", 4, "http", "a port has to be a number", "8080"},
	{"port out of range", "services:\n  a:\n    command: [run]\n    port: 70000\n", 4, "70000", "70000 is not a port", "65535"},
	{"length without a framing", "services:\n  a:\n    address: localhost:1\n    depends:\n      b: {protocol: lengths}\n  b:\n    address: localhost:2\n", 5, "b", "width must be 1, 2, 4 or 8", "framing: {width: 4"},
	{"length of three bytes", "services:\n  a:\n    address: localhost:1\n    depends:\n      b: {protocol: lengths, framing: {width: 3}}\n  b:\n    address: localhost:2\n", 5, "3", "no length has 3 bytes", "1, 2, 4 or 8"},
	{"width of words", "services:\n  a:\n    address: localhost:1\n    depends:\n      b: {protocol: lengths, framing: {width: wide}}\n  b:\n    address: localhost:2\n", 5, "wide", "a width has to be a number", "1, 2, 4 or 8"},
	{"framing of a known protocol", "services:\n  a:\n    address: localhost:1\n    depends:\n      b: {protocol: http, framing: {lockstep: true}}\n  b:\n    address: localhost:2\n", 5, "{lockstep", "framing of http: only lines and lengths", "protocol: lengths"},
	{"width of lines", "services:\n  a:\n    address: localhost:1\n    depends:\n      b: {protocol: lines, framing: {width: 4}}\n  b:\n    address: localhost:2\n", 5, "{width", "there is no length", "lockstep only"},
	{"framing that has no such key", "services:\n  a:\n    address: localhost:1\n    depends:\n      b: {protocol: lines, framing: {lockstp: true}}\n  b:\n    address: localhost:2\n", 5, "lockstp", `framing has no key "lockstp"`, `did you mean "lockstep"?`},
	{"framing that is a word", "services:\n  a:\n    address: localhost:1\n    depends:\n      b: {protocol: lines, framing: lockstep}\n  b:\n    address: localhost:2\n", 5, "lockstep", "framing has to be a mapping", "`key: value`"},
	{"no command and no address", "services:\n  a: {dir: x}\n", 2, "a", "neither a command nor an address", "how to start"},
	{"command and address", "services:\n  a:\n    command: [run]\n    address: localhost:1\n", 4, "address", "both a command and an address", "leave one out"},
	{"unknown placeholder", "services:\n  a:\n    command: [run, \"${prot}\"]\n", 3, `"${prot}"`, `"${prot}" stands for nothing`, "${port}"},
	{"placeholder without an end", "services:\n  a:\n    command: [run, \"${port\"]\n", 3, `"${port"`, "not closed", "${port}"},
	{"link that is not there", "services:\n  a:\n    command: [run, \"${link:b}\"]\n  b: {address: \"localhost:1\"}\n", 3, `"${link:b}"`, `"a" does not depend on "b"`, "depends"},
	{"address of nobody", "services:\n  a:\n    command: [run]\n    env: {B: \"${address:cach}\"}\n  cache: {address: \"localhost:1\"}\n", 4, `"${address:cach}"`, "of no service", `did you mean "cache"?`},
	{"depends on nobody", "services:\n  a: {address: \"localhost:1\", depends: [abd]}\n  abc: {address: \"localhost:1\"}\n", 2, "abd]", `no service "abd"`, `did you mean`},
	{"depends on itself", "services:\n  a: {address: \"localhost:1\", depends: [a]}\n", 2, "a]", "depends on itself", "leave the link out"},
	{"unknown protocol", "services:\n  a:\n    address: localhost:1\n    depends: {b: htttp}\n  b: {address: \"localhost:2\"}\n", 4, "htttp", `no protocol "htttp"`, `did you mean "http"?`},
	{"unknown key of a link", "services:\n  a:\n    address: localhost:1\n    depends: {b: {proto: http}}\n  b: {address: \"localhost:2\"}\n", 4, "proto", `has no key "proto"`, `did you mean "protocol"?`},
	{"further port that is not there", "services:\n  a:\n    address: localhost:1\n    depends: {b: {port: peer}}\n  b: {command: [run, \"${port}\", \"${port:per}\"]}\n", 4, "peer", `"b" has no port "peer"`, "let it listen at ${port:peer}"},
	{"further port of a service that runs", "services:\n  a:\n    address: localhost:1\n    depends: {b: {port: peer}}\n  b: {address: \"localhost:2\"}\n", 4, "peer", `"b" has no port "peer"`, "declare another service"},
	{"TLS of another kind", "services:\n  a:\n    address: localhost:1\n    depends: {b: {tls: pass}}\n  b: {address: \"localhost:2\"}\n", 4, "pass", "terminated or passes through", "tls: terminate"},
	{"a CA without TLS", "services:\n  a:\n    address: localhost:1\n    depends: {b: {upstream_ca: a.pem}}\n  b: {address: \"localhost:2\"}\n", 4, "upstream_ca", "without `tls: terminate`", "leave it out"},
	{"a CA and none", "services:\n  a:\n    address: localhost:1\n    depends: {b: {tls: terminate, upstream_ca: a.pem, upstream_insecure: true}}\n  b: {address: \"localhost:2\"}\n", 4, "upstream_insecure", "both a CA and trust in any certificate", "leave one out"},
	{"insecure by a word", "services:\n  a:\n    address: localhost:1\n    depends: {b: {tls: terminate, upstream_insecure: yes please}}\n  b: {address: \"localhost:2\"}\n", 4, "yes please", "true or false", ""},
	{"PROXY protocol of the future", "services:\n  a:\n    address: localhost:1\n    depends: {b: {proxy_protocol: v3}}\n  b: {address: \"localhost:2\"}\n", 4, "v3", `no version "v3"`, `"v1", "v2"`},
	{"relative socket", "services:\n  a:\n    address: localhost:1\n    depends: {b: {listen: \"unix:b.sock\"}}\n  b: {address: \"localhost:2\"}\n", 4, `"unix:b.sock"`, "is not an address", "absolute path"},
	{"clients over a socket", "services:\n  a: {address: \"localhost:1\"}\nclients:\n  depends: {a: {listen: \"unix:/a.sock\"}}\n", 4, `"unix:/a.sock"`, "asks over TCP", "free port"},
	{"ready without TLS", "services:\n  a: {address: \"localhost:1\", depends: {b: {tls: terminate}}}\n  b:\n    command: [run]\n    ready: {http: /livez}\n", 5, "ready", "speaks TLS", "tcp or line"},
	{"CA of nobody", "services:\n  a:\n    command: [run, \"${ca}\"]\n    depends: {b: http}\n  b: {address: \"localhost:2\"}\n", 3, `"${ca}"`, "no link does", "tls: terminate"},
	{"circle", "services:\n  a: {address: \"localhost:1\", depends: [b]}\n  b: {address: \"localhost:2\", depends: [a]}\n", 2, "b", "in a circle", "leave out"},
	{"clients as a service", "services:\n  clients: {address: \"localhost:1\"}\n", 2, "clients", "the load itself", "another name"},
	{"name with a space", "services:\n  my shop: {address: \"localhost:1\"}\n", 2, "my shop", "cannot be the name", "letters"},
	{"ready in two ways", "services:\n  a:\n    command: [run]\n    ready: {http: /, line: up}\n", 4, "", "more than one way", "choose one"},
	{"ready for no time", "services:\n  a:\n    command: [run]\n    ready: {within: soon}\n", 4, "soon", `"soon" is not a duration`, "2s"},
	{"data of a service that runs", "services:\n  a:\n    address: \"127.0.0.1:1\"\n    data: {folder: data}\n", 4, "data", "runs already", "leave `data` out"},
	{"data outside of the service's folder", "services:\n  a:\n    command: [run]\n    data: {folder: ../data}\n", 4, "data", "is not a folder below that of the service", "relative path"},
	{"data without a folder", "services:\n  a:\n    command: [run]\n    data: {size: 64 MB}\n", 4, "data", "names no folder", "{folder: data}"},
	{"data of 1 MB", "services:\n  a:\n    command: [run]\n    data: {folder: data, size: 1 MB}\n", 4, "data", "file system of this size", "from 16 MB"},
	{"stop with a signal of another name", "services:\n  a:\n    command: [run]\n    stop: {signal: INT}\n", 4, "stop", `"INT" is not a signal that asks a program to end`, `did you mean "SIGINT"?`},
	{"stop with a signal mistyped", "services:\n  a:\n    command: [run]\n    stop: {signal: SIGTREM}\n", 4, "stop", `"SIGTREM" is not a signal`, `did you mean "SIGTERM"?`},
	{"stop with SIGKILL", "services:\n  a:\n    command: [run]\n    stop: {signal: SIGKILL}\n", 4, "stop", "cannot be the signal of an orderly stop", "crashes"},
	{"stop of what runs already", "services:\n  a:\n    address: \"localhost:1\"\n    stop: {within: 30s}\n", 4, "stop", "runs already", "leave `stop` out"},
	{"stop for no time", "services:\n  a:\n    command: [run]\n    stop: {within: soon}\n", 4, "soon", `"soon" is not a duration`, "2s"},
	{"expression that is none", "services:\n  a:\n    command: [run]\n    ready: {line: \"(\"}\n", 4, `"("`, "not a regular expression", ""},
	{"path that is none", "services:\n  a:\n    command: [run]\n    serves: [orders]\n", 4, "orders", "not a path", "/orders"},
	{"install what", "services:\n  a:\n    command: [run]\n    install: apt-get install x\n", 4, "install", "without `needs`", "needs"},
	{"header without a value", "services:\n  a: {address: \"localhost:1\"}\nfallback: X-Degraded\n", 3, "X-Degraded", "is not a header", "X-Degraded: true"},
	{"field without a value", "services:\n  a: {address: \"localhost:1\"}\nfallback_in_body: degraded\n", 3, "degraded", "is not a field with a value", "tax_estimated: true"},
	{"marks of both kinds", "services:\n  a: {address: \"localhost:1\"}\nfallback: \"A: b\"\nfallback_in_body: \"a: b\"\n", 4, "\"a: b\"", "are marked by \"A: b\" already", "leave one"},
	{"yes is a word", "services:\n  a: {address: \"localhost:1\"}\nfallback_is_success: \"yes\"\n", 3, `"yes"`, "true or false", ""},
	{"protections with a comma", "services:\n  a: {address: \"localhost:1\"}\nprotections: [\"a,b\"]\n", 3, "\"a,b\"", "cannot be the name of a protection", "without commas"},
	{"groups in a list", "services:\n  a: {address: \"localhost:1\"}\ngroups: [a]\n", 3, "[a]", "groups has to be a mapping", "key: value"},
	{"group of one word", "services:\n  a: {address: \"localhost:1\"}\ngroups: {g: a}\n", 3, "a}", "has to be a list, not a text", "write"},
	{"group of nobody", "services:\n  a: {address: \"localhost:1\"}\ngroups:\n  g: []\n", 4, "g", `the group "g" has no members`, "list services"},
	{"group that is a service", "services:\n  a: {address: \"localhost:1\"}\ngroups:\n  a: [a]\n", 4, "a", `"a" is a service`, "another name"},
	{"group of clients", "services:\n  a: {address: \"localhost:1\"}\ngroups:\n  clients: [a]\n", 4, "clients", `"clients" is a service`, "another name"},
	{"group with a space", "services:\n  a: {address: \"localhost:1\"}\ngroups:\n  my shop: [a]\n", 4, "my shop", "cannot be the name of a group", "letters"},
	{"member who is nobody", "services:\n  node-1: {address: \"localhost:1\"}\ngroups: {g: [node-1, nod-1]}\n", 3, "nod-1", `no service "nod-1"`, `did you mean "node-1"?`},
	{"member twice", "services:\n  a: {address: \"localhost:1\"}\ngroups: {g: [a, a]}\n", 3, "a]", `"a" is in the group "g" twice`, "leave it out"},
	{"member that is a number", "services:\n  a: {address: \"localhost:1\"}\ngroups: {g: [a, 1]}\n", 3, "1]", "has to be a text", "in quotes"},
	{"anchor", "services:\n  a: &x {address: \"localhost:1\"}\n  b: *x\n", 2, "", "an anchor or an alias", ""},
	{"two documents", "services:\n  a: {address: \"localhost:1\"}\n---\nservices: {}\n", 4, "", "second document", "leave"},
}

// brokenLoads are loads, whose sentence is line 4.
var brokenLoads = []brokenCase{
	{"body in no file", `on "POST /orders" with the body in "absent.json"`, 4, `"absent.json"`, "the body cannot be read", "relative to the feature"},
	{"body outside", `on "POST /orders" with the body in "../order.json"`, 4, `"../order.json"`, "lies outside of the folder", "run firedrill"},
	{"unknown placeholder", "on \"POST /orders\" with this body:\n      \"\"\"\n      {\"n\": {{sead}}}\n      \"\"\"", 4, "a steady", `the body of "POST /orders": {{sead}} stands for nothing here`, `did you mean "seed"?`},
	{"random numbers without limits", "on \"POST /orders/{{random}}\"", 4, "a steady", "{{random}} has no two limits", "{{random 1 100}}"},
	{"rows that nobody described", `on "GET /catalog?q={{row.email}}"`, 4, "a steady", "{{row.email}} needs rows", "rows are taken from"},
	{"column that is not there", "on \"GET /catalog?q={{row.mail}}\"\n    And rows are taken from \"customers.csv\"", 4, "a steady", `{{row.mail}}: row 1 has no column "mail"`, `did you mean "email"?`},
	{"chain that keeps nothing", "of this chain:\n      | request | keep |\n      | POST /orders | order |", 6, "order", `"order" keeps nothing`, "order = $.id"},
	{"chain that keeps what is not there", "of this chain:\n      | request | keep |\n      | POST /orders | order = $.[ |", 4, "a steady", `"$.[" is not a path in JSON`, "$.items[0].id"},
	{"value that is kept later", "of this chain:\n      | request | keep |\n      | POST /orders | order = $.id |\n      | GET /orders/{{ordr}} | |", 4, "a steady", "{{ordr}} stands for nothing here", `did you mean "order"?`},
	{"key in a body that is not an object", "on \"POST /orders\" with this body:\n      \"\"\"\n      [{{n}}]\n      \"\"\"\n    And every request carries a fresh idempotency key in the field \"k\" of its JSON body", 8, "every", `the body of "POST /orders" is not an object of JSON`, "let a header carry the key"},
}

func TestBrokenLoads(t *testing.T) {
	const head = "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    And a steady load of 50 requests per second "
	for _, c := range brokenLoads {
		t.Run(c.name, func(t *testing.T) {
			requireProblem(t, c, "a.feature", files(head+c.text+"\n    When 5s pass\n"))
		})
	}
}

func TestBrokenSteps(t *testing.T) {
	for _, c := range brokenSteps {
		t.Run(c.name, func(t *testing.T) {
			requireProblem(t, c, "a.feature", files(prelude+"    "+c.text+"\n"))
		})
	}
}

func TestBrokenFeatures(t *testing.T) {
	for _, c := range brokenFeatures {
		t.Run(c.name, func(t *testing.T) { requireProblem(t, c, "a.feature", files(c.text)) })
	}
}

func TestBrokenSystems(t *testing.T) {
	for _, c := range brokenSystems {
		t.Run(c.name, func(t *testing.T) {
			fsys := files("Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    When 5s pass\n")
			fsys["system.yaml"] = &fstest.MapFile{Data: []byte(c.text)}
			requireProblem(t, c, "system.yaml", fsys)
		})
	}
}

// requireProblem asserts that one problem has the expected position, cause and hint, and that there are no others.
func requireProblem(t *testing.T, c brokenCase, name string, fsys fstest.MapFS) {
	t.Helper()
	es, err := Parse(Source{FS: fsys, Paths: []string{"."}, LookupEnv: os.LookupEnv})
	require.Error(t, err)
	require.Nil(t, es)
	var problems source.Problems
	require.True(t, errors.As(err, &problems))
	require.NotEmpty(t, problems)
	for _, p := range problems {
		assert.NotEmpty(t, p.Hint, "what to do about %q", p.What)
	}
	for _, p := range problems {
		if p.File == name && p.Line == c.line && strings.Contains(p.What, c.what) && strings.Contains(p.Hint, c.hint) {
			if c.mark != "" {
				require.Positive(t, p.Col)
				assert.Equal(t, c.mark, string([]rune(p.Text)[p.Col-1:])[:len(c.mark)], "the caret")
			}
			assert.Contains(t, err.Error(), fmt.Sprintf("%s:%d", name, c.line))
			others := slices.DeleteFunc(slices.Clone(problems), func(q source.Problem) bool { return q == p || strings.Contains(q.What, "last no time") }) // in most cases no time passes
			assert.Empty(t, others, "one mistake should not be told over and over:\n%v", err)
			return
		}
	}
	t.Fatalf("no problem at %s:%d with %q and %q:\n%v", name, c.line, c.what, c.hint, err)
}

func TestProblemFormat(t *testing.T) {
	_, err := Parse(Source{FS: files(prelude + "    When \"paymens\" crashes for 5\n\t\tThen at leest 9% of requests succeed\n"), Paths: []string{"a.feature"}})
	golden(t, "problems.golden", err.Error())
}

func TestAllProblemsAreReported(t *testing.T) {
	fsys := files(prelude+"    When \"paymens\" hangs for 5s\n", "Feature: b\n  Scenario: c\n    When nothing\n")
	_, err := Parse(Source{FS: fsys, Paths: []string{"."}})
	var problems source.Problems
	require.True(t, errors.As(err, &problems))
	var where []string
	for _, p := range problems {
		where = append(where, fmt.Sprintf("%s:%d", p.File, p.Line))
	}
	assert.Equal(t, []string{"a.feature:8", "b.feature:3"}, where)
}

func TestBackgroundIsReportedOnce(t *testing.T) {
	_, err := Parse(Source{FS: files("Feature: a\n  Background:\n    Given nothing of the sort\n  Scenario: b\n    When 5s pass\n  Scenario: c\n    When 6s pass\n"), Paths: []string{"."}})
	assert.Equal(t, 1, strings.Count(err.Error(), "nothing of the sort"))
}

// TestConsequencesAreNotReported: a mistake must not cause further problems.
func TestConsequencesAreNotReported(t *testing.T) {
	for text, what := range map[string]string{
		"And the blast radius is limited to \"ordrs\"\n    When \"orders\" hangs for 5s":                                    `no service "ordrs"`,
		"When \"orders\" hngs\n    And 5s pass\n    And \"orders\" resumes":                                                 "not known",
		"When \"orders\" hngs\n    And 5s pass\n    And the fault is healed":                                                "not known",
		"When \"orders\" hangs\n    And 5s pass\n    And \"ordrs\" resumes":                                                 `no service "ordrs"`,
		"When only \"charge\" calls from \"orders\" to \"payments\" are delayed by 1s for 5s":                               `"charge" is not a route`,
		"When \"payments\" hangs for 5s\n    Then \"GET /catalg\" recovers within 5s of healing":                            `no load runs on "GET /catalg"`,
		"When calls from \"orders\" to \"paymens\" are delayed by 1s for 5s":                                                `no service "paymens"`,
		"Then at least 99% of requests succeed during the fault":                                                            "no fault is injected",
		"When \"payments\" hangs for 5 parsecs\n    Then \"POST /orders\" recovers within 5s of healing":                    "not a duration",
		"When calls from \"orders\" to \"payments\" are slw for 5s\n    Then \"orders\" gives up on \"payments\" within 1s": "not known",
	} {
		_, err := Parse(Source{FS: files(prelude + "    " + text + "\n"), Paths: []string{"a.feature"}})
		var problems source.Problems
		require.ErrorAs(t, err, &problems, text)
		require.Len(t, problems, 1, "%v", err)
		assert.Contains(t, problems[0].What, what)
	}
	noLoad := "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    And a stedy load of 50 requests per second on \"GET /recs\"\n"
	for _, text := range []string{
		noLoad + "    When the load changes from 50 to 100 requests per second over 3s\n    And the load stops\n",
		strings.Replace(prelude, "| 50%   |", "| half  |", 1) + "    When 5s pass\n",
	} {
		_, err := Parse(Source{FS: files(text), Paths: []string{"a.feature"}})
		var problems source.Problems
		require.ErrorAs(t, err, &problems, text)
		require.Len(t, problems, 1, "%v", err)
	}
}
