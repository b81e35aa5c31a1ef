package language

import (
	"regexp"
	"strings"
)

// parameter is a type of parameter in sentences. Its expression matches more than valid values, so that "800
// parsecs" is reported as a wrong unit and not as an unknown sentence. The build functions validate the value.
type parameter struct {
	name, expression, means string
}

const (
	amount  = `-?\d[\d.,]*`
	ordinal = `\d+(?:st|nd|rd|th)`
	quoted  = `"[^"]*"`

	protocolWord = `[a-z][a-z0-9.]*`

	timespan = amount + `(?: ?[A-Za-zµ]+(?:\d[\d.]*[a-z]+)*)?`
)

// callSelection returns the expression of a selection of calls: by index, share and operation before the noun, by
// key, header and cause after it.
func callSelection(noun string) string {
	return `(?:from the ` + ordinal + ` to the ` + ordinal + `,? |the first ` + amount + ` |every ` + ordinal + ` of the |` + amount + `% of )?(?:only )?(?:` +
		quoted + ` )?` + noun + `(?: with (?:key ` + quoted + `|` + amount + `% of keys))?(?: (?:with|and) header ` + quoted + `)?(?: caused by ` + quoted + ` requests)?`
}

// connectionSelection returns the expression of a selection of connections, before the noun.
func connectionSelection(noun string) string {
	return `(?:` + amount + `% of )?(?:the first ` + amount + ` |all but the first ` + amount + ` |the ` + ordinal + ` to the ` + ordinal + ` )?` + noun
}

// trafficSelection returns the expression of traffic in both directions or one, on all or some connections.
func trafficSelection(noun string) string {
	return `(?:one-way )?` + noun + `(?: on ` + connectionSelection(`connections`) + `)?`
}

// parameters returns the types of parameters that sentences can have.
func (v *Vocabulary) parameters() []parameter {
	return []parameter{
		{"name", quoted, `a service, or "clients" (the load), in quotes: "orders"`},
		{"names", quoted + `(?:(?:, and |, | and )` + quoted + `)*`, `services, or groups of the system file: "orders", "front"`},
		{"load", quoted, `the name of a load, in quotes: "checkout"`},
		{"group", quoted, `a group of the system file, in quotes: "etcd"`},
		{"route", quoted, `method and path, in quotes: "POST /orders"`},
		{"effects", quoted, `a route, or a source of effects of the system file, in quotes: "GET /ledger", "orders table"`},
		{"text", quoted, `anything, in quotes`},
		{"check", `".+"`, `a check of the scenario, in quotes: "no request is applied more than once"; it may have quotes of its own`},
		{"operations", operationWords(), operationForms()},
		{"headers", `headers? ` + quoted + `(?:(?:, and |, | and )` + quoted + `)*`, `header "X-Reason: maintenance", headers "X-Reason: maintenance" and "X-Until: noon"`},
		{"number", amount, `50, 1.5`},
		{"percent", amount + `%`, `99.9%`},
		{"duration", timespan, `800ms, 2s, 5m, 1m30s, 30 seconds`},
		{"size", amount + `(?: ?[A-Za-z]+)?`, `512 B, 64 KB (of 1000 bytes), 64 KiB (of 1024 bytes), 2 MB`},
		{"limit", timespan, `a {size} or a {duration}: 4 KB, 2s`},
		{"percentile", `p\d[\d.]*`, `p50, p95, p99.9`},
		{"protocol", protocolWord, strings.Join(v.protocols.Names(), ", ")},
		{"ending", `[a-z]+`, `reset, closed, silence or held: how the connection ends`},
		{"spread", `normally distributed|with a long tail`, `normally distributed, with a long tail: how far delays stray, as a standard deviation`},
		{"unit", `calls|messages|connections|traffic`, `calls, messages, connections or traffic`},
		{"statuses", amount + `(?:(?:, or |, | or )` + amount + `)*`, `201, 201 or 303, 200, 201 or 202`},
		{"outcome", `is not known|was refused|was acknowledged`, `is not known, was refused, was acknowledged`},
		{"when", `before the fault|during the fault|after healing`, `before the fault, during the fault, after healing; without it the whole run`},
		{"calls", callSelection(`calls?`), `calls, 10% of calls, only "POST /charge" calls, the first 5 calls, every 3rd of the calls, from the 100th to the 200th call, only calls with key "k-1", only calls with header "Tenant: acme", calls with 10% of keys (one that is chosen is chosen at every retry), only calls caused by "POST /orders" requests (of the load; services have to pass the W3C trace context or the key on)`},
		{"requests", callSelection(`requests?`), `as {calls}: requests, 10% of requests, ...`},
		{"replies", callSelection(`repl(?:y|ies)`), `as {calls}: replies, 10% of replies, ...`},
		{"messages", callSelection(`messages?`), `as {calls}: messages, 10% of messages, only "A api.example.com" messages (operation and object), only "INCR" messages (an operation, in capitals), only "orders.*" messages (what they are about), only messages with header "Tenant: acme" (of NATS; its key is Nats-Msg-Id)`},
		{"connections", connectionSelection(`connections`), `connections, 20% of connections, the first 3 connections, all but the first 4 connections, the 2nd to the 9th connections, 20% of the first 50 connections`},
		{"new_connections", connectionSelection(`new connections`), `as {connections}: new connections, 20% of new connections, ...; those that are there are not counted`},
		{"handshakes", connectionSelection(`TLS handshakes`), `as {new_connections}: TLS handshakes, 20% of TLS handshakes, ...`},
		{"traffic", trafficSelection(`traffic`), `traffic, one-way traffic (from the first name to the second only, whichever of them depends on the other), traffic on 20% of connections, one-way traffic on the first 3 connections`},
		{"latency", trafficSelection(`latency`), `as {traffic}: latency, one-way latency, latency on 20% of connections, ...`},
	}
}

// variant is one form of a phrase: its pattern with each optional part that contains a parameter either included
// or left out.
type variant struct {
	source string
	slots  []int // the index of each parameter in the full pattern of the phrase
	expr   *regexp.Regexp
}

var parameterIn = regexp.MustCompile(`\{\w+\}`)

// variants returns all variants of a pattern. Optional parts cannot be nested.
func variants(pattern string) []variant {
	open := strings.IndexByte(pattern, '(')
	var head []variant
	head = append(head, variant{})
	slot := 0
	add := func(text string, optional bool) {
		var own []int
		for range parameterIn.FindAllString(text, -1) {
			own = append(own, slot)
			slot++
		}
		var grown []variant
		for _, v := range head {
			grown = append(grown, variant{source: v.source + text, slots: append(append([]int(nil), v.slots...), own...)})
			if optional {
				grown = append(grown, v)
			}
		}
		head = grown
	}
	for open >= 0 {
		end := strings.IndexByte(pattern, ')')
		part := pattern[open+1 : end]
		add(pattern[:open], false)
		if strings.Contains(part, "{") {
			add(part, true)
		} else {
			add("("+part+")", false)
		}
		pattern = pattern[end+1:]
		open = strings.IndexByte(pattern, '(')
	}
	add(pattern, false)
	return head
}
