package reports

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// compile compiles a schema.
func compile(t *testing.T, raw []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("report.schema.json", doc))
	s, err := c.Compile("report.schema.json")
	require.NoError(t, err)
	return s
}

// strict returns the schema without leave to have further fields.
func strict(t *testing.T) *jsonschema.Schema {
	t.Helper()
	var doc map[string]any
	require.NoError(t, json.Unmarshal(Schema(), &doc))
	var close func(v any)
	close = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if v["properties"] != nil && v["type"] == "object" {
				v["additionalProperties"] = false
			}
			for _, part := range v {
				close(part)
			}
		case []any:
			for _, part := range v {
				close(part)
			}
		}
	}
	close(doc)
	raw, err := json.Marshal(doc)
	require.NoError(t, err)
	return compile(t, raw)
}

func parsed(t *testing.T, raw []byte) any {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	require.NoError(t, err)
	return doc
}

// filled sets everything in a value that can be set, so that no field is left out.
func filled(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		filled(v.Elem(), depth)
	case reflect.Struct:
		if v.Type().PkgPath() == "time" {
			return
		}
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() && depth < 8 {
				filled(f, depth+1)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		filled(v.Index(0), depth+1)
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		filled(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.New(v.Type().Key()).Elem(), value)
	case reflect.String:
		v.SetString("passed")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint64, reflect.Uint8:
		v.SetUint(1)
	case reflect.Float64:
		v.SetFloat(0.5)
	}
}

// TestSchemaMatchesReports: the schema knows every field of every report, also of one in which no field is left out.
func TestSchemaMatchesReports(t *testing.T) {
	golden(t, "../report.schema.json", Schema())
	s := strict(t)
	books := samples(t)
	books["empty"] = &journal.Book{}
	for name, b := range books {
		require.NoError(t, s.Validate(parsed(t, render(t, writeJSON, b))), name)
	}
	var full document
	filled(reflect.ValueOf(&full).Elem(), 0)
	full.Schema = SchemaVersion
	full.Scenarios[0].Recoveries[0].Outcome = check.NotKnown
	full.Findings[0].Severity = "high"
	raw, err := json.Marshal(full)
	require.NoError(t, err)
	for _, property := range regexp.MustCompile(`(?m)^ {8}"(\w+)": \{$`).FindAllStringSubmatch(string(Schema()), -1) {
		require.Contains(t, string(raw), `"`+property[1]+`":`, "it is not left out")
	}
	require.NoError(t, s.Validate(parsed(t, raw)))
}

func TestSchemaFindsMistakes(t *testing.T) {
	report := string(render(t, writeJSON, samples(t)["failed"]))
	s := compile(t, Schema())
	require.NoError(t, s.Validate(parsed(t, []byte(report))))
	for _, c := range [][2]string{
		{`"schema": 1`, `"schema": 2`},
		{`"outcome": "failed"`, `"outcome": "red"`},
		{`"seed": "42"`, `"seed": 42`},
		{`"took": `, `"tock": `},
		{`"began": "2026-01-02T`, `"began": "yesterday`},
		{`"verdicts": [`, `"verdict": [`},
	} {
		require.Contains(t, report, c[0])
		assert.Error(t, s.Validate(parsed(t, []byte(strings.Replace(report, c[0], c[1], 1)))), c[1])
	}
	require.NoError(t, s.Validate(parsed(t, []byte(strings.Replace(report, `"schema": 1`, `"schema": 1, "later": true`, 1)))), "later versions may add fields")
}
