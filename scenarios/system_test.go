package scenarios

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
    command: [mail]
    ready: {tcp: true}
    depends: [stock]
  ads:
    address: unix:/run/ads.sock
clients:
  depends: {orders: http}
groups: {money: [orders, payments], west: [orders, stock]}
fallback: "x-degraded: yes"
fallback_is_success: true
`

func TestSystemFile(t *testing.T) {
	sys, err := ReadSystem(fstest.MapFS{"a/system.yaml": {Data: []byte(full)}}, "a/system.yaml")
	require.NoError(t, err)
	raw, err := json.MarshalIndent(sys, "", "  ")
	require.NoError(t, err)
	golden(t, "system.golden", string(raw)+"\n")
	assert.Equal(t, "a", sys.Dir)
}

func TestOrderIsDependenciesFirst(t *testing.T) {
	sys, err := ReadSystem(fstest.MapFS{"s": {Data: []byte(full)}}, "s")
	require.NoError(t, err)
	order, err := sys.Order()
	require.NoError(t, err)
	var names []string
	for _, s := range order {
		names = append(names, s.Name)
	}
	assert.Equal(t, []string{"payments", "stock", "ads", "orders", "mail"}, names)

	sys.Links = append(sys.Links, Link{From: "stock", To: "mail"})
	_, err = sys.Order()
	require.ErrorContains(t, err, "stock -> mail -> stock")
}

// TestLinkTransport tests the description of links in plans.
func TestLinkTransport(t *testing.T) {
	for want, l := range map[string]Link{
		"tcp":                  {},
		"http":                 {Protocol: "http"},
		"http, TLS terminated": {Protocol: "http", TLS: &TLS{CA: "a.pem"}},
		"http, TLS terminated, any certificate trusted, PROXY protocol v1, at unix:/a": {Protocol: "http", TLS: &TLS{Insecure: true}, ProxyProtocol: "v1", Listen: "unix:/a"},
	} {
		assert.Equal(t, want, l.transport())
	}
	e := &Experiment{System: System{Links: []Link{{From: "a", To: "b", TLS: &TLS{}}}}}
	var b strings.Builder
	require.NoError(t, Plan(&b, []*Experiment{e}))
	assert.Contains(t, b.String(), "open a -> b (tcp, TLS terminated)")
}

// TestTLSInSentences describes links before and after the sentences about their TLS.
func TestTLSInSentences(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want TLS
	}{
		"the machine's own": {`TLS from "orders" to "payments" is terminated`, TLS{}},
		"a file":            {`TLS from "orders" to "payments" is terminated, trusting the CA in "certs/ca.pem"`, TLS{CA: "certs/ca.pem"}},
		"anybody":           {`TLS from "orders" to "payments" is terminated, trusting any certificate`, TLS{Insecure: true}},
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
			require.Equal(t, []Link{{From: "orders", To: "payments", Protocol: "http", TLS: &c.want}}, es[0].System.Links)
		})
	}
}

func TestExpand(t *testing.T) {
	values := func(name, arg string) (string, bool) { return strings.ToUpper(name + arg), name != "none" }
	for in, want := range map[string]string{"": "", "a": "a", "$a $": "$a $", "${a}": "A", "x${a}y${b:c}z": "xAyBCz", "${a:b:c}": "AB:C", "$${a}": "$A"} {
		got, err := Expand(in, values)
		require.NoError(t, err, in)
		assert.Equal(t, want, got, in)
	}
	for in, want := range map[string]string{"${none}": `"${none}" stands for nothing`, "a ${b": "not closed"} {
		_, err := Expand(in, values)
		require.ErrorContains(t, err, want, in)
	}
}

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
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

// TestSchemaRejects lists the broken files that the schema rejects. Names, links and placeholders are validated
// only by Parse.
func TestSchemaRejects(t *testing.T) {
	beyond := []string{"broken YAML", "unknown placeholder", "placeholder without an end", "link that is not there", "address of nobody", "depends on nobody", "depends on itself", "circle",
		"group that is a service", "member who is nobody", "no command and no address", "ready in two ways", "two documents", "anchor", "clients over a socket", "CA of nobody", "ready without TLS"}
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

func TestSchemaHasTheKeysOfTheReader(t *testing.T) {
	var doc map[string]any
	require.NoError(t, json.Unmarshal(Schema(), &doc))
	at := func(path ...string) any {
		var v any = doc
		for _, key := range path {
			v = v.(map[string]any)[key]
		}
		return v
	}
	keys := func(path ...string) []string {
		return slices.Sorted(maps.Keys(at(append(path, "properties")...).(map[string]any)))
	}
	link := at("$defs", "depends", "oneOf").([]any)[1].(map[string]any)["additionalProperties"].(map[string]any)["oneOf"].([]any)[1].(map[string]any)["properties"].(map[string]any)
	for _, c := range []struct {
		reader, schema []string
	}{
		{systemKeys, keys()},
		{serviceKeys, keys("$defs", "service")},
		{clientsKeys, keys("properties", "clients")},
		{readyKeys, keys("$defs", "service", "properties", "ready")},
		{stopKeys, keys("$defs", "service", "properties", "stop")},
		{framingKeys, keys("$defs", "framing")},
		{linkKeys, slices.Sorted(maps.Keys(link))},
	} {
		assert.ElementsMatch(t, c.reader, c.schema)
	}
	var known []any
	for _, p := range protocolNames() {
		known = append(known, p)
	}
	assert.ElementsMatch(t, known, at("$defs", "protocol", "enum"), "the schema's protocols are those of the table")
}
