package check

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// altered makes the fault one that alters contents on a link from clients. Requests k0 and k1 are made while it is live.
func (s scenario) altered() {
	s.Faults[0].On, s.Faults[0].Alters, s.Faults[0].Sentence = "clients -> orders", true, "calls are corrupted"
	s.eachRequest(func(i int, r *journal.Request) {
		if i < 2 {
			r.Due, r.Window, r.Attempts[0].At = 7*time.Second, journal.During, 7*time.Second
		}
	})
}

// damaged makes the fault one that alters requests, among them the key of one.
func (s scenario) damaged(key string) {
	s.altered()
	s.Faults[0].Damages = true
	s.rename(key, "?"+key)
}

// rename gives the effects of a key another one.
func (s scenario) rename(key, other string) {
	s.eachEffect(func(_ int, e *journal.Effect) {
		if e.Key == key {
			e.Key = other
		}
	})
}

// TestAlteredContents: what a fault itself changed or made up is not held against the system. What did not meet it is.
func TestAlteredContents(t *testing.T) {
	wrong := func(s scenario) { s.altered(); s.Probes[0].Got = "other" }
	hedged := func(s scenario) { s.altered(); s.hedged("a", "b") }
	for name, c := range map[string]struct {
		check  Check
		change func(scenario)
		want   Outcome
		why    string
	}{
		"same answer":         {SameResponse{}, func(s scenario) { s.altered() }, Passed, ""},
		"another answer":      {SameResponse{}, wrong, Inconclusive, `1 of 1 keys sent again got another answer, which may be because "calls are corrupted" changed their first requests or the answers to these; key k1: another body`},
		"key reuse":           {KeyReuseRefused{422}, func(s scenario) { s.altered(); s.Probes[1].Got = "201" }, Inconclusive, `may be because "calls are corrupted" changed`},
		"nothing affected":    {SameResponse{}, func(s scenario) { wrong(s); s.Faults[0].Affected = 0 }, Failed, "1 of 1 keys sent again got another answer"},
		"another fault":       {SameResponse{}, func(s scenario) { wrong(s); s.Faults[0].Alters = false }, Failed, "1 of 1 keys sent again got another answer"},
		"between services":    {SameResponse{}, func(s scenario) { wrong(s); s.Faults[0].On = "orders -> payments" }, Failed, "1 of 1 keys sent again got another answer"},
		"before the fault":    {SameResponse{}, func(s scenario) { wrong(s); s.Probes[0].Key = "k2" }, Failed, "1 of 1 keys sent again got another answer"},
		"after the fault":     {SameResponse{}, func(s scenario) { wrong(s); s.Faults[0].Ended = 6900 * ms }, Failed, "1 of 1 keys sent again got another answer"},
		"one before, too":     {SameResponse{}, func(s scenario) { wrong(s); s.answered(1); s.Probes[2].Key = "k2" }, Failed, "1 of 2 keys sent again got another answer"},
		"applied again":       {SameResponse{}, func(s scenario) { s.altered(); s.Probes[0].Again = []string{"e2"} }, Failed, "1 of 1 keys sent again were applied again"},
		"hedged":              {SameResponse{}, hedged, Inconclusive, "1 request got two different answers to attempts with the same key at the same time, which may be because a fault changed one of them; key k0"},
		"hedged, not altered": {SameResponse{}, func(s scenario) { hedged(s); s.Faults[0].Alters = false }, Failed, "1 request got two different answers"},
		"hedged, and another probe was wrong": {SameResponse{}, func(s scenario) {
			hedged(s)
			s.Probes[0].Key, s.Probes[0].Got = "k2", "other"
		}, Failed, "1 of 1 keys sent again got another answer"},

		"a lost key":                {NoneLost{}, func(s scenario) { s.damaged("k1") }, Inconclusive, `1 acknowledged and lost, which may be because "calls are corrupted" changed keys of requests on the way`},
		"a lost key, exactly once":  {ExactlyOnce{}, func(s scenario) { s.damaged("k1") }, Inconclusive, "1 acknowledged and lost, which may be"},
		"a phantom":                 {NoPhantom{}, func(s scenario) { s.damaged("k1") }, Inconclusive, "1 never requested, which may be"},
		"no duplicate":              {NoneTwice{}, func(s scenario) { s.damaged("k1") }, Passed, ""},
		"a duplicate":               {ExactlyOnce{}, func(s scenario) { s.damaged("k1"); s.twice("k3") }, Failed, "1 applied more than once (surplus effects: 1), 1 acknowledged and lost"},
		"a duplicate alone":         {NoneTwice{}, func(s scenario) { s.damaged("k1"); s.twice("k3") }, Failed, "1 applied more than once"},
		"a refused key":             {ExactlyOnce{}, func(s scenario) { s.damaged("k1"); s.request(0, func(r *journal.Request) { r.Outcome = "refused" }) }, Inconclusive, "1 acknowledged and lost, 1 refused but applied, which may be"},
		"refused before the fault":  {ExactlyOnce{}, func(s scenario) { s.damaged("k1"); s.request(2, func(r *journal.Request) { r.Outcome = "refused" }) }, Failed, "1 refused but applied"},
		"answers were altered":      {NoneLost{}, func(s scenario) { s.damaged("k1"); s.Faults[0].Damages = false }, Failed, "1 acknowledged and lost"},
		"lost before the fault":     {NoneLost{}, func(s scenario) { s.damaged("k1"); s.drop("k2") }, Failed, "2 acknowledged and lost"},
		"more lost than damaged":    {NoneLost{}, func(s scenario) { s.damaged("k1"); s.drop("k0"); s.Faults[0].Affected = 1 }, Failed, "2 acknowledged and lost"},
		"more phantoms than damage": {NoPhantom{}, func(s scenario) { s.damaged("k1"); s.rename("k0", "k0?"); s.Faults[0].Affected = 1 }, Failed, "2 never requested"},
		"none damaged":              {NoneLost{}, func(s scenario) { s.damaged("k1"); s.Faults[0].Affected = 0 }, Failed, "1 acknowledged and lost"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			c.change(s)
			v := Ask(c.check, s.History)
			assert.Equal(t, c.want.String(), v.Outcome.String(), "%s %s", v.Observed, v.Reason)
			assert.Contains(t, v.Reason, c.why)
		})
	}
}
