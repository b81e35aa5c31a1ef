package evidence

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMet(t *testing.T) {
	for want, c := range map[string]struct {
		links []Tally
		acted bool
	}{
		"3 of 5 calls affected":                                                      {[]Tally{{Unit: "calls", Seen: 5, Affected: 3}}, true},
		"4 of 7 messages affected":                                                   {[]Tally{{Unit: "messages", Seen: 5, Affected: 3}, {Unit: "messages", Seen: 2, Affected: 1}}, true},
		"3 pieces of traffic affected":                                               {[]Tally{{Unit: "traffic", Affected: 3}}, true},
		"only idle connections affected: 2":                                          {[]Tally{{Unit: "connections", Idle: 2}}, true},
		"it affected none of the 5 calls that it met":                                {[]Tally{{Unit: "calls", Seen: 5}}, false},
		"it met nothing: no calls that it could act on came while it was live":       {[]Tally{{Unit: "calls"}}, false},
		"it met nothing: no connections that it could act on came while it was live": {[]Tally{{Unit: "connections"}, {Unit: "connections"}}, false},
	} {
		text, acted := Met(c.links...)
		assert.Equal(t, want, text)
		assert.Equal(t, c.acted, acted, want)
	}
}
