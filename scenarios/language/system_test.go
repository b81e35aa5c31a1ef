package language

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// full has every key.
const full = `services:
  orders:
    command: ["${self}", "orders", "${port}", "${port:admin}", "${dir}", "${link:payments}", "${address:stock}", "${seed}", "costs $5"]
    env: {WITHOUT: "${without}", SSL_CERT_FILE: "${ca}"}
    dir: work
    port: 8080
    ready: {line: "listening on \\d+", within: 20s}
    stop: {signal: SIGINT, within: 30s}
    serves: [/orders, /ledger]
    needs: redis-server
    install: apt-get install redis-server
    depends:
      payments: {protocol: http, listen: "127.0.0.1:7001"}
      stock: {protocol: lengths, framing: {width: 4, little: true, includes: true, lockstep: true}}
      ads: {protocol: http, listen: "unix:/run/shop/ads.sock", tls: terminate, upstream_ca: certs/ca.pem, proxy_protocol: v2}
  payments:
    command: [payments]
    ready: {http: /livez}
  stock:
    address: 127.0.0.1:9000
  mail:
    command: [mail, "${port:admin}"]
    ready: {tcp: true}
    depends: [stock]
  ads:
    address: unix:/run/ads.sock
clients:
  depends: {orders: http, mail: {port: admin}}
groups: {money: [orders, payments], west: [orders, stock]}
fallback: "x-degraded: yes"
fallback_is_success: true
protections: [fallbacks, retry budget]
probes:
  ready: {http: "orders GET /state", status: 202, contains: "state", json: "state.ready", is: "true", every: 500ms, within: 2s}
  open: {tcp: stock}
  in sync: {command: lag}
  queue: {metric: "orders GET /metrics", name: 'outbox{state="new"}'}
  queued: {metric: "orders GET /queue", json: "0.length"}
commands:
  lag: [check-lag, "${address:stock}"]
  promote: {of: orders, run: [promote, "${dir}", "${port:admin}", "${link:payments}"], within: 30s}
`

func TestSystemFile(t *testing.T) {
	sys, err := scenarios.ReadSystem(fstest.MapFS{"a/system.yaml": {Data: []byte(full)}}, "a/system.yaml")
	require.NoError(t, err)
	raw, err := json.MarshalIndent(sys, "", "  ")
	require.NoError(t, err)
	golden(t, "system.golden", string(raw)+"\n")
	assert.Equal(t, "a", sys.Dir)
}

func TestOrderIsDependenciesFirst(t *testing.T) {
	sys, err := scenarios.ReadSystem(fstest.MapFS{"s": {Data: []byte(full)}}, "s")
	require.NoError(t, err)
	order, err := sys.Order()
	require.NoError(t, err)
	var names []string
	for _, s := range order {
		names = append(names, s.Name)
	}
	assert.Equal(t, []string{"payments", "stock", "ads", "orders", "mail"}, names)

	sys.Links = append(sys.Links, system.Link{From: "stock", To: "mail"})
	_, err = sys.Order()
	require.ErrorContains(t, err, "mail -> stock -> mail")
}

func TestOrderFollowsAddresses(t *testing.T) {
	sys, err := scenarios.ReadSystem(fstest.MapFS{"template": {Data: []byte("peers ${address:second}")}, "s": {Data: []byte(`services:
  first: {command: [a, "${address:second}"], depends: [third]}
  second: {command: [b, "${address:fourth}"]}
  third: {command: [c, "${address:first}"]}
  fourth: {command: [d], files: {conf: template}}
`)}}, "s")
	require.NoError(t, err)
	before := map[string][]string{}
	order, err := sys.Order()
	require.NoError(t, err)
	var names []string
	for _, s := range order {
		names = append(names, s.Name)
		before[s.Name] = sys.Before(s)
	}
	assert.Equal(t, []string{"third", "second", "first", "fourth"}, names)
	assert.Equal(t, map[string][]string{"first": {"third", "second"}, "second": nil, "third": nil, "fourth": nil}, before, "those that need each other do not wait")
}

// TestLinkTransport tests the description of links in plans.
func TestLinkTransport(t *testing.T) {
	for want, l := range map[string]system.Link{
		"tcp":                  {},
		"http":                 {Protocol: "http"},
		"http, TLS terminated": {Protocol: "http", TLS: &system.TLS{CA: "a.pem"}},
		"http, TLS terminated, any certificate trusted, PROXY protocol v1, at unix:/a": {Protocol: "http", TLS: &system.TLS{Insecure: true}, ProxyProtocol: "v1", Listen: "unix:/a"},
	} {
		assert.Equal(t, want, l.Transport())
	}
	e := &scenarios.Experiment{System: system.System{Links: []system.Link{{From: "a", To: "b", TLS: &system.TLS{}}}}}
	var b strings.Builder
	require.NoError(t, scenarios.Plan(&b, []*scenarios.Experiment{e}))
	assert.Contains(t, b.String(), "open a -> b (tcp, TLS terminated)")
}

// resolved returns links with the rows of their protocols.
func resolved(links ...system.Link) []system.Link {
	for i := range links {
		links[i].Resolve(Standard().protocols)
	}
	return links
}

// TestTLSInSentences describes links before and after the sentences about their TLS.
func TestTLSInSentences(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want system.TLS
	}{
		"the machine's own": {`TLS from "orders" to "payments" is terminated`, system.TLS{}},
		"a file":            {`TLS from "orders" to "payments" is terminated, trusting the CA in "certs/ca.pem"`, system.TLS{CA: "certs/ca.pem"}},
		"anybody":           {`TLS from "orders" to "payments" is terminated, trusting any certificate`, system.TLS{Insecure: true}},
	} {
		t.Run(name, func(t *testing.T) {
			text := "Feature: a\n  Scenario: b\n    Given " + c.text + "\n" + `    And the service "orders" is started with:
      """
      orders -ca ${ca}
      """
    And "orders" depends on "payments" at "127.0.0.1:81" over http
    When calls from "orders" to "payments" are delayed by 1s for 5s
`
			es, err := Parse(Source{FS: files(text), Paths: []string{"a.feature"}})
			require.NoError(t, err)
			require.Equal(t, resolved(system.Link{From: "orders", To: "payments", Protocol: "http", TLS: &c.want}), es[0].System.Links)
		})
	}
}

func TestExpand(t *testing.T) {
	values := func(name, arg string) (string, bool) { return strings.ToUpper(name + arg), name != "none" }
	for in, want := range map[string]string{"": "", "a": "a", "$a $": "$a $", "${a}": "A", "x${a}y${b:c}z": "xAyBCz", "${a:b:c}": "AB:C", "$${a}": "$A"} {
		got, err := system.Expand(in, values)
		require.NoError(t, err, in)
		assert.Equal(t, want, got, in)
	}
	for in, want := range map[string]string{"${none}": `"${none}" stands for nothing`, "a ${b": "not closed"} {
		_, err := system.Expand(in, values)
		require.ErrorContains(t, err, want, in)
	}
}

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Standard().Schema()))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("system.schema.json", doc))
	s, err := c.Compile("system.schema.json")
	require.NoError(t, err)
	return s
}

// validateSchema validates a YAML file against the schema.
func validateSchema(t *testing.T, s *jsonschema.Schema, file string) error {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(file))
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

func TestSchemaAcceptsWhatParseAccepts(t *testing.T) {
	s := compiledSchema(t)
	for _, file := range []string{full, shopFile} {
		require.NoError(t, validateSchema(t, s, file))
	}
}

// Services get the variables of the run that the system file names. One that is not set is reported before anything
// starts.
func TestServicesNeedTheirVariables(t *testing.T) {
	fsys := files("Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    When \"a\" hangs for 5s\n")
	fsys["system.yaml"] = &fstest.MapFile{Data: []byte("services:\n  a: {command: [run, \"${env:ADDRESS}\"], env: {TOKEN: \"${env:TOKEN}\"}}\n")}
	set := map[string]string{"ADDRESS": "here", "TOKEN": ""}
	lookup := func(name string) (string, bool) { value, ok := set[name]; return value, ok }
	_, err := Parse(Source{FS: fsys, Paths: []string{"."}, LookupEnv: lookup})
	require.NoError(t, err)
	delete(set, "TOKEN")
	_, err = Parse(Source{FS: fsys, Paths: []string{"."}, LookupEnv: lookup})
	require.ErrorContains(t, err, `a.feature:3:11: "a" needs the environment variable TOKEN, which is not set`)
	require.ErrorContains(t, err, "set TOKEN in the environment of the run")
}

// TestSchemaRejects lists the broken files that the schema rejects. Names, links and placeholders are validated
// only by Parse.
func TestSchemaRejects(t *testing.T) {
	beyond := []string{"broken YAML", "unknown placeholder", "placeholder without an end", "link that is not there", "address of nobody", "depends on nobody", "depends on itself", "circle",
		"group that is a service", "member who is nobody", "no command and no address", "ready in two ways", "marks of both kinds", "two documents", "anchor", "clients over a socket", "CA of nobody", "ready without TLS", "data outside of the service's folder", "data of 1 MB", "further port that is not there", "further port of a service that runs"}
	s := compiledSchema(t)
	refused := 0
	for _, c := range brokenSystems {
		if err := validateSchema(t, s, c.text); !slices.Contains(beyond, c.name) {
			assert.Error(t, err, c.name)
			refused++
		}
	}
	assert.Greater(t, refused, 15)
}
