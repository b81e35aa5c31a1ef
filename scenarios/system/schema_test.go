package system

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/protocols"
)

func TestSchemaHasTheKeysOfTheReader(t *testing.T) {
	var doc map[string]any
	require.NoError(t, json.Unmarshal(Schema(protocols.All()), &doc))
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
		{standInKeys, keys("$defs", "service", "properties", "stand_in")},
		{standInRouteKeys, slices.Sorted(maps.Keys(at("$defs", "service", "properties", "stand_in", "properties", "routes", "additionalProperties", "properties").(map[string]any)))},
		{dataKeys, keys("$defs", "service", "properties", "data")},
		{stopKeys, keys("$defs", "service", "properties", "stop")},
		{effectKeys(), keys("$defs", "effects")},
		{framingKeys, keys("$defs", "framing")},
		{probeKeys, keys("$defs", "probe")},
		{commandKeys, keys("$defs", "command")},
		{quarantineKeys, keys("$defs", "quarantine")},
		{limitKeys, keys("properties", "limits")},
		{stopRuleKeys, keys("$defs", "stop_rule")},
		{toxiproxyKeys, slices.Sorted(maps.Keys(link["toxiproxy"].(map[string]any)["properties"].(map[string]any)))},
		{linkKeys, slices.Sorted(maps.Keys(link))},
	} {
		assert.ElementsMatch(t, c.reader, c.schema)
	}
	var known []any
	for _, p := range protocols.All().Names() {
		known = append(known, p)
	}
	assert.ElementsMatch(t, known, at("$defs", "protocol", "enum"), "the schema's protocols are those of the table")
}
