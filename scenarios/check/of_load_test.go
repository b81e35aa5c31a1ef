package check

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// twoLoads returns a valid run whose load is the "checkout" load, beside a "browsing" load with as many requests.
func twoLoads() scenario {
	s := newScenario()
	s.LoadNames = []string{"checkout", "browsing"}
	for i := range s.Samples {
		s.Samples[i].Load = "checkout"
	}
	for i, x := range slices.Clone(s.Samples) {
		x.Load, x.Route, x.Errors = "browsing", "GET /catalog", maps.Clone(x.Errors)
		s.Samples = append(s.Samples, x)
		s.Seqs["sample"] = append(s.Seqs["sample"], uint64(1000+i))
	}
	checkout, browsing := *s.Load, *s.Load
	checkout.Name, browsing.Name = "checkout", "browsing"
	s.Loads = []journal.Load{checkout, browsing}
	return s
}

// ofLoad changes the samples of one load in a window.
func (s scenario) ofLoad(load string, w journal.Window, change func(*journal.Sample)) {
	for i := range s.Samples {
		if s.Samples[i].Load == load && s.Samples[i].Window == w {
			change(&s.Samples[i])
		}
	}
}

func TestCheckOfALoadJudgesItAlone(t *testing.T) {
	for _, k := range Kinds() {
		if k.ByLoad == "" || k.Name == "fallback" {
			continue
		}
		p := violations[k.Name].check
		if scoped, ok := p.(loadCheck); ok {
			if route, _ := scoped.scope(); route != "" { // of the "checkout" load only
				continue
			}
		}
		s := twoLoads()
		for _, load := range []string{"checkout", "browsing"} {
			v := Ask(OfLoad{load, p}, s.History)
			require.Equal(t, Passed, v.Outcome, "%s: %s", k.Name, v.Reason)
			require.NotEmpty(t, v.Evidence)
		}
		s.ofLoad("browsing", journal.During, failing(40))
		s.ofLoad("browsing", journal.After, failing(40))
		s.ofLoad("browsing", journal.During, slow(8e9))
		assert.Equal(t, Passed, Ask(OfLoad{"checkout", p}, s.History).Outcome, k.Name)
		assert.Equal(t, Failed, Ask(OfLoad{"browsing", p}, s.History).Outcome, k.Name)
		assert.Equal(t, Inconclusive, Ask(OfLoad{"other", p}, s.History).Outcome, k.Name)
	}
}

// Planted bug: all browsing fails. Checkout, with many more requests, hides it from a check of all loads together.
func TestALoadThatFailsIsNotHiddenByAnother(t *testing.T) {
	s := twoLoads()
	s.ofLoad("checkout", journal.During, func(x *journal.Sample) { x.Sent, x.OK = 5000, 5000 })
	s.ofLoad("browsing", journal.During, failing(50))
	all := Success{Ratio: 0.95, Window: journal.During}
	assert.Equal(t, Passed, Ask(all, s.History).Outcome)
	v := Ask(OfLoad{"browsing", all}, s.History)
	assert.Equal(t, Failed, v.Outcome)
	assert.Contains(t, v.Reason, "200 of 200 requests did not succeed during the fault")
}

func TestALoadThatFailedBeforeTheFaultShowsNothingAboutIt(t *testing.T) {
	s := twoLoads()
	s.ofLoad("browsing", journal.Before, failing(50))
	v := Ask(OfLoad{"browsing", Success{Ratio: 0.1, Window: journal.During}}, s.History)
	assert.Equal(t, Inconclusive, v.Outcome)
	assert.Contains(t, v.Reason, "before the fault only 0.0%")
	assert.Equal(t, Passed, Ask(OfLoad{"checkout", Success{Ratio: 0.1, Window: journal.During}}, s.History).Outcome)
}

func TestEachLoadHasToBeDelivered(t *testing.T) {
	s := twoLoads()
	v := Ask(LoadDelivered{}, s.History)
	require.Equal(t, Passed, v.Outcome, v.Reason)
	assert.Contains(t, v.Observed, `"checkout": 950 of 950 sent`)
	assert.Contains(t, v.Observed, `"browsing": 950 of 950 sent`)

	s.Loads[1].Sent, s.Loads[1].Unsent = 900, 50
	v = Ask(LoadDelivered{}, s.History)
	assert.Equal(t, Inconclusive, v.Outcome)
	assert.Contains(t, v.Reason, `the "browsing" load: 50 requests of the load were not sent`)
	answers, _ := Judge(s.History, []Check{OfLoad{"checkout", Success{Ratio: 0.9}}, OfLoad{"browsing", Success{Ratio: 0.9}}}, Implied(nil))
	for _, v := range answers { // all loads share the system, so that less of one makes it easier for the others
		assert.Equal(t, Inconclusive, v.Outcome)
		assert.True(t, strings.HasPrefix(v.Reason, "not judged, since it is not shown that the load was delivered"), v.Reason)
	}

	s = twoLoads()
	s.Loads = s.Loads[:1]
	v = Ask(LoadDelivered{}, s.History)
	assert.Equal(t, Inconclusive, v.Outcome)
	assert.Contains(t, v.Reason, `the generator of the "browsing" load did not finish`)
}

func TestCheckOfALoadWithoutFactsIsInconclusive(t *testing.T) {
	for _, c := range []Check{OfLoad{"checkout", Success{Ratio: 0.9}}, SucceedsAsControl{Of: "a", Control: "b", Points: 1}, FastAsControl{Of: "a", Control: "b", Percentile: 95, Times: 2}, OfLoad{}} {
		v := Ask(c, &journal.History{})
		assert.Equal(t, Inconclusive, v.Outcome)
		assert.NotContains(t, v.Reason, "panicked")
		assert.NotEmpty(t, v.Reason)
	}
}
