package check

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestLateness: late by so much, observed so much, bound so much. A verdict is withheld only where lateness can explain
// it: twice the lateness for a failure, once that of the baseline for a pass.
func TestLateness(t *testing.T) {
	const during, before, after = journal.During, journal.Before, journal.After
	late := func(w journal.Window, by time.Duration) func(scenario) {
		return func(s scenario) {
			s.every(w, func(x *journal.Sample) { x.Slip = []journal.Bucket{{Up: by, N: int64(x.Sent)}} })
		}
	}
	took := func(w journal.Window, d time.Duration) func(scenario) {
		return func(s scenario) { s.every(w, slow(d)) }
	}
	some := func(w journal.Window, n int64, by time.Duration) func(scenario) { // n of 50 are late
		return func(s scenario) {
			s.every(w, func(x *journal.Sample) {
				x.Slip = []journal.Bucket{{Up: ms / 10, N: int64(x.Sent) - n}, {Up: by, N: n}}
			})
		}
	}
	below := Latency{Percentile: 95, Below: 400 * ms, Window: during}
	times := Latency{Percentile: 95, Times: 2, Window: during}
	none := NothingSlower{Than: time.Second, Window: during}
	recovers := Recovers{Route: "POST /orders", Within: 2 * time.Second}
	refuses := RefusesExcess{Statuses: []int{429}, Within: 50 * ms, Window: during}
	affected := NotAffected{"POST /orders"}
	control := FastAsControl{Of: "orders", Control: "orders-control", Percentile: 95, Times: 2}
	perSecond := CallsPerSecond{To: "payments", PerSecond: 60, Window: during}
	normal := CallsTimesNormal{To: "payments", Times: 1.2, Window: during}
	rate := KeepsRate{Metric: "orders_placed_total", Of: "orders", Ratio: 0.9}
	calls := func(n int) func(scenario) { // more in the second at +7s
		return func(s scenario) { s.addCalls(7, during, "orders -> payments", n, ms) }
	}
	of := func(n int, took time.Duration) func(scenario) {
		return func(s scenario) { s.every(during, rejecting(429, n, took)) }
	}
	counts := func(before, during float64) func(scenario) {
		return func(s scenario) {
			s.observe(keyMetric, func(at time.Duration, o *journal.Observation) {
				o.Value = valueOf(before*min(at, 6*time.Second).Seconds() + during*max(0, at-6*time.Second).Seconds())
			})
		}
	}
	split := func(s scenario) { s.split() }
	copyTook := func(service string, d time.Duration) func(scenario) {
		return func(s scenario) { s.ofCopy(service, during, slow(d)) }
	}
	for name, c := range map[string]struct {
		check Check
		want  Outcome
		with  []func(scenario)
	}{
		"450ms above 400ms, on time":              {below, Failed, []func(scenario){took(during, 450*ms)}},
		"450ms above 400ms, 20ms late":            {below, Failed, []func(scenario){took(during, 450*ms), late(during, 20*ms)}},
		"450ms above 400ms, 50ms late":            {below, Inconclusive, []func(scenario){took(during, 450*ms), late(during, 50*ms)}},
		"800ms above 400ms, 100ms late":           {below, Failed, []func(scenario){took(during, 800*ms), late(during, 100*ms)}},
		"450ms above 400ms, one in 50 200ms late": {below, Failed, []func(scenario){took(during, 450*ms), some(during, 1, 200*ms)}},
		"450ms above 400ms, half are 200ms late":  {below, Inconclusive, []func(scenario){took(during, 450*ms), some(during, 25, 200*ms)}},
		"450ms above 400ms, late elsewhere":       {below, Failed, []func(scenario){took(during, 450*ms), late(after, time.Second)}},
		"390ms below 400ms, 300ms late":           {below, Passed, []func(scenario){took(during, 390*ms), late(during, 300*ms)}},

		"30ms above twice 10ms, 2ms late":             {times, Failed, []func(scenario){took(during, 30*ms), late(during, 2*ms)}},
		"30ms above twice 10ms, 5ms late":             {times, Inconclusive, []func(scenario){took(during, 30*ms), late(during, 5*ms)}},
		"500ms above twice 10ms, 100ms late":          {times, Failed, []func(scenario){took(during, 500*ms), late(during, 100*ms)}},
		"18ms within twice 10ms, late during":         {times, Passed, []func(scenario){took(during, 18*ms), late(during, 100*ms)}},
		"18ms within twice 10ms, baseline 2ms late":   {times, Inconclusive, []func(scenario){took(during, 18*ms), late(before, 2*ms)}},
		"18ms within twice 10ms, baseline 0.5ms late": {times, Passed, []func(scenario){took(during, 18*ms), late(before, ms/2)}},

		"1.2s above 1s, 20ms late":  {none, Failed, []func(scenario){took(during, 1200*ms), late(during, 20*ms)}},
		"1.2s above 1s, 100ms late": {none, Inconclusive, []func(scenario){took(during, 1200*ms), late(during, 100*ms)}},
		"0.9s below 1s, 800ms late": {none, Passed, []func(scenario){took(during, 900*ms), late(during, 800*ms)}},

		"recovery at 150ms, 10ms late":      {recovers, Failed, []func(scenario){took(after, 150*ms), late(after, 10*ms)}},
		"recovery at 150ms, 50ms late":      {recovers, Inconclusive, []func(scenario){took(after, 150*ms), late(after, 50*ms)}},
		"recovery with failures, 50ms late": {recovers, Failed, []func(scenario){func(s scenario) { s.every(after, failing(50)) }, late(after, 50*ms)}},
		"recovery at 55ms, baseline late":   {recovers, Inconclusive, []func(scenario){took(after, 55*ms), late(before, 8*ms)}},

		"refused after 90ms, 20ms late": {refuses, Failed, []func(scenario){of(10, 90*ms), late(during, 20*ms)}},
		"refused after 90ms, 50ms late": {refuses, Inconclusive, []func(scenario){of(10, 90*ms), late(during, 50*ms)}},
		"refused after 40ms, 50ms late": {refuses, Passed, []func(scenario){of(10, 40*ms), late(during, 50*ms)}},

		"affected by 90ms, 20ms late":         {affected, Failed, []func(scenario){took(during, 100*ms), late(during, 20*ms)}},
		"affected by 90ms, 50ms late":         {affected, Inconclusive, []func(scenario){took(during, 100*ms), late(during, 50*ms)}},
		"affected by failures, late":          {affected, Failed, []func(scenario){func(s scenario) { s.every(during, failing(10)) }, late(during, time.Second)}},
		"not affected, late during the fault": {affected, Passed, []func(scenario){late(during, 5*ms)}},
		"not affected, late by all of it":     {affected, Inconclusive, []func(scenario){late(before, 50*ms)}},

		"slower than the control, 10ms late":      {control, Failed, []func(scenario){split, copyTook("orders", 100*ms), late(during, 10*ms)}},
		"slower than the control, 50ms late":      {control, Inconclusive, []func(scenario){split, copyTook("orders", 100*ms), late(during, 50*ms)}},
		"fast as the control, which was late":     {control, Inconclusive, []func(scenario){split, copyTook("orders", 18*ms), late(during, 5*ms)}},
		"fast as the control, which was on time":  {control, Passed, []func(scenario){split, copyTook("orders", 11*ms), late(during, ms)}},
		"100 calls a second above 60, 20ms late":  {perSecond, Failed, []func(scenario){calls(50), late(during, 20*ms)}},
		"62 calls a second above 60, 50ms late":   {perSecond, Inconclusive, []func(scenario){calls(12), late(during, 50*ms)}},
		"58 calls a second below 60, 50ms late":   {perSecond, Inconclusive, []func(scenario){calls(8), late(during, 50*ms)}},
		"50 calls a second below 60, 10ms late":   {perSecond, Passed, []func(scenario){calls(0), late(during, 10*ms), func(s scenario) { s.Calls[6].Failed = 1 }}},
		"2 times normal above 1.2, 100ms late":    {normal, Failed, []func(scenario){calls(200), late(during, 100*ms)}},
		"1.19 times normal below 1.2, 100ms late": {normal, Inconclusive, []func(scenario){calls(38), late(during, 100*ms), func(s scenario) { s.Calls[6].Failed = 1 }}},
		"1.1 times normal below 1.2, 100ms late":  {normal, Passed, []func(scenario){calls(20), late(during, 100*ms), func(s scenario) { s.Calls[6].Failed = 1 }}},
		"a rate of 80%, 50ms late":                {rate, Failed, []func(scenario){counts(50, 40), late(before, 50*ms), late(during, 50*ms)}},
		"a rate of 88%, 100ms late":               {rate, Inconclusive, []func(scenario){counts(50, 44), late(before, 100*ms), late(during, 100*ms)}},
		"a rate of 92%, 200ms late":               {rate, Inconclusive, []func(scenario){counts(50, 46), late(before, 200*ms)}},
		"a rate of 80%, answers take 50ms":        {rate, Failed, []func(scenario){counts(50, 40), took(during, 50*ms)}},
		"a rate of 85%, answers take 300ms":       {rate, Inconclusive, []func(scenario){counts(50, 42.5), took(during, 300*ms)}},
		"a rate of 20%, answers take 2s":          {rate, Failed, []func(scenario){counts(50, 10), took(during, 2*time.Second)}},
		"a rate of 100%, answers take 2s":         {rate, Passed, []func(scenario){counts(50, 50), took(during, 2*time.Second)}},
		"a rate of 100%, 50ms late":               {rate, Passed, []func(scenario){counts(50, 50), late(before, 50*ms), late(during, 50*ms)}},

		"a closed load on a busy machine is late by an unknown time": {below, Inconclusive, []func(scenario){took(during, 9*time.Second), func(s scenario) { s.Load.Shape, s.Load.CPU = "closed", 0.9 }}},
		"a closed load on a machine that is not":                     {below, Failed, []func(scenario){took(during, 9*time.Second), func(s scenario) { s.Load.Shape, s.Load.CPU = "closed", 0.7 }}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			for _, change := range c.with {
				change(s)
			}
			v := Ask(c.check, s.History)
			require.Equal(t, c.want.String(), v.Outcome.String(), "%s; %s", v.Observed, v.Reason)
			if c.want == Inconclusive {
				require.Regexp(t, "the load generator may have caused it|the load was late|too close to the limit", v.Reason)
			}
		})
	}
}

// GivesUp measures waits on a link, in the process of the load generator.
func TestLatenessOfWaits(t *testing.T) {
	for _, c := range []struct {
		waited, late time.Duration
		want         Outcome
	}{
		{3 * time.Second, 200 * ms, Failed}, {1200 * ms, 200 * ms, Inconclusive}, {1050 * ms, 200 * ms, Inconclusive}, {1050 * ms, 20 * ms, Passed}, {600 * ms, 200 * ms, Passed},
	} {
		s := newScenario()
		s.addGivenUp(c.waited)
		s.every(journal.During, func(x *journal.Sample) { x.Slip = []journal.Bucket{{Up: c.late, N: 50}} })
		v := Ask(GivesUp{"orders", "payments", time.Second}, s.History)
		require.Equal(t, c.want, v.Outcome, "waited %s, late by %s: %s", c.waited, c.late, v.Reason)
	}
}

// TestRequestsOfAPause: requests that overlap a pause decide nothing: neither may they be what makes a check fail, nor
// what it passes without.
func TestRequestsOfAPause(t *testing.T) {
	for name, c := range map[string]struct {
		check  Check
		others time.Duration // latency of all other requests
		paused time.Duration
		want   Outcome
	}{
		"in time, and in the pause too":     {Latency{Percentile: 95, Below: 400 * ms, Window: journal.During}, 10 * ms, 300 * ms, Passed},
		"in time, but not in the pause":     {Latency{Percentile: 95, Below: 400 * ms, Window: journal.During}, 10 * ms, 3 * time.Second, Inconclusive},
		"of the baseline that is a pause's": {NotAffected{"POST /orders"}, 10 * ms, 10 * ms, Passed},
		"not affected, but in the pause":    {NotAffected{"POST /orders"}, 10 * ms, 3 * time.Second, Inconclusive},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			s.every(journal.During, slow(c.others))
			s.second(7, journal.During, "POST /orders", 50, c.paused).Paused = true
			s.second(3, journal.Before, "POST /orders", 50, 3*time.Second).Paused = true // never widens what is allowed
			v := Ask(c.check, s.History)
			require.Equal(t, c.want, v.Outcome, v.Reason)
		})
	}
}

// request is a request of a random run.
type lateRequest struct{ took, late time.Duration }

// sampled returns a run whose requests took as long as latency says. known reports whether it says how late they were.
func sampled(all [][]lateRequest, known bool, latency func(lateRequest) time.Duration) *journal.History {
	s, edges := newScenario(), journal.SlipEdges()
	for i := range s.Samples {
		x := &s.Samples[i]
		var took, slip []journal.Bucket
		for _, r := range all[i] {
			d := latency(r)
			took = append(took, journal.Bucket{Up: d + d/resolution/2, N: 1})
			at, _ := slices.BinarySearch(edges, r.late)
			slip = append(slip, journal.Bucket{Up: edges[at], N: 1})
		}
		x.Latency, x.Slip = journal.Merge(took), nil
		x.Good = x.Latency
		if known {
			x.Slip = journal.Merge(slip)
		}
	}
	return s.History
}

// TestLatenessNeverDecides: no shift of each request's latency by up to its own lateness turns a failure into a pass or
// a pass into a failure. Answers that were read as late as requests were sent do not cause a failure either.
func TestLatenessNeverDecides(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22)) //nolint:gosec // the same numbers each time
	counts := map[string]int{}
	for range 200 {
		usual, factor, most := time.Duration(5+r.IntN(60))*ms, 0.8+3*r.Float64()*r.Float64(), time.Duration(1+r.IntN(80))*ms
		lateShare := r.Float64() * r.Float64()
		all := make([][]lateRequest, len(newScenario().Samples))
		for i := range all {
			for range 50 {
				one := lateRequest{took: time.Duration(float64(usual) * (0.5 + r.ExpFloat64()/2))}
				if i >= 5 { // during the fault, and after it
					one.took = time.Duration(float64(one.took) * factor)
				}
				if r.Float64() < lateShare {
					one.late = time.Duration(r.Float64() * float64(most))
				}
				all[i] = append(all[i], one)
			}
		}
		observed := sampled(all, true, func(q lateRequest) time.Duration { return q.took + q.late })
		p := journal.Quantile(observed.Total(journal.During, "").Latency, 95)
		near := func(d time.Duration) time.Duration { return time.Duration(float64(d) * (0.7 + 0.6*r.Float64())) }
		for _, c := range []Check{
			Latency{Percentile: 95, Below: near(p), Window: journal.During},
			Latency{Percentile: 50, Below: near(journal.Quantile(observed.Total(journal.During, "").Latency, 50)), Window: journal.During},
			Latency{Percentile: 95, Times: factor * (0.7 + 0.6*r.Float64()), Window: journal.During},
			NothingSlower{Than: near(journal.Quantile(observed.Total(journal.During, "").Latency, 100)) * 6 / 10, Window: journal.During},
			NotAffected{"POST /orders"},
			Recovers{Route: "POST /orders", Within: 2 * time.Second, Steady: []Steady{{Measure: "p95 latency", Limit: near(p) * 9 / 10}}},
		} {
			v := Ask(c, observed)
			counts[fmt.Sprintf("%s: %s", KindOf(c), v.Outcome)]++
			if v.Outcome == Inconclusive {
				continue
			}
			for range 4 {
				part := [2]float64{r.Float64(), r.Float64()}
				at := map[int]float64{0: 0, 1: 1}
				shift := func(q lateRequest) float64 {
					if one, ok := at[r.IntN(3)]; ok {
						return one
					}
					return part[r.IntN(2)]
				}
				w := asMeasured(c, sampled(all, false, func(q lateRequest) time.Duration { return q.took + time.Duration(shift(q)*float64(q.late)) }))
				require.False(t, w.Outcome != Inconclusive && w.Outcome != v.Outcome, "%s: %s as observed (%s), %s without lateness (%s)", c, v.Outcome, v.Reason, w.Outcome, w.Reason)
			}
			w := asMeasured(c, sampled(all, false, func(q lateRequest) time.Duration { return max(ms/100, q.took-q.late) }))
			require.False(t, v.Outcome == Failed && w.Outcome == Passed, "%s: answers that were read late", c)
		}
	}
	t.Log(counts)
	for _, kind := range []string{"latency", "nothing slower", "not affected", "recovers"} {
		for _, o := range []Outcome{Passed, Failed, Inconclusive} {
			require.Greater(t, counts[fmt.Sprintf("%s: %s", kind, o)], 5, "%s: %s", kind, o)
		}
	}
}
