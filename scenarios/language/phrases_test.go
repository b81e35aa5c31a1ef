package language

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/feature"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

var update = flag.Bool("update", false, "write the golden files again")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "%s is stale: go test ./scenarios/language -update", path)
}

const shopFile = `services:
  front:
    command: ["${self}", "front", "${port}", "${link:recs}"]
    serves: [/catalog, /recs]
    depends: {orders: http, recs: http}
  orders:
    command: ["${self}", "orders", "${port}", "${link:payments}", "${link:db}"]
    serves: [/orders, /ledger]
    depends:
      payments: http
      inventory: {protocol: http, listen: "127.0.0.1:7001"}
      db: tcp
  payments: {command: ["${self}", "payments", "${port}"]}
  inventory: {command: ["${self}", "inventory", "${port}"]}
  recs: {command: ["${self}", "recs", "${port}"]}
  db: {address: "127.0.0.1:6379"}
`

func files(features ...string) fstest.MapFS {
	fsys := fstest.MapFS{
		"system.yaml":   {Data: []byte(shopFile)},
		"order.json":    {Data: []byte(`{"item": {{n}}}`)},
		"customers.csv": {Data: []byte("email,age\na@example.com,31\n")},
	}
	for i, f := range features {
		fsys[fmt.Sprintf("%c.feature", 'a'+i)] = &fstest.MapFile{Data: []byte(f)}
	}
	return fsys
}

// parseSentence parses one sentence in a context that most sentences need, without the final validation.
func parseSentence(t *testing.T, text string, table [][]string, doc string) (*reading, *source.List) {
	t.Helper()
	out := &source.List{}
	e := &scenarios.Experiment{File: "a.feature"}
	d := &reading{Resolver: scenarios.NewResolver(e, source.Pos{}, out, scenarios.Scope{Faults: injector.Kinds(), Protocols: protocols.All()}), vocabulary: Standard(), files: files(), open: func(name string) (system.System, error) {
		return system.Read(files(), name, nil, protocols.All())
	}}
	s := feature.Step{Keyword: "*", Text: text, Exact: true, At: source.Pos{File: "a.feature", Line: 1, Col: 1, Text: text}}
	for _, cells := range table {
		l := feature.Line{At: s.At, Cells: cells, Cols: make([]int, len(cells))}
		s.Table = append(s.Table, l)
	}
	if doc != "" {
		s.Doc = &doc
	}
	d.AddStep(s.Keyword, s.Text, s.At)
	(&parse{Source: Source{Vocabulary: Standard()}}).step(d, &feature.Scenario{}, s)
	return d, out
}

// sentenceTables has the tables that sentences need.
var sentenceTables = map[string][][]string{
	"services":                    {{"service", "address", "depends on", "protocol"}, {"orders", "127.0.0.1:80", "payments", "http"}, {"payments", "127.0.0.1:81", "", ""}},
	"load with a mix":             {{"route", "share", "body"}, {"GET /catalog", "90%", ""}, {"POST /orders", "10%", `{"item":{{n}}}`}},
	"load of chains":              {{"request", "body", "keep"}, {"POST /orders", `{"item":{{n}}}`, "order = $.id"}, {"POST /pay", `{"order":{{order}}}`, ""}},
	"users with a mix":            {{"route", "share"}, {"GET /catalog", "90%"}, {"POST /orders", "10%"}},
	"other load with a mix":       {{"text", "share", "name"}, {"GET stock", "90%", ""}, {"INCR orders:{{key}}", "10%", "order"}},
	"users with a chain":          {{"request", "body", "keep"}, {"POST /orders", "", "order = $.id"}, {"POST /orders/{{order}}/pay", "", ""}},
	"counted chains":              {{"request", "body", "keep"}, {"POST /orders", "", "order = $.id"}, {"POST /orders/{{order}}/pay", "", ""}},
	"counted requests with a mix": {{"route", "share"}, {"GET /catalog", "90%"}, {"POST /orders", "10%"}},
	"steady state":                {{"measure", "condition"}, {"success", "at least 99%"}, {"p95 latency", "below 400ms"}},
	"failure kinds":               {{"kind", "at most"}, {"status 503", "5%"}, {"timed out", "1%"}},
	"together":                    {{"fault", "from", "to", "share", "value"}, {"slow calls", "orders", "payments", "10%", "800ms, give or take 200ms"}, {"crash", "", "inventory", "", ""}},
}

var docs = map[string]string{"started service": "bin/orders -listen ${port}", "load with a body": `{"item": {{n}}}`, "users with a body": `{"item": {{n}}}`, "counted requests with a body": `{"item": {{n}}}`, "ask with a body": `{"copies": 3}`,
	"other load": "INCR orders", "users of another load": "INCR orders", "counted operations": "INCR orders",
	"calls answered with a body": `{"reason": "maintenance"}`, "replies replaced by a doc string": `{"price": -1}`}

// previousSteps are the phrases that depend on previous steps.
var previousSteps = []string{"start again", "resume", "heal", "heal all", "change the load", "spike", "swing", "recorded rates", "stop the load"}

func TestEachExampleIsOneSentence(t *testing.T) {
	for _, p := range Standard().Phrases() {
		require.NotEmpty(t, p.Examples, p.Name)
		require.NotEmpty(t, p.Means, p.Name)
		require.NotEmpty(t, p.Group, p.Name)
		for _, example := range p.Examples {
			all := Standard().match(example)
			require.Len(t, all, 1, example)
			assert.Equal(t, p.Name, all[0].phrase.Name, example)
			matching := 0
			for _, re := range p.Regexps() {
				if regexp.MustCompile(re).MatchString(example) {
					matching++
				}
			}
			assert.Equal(t, 1, matching, "%s: a runner of Gherkin would find it ambiguous", example)
		}
	}
}

func TestNamesOfPhrasesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Standard().Phrases() {
		assert.False(t, seen[p.Name], p.Name)
		seen[p.Name] = true
	}
}

// TestNoValueMakesASentenceAmbiguous matches every variant of every row, with plain values.
func TestNoValueMakesASentenceAmbiguous(t *testing.T) {
	values := map[string]string{"load": `"checkout"`, "name": `"a"`, "effects": `"orders table"`, "names": `"a", "b"`, "group": `"g"`, "route": `"GET /a"`, "statuses": "201 or 303", "outcome": "was refused", "text": `"a: b"`, "check": `""a" recovers"`, "operations": `messages to the subject "a.b"`, "number": "5", "percent": "5%", "duration": "5s", "size": "5 KB", "percentile": "p50",
		"protocol": "http", "ending": "silence", "unit": "connections", "when": "after healing", "calls": "calls", "requests": "requests", "replies": "replies", "messages": "messages", "connections": "connections",
		"new_connections": "new connections", "handshakes": "TLS handshakes", "traffic": "traffic", "latency": "latency", "limit": "5s", "headers": `headers "A: b", "C"`, "spread": "with a long tail"}
	count := 0
	for _, r := range Standard().Phrases() {
		for _, v := range r.variants {
			text := parameterIn.ReplaceAllStringFunc(v.source, func(p string) string { return values[strings.Trim(p, "{}")] })
			text = regexp.MustCompile(`\(([^)]*)\)`).ReplaceAllString(text, "$1")
			text = strings.ReplaceAll(text, "is/are", "are")
			all := Standard().match(text)
			require.Len(t, all, 1, text)
			require.Equal(t, r.Name, all[0].phrase.Name, text)
			count++
		}
	}
	require.Greater(t, count, 100)
}

func TestExamplesGolden(t *testing.T) {
	var b strings.Builder
	for _, p := range Standard().Phrases() {
		for _, example := range p.Examples {
			if slices.Contains(previousSteps, p.Name) {
				continue
			}
			d, out := parseSentence(t, example, sentenceTables[strings.TrimPrefix(p.Name, "named ")], docs[strings.TrimPrefix(p.Name, "named ")])
			require.NoError(t, out.Err(), example)
			d.System.Dir = ""
			kept := map[string]any{}
			raw, err := json.Marshal(d.Experiment)
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(raw, &kept))
			kept["Checks"] = nil
			for _, c := range d.Checks {
				kept["Checks"] = fmt.Sprintf("%T%+v", c.Check, c.Check)
			}
			kept["Steps"] = nil
			for _, s := range d.Steps {
				if s.Do != nil {
					kept["Steps"] = strings.ReplaceAll(fmt.Sprintf("%T%+v", s.Do, s.Do), "scenarios.", "")
				}
			}
			if d.Load == nil {
				d.AddLoad(source.Pos{}, 0) // collects the settings
				if l := d.Load; l.Keyed() || l.Retries > 0 || l.GiveUp > 0 || len(l.Headers) > 0 || len(l.Rows) > 0 || l.NewConnections || l.CloseIdle > 0 || l.Cookies || l.Redirects || !reflect.DeepEqual(l.Policy, scenarios.RetryPolicy{}) {
					kept["Load"] = l
				}
			}
			for key, value := range kept {
				if value == nil || value == "" || value == 0.0 {
					delete(kept, key)
				}
			}
			if s, ok := kept["System"].(map[string]any); ok && s["Services"] == nil && s["Links"] == nil {
				delete(kept, "System")
			}
			raw, err = json.MarshalIndent(kept, "  ", "  ")
			require.NoError(t, err)
			fmt.Fprintf(&b, "%s\n  %s\n\n", example, raw)
		}
	}
	golden(t, "examples.golden", b.String())
}

// TestFaultsPrintBack prints every kind of fault and parses the result.
func TestFaultsPrintBack(t *testing.T) {
	for _, k := range injector.Kinds() {
		for _, suffix := range []string{"", " for 30s"} {
			d, out := parseSentence(t, k.Example+suffix, nil, "")
			require.NoError(t, out.Err(), k.Example)
			in, ok := d.Steps[0].Do.(scenarios.Inject)
			require.True(t, ok, k.Example)
			require.Len(t, in.Faults, 1)
			assert.Equal(t, k.Value, in.Faults[0].Fault)
			assert.Equal(t, k.Name, in.Faults[0].Kind)
			assert.Equal(t, k.Example, in.Faults[0].Fault.Say(in.Faults[0].From, in.Faults[0].To))
		}
	}
}

// TestPicksPrintBack prints each selection of calls and parses the result.
func TestPicksPrintBack(t *testing.T) {
	for _, f := range []injector.Fault{
		injector.SlowCalls{By: 1500000000, Pick: injector.Pick{First: 5}},
		injector.SlowCalls{By: 1, Pick: injector.Pick{Every: 3}}, // sentences have no unit for 1ns
		injector.Answer{Status: 429, Pick: injector.Pick{Every: 22}},
		injector.LoseReplies{Then: "held", Pick: injector.Pick{From: 100, To: 201}},
		injector.LoseRequests{Pick: injector.Pick{Share: 0.125}},
		injector.Twice{Late: 2000000000, Pick: matched("POST", "/charge", injector.Pick{})},
		injector.Twice{Second: true, Pick: matched("POST", "/charge", injector.Pick{Share: 0.5})},
		injector.LoseMessages{Messages: injector.Messages{Pick: matched("A", "api.example.com", injector.Pick{Every: 2})}},
		injector.LoseMessages{Then: "closed", Messages: injector.Messages{Pick: matched("", "orders.*", injector.Pick{From: 2, To: 3})}},
		injector.AnswerMessages{Code: "LOADING", Messages: injector.Messages{Pick: matched("INCR", "", injector.Pick{First: 3})}},
		injector.MessagesTwice{Second: true, Messages: injector.Messages{Pick: injector.Pick{Share: 0.25}}},
		injector.Reorder{Wait: 500000000, Pick: matched("", "/charge", injector.Pick{First: 7})},
		injector.Answer{Status: 503, RetryAfter: 2000000000, Headers: []string{"X-Reason: maintenance", "Content-Type: text/html"}, Pick: injector.Pick{Share: 0.5}},
		injector.Quota{Calls: 5, Status: 503},
		injector.Quota{Calls: 5, Code: "RESOURCE_EXHAUSTED", RetryAfter: 1500000000},
		injector.LoseCallHeaders{Names: []string{"Traceparent", "Tracestate"}, Pick: matched("POST", "/charge", injector.Pick{})},
		injector.SetReplyHeaders{Headers: []string{"Location: http://127.0.0.1:9/"}, Pick: injector.Pick{First: 2}},
		injector.ReplaceReplies{Pick: injector.Pick{Every: 2}},
		injector.CutReplies{Events: 1},
		injector.StallReplies{Events: 12, Pick: matched("GET", "/feed", injector.Pick{})},
	} {
		says := f.Say("orders", "payments")
		d, out := parseSentence(t, says, nil, "")
		if strings.Contains(says, "1ns") {
			assert.Error(t, out.Err())
			continue
		}
		require.NoError(t, out.Err(), says)
		assert.Equal(t, f, d.Steps[0].Do.(scenarios.Inject).Faults[0].Fault, says)
	}
}

// TestStreamFaultsPrintBack prints directions, selections and spreads, and parses the result as part of a whole
// scenario.
func TestStreamFaultsPrintBack(t *testing.T) {
	back, there := injector.Way{Dir: link.ToClient}, injector.Way{Dir: link.ToServer}
	some := injector.Conns{Share: 0.2, First: 50}
	for _, f := range []injector.Fault{
		injector.Silence{Conns: injector.Conns{Share: 0.125}},
		injector.HalfOpen{Conns: injector.Conns{First: 1}},
		injector.StallTLS{Conns: injector.Conns{From: 5}},
		injector.SlowAccept{By: time.Second, Conns: injector.Conns{From: 2, First: 11}},
		injector.SlowAccept{By: time.Second, Conns: some},
		injector.Reset{After: 1500 * time.Millisecond, Conns: some},
		injector.Reset{AfterBytes: 1 << 20, Conns: injector.Conns{Share: 0.2, From: 5}},
		injector.CloseEarly{AfterBytes: 7, Conns: injector.Conns{Share: 0.2, From: 3, First: 22}},
		injector.CloseLate{By: time.Hour, Conns: some},
		injector.SlowTraffic{By: time.Second, Way: back},
		injector.SlowTraffic{By: time.Second, Jitter: time.Second, Way: injector.Way{Conns: some}},
		injector.SlowTraffic{By: time.Second, Jitter: 500 * time.Millisecond, Spread: link.Normal, Way: back},
		injector.SlowTraffic{By: time.Second, Jitter: 500 * time.Millisecond, Spread: link.Pareto, Way: injector.Way{Dir: link.ToClient, Conns: some}},
		injector.Ramp{Start: time.Second, Over: time.Minute, Way: back},
		injector.Wave{By: time.Second, Up: 30 * time.Second, Down: 30 * time.Second, Way: there},
		injector.Bandwidth{Rate: 1, Way: injector.Way{Dir: link.ToServer, Conns: some}},
		injector.SharedBandwidth{Rate: 64_000, Way: injector.Way{Dir: link.ToClient, Conns: some}},
		injector.Sliced{Size: 1, Apart: time.Millisecond, Way: back},
		injector.Sliced{Size: 1 << 10, Way: there},
	} {
		says := f.Say("orders", "payments")
		e := parsed(t, Source{FS: files("Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    When " + says + " for 1m\n")})[0]
		assert.Equal(t, scenarios.Placed{ID: "fault-1", Kind: injections(e)[0].Kind, Fault: f, From: "orders", To: "payments"}, injections(e)[0], says)
	}
}

func matched(method, path string, p injector.Pick) injector.Pick {
	p.Match.Method, p.Match.Path = method, path
	return p
}

func TestChecksPrintBack(t *testing.T) {
	for _, k := range check.Kinds() {
		if k.Implied {
			continue
		}
		d, out := parseSentence(t, k.Example, sentenceTables[k.Name], "")
		require.NoError(t, out.Err(), k.Example)
		require.Len(t, d.Checks, 1, k.Example)
		assert.Equal(t, k.Value, d.Checks[0].Check)
		assert.Equal(t, k.Example, d.Checks[0].String())
	}
}

// TestFaultTableHasEveryKind compares the sentences of the fault table with the kinds of faults.
func TestFaultTableHasEveryKind(t *testing.T) {
	values := map[string]string{"answered calls": "503", "bandwidth": "64 KB", "lost replies": "silence", "lost requests": "held", "out of order": "500ms", "reset": "4 KB",
		"answered messages": "SERVFAIL", "lost messages": "closed", "messages out of order": "500ms", "messages twice": "2s", "slow messages": "200ms",
		"slow calls": "800ms, give or take 200ms", "slow replies": "500ms", "slow traffic": "50ms", "twice": "2s", "early close": "4 KB", "late close": "2s", "slow accept": "2s", "toxic": `"slicer" with "average_size=64"`, "shared bandwidth": "64 KB",
		"quota": "100", "lost call headers": `header "Authorization"`, "set call headers": `headers "A: b" and "C: d"`, "lost reply headers": `header "Content-Type"`, "set reply headers": `header "A: b"`,
		"replaced replies": "maintenance", "cut replies": "3", "stalled replies": "1",
		"ramp": "0ms to 800ms over 20s", "wave": "500ms, 2s on and 3s off", "sliced traffic": "64 B, 10ms apart"}
	for _, k := range injector.Kinds() {
		share := ""
		if _, form := rowForms(k); strings.Contains(form, "{share}") || strings.Contains(form, "{on}") {
			share = "10%"
		}
		d, out := parseSentence(t, "these faults run together for 30s:", [][]string{{"fault", "from", "to", "share", "value"}, {k.Name, "orders", "payments", share, values[k.Name]}}, "")
		require.NoError(t, out.Err(), k.Name)
		assert.Equal(t, k.Name, d.Steps[0].Do.(scenarios.Inject).Faults[0].Kind)
		assert.Equal(t, "payments", d.Steps[0].Do.(scenarios.Inject).Faults[0].To)
	}
}

// TestFaultTableDirections parses kinds with the prefix "one-way".
func TestFaultTableDirections(t *testing.T) {
	d, out := parseSentence(t, "these faults run together for 30s:", [][]string{{"fault", "from", "to", "share", "value"},
		{"one-way slow traffic", "orders", "payments", "10%", "50ms, give or take 20ms, with a long tail"}, {"one-way shared bandwidth", "payments", "orders", "", "64 KB"}}, "")
	require.NoError(t, out.Err())
	there := injector.Way{Dir: link.ToServer}
	assert.Equal(t, []scenarios.Placed{
		{ID: "fault-1", Kind: "slow traffic", From: "orders", To: "payments", Fault: injector.SlowTraffic{By: 50 * time.Millisecond, Jitter: 20 * time.Millisecond, Spread: link.Pareto,
			Way: injector.Way{Dir: link.ToServer, Conns: injector.Conns{Share: 0.1}}}},
		{ID: "fault-2", Kind: "shared bandwidth", From: "payments", To: "orders", Fault: injector.SharedBandwidth{Rate: 64_000, Way: there}},
	}, d.Steps[0].Do.(scenarios.Inject).Faults)
}
