package check

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// A fault by hand withholds what was measured, whether it would have passed or failed. What must never happen still fails,
// and says that there were faults by hand.
func TestFaultByHandWithholds(t *testing.T) {
	for name, c := range map[string]struct {
		bug      func(scenario)
		withheld string
	}{
		"sound":   {func(scenario) {}, "passed"},
		"failing": {func(s scenario) { s.every(journal.During, failing(10)) }, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			c.bug(s)
			s.twice("k2")
			s.Faults[0].By = "ann"
			answers, _ := Judge(s.History, []Check{Success{Ratio: 0.99, Window: journal.During}, NoneTwice{}, NoneLost{}}, Implied(nil))
			assert.Equal(t, Inconclusive, answers[0].Outcome)
			assert.Equal(t, c.withheld, answers[0].Withheld)
			assert.Equal(t, codes.InjectedByHand, answers[0].Doubt.Code())
			require.Equal(t, Failed, answers[1].Outcome)
			assert.Regexp(t, `; beside the faults of the scenario, these were injected by hand: .*, by ann at \+\d`, answers[1].Reason)
			assert.Equal(t, Inconclusive, answers[2].Outcome, "that nothing was lost is not shown for the scenario")
		})
	}
	s := newScenario()
	s.twice("k2")
	answers, _ := Judge(s.History, []Check{NoneTwice{}}, Implied(nil))
	assert.NotContains(t, answers[0].Reason, "by hand")
}
