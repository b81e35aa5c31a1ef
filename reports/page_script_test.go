package reports

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestScriptIsSmall(t *testing.T) {
	assert.Less(t, len(pageFile("script.js")), 20<<10)
}
