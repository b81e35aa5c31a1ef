package evidence

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWrong(t *testing.T) {
	for want, a := range map[string]Accounts{
		"":                                  {Received: 3, Copies: 1, Injected: 1, Delivered: 3, Dropped: 1, Collateral: 1, Written: 4},
		"1 of 3 messages have no outcome":   {Received: 3, Delivered: 2, Written: 2, Pending: 1},
		"1 of 3 messages have two outcomes": {Received: 3, Delivered: 4, Written: 4, Pending: -1},
		"3 messages count as delivered, and only 2 were written":                                  {Received: 3, Delivered: 3, Written: 2},
		"3 messages were written, and only 1 count as delivered, 1 as lost with their connection": {Received: 3, Delivered: 1, Collateral: 1, Dropped: 1, Written: 3},
	} {
		assert.Equal(t, want, a.Wrong())
	}
}
