package language

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios"
)

const datagramFile = `services:
  orders:
    command: [orders, "${link:dns}", "${link:metrics}"]
    serves: [/]
    depends: {dns: dns, metrics: statsd, feed: udp, db: tcp, payments: http, cache: redis, bus: lines, log: {protocol: lengths, framing: {width: 4, lockstep: true}}}
  dns: {address: "udp://127.0.0.1:53"}
  metrics: {command: [metrics], ready: {line: listening}}
  feed: {address: "127.0.0.1:9"}
  db: {address: "127.0.0.1:6379"}
  payments: {command: [payments]}
  cache: {address: "127.0.0.1:6380"}
  bus: {address: "127.0.0.1:10"}
  log: {address: "127.0.0.1:11"}
`

// parseSteps parses a scenario with these steps.
func parseSteps(steps string) ([]*scenarios.Experiment, error) {
	text := "Feature: F\n  Scenario: S\n    Given the system described in \"system.yaml\"\n    And a steady load of 50 requests per second on \"GET /\"\n" + steps
	return Parse(Source{FS: fstest.MapFS{"system.yaml": {Data: []byte(datagramFile)}, "a.feature": {Data: []byte(text)}}, Paths: []string{"a.feature"}})
}

// The first name is the sender. On a link from orders, messages from its dependency are those in the opposite
// direction.
func TestMessagesInBothDirections(t *testing.T) {
	es, err := parseSteps(`    When messages from "dns" to "orders" are lost for 5s
    And 10% of messages from "orders" to "dns" are delivered twice for 5s
    And "orders" and "dns" are cut off from each other for 5s
    Then at least 1 messages from "dns" to "orders" were affected by the fault
    And at least 5 messages from "orders" to "dns" were affected by the fault
`)
	require.NoError(t, err)
	back := es[0].Steps[2].Do.(scenarios.Inject).Faults[0]
	assert.Equal(t, scenarios.Placed{ID: "fault-1", Kind: "lost messages", Fault: injector.LoseMessages{Messages: injector.Messages{Dir: message.ToClient}}, From: "orders", To: "dns"}, back)
	assert.Equal(t, "dns -> orders", back.On())
	assert.Equal(t, `messages from "dns" to "orders" are lost`, back.Fault.Say(back.From, back.To))
	assert.Equal(t, "orders -> dns", es[0].Steps[3].Do.(scenarios.Inject).Faults[0].On())

	var plan bytes.Buffer
	require.NoError(t, scenarios.Plan(&plan, es))
	for _, want := range []string{"orders -> dns (dns)", "orders -> metrics (statsd)", "on dns -> orders; undone after 5s: the next message arrives", "datagrams pass again, and none of those lost meanwhile comes"} {
		assert.Contains(t, plan.String(), want)
	}
}

// Framed protocols have messages. Replies to them can be lost like replies to calls, and are selected by the
// command.
func TestMessagesOfFramedProtocols(t *testing.T) {
	es, err := parseSteps(`    When 20% of "INCR" replies from "cache" to "orders" are lost after the work was done for 5s
    And only "INCR stock:*" messages from "orders" to "cache" are answered with "LOADING" for 5s
    And only "news" messages from "cache" to "orders" are lost, then silence for 5s
    And messages from "orders" to "log" are answered with "sorry" for 5s
    Then at least 1 messages from "orders" to "cache" were affected by the fault
    And "cache" receives at most 100 calls per second during the fault
`)
	require.NoError(t, err)
	var placed []scenarios.Placed
	for _, p := range injections(es[0]) {
		p.ID, p.Kind = "", ""
		placed = append(placed, p)
	}
	assert.Equal(t, []scenarios.Placed{
		{Fault: injector.LoseReplies{Pick: injector.Pick{Share: 0.2, Match: message.Match{Method: "INCR"}}}, From: "orders", To: "cache"},
		{Fault: injector.AnswerMessages{Code: "LOADING", Messages: injector.Messages{Pick: injector.Pick{Match: message.Match{Method: "INCR", Path: "stock:*"}}}}, From: "orders", To: "cache"},
		{Fault: injector.LoseMessages{Then: message.EndSilence, Messages: injector.Messages{Pick: injector.Pick{Match: message.Match{Path: "news"}}, Dir: message.ToClient}}, From: "orders", To: "cache"},
		{Fault: injector.AnswerMessages{Code: "sorry"}, From: "orders", To: "log"},
	}, placed)
}

// Faults on replies apply to everything that is answered, with every selection.
func TestFaultsOnReplies(t *testing.T) {
	for _, step := range []string{
		`replies from "cache" to "orders" are delayed by 500ms, give or take 100ms`,
		`10% of replies from "payments" to "orders" are corrupted`,
		`the first 3 "GET /price" replies from "payments" to "orders" are truncated`,
		`only "incr" replies from "cache" to "orders" are delayed by 1s`,
		`only replies with 10% of keys from "payments" to "orders" are delayed by 1s`,
		`every 2nd of the replies from "log" to "orders" are corrupted`,
		`only "hello" messages from "orders" to "bus" are lost`,
		`only "counter" messages from "orders" to "metrics" are lost`,
		`only "MESSAGE" messages from "cache" to "orders" are delayed by 1s`,
	} {
		es, err := parseSteps("    When " + step + " for 5s\n    Then at least 1% of requests succeed\n")
		require.NoError(t, err, step)
		p := injections(es[0])[0]
		assert.Equal(t, step, p.Fault.Say(p.From, p.To))
	}
}

// Partitions also work on datagram links. Settings that need a stream do not.
func TestPartitionsOfDatagrams(t *testing.T) {
	for file, undo := range map[string]string{
		"dns":             "after 5s: datagrams pass again",
		`payments", "dns`: "after 5s: datagrams pass again, and none of those lost meanwhile comes; all of its links at once; what was held arrives",
	} {
		es, err := parseSteps("    When \"orders\" is cut off from \"" + file + "\" for 5s\n    And \"orders\" is cut off from \"payments\", \"db\" for 5s\n    Then at least 1% of requests succeed\n")
		require.NoError(t, err)
		var plan bytes.Buffer
		require.NoError(t, scenarios.Plan(&plan, es))
		assert.Contains(t, plan.String(), undo)
		assert.Equal(t, 1, strings.Count(plan.String(), "datagrams pass again"))
	}
	for setting, hint := range map[string]string{"tls: terminate": "leave `tls` out", "proxy_protocol: v1": "leave `proxy_protocol` out", `listen: "unix:/a"`: "leave `listen` out"} {
		_, err := scenarios.ReadSystem(fstest.MapFS{"s": {Data: []byte(strings.Replace(datagramFile, "dns: dns", "dns: {protocol: dns, "+setting+"}", 1))}}, "s")
		require.ErrorContains(t, err, hint)
		require.ErrorContains(t, err, "dns goes over UDP")
	}
	_, err := scenarios.ReadSystem(fstest.MapFS{"s": {Data: []byte(strings.Replace(datagramFile, "udp://127.0.0.1:53", "unix:/run/dns.sock", 1))}}, "s")
	require.ErrorContains(t, err, `"dns" listens on a Unix socket, and dns goes over UDP`)
}

func TestFaultsThatDoNotFitTheProtocol(t *testing.T) {
	for _, c := range []struct{ step, what, hint string }{
		{`When messages from "orders" to "db" are lost for 5s`, "the link orders -> db speaks tcp, which has no messages", "declare its protocol: dns"},
		{`When messages from "orders" to "payments" are lost for 5s`, "speaks http, whose messages are calls", "say: calls from"},
		{`When messages from "payments" to "orders" are delayed by 1s for 5s`, "speaks http, whose messages are calls", `or replies from "payments" to "orders"`},
		{`When messages from "cache" to "orders" are delayed by 1s for 5s`, "sends only what subscribers get", `for its answers say: replies from "cache" to "orders"`},
		{`When 10% of messages from "cache" to "orders" are lost for 5s`, "sends only what subscribers get", `say: only "MESSAGE" messages from "cache" to "orders"`},
		{`When messages from "log" to "orders" are corrupted for 5s`, "whatever comes back is an answer", ""},
		{`When only "GET /price" calls from "orders" to "payments" are truncated for 5s`, "GET requests carry no body", `say: replies from "payments" to "orders" are truncated`},
		{`When replies from "dns" to "orders" are delayed by 1s for 5s`, "speaks dns, which has messages and no calls", `from "dns" to "orders" for what comes back`},
		{`When replies from "bus" to "orders" are corrupted for 5s`, "no message is known to be answered", ""},
		{`When replies from "db" to "orders" are corrupted for 5s`, "speaks tcp, which has no calls", ""},
		{`When only "PUT stock" messages from "orders" to "bus" are lost for 5s`, "has an operation, its first word, and no object", ""},
		{`When only "hello world:1" messages from "orders" to "bus" are lost for 5s`, "has an operation, its first word, and no object", ""},
		{`When only "3" messages from "orders" to "bus" are lost for 5s`, "an operation of lines is a word", ""},
		{`When only "PUT" messages from "orders" to "log" are lost for 5s`, "have no operations to choose by", ""},
		{`When 0% of replies from "payments" to "orders" are delayed by 1s for 5s`, "touches nothing", "above 0%"},
		{`When only replies with 0% of keys from "payments" to "orders" are delayed by 1s for 5s`, "touches nothing", "above 0%"},
		{`When messages from "payments" to "orders" are lost for 5s`, "speaks http, whose messages are calls", "say: calls from"},
		{`When calls from "orders" to "dns" are delayed by 1s for 5s`, "speaks dns, which has messages and no calls", `say: messages from "orders" to "dns"`},
		{`When requests from "orders" to "feed" are lost for 5s`, "speaks udp, which has messages and no calls", "say: messages from"},
		{`When replies from "dns" to "orders" are lost after the work was done for 5s`, "speaks dns, which has messages and no calls", `from "dns" to "orders" for what comes back`},
		{`When traffic from "orders" to "feed" is delayed by 1s for 5s`, "speaks udp over UDP, which has neither connections nor a stream", "say: messages from"},
		{`When connections from "orders" to "metrics" are reset for 5s`, "neither connections nor a stream", "say: messages from"},
		{`When messages from "orders" to "dns" are lost, then reset for 5s`, "a datagram has no connection that could end", ""},
		{`When messages from "orders" to "feed" are delivered twice and the second answer is returned for 5s`, "both return", ""},
		{`When messages from "orders" to "feed" are delivered twice and the second answer is returned, the copy 2s late for 5s`, "cannot answer", "leave out"},
		{`When only "INCR stock" replies from "payments" to "orders" are lost after the work was done for 5s`, `"INCR stock" is not a route`, "write method and path"},
		{`When "INCR" requests from "orders" to "payments" are lost for 5s`, `"INCR" is not a route`, "write method and path"},
		{`When calls from "orders" to "cache" are delayed by 1s for 5s`, "speaks redis, which has messages and no calls", `say: messages from "orders" to "cache"`},
		{`When messages from "orders" to "cache" are answered with "SERVFAIL" for 5s`, "known are BUSY, CLUSTERDOWN, LOADING", ""},
		{`When messages from "cache" to "orders" are delivered twice for 5s`, "never sends a published message twice", ""},
		{"When messages from \"orders\" to \"bus\" are lost for 5s\n    Then \"orders\" gives up on \"bus\" within 1s", "for how long \"orders\" waits does not show: no message is known to be answered", "declare the framing as lockstep"},
		{"When messages from \"orders\" to \"dns\" are lost for 5s\n    Then \"orders\" stops calling \"dns\" within 1s of the fault", "where no answer is paired with its request", "over TCP"},
		{`When messages from "orders" to "bus" are answered with "sorry" for 5s`, "no message is known to be answered", ""},
		{`When replies from "bus" to "orders" are lost after the work was done for 5s`, "no message is known to be answered", ""},
		{`When 20% of connections from "orders" to "dns" fall silent for 5s`, "neither connections nor a stream", "say: messages from"},
		{`When one-way traffic from "dns" to "orders" is delayed by 1s for 5s`, "neither connections nor a stream", "say: messages from"},
		{`When messages from "orders" to "dns" are answered with "BUSY" for 5s`, `no answer "BUSY" here`, ""},
		{`When messages from "dns" to "orders" are answered with "SERVFAIL" for 5s`, "answers are lost, and given, to requests", ""},
		{`When messages from "orders" to "feed" are answered with "SERVFAIL" for 5s`, `udp has no fault "answer"`, ""},
		{`When only "GET /" messages from "orders" to "metrics" are lost for 5s`, `no metrics of kind "GET"`, ""},
		{`When only "a.b" messages from "orders" to "feed" are lost for 5s`, "no operations to choose by", ""},
		{`When messages from "dns" to "feed" are lost for 5s`, `"dns" does not depend on "feed"`, ""},
		{"When messages from \"orders\" to \"dns\" are lost for 5s\n    Then at least 1 calls from \"orders\" to \"dns\" were affected by the fault", "speaks dns, which has no calls", "declare its protocol: grpc, http"},
		{"When messages from \"orders\" to \"dns\" are lost for 5s\n    Then at least 1 messages from \"dns\" to \"orders\" were affected by the fault", `no fault of this scenario acts from "dns" to "orders"`, ""},
		{"When messages from \"orders\" to \"dns\" are lost for 5s\n    Then at least 1 messages from \"orders\" to \"db\" were affected by the fault", "speaks tcp, which has no messages", "declare its protocol: dns"},
		{"When messages from \"orders\" to \"dns\" are lost for 5s\n    Then \"orders\" gives up on \"dns\" within 1s", "where no answer is paired with its request", "over TCP"},
		{"When messages from \"orders\" to \"dns\" are lost for 5s\n    Then \"dns\" receives at most 1.5 times its normal calls during the fault", "has calls that could be counted", "http"},
	} {
		_, err := parseSteps("    " + c.step + "\n    Then at least 1% of requests succeed\n")
		require.Error(t, err, c.step)
		assert.Contains(t, err.Error(), c.what, c.step)
		assert.Contains(t, err.Error(), c.hint, c.step)
	}
}

// A process that is reachable only by datagrams cannot be awaited by connecting to it.
func TestReadinessOverUDP(t *testing.T) {
	for ready, ok := range map[string]bool{"": false, ", ready: {within: 5s}": false, ", ready: {line: up}": true, ", ready: {http: /livez}": true, ", ready: {tcp: true}": true} {
		file := strings.Replace(datagramFile, ", ready: {line: listening}", ready, 1)
		_, err := scenarios.ReadSystem(fstest.MapFS{"s": {Data: []byte(file)}}, "s")
		if ok {
			assert.NoError(t, err, ready)
		} else {
			assert.ErrorContains(t, err, `"metrics" is asked over UDP only`, ready)
		}
	}
}

// A violation of the protocol must be stated, and cannot be stated where there is none.
func TestProtocolViolations(t *testing.T) {
	twice := `messages from "cache" to "orders" are delivered twice`
	es, err := parseSteps("    When " + twice + " for 5s, even though redis never does this\n    Then at least 1 messages from \"cache\" to \"orders\" were affected by the fault\n")
	require.NoError(t, err)
	p := es[0].Steps[2].Do.(scenarios.Inject).Faults[0]
	assert.Equal(t, injector.MessagesTwice{Messages: injector.Messages{Dir: message.ToClient, Violates: "redis"}}, p.Fault)
	assert.Equal(t, 5*time.Second, es[0].Steps[2].Do.(scenarios.Inject).For)
	assert.True(t, p.Fault.(injector.OnMessages).Rule().AllowViolation)
	assert.Equal(t, twice+", even though redis never does this", p.Fault.Say(p.From, p.To), "reports say it")
	var plan bytes.Buffer
	require.NoError(t, scenarios.Plan(&plan, es))
	assert.Contains(t, plan.String(), twice+" for 5s, even though redis never does this")

	for _, c := range []struct{ step, what, hint string }{
		{twice + " for 5s", "Redis never sends a published message twice", "end the sentence with `, even though redis never does this`"},
		{twice + " for 5s, even though nats never does this", "speaks redis and not nats", "end the sentence with `, even though redis never does this`"},
		{strings.Replace(twice, "delivered twice", "lost", 1) + " for 5s, even though redis never does this", "speaks redis, which does this", "leave out"},
		{twice + " and the second answer is returned, the copy 2s late for 5s, even though redis never does this", "cannot answer", "leave out"},
	} {
		_, err := parseSteps("    When " + c.step + "\n    Then at least 1% of requests succeed\n")
		require.Error(t, err, c.step)
		assert.Contains(t, err.Error(), c.what)
		assert.Contains(t, err.Error(), c.hint)
	}

	b := scenarios.New("b").ReadSystem(fstest.MapFS{"system.yaml": {Data: []byte(datagramFile)}}, "system.yaml").Load(scenarios.Load{Rate: 1, Mix: []scenarios.Route{{Method: "GET", Path: "/"}}})
	e, err := b.Inject("cache", "orders", injector.ReorderMessages{Wait: time.Second, Messages: injector.Messages{Violates: "redis"}}).For(5 * time.Second).Build()
	require.NoError(t, err)
	assert.Equal(t, `messages from "cache" to "orders" arrive out of order, up to 1s late for 5s, even though redis never does this`, e.Steps[len(e.Steps)-1].Text)
	all := Standard().match(e.Steps[len(e.Steps)-1].Text)
	require.Len(t, all, 1)
	assert.Equal(t, "messages out of order", all[0].phrase.Name)
}

// A fault on the bodies of requests is rejected if the load is known to send none.
func TestCorruptingALoadWithoutBodies(t *testing.T) {
	for load, ok := range map[string]bool{"GET /price": false, "POST /price": true} {
		text := "Feature: F\n  Scenario: S\n    Given the system described in \"system.yaml\"\n    And a steady load of 50 requests per second on \"" + load + "\"\n" +
			"    When calls from \"clients\" to \"web\" are corrupted for 5s\n    Then at least 1% of requests succeed\n"
		file := "services:\n  web: {command: [web], serves: [/]}\nclients: {depends: {web: http}}\n"
		_, err := Parse(Source{FS: fstest.MapFS{"system.yaml": {Data: []byte(file)}, "a.feature": {Data: []byte(text)}}, Paths: []string{"a.feature"}})
		if ok {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, `the load sends "GET /price" only, and such requests carry no body`)
		require.ErrorContains(t, err, `say: replies from "web" to "clients" are corrupted`)
	}
}

// A fault that acknowledges keyed requests in place of the system is rejected: it would lose them itself.
func TestFaultsThatAcknowledge(t *testing.T) {
	const (
		orders = `a steady load of 50 requests per second on "POST /orders"`
		mix    = "a steady load of 50 requests per second with this mix:\n      | route | share |\n      | GET /orders | 50% |\n      | POST /orders | 50% |"
		keyed  = `every request carries a fresh idempotency key in the "Idempotency-Key" header`
		lines  = "a steady load of 50 lines per second on \"lines\":\n      \"\"\"\n      PUT {{key}}\n      \"\"\""
		ok     = `calls from "clients" to "web" answer with status 200 for 5s`
		busy   = `messages from "clients" to "lines" are answered with "BUSY" for 5s`
		status = "write the status of an error, such as 503"
	)
	const file = "services:\n  web: {command: [web], serves: [/], depends: {lines: {protocol: lines, framing: {lockstep: true}}}}\n  lines: {command: [lines]}\nclients: {depends: {web: http, lines: {protocol: lines, framing: {lockstep: true}}}}\n"
	for name, c := range map[string]struct {
		steps      []string
		what, hint string // "" means that it is accepted
	}{
		"status 200":            {[]string{orders, keyed, ok}, `status 200 acknowledges "POST /orders" requests, and none of those that get it arrives`, status},
		"an error":              {[]string{orders, keyed, strings.Replace(ok, "200", "503", 1)}, "", ""},
		"without keys":          {[]string{orders, ok}, "", ""},
		"another 2xx expected":  {[]string{orders, keyed, `"POST /orders" answers 201`, ok}, "", ""},
		"expected":              {[]string{orders, keyed, `"POST /orders" answers 201 or 303`, strings.Replace(ok, "200", "303", 1)}, `status 303 acknowledges`, status},
		"said to acknowledge":   {[]string{orders, keyed, `status 503 means that it was acknowledged`, strings.Replace(ok, "200", "503", 1)}, `status 503 acknowledges`, status},
		"said not to":           {[]string{orders, keyed, `status 202 means that it is not known`, strings.Replace(ok, "200", "202", 1)}, "", ""},
		"a quota":               {[]string{orders, keyed, `"web" answers more than 10 calls per second from "clients" with status 202 for 5s`}, `status 202 acknowledges`, status},
		"only reads":            {[]string{mix, keyed, strings.Replace(ok, "calls", `only "GET /orders" calls`, 1)}, "", ""},
		"writes, too":           {[]string{mix, keyed, strings.Replace(ok, "calls", `only "/orders" calls`, 1)}, `status 200 acknowledges "POST /orders"`, status},
		"between services":      {[]string{orders, keyed, `messages from "web" to "lines" are answered with "BUSY" for 5s`}, "", ""},
		"a line":                {[]string{lines, busy}, `the answer "BUSY" acknowledges "PUT {{key}}" requests`, `say what it means: an answer that begins with "BUSY" means that it was refused`},
		"a line with a meaning": {[]string{lines, `an answer that begins with "BUSY" means that it was refused`, busy}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			last := len(c.steps) - 1
			text := "Feature: F\n  Scenario: S\n    Given the system described in \"system.yaml\"\n    And " + strings.Join(c.steps[:last], "\n    And ") + "\n    When " + c.steps[last] + "\n    Then at least 1% of requests succeed\n"
			_, err := Parse(Source{FS: fstest.MapFS{"system.yaml": {Data: []byte(file)}, "a.feature": {Data: []byte(text)}}, Paths: []string{"a.feature"}})
			if c.what == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.what)
			require.ErrorContains(t, err, c.hint)
		})
	}
}
