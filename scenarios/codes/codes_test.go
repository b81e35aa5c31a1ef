package codes_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
)

// TestRowsAreComplete: each code has a name of its own, a meaning and a remedy.
func TestRowsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for i, r := range codes.Table() {
		assert.Regexp(t, `^[a-z]+(-[a-z]+)*$`, r.Code)
		assert.False(t, seen[r.Code], "%s stands there twice", r.Code)
		assert.NotEmpty(t, r.Means, r.Code)
		assert.NotRegexp(t, `\.$`, r.Means, r.Code)
		assert.NotEmpty(t, r.Remedy, r.Code)
		assert.Equal(t, r.Code, codes.Code(i+1).String())
		seen[r.Code] = true
	}
	assert.Empty(t, codes.Code(0).String())
}

func TestMessages(t *testing.T) {
	m := codes.UnknownName.Msgf("there is no service %q", "a")
	assert.Equal(t, `there is no service "a"`, m.String())
	assert.Equal(t, codes.UnknownName, m.Code())
	assert.Equal(t, m, codes.UnknownName.Message(m.String()))
	assert.False(t, m.None())
	assert.True(t, codes.UnknownName.Message("").None(), "no text, no message")
}
