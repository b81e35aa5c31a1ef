package check

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestDegradedBaselineIsNotSteady uses a baseline of fallbacks, with and without fallbacks as success.
func TestDegradedBaselineIsNotSteady(t *testing.T) {
	degraded := func(n int) Verdict {
		s := newScenario()
		s.FallbackIsSuccess = true
		s.every(journal.Before, func(x *journal.Sample) { x.OK, x.Fallback = x.Sent-n, n })
		return Ask(BaselineSteady{}, s.History)
	}
	assert.Equal(t, Passed, degraded(25).Outcome)
	v := degraded(26)
	assert.Equal(t, Inconclusive, v.Outcome)
	assert.Contains(t, v.Reason, "52.0% (130 of 250) of the responses were fallbacks, so that the system was degraded before any fault")
}

// TestBaselineNeedsRequests requires enough requests before a fault. Without a fault, the run is its own baseline.
func TestBaselineNeedsRequests(t *testing.T) {
	s := newScenario()
	few := func(n int) { s.every(journal.Before, func(x *journal.Sample) { x.Sent, x.OK = n, n }) }
	few(4)
	assert.Equal(t, Passed, Ask(BaselineSteady{}, s.History).Outcome)
	few(3)
	v := Ask(BaselineSteady{}, s.History)
	assert.Equal(t, Inconclusive, v.Outcome)
	assert.Contains(t, v.Reason, "the baseline is too short: 15 requests before the fault are too few: at least 20 are needed")
	s.Faults = nil
	assert.Equal(t, Passed, Ask(BaselineSteady{}, s.History).Outcome)
	s.Load = nil
	assert.Equal(t, Inconclusive, Ask(BaselineSteady{}, s.History).Outcome, "it is the gate that asks")
}

// TestCountedRequestsNeedNoBaseline: they have no phase of a baseline. Those that were sent before the fault have to
// succeed, because otherwise it is not known whether the system ever worked.
func TestCountedRequestsNeedNoBaseline(t *testing.T) {
	counted := func(change func(s scenario)) Verdict {
		s := newScenario()
		s.Load.Shape = "counted"
		s.Phases = slices.DeleteFunc(s.Phases, func(p journal.Span) bool { return p.Name == "baseline" })
		change(s)
		return Ask(BaselineSteady{}, s.History)
	}
	failing := func(s scenario) {
		s.every(journal.Before, func(x *journal.Sample) { x.OK, x.Ambiguous, x.Errors = 0, x.Sent, map[string]int{"timeout": x.Sent} })
	}
	assert.Equal(t, Passed, counted(func(scenario) {}).Outcome)
	assert.Equal(t, Passed, Ask(BaselineSteady{}, oneWay().History).Outcome, "requests that are not answered")
	assert.Equal(t, Passed, Ask(FaultsActed{}, oneWay().History).Outcome, "they were sent while the fault was live")
	assert.Equal(t, Passed, counted(func(s scenario) {
		s.Samples = slices.DeleteFunc(s.Samples, func(x journal.Sample) bool { return x.Window == journal.Before })
	}).Outcome, "nothing was sent before the fault")
	assert.Equal(t, Passed, counted(func(s scenario) { s.Faults = nil; failing(s) }).Outcome, "without a fault, the checks judge")
	v := counted(failing)
	assert.Equal(t, Inconclusive, v.Outcome)
	assert.Contains(t, v.Reason, "the baseline was not within the steady state")
}

// TestColdBaseline: latencies during the fault are not compared with those of an even slower start.
func TestColdBaseline(t *testing.T) {
	const route = "POST /orders"
	cold := func(seconds int, took time.Duration) scenario {
		s := newScenario()
		s.every(journal.Before, slow(2*ms))
		for i := range seconds {
			slow(took)(&s.Samples[i])
		}
		s.every(journal.During, func(x *journal.Sample) { slow(took * 2 / 3)(x) })
		return s
	}
	checks := []Check{Latency{Percentile: 95, Times: 1.5, Route: route, Window: journal.During}, NotAffected{route}}
	for _, c := range checks {
		for seconds := 1; seconds <= 4; seconds++ {
			v := Ask(c, cold(seconds, 300*ms).History)
			assert.Equal(t, Inconclusive, v.Outcome, "%s, %d", c, seconds)
			if c == checks[0] {
				assert.Contains(t, v.Reason, `its p95 of "POST /orders" was 300ms, and 2ms at its end`)
			}
		}
		s := cold(2, 300*ms)
		s.every(journal.During, slow(time.Second))
		assert.Equal(t, Failed, Ask(c, s.History).Outcome, "slower than even that")
	}
	s := cold(2, 300*ms) // all latencies differ
	for i := range 2 {
		s.Samples[i].Latency = nil
		for n := range time.Duration(50) {
			s.Samples[i].Latency = append(s.Samples[i].Latency, journal.Bucket{Up: 300*ms + n*ms, N: 1})
		}
	}
	assert.Equal(t, Inconclusive, Ask(checks[0], s.History).Outcome)
	s = cold(3, 12*ms) // it warms up a little
	s.every(journal.During, slow(2*ms))
	for _, c := range checks {
		assert.Equal(t, Passed, Ask(c, s.History).Outcome, "%s", c)
	}
	assert.Equal(t, Passed, Ask(BaselineSteady{}, cold(2, 300*ms).History).Outcome, "what is not compared with it does not suffer")
}

// TestColdStartIgnoresChance uses a system without a trend in which one request in twenty is slow.
func TestColdStartIgnoresChance(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	falls := 0
	for range 2000 {
		s := newScenario()
		s.every(journal.Before, func(x *journal.Sample) {
			n := int64(0)
			for range x.Sent {
				if r.Float64() < 0.06 {
					n++
				}
			}
			x.Latency = []journal.Bucket{{Up: 2 * ms, N: int64(x.Sent) - n}, {Up: 300 * ms, N: n}}
		})
		if !coldStart(s.History, "", 95).None() {
			falls++
		}
	}
	assert.LessOrEqual(t, falls, 8, "of 2,000, two parts each at one in a thousand")
}

// oneWay returns a scenario whose requests are not answered.
func oneWay() scenario {
	s := newScenario()
	for i := range s.Samples {
		x := &s.Samples[i]
		*x = journal.Sample{From: x.From, To: x.To, Window: x.Window, Route: x.Route, OneWay: x.Sent}
	}
	return s
}
