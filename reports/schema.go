package reports

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// SchemaVersion is the value of "schema" in report.json. It changes when a reader of the earlier one would misread the
// new one; new fields do not change it.
const SchemaVersion = 1

// schema is a JSON Schema, or a part of one.
type schema = map[string]any

// Schema returns the JSON Schema of report.json. It is derived from the types that are encoded, so it cannot disagree with
// them. It allows further fields, which later versions may have.
func Schema() []byte {
	defs := schemaWriter{}
	root := defs.of(reflect.TypeFor[document]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = "https://github.com/firedrill-dev/firedrill/reports/report.schema.json"
	root["title"] = "report.json of Firedrill"
	root["$defs"] = map[string]schema(defs)
	raw, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // maps of strings, numbers and lists
	}
	return append(raw, '\n')
}

// schemaWriter holds the schemas of the structs that a schema refers to, by the names of their types.
type schemaWriter map[string]schema

var (
	marshalsText = reflect.TypeFor[encoding.TextMarshaler]()
	marshalsJSON = reflect.TypeFor[json.Marshaler]()
)

// enums lists the values of fields that have few, by their types and names.
var enums = map[string][]string{
	"document.outcome":         ranks[1:],
	"documentScenario.outcome": ranks,
	"documentVerdict.outcome":  {"passed", "failed", "inconclusive"},
	"documentVerdict.withheld": {"passed", "failed"},
	"documentFinding.severity": journal.Severities(),
	"Recovery.outcome":         {check.Recovered, check.NotRecovered, check.NotKnown},
}

// of returns the schema of the values that encoding/json writes for a type.
func (w schemaWriter) of(t reflect.Type) schema {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return schema{"type": "integer", "description": "nanoseconds"}
	case t == reflect.TypeFor[time.Time]():
		return schema{"type": "string", "format": "date-time"}
	case t.Implements(marshalsText):
		return schema{"type": "string"}
	case t.Implements(marshalsJSON):
		return schema{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.of(t.Elem())
	case reflect.String:
		return schema{"type": "string"}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Float64:
		return schema{"type": "number"}
	case reflect.Slice, reflect.Array:
		return schema{"type": "array", "items": w.reference(t.Elem())}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": w.reference(t.Elem())}
	case reflect.Struct:
		return w.object(t)
	}
	return schema{"type": "integer"}
}

// reference returns the schema of a type. That of a struct is written once.
func (w schemaWriter) reference(t reflect.Type) schema {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() || t.Implements(marshalsJSON) {
		return w.of(t)
	}
	if w[t.Name()] == nil {
		w[t.Name()] = schema{} // so that a type may contain itself
		w[t.Name()] = w.of(t)
	}
	return schema{"$ref": "#/$defs/" + t.Name()}
}

func (w schemaWriter) object(t reflect.Type) schema {
	properties, required := map[string]schema{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || f.Anonymous && tag == "" || tag == "-" {
			continue
		}
		if tag == "" {
			tag = f.Name
		}
		p := w.reference(f.Type)
		if values := enums[t.Name()+"."+tag]; values != nil {
			p["enum"] = values
		}
		optional := strings.Contains(options, "omit")
		if !optional {
			required = append(required, tag)
		}
		switch f.Type.Kind() {
		case reflect.Slice, reflect.Map, reflect.Pointer:
			if !optional {
				p = schema{"anyOf": []schema{p, {"type": "null"}}}
			}
		}
		properties[tag] = p
	}
	if t == reflect.TypeFor[document]() {
		properties["schema"] = schema{"const": SchemaVersion}
	}
	return schema{"type": "object", "properties": properties, "required": required}
}
