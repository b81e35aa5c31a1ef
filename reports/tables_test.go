package reports

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestErrorsAreListedByRoute: the kind, the route, before, during and after, and when it was first seen.
func TestErrorsAreListedByRoute(t *testing.T) {
	assert.Equal(t, [][]string{
		{"timeout", "POST /orders", "0", "40", "0", "10 of 60 requests due from +5.0s to +6.0s"},
		{"status 503", "POST /orders", "0", "8", "0", "2 of 60 requests due from +5.0s to +6.0s"},
	}, errorTable(samples(t)["failed"].Scenarios[0]))
}
