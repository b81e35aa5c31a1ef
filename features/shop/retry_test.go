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

// slow returns an attempt that succeeds after a time, and counts attempts.
func slow(took time.Duration, attempts *atomic.Int64) attempt {
	return func(ctx context.Context, _ int) (reply, error) {
		attempts.Add(1)
		select {
		case <-time.After(took):
			return reply{status: http.StatusOK}, nil
		case <-ctx.Done():
			return reply{}, ctx.Err()
		}
	}
}

func newRetrier(t timer, b *budget) *retrier {
	return &retrier{maxAttempts: 3, timer: t, budget: b, retries: prometheus.NewCounter(prometheus.CounterOpts{Name: "retries"})}
}

// TestAdaptiveTimeout makes a dependency slower than the fixed timeout and counts the unnecessary attempts.
func TestAdaptiveTimeout(t *testing.T) {
	for name, c := range map[string]struct {
		timer       timer
		least, most int64 // attempts beyond one for each request
	}{
		"on":  {&adaptive{}, 0, 3},
		"off": {fixed(250 * time.Millisecond), 50, 100},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRetrier(c.timer, nil)
				var attempts atomic.Int64
				for range 50 {
					_, err := r.run(t.Context(), slow(5*time.Millisecond, &attempts))
					require.NoError(t, err)
				}
				assert.EqualValues(t, 50, attempts.Load(), "nothing was late yet")
				began := time.Now()
				for range 50 {
					_, err := r.run(t.Context(), slow(400*time.Millisecond, &attempts))
					require.NoError(t, err)
				}
				assert.Equal(t, 50*400*time.Millisecond, time.Since(began), "the answer to the first attempt is used after a retry, too")
				time.Sleep(time.Second) // until all attempts have ended
				extra := attempts.Load() - 100
				assert.GreaterOrEqual(t, extra, c.least)
				assert.LessOrEqual(t, extra, c.most)
			})
		})
	}
}

func TestRetryBudget(t *testing.T) {
	broken := func(attempts *atomic.Int64) attempt {
		return func(context.Context, int) (reply, error) { attempts.Add(1); return reply{}, errors.New("reset") }
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
				r := newRetrier(&adaptive{}, c.budget)
				var attempts atomic.Int64
				for range 100 {
					_, err := r.run(t.Context(), broken(&attempts))
					require.Error(t, err)
				}
				assert.GreaterOrEqual(t, attempts.Load(), c.least)
				assert.LessOrEqual(t, attempts.Load(), c.most)
			})
		})
	}
}

func TestRetryAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetrier(&adaptive{}, &budget{})
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
		var attempts atomic.Int64
		_, err = r.run(ctx, slow(time.Hour, &attempts))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// TestAdaptive checks the arithmetic of RFC 6298, section 2.
func TestAdaptive(t *testing.T) {
	a := &adaptive{}
	assert.Equal(t, firstTimeout, a.timeout())
	a.answered(400 * time.Millisecond) // mean 400, deviation 200
	assert.Equal(t, 1200*time.Millisecond, a.timeout())
	a.answered(480 * time.Millisecond) // deviation 200+(80-200)/4 = 170, mean 410
	assert.Equal(t, 1090*time.Millisecond, a.timeout())
	a.expired(1090 * time.Millisecond)
	assert.Equal(t, 2180*time.Millisecond, a.timeout(), "doubled")
	a.expired(1090 * time.Millisecond)
	assert.Equal(t, 2180*time.Millisecond, a.timeout(), "a request that was late at the same time does not double it again")
	for range 200 {
		a.answered(time.Millisecond)
	}
	assert.Equal(t, minTimeout, a.timeout())
}
