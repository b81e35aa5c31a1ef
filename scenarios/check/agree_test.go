package check

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func TestAgree(t *testing.T) {
	t.Parallel()
	differ := func(a *journal.Agreement, d journal.Difference) {
		a.Since, a.Differ, a.Differs = 0, 1, []journal.Difference{d}
	}
	for name, c := range map[string]struct {
		change func(scenario, *journal.Agreement)
		want   Outcome
		why    string
	}{
		"agreed":       {func(scenario, *journal.Agreement) {}, Passed, ""},
		"twice in one": {func(_ scenario, a *journal.Agreement) { differ(a, journal.Difference{Key: "k1", Count: [2]int{1, 2}}) }, Failed, "key k1: orders table has 1 effect, and billing has 2 effects"},
		"other values": {func(_ scenario, a *journal.Agreement) {
			differ(a, journal.Difference{Key: "k1", Count: [2]int{1, 1}, Values: [2][]string{{"10"}, {"12"}}})
		}, Failed, "orders table has 1 effect (10), and billing has 1 effect (12)"},
		"not read": {func(_ scenario, a *journal.Agreement) {
			differ(a, journal.Difference{Key: "k1"})
			a.Error = "effects listed by billing cannot be judged: refused"
		}, Inconclusive, "cannot be judged: refused"},
		"no requests":      {func(_ scenario, a *journal.Agreement) { a.Keys = 0 }, Inconclusive, "had ended when faults were healed"},
		"an empty source":  {func(_ scenario, a *journal.Agreement) { differ(a, journal.Difference{Key: "k1"}); a.Listed[1] = 0 }, Inconclusive, "billing lists no effect of these requests"},
		"read too late":    {func(_ scenario, a *journal.Agreement) { a.First, a.Since = 31*time.Second, 31*time.Second }, Inconclusive, "for the first time 31s after healing"},
		"at the very end":  {func(_ scenario, a *journal.Agreement) { a.Since = 30*time.Second + 10*ms }, Inconclusive, "agreed only at the last reading, 30.01s after healing"},
		"differed once":    {func(_ scenario, a *journal.Agreement) { a.Since = 0 }, Inconclusive, "differed in the last reading only"},
		"nothing compared": {func(s scenario, _ *journal.Agreement) { s.Agreements = nil }, Inconclusive, "were not compared"},
		"no write met it": {func(s scenario, _ *journal.Agreement) {
			s.request(4, func(r *journal.Request) { r.Window = journal.Before })
		}, Inconclusive, "no request that changes something met the fault"},
		"only reads": {func(s scenario, _ *journal.Agreement) { s.Faults[0].Reads = true }, Inconclusive, "affected only calls that read"},
	} {
		s := newScenario()
		c.change(s, &s.Agreements[0])
		v := Ask(Agree{Sources: [2]string{"orders table", "billing"}, Within: 30 * time.Second}, s.History)
		assert.Equal(t, c.want, v.Outcome, "%s: %s", name, v.Reason)
		assert.Contains(t, v.Reason, c.why, name)
	}
}
