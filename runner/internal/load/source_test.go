package load

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// runUsers runs users for a minute against a system that answers after a time. only of them are started.
func runUsers(t *testing.T, l scenarios.Load, only int, answer time.Duration) (got journal.Load, most int64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newClosedSource(time.Now(), &l)
		c.users = only
		var sent, inFlight, highest atomic.Int64
		done := c.start(t.Context(), func(_ uint64, due time.Time) {
			assert.Equal(t, time.Now(), due)
			sent.Add(1)
			if n := inFlight.Add(1); n > highest.Load() {
				highest.Store(n)
			}
			time.Sleep(answer)
			inFlight.Add(-1)
		})
		c.users = l.Users
		time.Sleep(time.Minute + time.Millisecond)
		at := time.Now()
		c.end(at)
		<-done
		require.Empty(t, c.unsent(at))
		got = journal.Load{Shape: "closed", Sent: int(sent.Load()), Intended: int(sent.Load())}
		c.account(&got, at)
		most = highest.Load()
	})
	return got, most
}

func TestUsersAskAgainWhenTheyHaveThought(t *testing.T) {
	for name, c := range map[string]struct {
		load   scenarios.Load
		answer time.Duration
		want   int
	}{
		"thinking":     {scenarios.Load{Users: 20, Think: 500 * time.Millisecond}, 100 * time.Millisecond, 20 * 60 * 10 / 6},
		"not thinking": {scenarios.Load{Users: 3}, 100 * time.Millisecond, 3 * 600},
		"all hang":     {scenarios.Load{Users: 20, Think: 500 * time.Millisecond}, time.Hour, 20},
	} {
		t.Run(name, func(t *testing.T) {
			got, most := runUsers(t, c.load, c.load.Users, c.answer)
			assert.InDelta(t, c.want, got.Sent, float64(c.load.Users))
			assert.InDelta(t, 1, got.KeptAsking, 1e-9, "no user lost time, however slow the system is")
			assert.LessOrEqual(t, most, int64(c.load.Users))
			assert.Equal(t, check.Passed, check.LoadDelivered{}.Judge(&journal.History{Load: &got}).Outcome)
		})
	}
}

// Planted bug: one user of twenty never asks.
func TestUserWhoStopsAskingIsNoticed(t *testing.T) {
	got, _ := runUsers(t, scenarios.Load{Users: 20, Think: 500 * time.Millisecond}, 19, 100*time.Millisecond)
	assert.Zero(t, got.KeptAsking)
	v := check.Ask(check.LoadDelivered{}, &journal.History{Load: &got})
	assert.Equal(t, check.Inconclusive, v.Outcome)
	assert.Contains(t, v.Reason, "waited for answers or thought in only 0% of the time")
}

func TestUsersEndWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := newClosedSource(time.Now(), &scenarios.Load{Users: 2, Think: time.Hour})
		done := c.start(ctx, func(uint64, time.Time) {})
		time.Sleep(time.Minute)
		cancel()
		<-done
		c.end(time.Now())
		require.Len(t, c.unsent(time.Now()), 2, "they were still to ask")
	})
}

func TestCountedRequestsAreSentSoManyAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCountedSource()
		var inFlight, highest atomic.Int64
		numbers := make(chan uint64, 300)
		done := c.start(t.Context(), func(n uint64, due time.Time) {
			assert.Equal(t, time.Now(), due)
			numbers <- n
			if n := inFlight.Add(1); n > highest.Load() {
				highest.Store(n)
			}
			time.Sleep(time.Second)
			inFlight.Add(-1)
		})
		began := time.Now()
		c.sendAll(scenarios.SendRequests{Requests: 200, AtATime: 10})
		assert.Equal(t, 20*time.Second, time.Since(began))
		assert.EqualValues(t, 10, highest.Load())
		c.sendAll(scenarios.SendRequests{Requests: 5, AtATime: 10})
		c.end(time.Now())
		<-done
		close(numbers)
		seen := map[uint64]bool{}
		for n := range numbers {
			seen[n] = true
		}
		assert.Len(t, seen, 205)
		assert.True(t, seen[0] && seen[204])
		var l journal.Load
		c.account(&l, time.Now())
		assert.InDelta(t, 205, l.Requested, 0)
		assert.Empty(t, c.unsent(time.Now()))
	})
}

func TestCountedRequestsEndWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := newCountedSource()
		sent := 0
		c.start(ctx, func(n uint64, _ time.Time) {
			sent++
			if n == 6 {
				cancel()
			}
		})
		c.sendAll(scenarios.SendRequests{Requests: 20, AtATime: 1})
		assert.Equal(t, 7, sent)
		assert.Len(t, c.unsent(time.Now()), 13)
	})
}
