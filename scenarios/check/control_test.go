package check

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// split makes the requests of a run those to "orders", beside as many to "orders-control".
func (s scenario) split() scenario {
	for i := range s.Samples {
		s.Samples[i].Copy = "orders"
	}
	for i, x := range slices.Clone(s.Samples) {
		x.Copy, x.Errors, x.Latency = "orders-control", maps.Clone(x.Errors), slices.Clone(x.Latency)
		s.Samples = append(s.Samples, x)
		s.Seqs["sample"] = append(s.Seqs["sample"], uint64(2000+i))
	}
	return s
}

// ofCopy changes the samples of one copy in a window.
func (s scenario) ofCopy(name string, w journal.Window, change func(*journal.Sample)) {
	for i := range s.Samples {
		if s.Samples[i].Copy == name && s.Samples[i].Window == w {
			change(&s.Samples[i])
		}
	}
}

func TestDifferenceFromTheControl(t *testing.T) {
	success, speed := SucceedsAsControl{Of: "orders", Control: "orders-control", Points: 5}, FastAsControl{Of: "orders", Control: "orders-control", Percentile: 95, Times: 1.2}
	for name, c := range map[string]struct {
		check  Check
		change func(scenario)
		want   Outcome
		why    string
	}{
		"alike":                               {success, func(scenario) {}, Passed, ""},
		"alike, as fast":                      {speed, func(scenario) {}, Passed, ""},
		"too few requests for so small limit": {SucceedsAsControl{Of: "orders", Control: "orders-control", Points: 1}, func(scenario) {}, Inconclusive, "200 and 200 requests the difference may be up to 1.88 points"},
		"a difference that may be chance":     {success, func(s scenario) { s.ofCopy("orders", journal.During, failing(3)) }, Inconclusive, "send more requests"},
		"worse":                               {success, func(s scenario) { s.ofCopy("orders", journal.During, failing(25)) }, Failed, "50 points less often"},
		"slower":                              {speed, func(s scenario) { s.ofCopy("orders", journal.During, slow(800*ms)) }, Failed, "80.0 times"},
		"the control did badly":               {success, func(s scenario) { s.every(journal.During, failing(25)) }, Inconclusive, `the control "orders-control" itself did badly`},
		"only the control did badly":          {success, func(s scenario) { s.ofCopy("orders-control", journal.During, failing(25)) }, Inconclusive, "itself did badly"},
		"the control became slow":             {speed, func(s scenario) { s.every(journal.During, slow(800*ms)) }, Inconclusive, `the control "orders-control" was disturbed, too`},
		"they were not alike":                 {speed, func(s scenario) { s.ofCopy("orders", journal.Before, slow(800*ms)) }, Inconclusive, "were not alike before the fault"},
		"it failed before":                    {success, func(s scenario) { s.ofCopy("orders", journal.Before, failing(15)) }, Inconclusive, "were not alike before the fault"},
		"no request reached the control": {success, func(s scenario) {
			s.ofCopy("orders-control", journal.During, func(x *journal.Sample) { *x = journal.Sample{} })
		}, Inconclusive, `to "orders-control", 0 requests`},
		"failures are fast":      {speed, func(s scenario) { s.ofCopy("orders", journal.During, failing(25)) }, Inconclusive, "the latency of failures is not meaningful"},
		"no fault":               {success, func(s scenario) { s.Faults = nil }, Inconclusive, "no fault was injected"},
		"the load was not split": {success, func(s scenario) { s.ofCopy("orders", journal.During, func(x *journal.Sample) { x.Copy = "" }) }, Inconclusive, "0 requests"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario().split()
			c.change(s)
			v := Ask(c.check, s.History)
			require.Equal(t, c.want, v.Outcome, v.Reason)
			assert.Contains(t, v.Reason, c.why)
		})
	}
}
