package machine_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/features/machine"
)

func TestTally(t *testing.T) {
	var all machine.Tally
	all.Judged("b", "failed", []string{"the outcome is passed;\n it must not be"})
	all.Judged("b", "failed", []string{"another"})
	all.Judged("b", "failed", nil)
	all.Busy("a", "inconclusive|problem")
	all.Judged("a", "inconclusive|problem", nil)
	assert.Equal(t, `| drill | true verdict | right | inconclusive, since the machine was busy | wrong |
|---|---|---|---|---|
| a | inconclusive or problem | 1 of 1 | 1 | 0 |
| b | failed | 1 of 3 | 0 | 2: the outcome is passed; it must not be |
| all 2 |  | 2 of 4 | 1 | 2 |
`, all.String())
}
