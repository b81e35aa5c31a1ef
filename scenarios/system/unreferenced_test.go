package system_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/scenarios/system"
)

func TestMentions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"orders":                          true,
		`"orders" crashes`:                true,
		"orders -> payments":              true,
		"http://${address:orders}/ledger": true,
		"| orders |":                      true,
		"/orders":                         false,
		"orders-eu, orders":               true,
		"orders-eu":                       false,
		"reorders":                        false,
		"orders.yaml":                     false,
		"Orders":                          false,
		"":                                false,
	} {
		assert.Equal(t, want, system.Mentions(text, "orders"), text)
	}
	assert.False(t, system.Mentions("anything", ""))
}
