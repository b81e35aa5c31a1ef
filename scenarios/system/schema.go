package system

import (
	_ "embed" // for the schema
	"fmt"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/protocols"
)

//go:embed system.schema.json
var schema string

// protocolEnum is where the schema lists protocols.
const protocolEnum = `"protocol": { "enum": [%s] }`

// Schema returns the JSON Schema of a system file, for editors. Links can have the protocols of the table. Read is
// stricter: it also validates names, links and placeholders.
func Schema(table protocols.Table) []byte {
	var names []string
	for _, name := range table.Names() {
		names = append(names, fmt.Sprintf("%q", name))
	}
	return []byte(strings.Replace(schema, fmt.Sprintf(protocolEnum, `"tcp"`), fmt.Sprintf(protocolEnum, strings.Join(names, ", ")), 1))
}
