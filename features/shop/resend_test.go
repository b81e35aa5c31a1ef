package shop

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// slow is a dependency that answers after a time and counts.
func slow(took time.Duration, sends *atomic.Int64) sender {
	return func(ctx context.Context, _ int) (reply, error) {
		sends.Add(1)
		select {
		case <-time.After(took):
			return reply{status: http.StatusOK}, nil
		case <-ctx.Done():
			return reply{}, ctx.Err()
		}
	}
}

func resending(t timer, b *budget) *resender {
	return &resender{most: 3, timer: t, budget: b, resent: prometheus.NewCounter(prometheus.CounterOpts{Name: "resent"})}
}

// TestAdaptiveTimeout makes a dependency slower than a fixed time-out allows, and counts how often it is asked.
func TestAdaptiveTimeout(t *testing.T) {
	for name, c := range map[string]struct {
		timer  timer
		spare  int64 // sends beyond one for each request, at least
		budget int64 // and at most
	}{
		"on":  {&adaptive{}, 0, 3},
		"off": {fixed(250 * time.Millisecond), 50, 100},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := resending(c.timer, nil)
				var sends atomic.Int64
				for range 50 {
					_, err := r.run(t.Context(), slow(5*time.Millisecond, &sends))
					require.NoError(t, err)
				}
				assert.EqualValues(t, 50, sends.Load(), "nothing was late yet")
				began := time.Now()
				for range 50 {
					_, err := r.run(t.Context(), slow(400*time.Millisecond, &sends))
					require.NoError(t, err)
				}
				assert.Equal(t, 50*400*time.Millisecond, time.Since(began), "the first answer counts, though it was asked for again")
				time.Sleep(time.Second) // what is under way ends
				spare := sends.Load() - 100
				assert.GreaterOrEqual(t, spare, c.spare)
				assert.LessOrEqual(t, spare, c.budget)
			})
		})
	}
}

func TestRetryBudget(t *testing.T) {
	broken := func(sends *atomic.Int64) sender {
		return func(context.Context, int) (reply, error) { sends.Add(1); return reply{}, errors.New("reset") }
	}
	for name, c := range map[string]struct {
		budget      *budget
		least, most int64
	}{
		"on":  {&budget{}, 100, 140},
		"off": {nil, 300, 300},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := resending(&adaptive{}, c.budget)
				var sends atomic.Int64
				for range 100 {
					_, err := r.run(t.Context(), broken(&sends))
					require.Error(t, err)
				}
				assert.GreaterOrEqual(t, sends.Load(), c.least)
				assert.LessOrEqual(t, sends.Load(), c.most)
			})
		})
	}
}

func TestResendsWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := resending(&adaptive{}, &budget{})
		got, err := r.run(t.Context(), func(_ context.Context, n int) (reply, error) {
			switch n {
			case 0:
				return reply{}, errors.New("reset")
			case 1:
				return reply{status: http.StatusServiceUnavailable}, nil
			}
			return reply{status: http.StatusOK, body: "done"}, nil
		})
		require.NoError(t, err)
		assert.Equal(t, "done", got.body)

		got, err = r.run(t.Context(), func(_ context.Context, n int) (reply, error) {
			assert.Zero(t, n, "a refusal is final")
			return reply{status: http.StatusUnprocessableEntity}, nil
		})
		require.NoError(t, err)
		assert.Equal(t, http.StatusUnprocessableEntity, got.status)

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var sends atomic.Int64
		_, err = r.run(ctx, slow(time.Hour, &sends))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// TestAdaptive holds the arithmetic of RFC 6298, section 2.
func TestAdaptive(t *testing.T) {
	a := &adaptive{}
	assert.Equal(t, firstTimeout, a.after())
	a.answered(400 * time.Millisecond) // mean 400, deviation 200
	assert.Equal(t, 1200*time.Millisecond, a.after())
	a.answered(480 * time.Millisecond) // deviation 200+(80-200)/4 = 170, mean 410
	assert.Equal(t, 1090*time.Millisecond, a.after())
	a.late(1090 * time.Millisecond)
	assert.Equal(t, 2180*time.Millisecond, a.after(), "doubled")
	a.late(1090 * time.Millisecond)
	assert.Equal(t, 2180*time.Millisecond, a.after(), "another request that was late with it does not double it again")
	for range 200 {
		a.answered(time.Millisecond)
	}
	assert.Equal(t, leastTimeout, a.after())
}
