package check

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// longFault is a valid run at 50 requests a second with a fault of 20 s from 6 s on, and 10 s of recovery. No call
// begins after the first two seconds of the fault, until it is healed.
func longFault() scenario {
	s := newScenario()
	s.Samples, s.Calls = nil, nil
	s.Faults[0].Healed, s.Ended = 26*time.Second, 36*time.Second
	for i := 1; i < 36; i++ {
		w := journal.Before
		if i >= 6 {
			w = journal.During
		}
		if i >= 26 {
			w = journal.After
		}
		s.second(i, w, "POST /orders", 50, 10*ms)
		if w != journal.During || i < 8 {
			s.addCalls(i, w, "orders -> payments", 50, 5*ms)
		}
	}
	return s
}

func TestStopsCalling(t *testing.T) {
	for name, row := range map[string]struct {
		change  func(scenario)
		outcome Outcome
		text    string // part of what was observed, or of the reason
	}{
		"stopped": {func(scenario) {}, Passed, "stopped after 2s; then 0 calls in 18s, normal 900"},
		"one probe a second": {func(s scenario) {
			for i := 8; i < 26; i++ {
				s.addCalls(i, journal.During, "orders -> payments", 1, ms)
			}
		}, Passed, "then 18 calls in 18s"},
		"ten probes at once, and at the end": {func(s scenario) {
			s.addCalls(14, journal.During, "orders -> payments", 10, ms)
			s.addCalls(25, journal.During, "orders -> payments", 10, ms)
		}, Passed, "then 20 calls in 18s"},
		"refused dials are calls": {func(s scenario) {
			for i := 8; i < 26; i++ {
				s.addCalls(i, journal.During, "orders -> payments", 0, ms)
				s.Calls[len(s.Calls)-1].Refused = 40
			}
		}, Failed, `"orders" did not stop calling "payments"`},
		"closed again at the end":            {func(s scenario) { s.addCalls(24, journal.During, "orders -> payments", 50, ms) }, Failed, "50 calls in 10s, normal 500 from +16.0s"},
		"stopped late":                       {func(s scenario) { s.addCalls(12, journal.During, "orders -> payments", 50, ms) }, Failed, "did not stop"},
		"another caller":                     {func(s scenario) { s.addCalls(20, journal.During, "front -> payments", 50, ms) }, Passed, "stopped"},
		"the load stopped":                   {func(s scenario) { s.removeSeconds(8, 26) }, Inconclusive, "normally have caused 0 calls"},
		"no calls in the baseline":           {func(s scenario) { s.removeCalls(journal.Before) }, Inconclusive, "nothing to compare with"},
		"calls are kept away from the link":  {func(s scenario) { s.Faults[0].Unseen = true }, Inconclusive, "cannot be observed, since calls are slow"},
		"blocked callers have not stopped":   {func(s scenario) { s.addCalls(7, journal.AtHealing, "orders -> payments", 50, 19*time.Second) }, Inconclusive, "may have been blocked"},
		"several faults after another":       {func(s scenario) { s.second(20, journal.Between, "POST /orders", 1, ms) }, Inconclusive, "in a scenario of its own"},
		"no fault":                           {func(s scenario) { s.Faults = nil }, Inconclusive, "no fault was injected"},
		"the fault acts later than injected": {func(s scenario) { s.Faults[0].Live = 22 * time.Second }, Inconclusive, "at least 20 are needed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := longFault()
			row.change(s)
			v := Ask(StopsCalling{From: "orders", To: "payments", Within: 5 * time.Second}, s.History)
			assert.Equal(t, row.outcome, v.Outcome, v.Reason)
			assert.Contains(t, v.Observed+"; "+v.Reason, row.text)
		})
	}
}

func TestResumesCalling(t *testing.T) {
	for name, row := range map[string]struct {
		change  func(scenario)
		outcome Outcome
		text    string
	}{
		"at once":        {func(scenario) {}, Passed, "resumed after 0s; then 500 calls in 10s, normal 500"},
		"in time":        {func(s scenario) { s.stopCalls(26, 29) }, Passed, "resumed after 3s"},
		"late":           {func(s scenario) { s.stopCalls(26, 31) }, Failed, "0 calls in 1s, normal 50 from +30.0s"},
		"half of it":     {func(s scenario) { halve(s) }, Failed, "did not call"},
		"stops again":    {func(s scenario) { s.stopCalls(34, 36) }, Failed, "from +35.0s"},
		"never stopped":  {func(s scenario) { fill(s) }, Inconclusive, "nothing to resume"},
		"load stopped":   {func(s scenario) { s.removeSeconds(26, 36) }, Inconclusive, "at least 20 are needed"},
		"nothing before": {func(s scenario) { s.removeCalls(journal.Before) }, Inconclusive, "nothing to compare with"},
	} {
		t.Run(name, func(t *testing.T) {
			s := longFault()
			row.change(s)
			v := Ask(ResumesCalling{From: "orders", To: "payments", Within: 3 * time.Second}, s.History)
			assert.Equal(t, row.outcome, v.Outcome, v.Reason)
			assert.Contains(t, v.Observed+"; "+v.Reason, row.text)
		})
	}
}

func halve(s scenario) {
	for i := range s.Calls {
		if s.Calls[i].Window == journal.After {
			s.Calls[i].Calls = 25
		}
	}
}

func fill(s scenario) {
	for i := 8; i < 26; i++ {
		s.addCalls(i, journal.During, "orders -> payments", 50, ms)
	}
}

// A caller that makes two calls a second is judged by several seconds together.
func TestResumesCallingWithFewCalls(t *testing.T) {
	few := func(open int) Verdict {
		s := longFault()
		for i := range s.Samples {
			s.Samples[i].Sent, s.Samples[i].OK = 2, 2
		}
		for i := range s.Calls {
			s.Calls[i].Calls = 2
		}
		for i := 36; i < 60; i++ {
			s.second(i, journal.After, "POST /orders", 2, 10*ms)
			s.addCalls(i, journal.After, "orders -> payments", 2, ms)
		}
		s.stopCalls(26, 26+open)
		return Ask(ResumesCalling{From: "orders", To: "payments", Within: 6 * time.Second}, s.History)
	}
	require.Equal(t, Passed, few(0).Outcome, few(0).Reason)
	require.Equal(t, Passed, few(5).Outcome, few(5).Reason)
	require.Equal(t, Failed, few(15).Outcome)
}

func TestPoissonTail(t *testing.T) {
	assert.InDelta(t, 0.0183156, poissonTailBelow(0, 4), 1e-6)
	assert.InDelta(t, 0.4404933, poissonTailBelow(4, 5), 1e-6)
	assert.InDelta(t, 1, poissonTailBelow(50, 5), 1e-9)
}
