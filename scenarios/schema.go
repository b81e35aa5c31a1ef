package scenarios

import _ "embed" // for the schema

//go:embed system.schema.json
var schema []byte

// Schema is the JSON Schema of a system file, for editors. Parse is stricter: it also judges names, links and placeholders.
func Schema() []byte { return append([]byte(nil), schema...) }
