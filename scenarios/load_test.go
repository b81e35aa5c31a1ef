package scenarios

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestLoadOutcome(t *testing.T) {
	form := Route{Method: "POST", Path: "/orders", Expect: []int{201, 303}}
	plain := Route{Method: "POST", Path: "/orders"}
	overridden := &Load{Means: map[int]Outcome{503: Refused, 409: Acknowledged, 404: NotKnown}}
	for _, c := range []struct {
		load   *Load
		route  Route
		status int
		want   Outcome
	}{
		{&Load{}, plain, 200, Acknowledged},
		{&Load{}, plain, 202, Acknowledged},
		{&Load{}, plain, 303, NotKnown},
		{&Load{}, plain, 400, Refused},
		{&Load{}, plain, 404, Refused},
		{&Load{}, plain, http.StatusRequestTimeout, NotKnown},
		{&Load{}, plain, http.StatusConflict, NotKnown},
		{&Load{}, plain, http.StatusTooEarly, NotKnown},
		{&Load{}, plain, http.StatusTooManyRequests, Refused},
		{&Load{}, plain, 500, NotKnown},
		{&Load{}, plain, 502, NotKnown},
		{&Load{}, plain, 503, NotKnown},
		{&Load{}, form, 303, Acknowledged},
		{&Load{}, form, 201, Acknowledged},
		{&Load{}, form, 200, NotKnown},
		{overridden, plain, 503, Refused},
		{overridden, plain, 409, Acknowledged},
		{overridden, plain, 404, NotKnown},
		{overridden, plain, 500, NotKnown},
	} {
		assert.Equal(t, c.want, c.load.Outcome(c.route, c.status), "%d for %v with %v", c.status, c.route, c.load.Means)
	}
}

func TestPatience(t *testing.T) {
	t.Parallel()
	l := &Load{Retries: 3, GiveUp: 500 * time.Millisecond}
	assert.Equal(t, 2350*time.Millisecond, l.Patience(false), "four attempts, and pauses of 50, 100 and 200 ms")
	assert.Equal(t, 5*time.Second, l.Patience(true), "four attempts, and pauses of a second")
	assert.Equal(t, DefaultGiveUp, (&Load{}).Patience(true))
}

func TestPatienceUnderAPolicy(t *testing.T) {
	t.Parallel()
	load := func(p RetryPolicy) *Load { return &Load{Retries: 2, GiveUp: 500 * time.Millisecond, Policy: p} }
	assert.Equal(t, 1700*time.Millisecond, load(RetryPolicy{BackOff: BackOff{First: 100 * time.Millisecond}}).Patience(false), "two pauses of 100 ms")
	assert.Equal(t, 1750*time.Millisecond, load(RetryPolicy{BackOff: BackOff{First: 100 * time.Millisecond, Most: 150 * time.Millisecond}}).Patience(false), "100 and 150 ms")
	assert.Equal(t, 1650*time.Millisecond, load(RetryPolicy{IgnoreRetryAfter: true}).Patience(true))
	assert.Equal(t, 1800*time.Millisecond, load(RetryPolicy{Hedge: 50 * time.Millisecond}).Patience(false), "each second attempt begins 50 ms later")
	within := load(RetryPolicy{Within: 400 * time.Millisecond})
	within.Mix = []Route{{Then: []Route{{}}}}
	assert.Equal(t, 400*time.Millisecond, within.Patience(true), "of all steps")
	assert.Equal(t, 400*time.Millisecond, within.Attempt())
}

func TestPauses(t *testing.T) {
	t.Parallel()
	for i, want := range []time.Duration{50, 100, 200, 400, 800, 1600, 1600, 1600} {
		assert.Equal(t, want*time.Millisecond, RetryPolicy{}.Pauses().Pause(i))
	}
	assert.Equal(t, 300*time.Millisecond, BackOff{First: 100 * time.Millisecond, Most: 300 * time.Millisecond}.Pause(2))
	assert.Equal(t, time.Second, BackOff{First: time.Second, Most: 300 * time.Hour}.Pause(0))
	assert.Equal(t, 300*time.Hour, BackOff{First: time.Second, Most: 300 * time.Hour}.Pause(1000))
}
