package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// addLock adds a lock that two workers acquire in turn during the fault, n times, every 100 ms for 90 ms.
func (s scenario) addLock(n int) {
	l := journal.Lock{Name: "leader", Source: "lock log"}
	for i := range n {
		at, holder := 6*time.Second+time.Duration(i)*100*ms, fmt.Sprint("worker-", i%2)
		l.Events = append(l.Events, journal.LockEvent{Holder: holder, At: at}, journal.LockEvent{Holder: holder, Ends: true, At: at + 90*ms})
	}
	s.Locks = []journal.Lock{l}
	s.Seqs["lock"] = []uint64{820}
}

func TestMutualExclusion(t *testing.T) {
	events := func(change func(i int, e *journal.LockEvent)) func(scenario) {
		return func(s scenario) {
			for i := range s.Locks[0].Events {
				change(i, &s.Locks[0].Events[i])
			}
		}
	}
	for name, c := range map[string]struct {
		change func(scenario)
		want   Outcome
		why    string
	}{
		"in turn": {func(scenario) {}, Passed, ""},
		"handed over at once": {func(s scenario) {
			events(func(i int, e *journal.LockEvent) { e.At += time.Duration(i%2) * 10 * ms })(s)
		}, Passed, ""},
		"a paused holder":  {func(s scenario) { s.Locks[0].Events[5].At += 500 * ms }, Failed, `"worker-1" from +6.300s to +6.390s, while "worker-0" since +6.200s held it`},
		"never released":   {func(s scenario) { s.Locks[0].Events = slices.Delete(s.Locks[0].Events, 5, 6) }, Failed, `while "worker-0" since +6.200s held it`},
		"held to the end":  {func(s scenario) { s.Locks[0].Events = s.Locks[0].Events[:23] }, Passed, ""},
		"held before":      {func(s scenario) { s.Locks[0].Events = s.Locks[0].Events[1:] }, Passed, ""},
		"renewed":          {func(s scenario) { s.Locks[0].Events = slices.Insert(s.Locks[0].Events, 1, s.Locks[0].Events[0]) }, Passed, ""},
		"a single holder":  {events(func(_ int, e *journal.LockEvent) { e.Holder = "worker-0" }), Inconclusive, `"lock log" lists 1 holders of the lock "leader" in this scenario: without two of them there is no contention`},
		"before the fault": {events(func(_ int, e *journal.LockEvent) { e.At -= 4 * time.Second }), Inconclusive, "no holder acquired the lock"},
		"few":              {func(s scenario) { s.Locks[0].Events = s.Locks[0].Events[:8] }, Inconclusive, "acquired only 4 times"},
		"not read":         {func(s scenario) { s.Locks[0].Events, s.Locks[0].Error = nil, "the holders cannot be read" }, Inconclusive, "cannot be read"},
		"partly read":      {func(s scenario) { s.Locks[0].Error = "a part" }, Inconclusive, "a part"},
		"a release not read": {func(s scenario) {
			s.Locks[0].Events, s.Locks[0].Error = slices.Delete(s.Locks[0].Events, 5, 6), "item 6 has no seq"
		}, Inconclusive, "item 6 has no seq"},
		"another lock": {func(s scenario) { s.Locks[0].Name = "other" }, Inconclusive, "were not read"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			c.change(s)
			v := Ask(MutualExclusion{Lock: "leader", Source: "lock log"}, s.History)
			require.Equal(t, c.want, v.Outcome, v.Reason)
			require.Contains(t, v.Reason, c.why)
		})
	}
}

// listed parses what a source lists of a lock, such as "A acquired 7, A released 7.5", with times in seconds.
func listed(t *testing.T, text string) []journal.LockEvent {
	t.Helper()
	var all []journal.LockEvent
	for _, entry := range strings.Split(text, ", ") {
		var e journal.LockEvent
		var what string
		var at float64
		_, err := fmt.Sscan(entry, &e.Holder, &what, &at)
		require.NoError(t, err, entry)
		e.Ends, e.Renews, e.At = what == "released", what == "renewed", time.Duration(at*1000)*ms
		all = append(all, e)
	}
	return all
}

// A clock with whole seconds gives many entries the same time, in an order that is not known.
func TestMutualExclusionAtOneTime(t *testing.T) {
	for name, c := range map[string]struct {
		list     string
		acquired int
		why      string // of a failure; "" if it must not fail
	}{
		"acquired and released":                {"A acquired 7, A released 7, B acquired 8, B released 8", 2, ""},
		"acquired and released, disordered":    {"A released 7, A acquired 7, B acquired 8, B released 8", 2, ""},
		"handed over":                          {"A acquired 7, B acquired 8, A released 8, B released 9", 2, ""},
		"handed over at once":                  {"A acquired 7, A released 7, B acquired 7, B released 8", 2, ""},
		"handed over and back":                 {"A acquired 6, A released 7, A acquired 7, B acquired 7, B released 7, A released 8", 3, ""},
		"acquired again":                       {"A acquired 6, A released 7, A acquired 7, B acquired 8, A released 9, B released 10", 3, `"B" from +8.000s to +10.000s, while "A" from +7.000s to +9.000s held it`},
		"acquired again, disordered":           {"A acquired 6, A acquired 7, A released 7, B acquired 8, A released 9, B released 10", 3, `"B" from +8.000s to +10.000s, while "A" from +7.000s to +9.000s held it`},
		"acquired again, and never released":   {"A acquired 6, A released 7, A acquired 7, B acquired 8, B released 9", 3, `"B" from +8.000s to +9.000s, while "A" since +7.000s held it`},
		"renewed and released":                 {"A acquired 6, A acquired 7, A released 7, B acquired 8, B released 9, A acquired 10, A released 11", 3, ""},
		"acquired and released twice":          {"A acquired 7, A released 7, A acquired 7, A released 7, B acquired 8, B released 9", 3, ""},
		"released, acquired and released":      {"A acquired 6, A released 7, A acquired 7, A released 7, B acquired 8, B released 9", 3, ""},
		"acquired, released and acquired":      {"A acquired 7, A released 7, A acquired 7, B acquired 8, A released 9, B released 9", 3, `while "A" from +7.000s to +9.000s held it`},
		"acquired by two":                      {"A acquired 7, B acquired 7, A released 8, B released 8", 2, `"B" from +7.000s to +8.000s, while "A" from +7.000s to +8.000s held it`},
		"acquired and released by two":         {"A acquired 7, B acquired 7, A released 7, B released 7", 2, ""},
		"acquired and released, while held":    {"A acquired 6, B acquired 7, B released 7, A released 8", 2, `"B" from +7.000s to +7.000s, while "A" from +6.000s to +8.000s held it`},
		"acquired and released, as it is held": {"A acquired 7, B acquired 7, B released 7, A released 8", 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			s.Locks[0].Events = listed(t, c.list)
			v := Ask(MutualExclusion{Lock: "leader", Source: "lock log"}, s.History)
			require.Contains(t, v.Observed, fmt.Sprintf("2 holders acquired it %d times", c.acquired))
			require.Equal(t, c.why != "", v.Outcome == Failed, v.Reason)
			if c.why != "" {
				require.Contains(t, v.Reason, `1 times, the lock "leader" was acquired while another one held it: `)
				require.Contains(t, v.Reason, c.why)
			}
		})
	}
}

// A list keeps what happened before the scenario, such as acquisitions by holders that were stopped with an earlier run.
func TestMutualExclusionBeforeTheScenario(t *testing.T) {
	const ended = `, and the list shows no end of that before`
	old := func(of string, n int) string { // the lock is acquired n times
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("%s acquired %d, %s released %d.5", of, i-1000, of, i-999))
		}
		return strings.Join(all, ", ")
	}
	for name, c := range map[string]struct {
		before string
		change func(scenario)
		want   Outcome
		why    string
	}{
		"complete":                          {"worker-9 acquired -10, worker-9 released -9", nil, Passed, ""},
		"it never ends":                     {"worker-9 acquired -86400", nil, Inconclusive, `"worker-9" acquired the lock before this scenario` + ended + ` "worker-0" acquired it at +6.000s`},
		"its holder is not the first":       {"worker-1 acquired -86400", nil, Inconclusive, `"worker-1" acquired the lock before this scenario` + ended + ` "worker-0" acquired it at +6.000s`},
		"its holder is the first":           {"worker-0 acquired -86400", nil, Passed, ""},
		"it was renewed before":             {"worker-9 acquired -86400, worker-9 renewed -9", nil, Inconclusive, `"worker-9" acquired the lock before this scenario`},
		"it began earlier in the run":       {"worker-9 acquired 2", func(s scenario) { s.Began = 3 * time.Second }, Inconclusive, `"worker-9" acquired the lock before this scenario`},
		"it began in the scenario":          {"worker-9 acquired 2", func(s scenario) { s.Began = 2 * time.Second }, Failed, `"worker-0" from +6.000s to +6.090s, while "worker-9" since +2.000s held it`},
		"it is released later":              {"worker-9 acquired -10, worker-9 released 6.05", nil, Failed, `"worker-0" from +6.000s to +6.090s, while "worker-9" from -10.000s to +6.050s held it`},
		"it is renewed later":               {"worker-9 acquired -10, worker-9 renewed 6.05", nil, Failed, `"worker-0" from +6.000s to +6.090s, while "worker-9" since -10.000s held it`},
		"it was renewed in the scenario":    {"worker-9 acquired -10, worker-9 renewed 2", nil, Failed, `while "worker-9" since -10.000s held it`},
		"overlaps":                          {"worker-8 acquired -10, worker-9 acquired -9, worker-8 released -8, worker-9 released -7", nil, Passed, ""},
		"overlaps that never end":           {"worker-1 acquired -10, worker-0 acquired -9", nil, Inconclusive, `"worker-1" acquired the lock before this scenario` + ended + ` "worker-0" acquired it at +6.000s`},
		"an overlap lasts into it":          {"worker-8 acquired -10, worker-9 acquired -9, worker-8 released 1, worker-9 released 2", nil, Failed, `"worker-9" from -9.000s to +2.000s, while "worker-8" from -10.000s to +1.000s held it`},
		"it never ends, beside a violation": {"worker-9 acquired -10", func(s scenario) { s.Locks[0].Events[6].At += 30 * ms }, Failed, `1 times, the lock "leader" was acquired while another one held it: "worker-1" from +6.300s`},
		"only the holders are two": {old("worker-1", 20), func(s scenario) {
			s.Locks[0].Events = slices.DeleteFunc(s.Locks[0].Events, func(e journal.LockEvent) bool { return e.At > 0 && e.Holder == "worker-1" })
		}, Inconclusive, `"lock log" lists 1 holders of the lock "leader" in this scenario`},
		"only the acquisitions are many": {old("worker-1", 20), func(s scenario) { s.Locks[0].Events = s.Locks[0].Events[:48] }, Inconclusive, "acquired only 4 times"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			s.Locks[0].Events = append(listed(t, c.before), s.Locks[0].Events...)
			if c.change != nil {
				c.change(s)
			}
			v := Ask(MutualExclusion{Lock: "leader", Source: "lock log"}, s.History)
			require.Equal(t, c.want, v.Outcome, v.Reason)
			require.Contains(t, v.Reason, c.why)
			if c.want == Passed {
				require.Contains(t, v.Observed, "2 holders acquired it 12 times, 12 during the fault")
			}
			if strings.Contains(c.why, "before this scenario") {
				require.Equal(t, codes.Undecided, v.Doubt.Code())
			}
		})
	}
}

// A holder that a fault ended lists no end, and its lease expires. worker-0 acquires the lock at 6.2 s, worker-1 at 6.3 s.
func TestMutualExclusionAfterACrash(t *testing.T) {
	on := func(sentence, on string, injected, live, healed time.Duration) func(scenario) {
		return func(s scenario) {
			s.Faults = append(s.Faults, &journal.Injection{Fault: journal.Fault{ID: "f2", Stage: "healed", Sentence: sentence, On: on, Live: live}, Injected: injected, Healed: healed})
		}
	}
	crash := func(at time.Duration) func(scenario) {
		return on(`"worker-0" crashes`, "worker-0", at-5*ms, at, at+60*ms)
	}
	crashes, hangs := crash(6250*ms), on(`"worker-0" hangs`, "worker-0", 6240*ms, 6245*ms, 6370*ms)
	const unended = `"worker-0" acquired the lock at +6.200s, and the list shows no end of that before "worker-1" acquired it at +6.300s: its holder may have crashed or hung (`
	const held = `1 times, the lock "leader" was acquired while another one held it: "worker-1" from +6.300s to +6.390s, while "worker-0" since +6.200s held it`
	for name, c := range map[string]struct {
		fault func(scenario)
		lists string // in place of the release
		want  Outcome
		why   string
	}{
		"a crash":                               {crashes, "", Inconclusive, unended + `"worker-0" crashes); let the next holder list the old one as expired`},
		"a hang":                                {hangs, "", Inconclusive, unended + `"worker-0" hangs)`},
		"a loss of power":                       {on(`"worker-0" loses power`, "worker-0", 6240*ms, 6260*ms, 8*time.Second), "", Inconclusive, unended},
		"by hand":                               {func(s scenario) { crashes(s); s.Faults[1].By = "ben" }, "", Inconclusive, `(by hand, by ben)`},
		"the last of several crashes":           {func(s scenario) { crash(6100 * ms)(s); s.Faults[1].Last = 6250 * ms }, "", Inconclusive, unended},
		"a stop that failed":                    {on(`"worker-0" is stopped gracefully`, "worker-0", 6150*ms, 0, 6250*ms), "", Inconclusive, unended},
		"it never acquires again":               {func(s scenario) { crashes(s); s.without("worker-0", 6300*ms) }, "", Inconclusive, unended},
		"it renewed before the crash":           {crashes, "worker-0 renewed 6.24", Inconclusive, unended},
		"its end is listed":                     {crashes, "worker-0 released 6.3", Passed, ""},
		"no fault":                              {func(scenario) {}, "", Failed, held},
		"a fault on a link":                     {on("calls are lost", "orders -> payments", 6240*ms, 6250*ms, 8*time.Second), "", Failed, held},
		"a fault that was not injected":         {func(s scenario) { crashes(s); s.Faults[1].Stage = "skipped" }, "", Failed, held},
		"a crash before that":                   {crash(6190 * ms), "", Failed, held},
		"a crash after that":                    {crash(6310 * ms), "", Failed, held},
		"it renewed after the crash":            {crashes, "worker-0 renewed 6.29", Failed, held},
		"it renews what it has lost":            {hangs, "worker-0 renewed 6.38", Failed, held},
		"it releases what it has lost":          {hangs, "worker-0 released 6.38", Failed, `"worker-1" from +6.300s to +6.390s, while "worker-0" from +6.200s to +6.380s held it`},
		"it releases what it has lost, later":   {hangs, "worker-0 released 6.395", Failed, `"worker-1" from +6.300s to +6.390s, while "worker-0" from +6.200s to +6.395s held it`},
		"it acquires what the next one holds":   {crashes, "worker-0 acquired 6.35", Failed, `1 times, the lock "leader" was acquired while another one held it: "worker-0" from +6.350s to +6.490s, while "worker-1" from +6.300s to +6.390s held it`},
		"the next two hold it at the same time": {func(s scenario) { crashes(s); s.Locks[0].Events[7].At += 20 * ms }, "", Failed, `"worker-0" from +6.400s to +6.490s, while "worker-1" from +6.300s to +6.410s held it`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			c.fault(s)
			s.Locks[0].Events = slices.DeleteFunc(s.Locks[0].Events, func(e journal.LockEvent) bool { return e.At == 6290*ms })
			if c.lists != "" {
				s.Locks[0].Events = append(s.Locks[0].Events, listed(t, c.lists)...)
			}
			v := Ask(MutualExclusion{Lock: "leader", Source: "lock log"}, s.History)
			require.Equal(t, c.want, v.Outcome, v.Reason)
			require.Contains(t, v.Reason, c.why)
			if c.want == Inconclusive {
				require.Equal(t, codes.Undecided, v.Doubt.Code())
			}
		})
	}
}

// without removes what a holder of the lock lists after a moment.
func (s scenario) without(holder string, after time.Duration) {
	s.Locks[0].Events = slices.DeleteFunc(s.Locks[0].Events, func(e journal.LockEvent) bool { return e.Holder == holder && e.At > after })
}
