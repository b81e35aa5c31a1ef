package check

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// seeded has, for each kind of check, further bugs beside the one of violations.
var seeded = map[string]map[string]func(scenario){
	"agree": {
		"twice in one of them": func(s scenario) { s.differ(journal.Difference{Key: "k1", Count: [2]int{1, 2}}) },
		"another value": func(s scenario) {
			s.differ(journal.Difference{Key: "k1", Count: [2]int{1, 1}, Values: [2][]string{{"10"}, {"12"}}})
		},
	},
	"calls per second": {
		"a few more than allowed": func(s scenario) { s.addCalls(15, journal.After, "front -> payments", 11, ms) },
		"dials that are refused":  func(s scenario) { s.refused(15, journal.After, 40) },
	},
	"calls times normal": {
		"one call in two is repeated": func(s scenario) {
			for i := 6; i < 10; i++ {
				s.addCalls(i, journal.During, "orders -> payments", 40, ms)
			}
		},
		"dials that are refused": func(s scenario) { s.refused(7, journal.During, 200) },
	},
	"conserved": {
		"a cent is lost":     func(s scenario) { s.Sums[0].After = "1000.09" },
		"money is made":      func(s scenario) { s.Sums[0].After = "2000.10" },
		"everything is gone": func(s scenario) { s.Sums[0].After = "0" },
	},
	"detects": {
		"it never fires":     func(s scenario) { s.change("alert firing", 6*time.Second, 20*time.Second, answers(false)) },
		"it fires 3 s later": func(s scenario) { s.change("alert firing", 6*time.Second, 9500*ms, answers(false)) },
	},
	"error budget": {
		"an outage of the whole fault": func(s scenario) {
			s.every(journal.During, failing(50))
			s.every(journal.After, failing(5))
		},
		"errors after healing": func(s scenario) { s.every(journal.After, rejecting(500, 40, ms)) },
	},
	"exactly once": {
		"an acknowledged request is lost":      func(s scenario) { s.drop("k3") },
		"a refused request is applied":         func(s scenario) { s.request(2, func(r *journal.Request) { r.Outcome = "refused" }) },
		"an ambiguous request is applied more": func(s scenario) { s.request(2, func(r *journal.Request) { r.Outcome = "ambiguous" }); s.twice("k2") },
	},
	"failure kinds": {
		"a kind that is not listed": func(s scenario) { s.Samples[6].Errors["reset"] = 1 },
		"more of one than allowed":  func(s scenario) { s.every(journal.During, rejecting(503, 5, ms)) },
	},
	"fallback": {
		"whole answers are missing": func(s scenario) { s.every(journal.During, func(x *journal.Sample) { x.Fallback = 0; failing(50)(x) }) },
		"half of the answers are no fallbacks": func(s scenario) {
			s.every(journal.During, func(x *journal.Sample) { x.OK, x.Fallback = 25, 25 })
		},
	},
	"fast as control": {
		"twice as slow":        func(s scenario) { s.ofCopy("orders", journal.During, slow(20*ms)) },
		"a fifth is very slow": func(s scenario) { s.ofCopy("orders", journal.During, tenth(2, 800*ms)) },
	},
	"gives up": {
		"it gives up late":    func(s scenario) { s.addGivenUp(1500 * ms) },
		"many calls are slow": func(s scenario) { s.addCalls(8, journal.During, "orders -> payments", 20, 2*time.Second) },
	},
	"in order": {
		"the first is second": func(s scenario) { s.place(map[int]int{0: 2, 1: 1}) },
		"two are swapped":     func(s scenario) { s.place(map[int]int{3: 5, 4: 4}) },
	},
	"keeps its rate": {
		"nothing is counted": func(s scenario) {
			s.observe(keyMetric, func(at time.Duration, o *journal.Observation) {
				o.Value = valueOf(50 * min(at, 6*time.Second).Seconds())
			})
		},
		"half is counted": func(s scenario) {
			s.observe(keyMetric, func(at time.Duration, o *journal.Observation) {
				o.Value = valueOf(50*min(at, 6*time.Second).Seconds() + 25*max(0, at-6*time.Second).Seconds())
			})
		},
	},
	"key reuse refused": {
		"another status":   func(s scenario) { s.Probes[1].Got, s.Probes[1].Status = "409", 409 },
		"taken as success": func(s scenario) { s.Probes[1].Got, s.Probes[1].Status = "200", 200 },
	},
	"latency": {
		"a tenth is very slow": func(s scenario) { s.every(journal.During, tenth(1, 800*ms)) },
		"a little too slow":    func(s scenario) { s.every(journal.During, slow(450*ms)) },
	},
	"linearizable": {
		"a value that was never written": func(s scenario) { s.Operations[9].Value = "ghost" },
		"the first value comes back":     func(s scenario) { s.Operations[23].Value = "0" },
	},
	"linearizable queue": {
		"two items are taken out of order": func(s scenario) {
			a, b := s.onJobs(false, 5), s.onJobs(false, 6)
			a.Value, b.Value = b.Value, a.Value
		},
		"an item that was never put": func(s scenario) { s.onJobs(false, 5).Value = "ghost" },
		"nothing is there, though an item is": func(s scenario) {
			take := s.onJobs(false, 5)
			take.Value, take.None = "", true
		},
	},
	"linearizable set": {
		"another one that was removed is back": func(s scenario) { s.onMembers(6).Value = journal.InSet },
		"an element that was added is gone":    func(s scenario) { s.onMembers(2).Value = journal.NotInSet },
	},
	"mutual exclusion": {
		"it is acquired too early": func(s scenario) { s.Locks[0].Events[2].At -= 30 * ms },
		"it is held by three":      func(s scenario) { s.Locks[0].Events[5].At += 220 * ms },
	},
	"no phantom": {
		"two that were never requested": func(s scenario) { s.phantom("ghost"); s.phantom("another") },
		"a key in another form":         func(s scenario) { s.phantom("K1") },
	},
	"none lost": {
		"two are lost":                 func(s scenario) { s.drop("k0"); s.drop("k1") },
		"one lost, and another twice":  func(s scenario) { s.drop("k1"); s.twice("k2") },
		"the one of the fault is lost": func(s scenario) { s.drop("k4") },
	},
	"none twice": {
		"three times":                 func(s scenario) { s.twice("k1"); s.phantomID("k1", "o-once-more") },
		"two of them":                 func(s scenario) { s.twice("k1"); s.phantomID("k2", "o-too") },
		"one lost, and another twice": func(s scenario) { s.drop("k1"); s.twice("k2") },
	},
	"not affected": {
		"slower":         func(s scenario) { s.every(journal.During, slow(100*ms)) },
		"errors instead": func(s scenario) { s.every(journal.During, rejecting(500, 20, ms)) },
	},
	"nothing slower": {
		"during the fault": func(s scenario) { s.every(journal.During, slow(3*time.Second)) },
		"after healing":    func(s scenario) { s.every(journal.After, tenth(1, 4*time.Second)) },
	},
	"one answer": {
		"other words": func(s scenario) {
			s.addPair("p9", 201, 201)
			s.Pairs[len(s.Pairs)-1].Answers[1].Digest = "another"
		},
		"a refusal": func(s scenario) { s.addPair("p9", 201, 404) },
	},
	"one effect": {
		"three effects": func(s scenario) { s.Pairs[3].Effects = []string{"o-1", "o-2", "o-3"} },
		"no effect":     func(s scenario) { s.Pairs[3].Effects = nil },
	},
	"queue bounded": {
		"for a moment":  func(s scenario) { s.change("outbox", 8*time.Second, 8500*ms, counts(5000)) },
		"one too many":  func(s scenario) { s.change("outbox", 9*time.Second, 10*time.Second, counts(1001)) },
		"after healing": func(s scenario) { s.change("outbox", 15*time.Second, 16*time.Second, counts(3000)) },
	},
	"recovers": {
		"it fails to the end":       func(s scenario) { s.every(journal.After, failing(50)) },
		"it fails again at the end": func(s scenario) { s.seconds(16, 19, failing(40)) },
		"it is slow for too long":   func(s scenario) { s.seconds(10, 18, slow(900*ms)) },
		"it is steady too late":     func(s scenario) { s.seconds(10, 14, failing(50)) },
	},
	"refuses excess": {
		"too slowly":     func(s scenario) { s.every(journal.During, rejecting(429, 10, 90*ms)) },
		"by another way": func(s scenario) { s.every(journal.During, rejecting(500, 10, 20*ms)) },
	},
	"resumes calling": {
		"it stops again":        func(s scenario) { s.stopCalls(15, 20) },
		"it makes a third only": func(s scenario) { s.fewerCalls(journal.After, 17) },
	},
	"same response": {
		"an error":            func(s scenario) { s.Probes[0].Got, s.Probes[0].Status = "status 404", 404 },
		"it is applied again": func(s scenario) { s.Probes[0].Again = []string{"o-again"} },
	},
	"sends again": {
		"everything at once": func(s scenario) {
			s.observe(resent, func(at time.Duration, o *journal.Observation) {
				if o.Value = valueOf(0); at >= 7*time.Second {
					o.Value = valueOf(5000)
				}
			})
		},
		"again and again until the end, over a restart": func(s scenario) {
			s.observe(resent, func(at time.Duration, o *journal.Observation) {
				if o.Value = valueOf(200 * max(0, at-6*time.Second).Seconds()); at >= 12*time.Second {
					o.Value = valueOf(200 * (at - 12*time.Second).Seconds())
				}
			})
		},
	},
	"stays healthy": {
		"no for a moment":   func(s scenario) { s.change(livez, 8*time.Second, 8500*ms, answers(false)) },
		"no answer in time": func(s scenario) { s.change(livez, 7*time.Second, 7500*ms, noAnswer("no answer within 1s")) },
	},
	"stops calling": {
		"one call in five goes on": func(s scenario) {
			for i := 7; i < 10; i++ {
				s.addCalls(i, journal.During, "orders -> payments", 10, ms)
			}
		},
		"dials that are refused": func(s scenario) {
			for i := 7; i < 10; i++ {
				s.refused(i, journal.During, 40)
			}
		},
	},
	"succeeds as control": {
		"half fails":      func(s scenario) { s.ofCopy("orders", journal.During, failing(25)) },
		"errors, at once": func(s scenario) { s.ofCopy("orders", journal.During, rejecting(500, 15, ms)) },
	},
	"success": {
		"errors, at once":   func(s scenario) { s.every(journal.During, rejecting(500, 5, ms)) },
		"everything fails":  func(s scenario) { s.every(journal.During, failing(50)) },
		"redirects instead": func(s scenario) { s.every(journal.During, redirect) },
	},
	"turns healthy": {
		"never":   func(s scenario) { s.change(readyz, 7*time.Second, 20*time.Second, answers(false)) },
		"at last": func(s scenario) { s.change(readyz, 7*time.Second, 17*time.Second, answers(false)) },
	},
	"turns unhealthy": {
		"too late":           func(s scenario) { s.change(readyz, 6*time.Second, 9500*ms, answers(true)) },
		"at the last moment": func(s scenario) { s.change(readyz, 6*time.Second, 9900*ms, answers(true)) },
	},
}

// differ makes the sources of an agreement differ in the end.
func (s scenario) differ(d journal.Difference) {
	a := &s.Agreements[0]
	a.Since, a.Differ, a.Differs = 0, 1, []journal.Difference{d}
}

// refused adds dials to payments that are refused.
func (s scenario) refused(second int, w journal.Window, n int) {
	s.addCalls(second, w, "orders -> payments", 0, ms)
	s.Calls[len(s.Calls)-1].Refused = n
}

// tenth makes n tenths of the requests slow.
func tenth(n int64, took time.Duration) func(*journal.Sample) {
	return func(x *journal.Sample) {
		slow := int64(x.Sent) * n / 10
		x.Latency = []journal.Bucket{{Up: 10 * ms, N: int64(x.Sent) - slow}, {Up: took, N: slow}}
		x.Good = x.Latency
	}
}

// seconds changes the samples of some seconds.
func (s scenario) seconds(from, to int, change func(*journal.Sample)) {
	for i := range s.Samples {
		if at := int(s.Samples[i].From / time.Second); at >= from && at < to {
			change(&s.Samples[i])
		}
	}
}

// fewerCalls sets the number of calls in each second of a window.
func (s scenario) fewerCalls(w journal.Window, n int) {
	for i := range s.Calls {
		if s.Calls[i].Window == w {
			s.Calls[i].Calls, s.Calls[i].Arrived, s.Calls[i].Duration = n, n, []journal.Bucket{{Up: 5 * ms, N: int64(n)}}
		}
	}
}

// phantom adds an effect of a key that no request has.
func (s scenario) phantom(key string) { s.phantomID(key, "o-"+key) }

// phantomID adds an effect.
func (s scenario) phantomID(key, id string) {
	s.Effects.Add(journal.Effect{Key: key, ID: id})
	s.EffectsRead.Count++
}

// TestSeededBugs verifies that each check finds at least three different bugs in a run that it passes without them.
func TestSeededBugs(t *testing.T) {
	for _, k := range kindsByName() {
		if k.Implied || k.Name == "affected" { // they cannot fail; see TestImpliedChecksDetectInvalidRuns and TestAffectedPasses
			continue
		}
		base := violations[k.Name]
		bugs := map[string]func(scenario){"violation": base.bug}
		for name, bug := range seeded[k.Name] {
			bugs[name] = bug
		}
		require.GreaterOrEqual(t, len(bugs), 3, "plant more bugs that %q finds", k.Name)
		for name, bug := range bugs {
			t.Run(k.Name+"/"+name, func(t *testing.T) {
				s := soundFor(k.Name)
				require.Equal(t, Passed, Ask(base.check, s.History).Outcome)
				bug(s)
				v := Ask(base.check, s.History)
				assert.Equal(t, Failed, v.Outcome, v.Reason)
			})
		}
	}
	for kind := range seeded {
		require.Contains(t, violations, kind)
	}
}

// A request that took far longer than allowed does not become right because the runner was paused for a moment of it.
func TestSlowRequestThatOverlapsAPause(t *testing.T) {
	s := newScenario()
	x := s.second(8, journal.During, "POST /orders", 5, 5*time.Second)
	x.Paused = true
	s.Pauses = []journal.Pause{{From: 9 * time.Second, To: 9*time.Second + 120*ms, Took: 120 * ms}}
	s.Load.Intended, s.Load.Sent, s.Load.Attempts, s.Load.Wire, s.Load.Requested = 955, 955, 955, 955, 955
	for _, c := range []Check{NothingSlower{Than: 4 * time.Second}, NothingSlower{Than: 4 * time.Second, Window: journal.During}} {
		answers, _ := Judge(s.History, []Check{c}, Implied(nil))
		assert.NotEqual(t, Passed, answers[0].Outcome, "%s: %s; %s", c, answers[0].Observed, answers[0].Reason)
	}
}
