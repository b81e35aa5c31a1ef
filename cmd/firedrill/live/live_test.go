package live

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// A slice comes in several events, some of them after those of later slices.
func TestCallsOfALink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s State
		add := func(from time.Duration, calls int) {
			time.Sleep(from + time.Second - s.Now())
			s.Event(journal.Event{At: from + time.Second, Calls: &journal.Calls{Link: "a -> b", From: from, To: from + time.Second, Calls: calls}})
		}
		lately := func() int { return s.Lately(journal.Link{From: "a", To: "b"}).Calls }
		assert.Zero(t, lately())
		add(0, 40)
		add(time.Second, 30)
		add(time.Second, 12)
		s.Event(journal.Event{At: s.Now(), Tick: &journal.Tick{}})
		assert.Equal(t, 42, lately())
		add(0, 1)
		assert.Equal(t, 42, lately(), "a call that ended late")
		time.Sleep(4 * time.Second)
		assert.Zero(t, lately(), "there are no slices without calls")
	})
}
