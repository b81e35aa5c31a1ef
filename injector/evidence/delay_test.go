package evidence

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestFirstEffectOfADelay delays two units that overlap. A delay is counted when it ends, but acts from its beginning.
func TestFirstEffectOfADelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCounter("calls")
		began := time.Now()
		time.Sleep(2 * time.Second)
		c.Delayed(2 * time.Second)
		c.Touch(1)
		assert.Equal(t, began, c.Tally().First)
		assert.Equal(t, began.Add(2*time.Second), c.Tally().Last)
		time.Sleep(time.Second)
		c.Touch(1) // as of a fault that counts an effect before its delay
		c.Delayed(time.Second)
		assert.Equal(t, began, c.Tally().First, "the second delay began later")
	})
}
