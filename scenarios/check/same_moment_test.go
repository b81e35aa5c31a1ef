package check

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func TestPairs(t *testing.T) {
	change := func(each func(*journal.Pair)) func(scenario) {
		return func(s scenario) {
			for i := range s.Pairs {
				each(&s.Pairs[i])
			}
		}
	}
	answer := func(p *journal.Pair, status int, outcome string) {
		p.Answers[1].Status, p.Answers[1].Outcome = status, outcome
	}
	for name, c := range map[string]struct {
		check  Check
		change func(scenario)
		want   Outcome
		why    string
	}{
		"one after the other":    {OneEffect{}, change(func(p *journal.Pair) { p.Answers[1].At += time.Second }), Inconclusive, "of 6 pairs, one request had ended when the other began"},
		"no answer":              {OneEffect{}, func(s scenario) { s.Pairs[0].Effects = nil; s.Pairs[0].Answers[0].Outcome = "ambiguous" }, Passed, ""},
		"no effect of one":       {OneEffect{}, func(s scenario) { s.Pairs[0].Effects = nil }, Failed, "1 of 6 keys that were sent twice at the same moment were acknowledged and have no effect"},
		"no effect of any":       {OneEffect{}, change(func(p *journal.Pair) { p.Effects = nil }), Inconclusive, "only 0 keys"},
		"not read":               {OneEffect{}, change(func(p *journal.Pair) { p.Unread = "status 500" }), Inconclusive, "could not be read: status 500"},
		"twice, others not read": {OneEffect{}, func(s scenario) { s.Pairs[0].Effects = []string{"", ""}; s.Pairs[1].Unread = "status 500" }, Failed, "1 of 6 keys"},

		"the same answer":    {OneAnswer{Status: 409}, change(func(p *journal.Pair) { answer(p, 200, "acknowledged") }), Passed, ""},
		"another answer":     {OneAnswer{Status: 409}, func(s scenario) { answer(&s.Pairs[3], 200, "acknowledged"); s.Pairs[3].Answers[1].Digest = "other" }, Failed, "1 of 6 pairs got different answers"},
		"another status":     {OneAnswer{Status: 425}, func(scenario) {}, Failed, "6 of 6 pairs got different answers"},
		"unavailable":        {OneAnswer{Status: 409}, change(func(p *journal.Pair) { answer(p, 503, "ambiguous") }), Inconclusive, "only 0 of 6 pairs"},
		"one is unavailable": {OneAnswer{Status: 409}, func(s scenario) { answer(&s.Pairs[3], 503, "ambiguous") }, Inconclusive, "only 5 of 6 pairs"},
		"one answer for all": {OneAnswer{Status: 409}, change(func(p *journal.Pair) {
			answer(p, 200, "acknowledged")
			p.Answers[0].Digest, p.Answers[1].Digest = "ok", "ok"
			p.Effects = nil
		}), Inconclusive, "whatever their key"},
		"one answer, one effect": {OneAnswer{Status: 409}, change(func(p *journal.Pair) {
			answer(p, 200, "acknowledged")
			p.Answers[0].Digest, p.Answers[1].Digest = "ok", "ok"
		}), Passed, ""},
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
