package check

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func noAnswer(why string) func(*journal.Observation) bool {
	return func(o *journal.Observation) bool {
		o.Yes, o.Value, o.Unanswered = false, nil, why
		return true
	}
}

func notAsked(o *journal.Observation) bool {
	o.Yes, o.Value, o.Local = false, nil, "too many open files"
	return true
}

func removed(*journal.Observation) bool { return false }

func answers(yes bool) func(*journal.Observation) bool {
	return func(o *journal.Observation) bool { o.Yes = yes; return true }
}

func counts(v float64) func(*journal.Observation) bool {
	return func(o *journal.Observation) bool { o.Value = &v; return true }
}

// TestObservations has, for each check of probes, what the observations do not show, and what they show all the same.
func TestObservations(t *testing.T) {
	const sec = time.Second
	stays := StaysHealthy{Path: "/livez", Of: "orders"}
	unhealthy := TurnsUnhealthy{Path: "/readyz", Of: "orders", Within: 3 * sec}
	healthy := TurnsHealthy{Path: "/readyz", Of: "orders", Within: 5 * sec}
	detects := Detects{Probe: "alert firing", Within: sec}
	queue := QueueBounded{Queue: "outbox", Most: 1000}
	rate := KeepsRate{Metric: "orders_placed_total", Of: "orders", Ratio: 0.9}
	for name, c := range map[string]struct {
		check  Check
		change func(scenario)
		want   Outcome
		why    string
	}{
		"a gap during the fault":            {stays, func(s scenario) { s.change(livez, 7*sec, 9*sec, removed) }, Inconclusive, "from +6.5s to +9.0s, although it is asked every 500ms"},
		"a gap of three intervals":          {stays, func(s scenario) { s.change(livez, 7*sec, 8*sec, removed) }, Passed, ""},
		"a gap before the end of the fault": {stays, func(s scenario) { s.change(livez, 8*sec, 20*sec, removed) }, Inconclusive, "from +7.5s to +10.0s"},
		"a slow answer is no gap": {stays, func(s scenario) {
			s.change(livez, 7*sec, 9*sec, func(o *journal.Observation) bool { o.Took = 2 * sec; return o.Asked == 7*sec })
		}, Passed, ""},
		"an error of this machine": {stays, func(s scenario) { s.change(livez, 8*sec, 8500*ms, notAsked) }, Inconclusive, "could not be asked at +8.0s: too many open files"},
		"unhealthy in spite of such an error": {stays, func(s scenario) {
			s.change(livez, 8*sec, 8500*ms, notAsked)
			s.change(livez, 7*sec, 7500*ms, answers(false))
		}, Failed, "the first time status 200 at +7.0s"},
		"unhealthy in the baseline":    {stays, func(s scenario) { s.change(livez, 3*sec, 3500*ms, answers(false)) }, Inconclusive, "already before the fault"},
		"never asked":                  {stays, func(s scenario) { s.change(livez, 0, 20*sec, removed) }, Inconclusive, "only 0 answers before the fault"},
		"unhealthy after healing only": {stays, func(s scenario) { s.change(livez, 10500*ms, 20*sec, answers(false)) }, Passed, ""},
		"waiting at healing": {stays, func(s scenario) {
			s.change(livez, 10*sec, 10500*ms, func(o *journal.Observation) bool { o.Yes, o.Took = false, sec; return true })
		}, Passed, ""},
		"the fault was too short":           {stays, func(s scenario) { s.Faults[0].Healed = 6600 * ms }, Inconclusive, "only 2 answers during the fault"},
		"without an answer is unhealthy":    {stays, func(s scenario) { s.change(livez, 7*sec, 7500*ms, noAnswer("no answer within 1s")) }, Failed, "no answer within 1s at +7.0s"},
		"a fault with a later first effect": {stays, func(s scenario) { s.Faults[0].First = 8 * sec; s.change(livez, 7*sec, 7500*ms, answers(false)) }, Inconclusive, "already before the fault"},
		"unhealthy before the fault":        {unhealthy, func(s scenario) { s.change(readyz, 2*sec, 2500*ms, answers(false)) }, Inconclusive, "already before the fault"},
		"turned too late":                   {unhealthy, func(s scenario) { s.change(readyz, 7*sec, 9500*ms, answers(true)) }, Failed, "yes at +9.0s, 3s after"},
		"turned at some time around the deadline": {unhealthy, func(s scenario) {
			s.change(readyz, 7*sec, 9*sec, answers(true))
			s.change(readyz, 9*sec, 9400*ms, removed)
		}, Inconclusive, "changed between +8.5s and +9.5s"},
		"turned after the fault":                 {unhealthy, func(s scenario) { s.change(readyz, 7*sec, 10500*ms, answers(true)); s.Faults[0].Healed = 8 * sec }, Inconclusive, "the fault acted for 2s only"},
		"never unhealthy":                        {healthy, func(s scenario) { s.change(readyz, 0, 20*sec, answers(true)) }, Inconclusive, "did not turn unhealthy during the fault"},
		"healthy too late":                       {healthy, func(s scenario) { s.change(readyz, 11*sec, 16*sec, answers(false)) }, Failed, "was unhealthy 5s after healing: no at +15.0s"},
		"healthy, and not watched until the end": {healthy, func(s scenario) { s.change(readyz, 12500*ms, 20*sec, removed) }, Inconclusive, "from +12.0s to +15.0s"},
		"not watched after healing":              {healthy, func(s scenario) { s.change(readyz, 11*sec, 20*sec, removed) }, Inconclusive, "was watched for 500ms after healing only"},
		"healthy at some time around the deadline": {healthy, func(s scenario) {
			s.change(readyz, 11*sec, 15*sec, answers(false))
			s.change(readyz, 15*sec, 15400*ms, removed)
		}, Inconclusive, "turned healthy between +14.5s and +15.5s"},
		"an alert that fires before":              {detects, func(s scenario) { s.change("alert firing", 5*sec, 5500*ms, answers(true)) }, Inconclusive, "already before the fault the answer was: yes at +5.0s"},
		"an alert that nobody answers for":        {detects, func(s scenario) { s.change("alert firing", 6*sec, 20*sec, noAnswer("connection refused")) }, Inconclusive, "at +6.0s the answer was: connection refused"},
		"an alert that never fires":               {detects, func(s scenario) { s.change("alert firing", 6*sec, 20*sec, answers(false)) }, Failed, "no at +7.0s, 1s after the fault's first effect"},
		"an alert after a fault that was shorter": {Detects{Probe: "alert firing", Within: 5 * sec}, func(s scenario) { s.change("alert firing", 6*sec, 10500*ms, answers(false)) }, Passed, ""},
		"a fault shorter than the time":           {Detects{Probe: "alert firing", Within: 5 * sec}, func(s scenario) { s.change("alert firing", 6*sec, 20*sec, answers(false)) }, Inconclusive, "let it last longer"},
		"the limit is reached":                    {QueueBounded{Queue: "outbox", Most: 190}, func(scenario) {}, Passed, ""},
		"the limit is exceeded before the fault":  {QueueBounded{Queue: "outbox", Most: 9}, func(scenario) {}, Failed, "held 190 messages at +19.0s"},
		"an empty queue":                          {queue, func(s scenario) { s.change("outbox", 0, 20*sec, counts(0)) }, Inconclusive, "held nothing from the baseline to the end of the load"},
		"full before the baseline":                {queue, func(s scenario) { s.change("outbox", 0, sec, counts(5000)) }, Passed, ""},
		"full after the load":                     {queue, func(s scenario) { s.change("outbox", 19500*ms, 20*sec, counts(5000)) }, Passed, ""},
		"full at the beginning of the baseline":   {queue, func(s scenario) { s.change("outbox", sec, 1500*ms, counts(5000)) }, Failed, "held 5000 messages at +1.0s"},
		"full before the baseline, empty after":   {queue, func(s scenario) { s.change("outbox", 0, sec, counts(9)); s.change("outbox", sec, 20*sec, counts(0)) }, Inconclusive, "held nothing from the baseline"},
		"not observed under load":                 {queue, func(s scenario) { s.change("outbox", sec, 20*sec, removed) }, Inconclusive, "from +1.0s to +19.0s, although it is asked every 500ms"},
		"a queue that does not answer":            {queue, func(s scenario) { s.change("outbox", 7*sec, 9*sec, noAnswer("connection refused")) }, Inconclusive, `from +6.5s to +9.0s, although it is asked every 500ms: at +7.0s the answer was: connection refused`},
		"above the limit in spite of a gap":       {QueueBounded{Queue: "outbox", Most: 100}, func(s scenario) { s.change("outbox", 7*sec, 9*sec, removed) }, Failed, "held 190 messages"},
		"a run that was interrupted":              {queue, func(s scenario) { s.Phases = s.Phases[:3] }, Inconclusive, "did not run to its end"},
		"a gauge":                                 {rate, func(s scenario) { s.change(keyMetric, 3*sec, 3500*ms, counts(1)) }, Inconclusive, "it is no counter"},
		"a rare event":                            {rate, func(s scenario) { s.change(keyMetric, 0, 6500*ms, counts(1)) }, Inconclusive, "increased by 0 only before the fault: at least 20 are needed"},
		"a counter that is missing at first":      {rate, func(s scenario) { s.change(keyMetric, 0, 6*sec, noAnswer(`there is no series "x"`)) }, Inconclusive, `there is no series "x"`},
		"a counter that begins anew": {rate, func(s scenario) {
			s.observe(keyMetric, func(at time.Duration, o *journal.Observation) { o.Value = valueOf(50 * at.Seconds()) })
			for i := range s.Observations {
				if o := &s.Observations[i]; o.Probe == keyMetric && o.Asked >= 8*sec {
					o.Value = valueOf(*o.Value - 400)
				}
			}
		}, Inconclusive, "began anew 1 times"},
		"a counter that begins anew and is slow": {rate, func(s scenario) {
			s.observe(keyMetric, func(at time.Duration, o *journal.Observation) {
				if o.Value = valueOf(50 * at.Seconds()); at >= 8*sec {
					o.Value = valueOf((at - 8*sec).Seconds() * 10)
				}
			})
		}, Failed, "increased at 23.8 per second"},
		"an event just outside": {rate, func(s scenario) {
			s.observe(keyMetric, func(at time.Duration, o *journal.Observation) {
				o.Value = valueOf(50*min(at, 6*sec).Seconds() + 44.9*max(0, at-6*sec).Seconds())
			})
		}, Inconclusive, "too close to the limit of 45.0"},
		"answers that take long": {rate, func(s scenario) {
			s.observe(keyMetric, func(at time.Duration, o *journal.Observation) {
				o.Value, o.Took = valueOf(50*min(at, 6*sec).Seconds()+40*max(0, at-6*sec).Seconds()), 400*ms
			})
		}, Inconclusive, "too close to the limit of 45.0"},
		"a load that was late before the fault": {rate, func(s scenario) {
			s.observe(keyMetric, func(at time.Duration, o *journal.Observation) {
				o.Value = valueOf(78*min(at, 6*sec).Seconds() + 50*max(0, at-6*sec).Seconds())
			})
			s.every(journal.Before, func(x *journal.Sample) { x.Slip = []journal.Bucket{{Up: 10 * sec, N: 50}} })
		}, Inconclusive, "too close to the limit"},
		"a stop while the load was a little late": {rate, func(s scenario) {
			s.observe(keyMetric, func(at time.Duration, o *journal.Observation) { o.Value = valueOf(50 * min(at, 6*sec).Seconds()) })
			s.every(journal.During, func(x *journal.Sample) { x.Slip = []journal.Bucket{{Up: 200 * ms, N: 50}} })
		}, Failed, "increased at 0.0 per second"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			c.change(s)
			v := Ask(c.check, s.History)
			require.Equal(t, c.want, v.Outcome, v.Reason)
			require.Contains(t, v.Reason, c.why)
		})
	}
}
