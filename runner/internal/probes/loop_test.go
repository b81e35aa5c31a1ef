package probes

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// asked runs a loop for a time, and returns when it asked and how long each answer took. takes is how long the n-th
// answer takes.
func asked(t *testing.T, p scenarios.Probe, d time.Duration, takes func(n int) time.Duration) (at, took []time.Duration, answers []Answer) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		began, n := time.Now(), 0
		repeat(ctx, p, func(ctx context.Context) Answer {
			n++
			select {
			case <-time.After(takes(n)):
				return Answer{Yes: true}
			case <-ctx.Done():
				return Answer{Unanswered: ctx.Err().Error()}
			}
		}, func(asked time.Time, lasted time.Duration, a Answer) {
			at, took, answers = append(at, asked.Sub(began)), append(took, lasted), append(answers, a)
		})
		require.Equal(t, d, time.Since(began), "it ends with its context")
	})
	return at, took, answers
}

const ms = time.Millisecond

func TestLoopAsksAtItsInterval(t *testing.T) {
	at, took, _ := asked(t, scenarios.Probe{HTTP: "x", Every: 100 * ms}, 450*ms, func(int) time.Duration { return 30 * ms })
	require.Equal(t, []time.Duration{0, 100 * ms, 200 * ms, 300 * ms, 400 * ms}, at)
	require.Equal(t, 30*ms, took[0])
}

// A slow answer delays the next question, and none is made up for.
func TestLoopAfterASlowAnswer(t *testing.T) {
	at, _, _ := asked(t, scenarios.Probe{HTTP: "x", Every: 100 * ms}, 700*ms, func(n int) time.Duration { return map[int]time.Duration{2: 350 * ms}[n] })
	require.Equal(t, []time.Duration{0, 100 * ms, 450 * ms, 550 * ms, 650 * ms}, at)
}

func TestLoopWaitsForALimitedTime(t *testing.T) {
	at, took, answers := asked(t, scenarios.Probe{HTTP: "x", Every: 100 * ms, Within: 250 * ms}, 400*ms, func(int) time.Duration { return time.Hour })
	require.Equal(t, []time.Duration{0}, at, "the answer that is awaited at the end is not recorded")
	require.Equal(t, 250*ms, took[0])
	require.Equal(t, []Answer{{Unanswered: "no answer within 250ms"}}, answers)
}
