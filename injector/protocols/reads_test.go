package protocols

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestOperationsThatOnlyRead(t *testing.T) {
	for operation, reads := range map[string]map[string]bool{
		"http":     {"GET /orders/{id}": true, "HEAD /": true, "POST /orders": false, "DELETE /orders/{id}": false, "(message)": false},
		"redis":    {"HGET stock": true, "GET {id}": true, "GETDEL {id}": false, "SELECT 2": false, "INCR {id}": false, "<- MESSAGE": false},
		"postgres": {"SELECT stock": true, "SHOW": true, "INSERT orders": false, "UPDATE stock": false, "COMMIT": false, "PREPARE": false},
	} {
		for name, want := range reads {
			assert.Equal(t, want, All().Find(operation).Reads(name), "%s: %s", operation, name)
		}
	}
}
