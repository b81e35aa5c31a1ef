package system

import _ "embed" // for the schema

//go:embed system.schema.json
var schema []byte

// Schema returns the JSON Schema of a system file, for editors. Parse is stricter: it also validates names, links
// and placeholders.
func Schema() []byte { return append([]byte(nil), schema...) }
