package system

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/injector/protocols"
)

// schemaAt returns the node of the schema at a path of keys; "1" is also an index into a list.
func schemaAt(t *testing.T, path string) map[string]any {
	t.Helper()
	var node any
	require.NoError(t, json.Unmarshal(Schema(protocols.All()), &node))
	for key := range strings.SplitSeq(path, "/") {
		switch n := node.(type) {
		case map[string]any:
			if key != "" {
				node = n[key]
			}
		case []any:
			node = n[1]
		}
	}
	m, ok := node.(map[string]any)
	require.True(t, ok, "no mapping at %s", path)
	return m
}

// TestSchemaMatchesTypes checks that each mapping of the schema has the fields of its Go type, apart from those that do
// not come from the mapping (without) and keys that fill another field (renamed), and rejects other keys.
func TestSchemaMatchesTypes(t *testing.T) {
	for _, c := range []struct {
		path     string
		of       any
		without  []string
		renamed  map[string]string // key to field
		required []any
	}{
		{path: "", of: System{}, without: []string{"file", "dir"}, renamed: map[string]string{"clients": "links", "fallback_in_body": "fallback"}, required: []any{"services"}},
		{path: "$defs/service", of: Service{}, without: []string{"name", "handler"}, renamed: map[string]string{"depends": ""}},
		{path: "$defs/service/properties/ready", of: Ready{}},
		{path: "$defs/service/properties/stop", of: Stopping{}},
		{path: "$defs/service/properties/stand_in", of: StandIn{}, required: []any{"routes"}},
		{path: "$defs/service/properties/stand_in/properties/routes/additionalProperties", of: StandInRoute{}, without: []string{"method", "path"}},
		{path: "$defs/service/properties/data", of: Data{}, required: []any{"folder"}},
		{path: "$defs/probe", of: Probe{}, without: []string{"name"}, renamed: map[string]string{"name": "series"}},
		{path: "$defs/command", of: Command{}, without: []string{"name"}, required: []any{"run"}},
		{path: "$defs/framing", of: Link{}.Framing},
		{
			path: "$defs/depends/oneOf/1/additionalProperties/oneOf/1", of: Link{}, without: []string{"from", "to", "row", "shared"},
			renamed: map[string]string{"upstream_ca": "tls", "upstream_insecure": "tls"},
		},
	} {
		t.Run(reflect.TypeOf(c.of).Name(), func(t *testing.T) {
			node := schemaAt(t, c.path)
			assert.Equal(t, false, node["additionalProperties"], "unknown keys are rejected")
			if c.required != nil {
				assert.ElementsMatch(t, c.required, node["required"])
			}
			got := map[string]bool{}
			for key := range node["properties"].(map[string]any) {
				if field, ok := c.renamed[key]; ok {
					key = field
				}
				got[strings.ReplaceAll(key, "_", "")] = true
			}
			delete(got, "")
			want := map[string]bool{}
			for _, f := range reflect.VisibleFields(reflect.TypeOf(c.of)) {
				if name := strings.ToLower(f.Name); !slices.Contains(c.without, name) {
					want[name] = true
				}
			}
			assert.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)))
		})
	}
	assert.ElementsMatch(t, process.StopSignals(), schemaAt(t, "$defs/service/properties/stop/properties/signal")["enum"])
}
