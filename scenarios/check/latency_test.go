package check

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestLimitsWithinTheResolution: a histogram records 399.5ms as up to 401.4ms. Whether such a latency is below 400ms is
// not known.
func TestLimitsWithinTheResolution(t *testing.T) {
	below := Latency{Percentile: 95, Below: 400 * ms, Window: journal.During}
	steady := []Steady{{Measure: "p95 latency", Limit: 400 * ms}}
	recovers := Recovers{Route: "POST /orders", Within: 3 * time.Second, Steady: steady}
	in := func(w journal.Window, up time.Duration) func(scenario) {
		return func(s scenario) { s.every(w, slow(up)) }
	}
	for name, c := range map[string]struct {
		check  Check
		change func(scenario)
		want   Outcome
		why    string
	}{
		"below":  {below, in(journal.During, 399_359*time.Microsecond), Passed, ""},
		"around": {below, in(journal.During, 401_407*time.Microsecond), Inconclusive, "p95 of 200 requests was between 398.3ms and 401.4ms during the fault: latencies are recorded with a resolution of 0.8%, which leaves open whether it was below 400ms"},
		"above":  {below, in(journal.During, 403_455*time.Microsecond), Failed, "p95 of 200 requests was 403.5ms"},
		"around, waits": {below, func(s scenario) {
			s.second(9, journal.AtHealing, "POST /orders", 200, 10*time.Second).Waited = []journal.Bucket{{Up: 401_407 * time.Microsecond, N: 200}}
		}, Inconclusive, "200 requests were in flight"},
		"steady":            {recovers, in(journal.After, 399_359*time.Microsecond), Passed, ""},
		"around steady":     {recovers, in(journal.After, 401_407*time.Microsecond), Inconclusive, "which leaves open whether they were below the limit"},
		"not steady":        {recovers, in(journal.After, 403_455*time.Microsecond), Failed, "p95 latency 403.5ms"},
		"a steady baseline": {BaselineSteady{Steady: steady}, in(journal.Before, 401_407*time.Microsecond), Passed, ""},
		"a slow baseline":   {BaselineSteady{Steady: steady}, in(journal.Before, 403_455*time.Microsecond), Inconclusive, "p95 latency 403.5ms"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			c.change(s)
			v := Ask(c.check, s.History)
			assert.Equal(t, c.want.String(), v.Outcome.String(), "%s %s", v.Observed, v.Reason)
			assert.Contains(t, v.Reason, c.why)
		})
	}
}
