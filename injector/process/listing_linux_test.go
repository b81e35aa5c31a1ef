package process

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// Callers share a reading, and each gets one that began after its call.
func TestListingIsSharedAndNeverOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		readings := 0
		l := listing[time.Time]{read: func() time.Time {
			readings++
			began := time.Now()
			time.Sleep(2 * time.Millisecond)
			return began
		}}
		var callers sync.WaitGroup
		for i := range 100 {
			callers.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Microsecond)
				called := time.Now()
				assert.False(t, l.get().Before(called), "a reading that began before the call")
			})
		}
		callers.Wait()
		assert.LessOrEqual(t, readings, 7, "one at a time, over ten milliseconds")
	})
}
