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
