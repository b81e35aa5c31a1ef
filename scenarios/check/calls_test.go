package check

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// A storm counts as a whole wherever slices and windows begin.
func TestCallsInAnySecond(t *testing.T) {
	// slice adds calls of a slice by the tenths of a second from the one that contains from.
	slice := func(s scenario, from, to time.Duration, w journal.Window, tenths ...int) {
		c := journal.Calls{From: from, To: to, Window: w, Link: "front -> payments", Tenths: tenths}
		for _, n := range tenths {
			c.Calls, c.Arrived = c.Calls+n, c.Arrived+n
		}
		s.Calls = append(s.Calls, c)
	}
	after := CallsPerSecond{To: "payments", PerSecond: 300, Window: journal.After}
	always := CallsPerSecond{To: "payments", PerSecond: 300}
	const sec = time.Second
	for name, c := range map[string]struct {
		check  CallsPerSecond
		change func(scenario)
		want   Outcome
		text   string
	}{
		"over the boundary of two slices": {after, func(s scenario) {
			slice(s, 13*sec, 14*sec, journal.After, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200)
			slice(s, 14*sec, 15*sec, journal.After, 200)
		}, Failed, `"payments" received 400 calls in the second at +13.9s`},
		"slices that begin between tenths": {after, func(s scenario) {
			slice(s, 13*sec+34*ms, 14*sec+34*ms, journal.After, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200)
			slice(s, 14*sec+34*ms, 15*sec+34*ms, journal.After, 150, 50)
		}, Failed, `"payments" received 400 calls in the second at +14.0s`},
		"over the healing": {always, func(s scenario) {
			slice(s, 9*sec, 10*sec, journal.During, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200)
			slice(s, 10*sec, 11*sec, journal.After, 200)
		}, Failed, `"payments" received 400 calls in the second at +9.9s`},
		"before the healing does not count": {after, func(s scenario) {
			s.Calls[9].Failed = 1
			slice(s, 9*sec, 10*sec, journal.During, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200)
			slice(s, 10*sec, 11*sec, journal.After, 200)
		}, Passed, "at most 200 in a second"},
		"more than a second apart": {after, func(s scenario) {
			s.Calls[9].Failed = 1
			slice(s, 13*sec, 14*sec, journal.After, 200)
			slice(s, 14*sec, 15*sec, journal.After, 200)
		}, Passed, "at most 200 in a second"},
		"of several callers": {after, func(s scenario) {
			slice(s, 13*sec, 14*sec, journal.After, 160)
			slice(s, 13*sec, 14*sec, journal.After, 160)
		}, Failed, `"payments" received 320 calls in the second at +13.0s`},
		"a journal without tenths": {after, func(s scenario) {
			s.addCalls(13, journal.After, "front -> payments", 310, ms)
		}, Failed, `"payments" received 310 calls in the second at +13.0s`},
		"short slices of a journal without tenths": {after, func(s scenario) {
			for _, from := range []time.Duration{13 * sec, 13*sec + 400*ms} {
				s.Calls = append(s.Calls, journal.Calls{From: from, To: from + 400*ms, Window: journal.After, Link: "front -> payments", Arrived: 200})
			}
		}, Failed, `"payments" received 400 calls in the second at +13.0s`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			for i := range s.Calls { // in the journal without tenths, they would fill whole seconds
				s.Calls[i].Arrived = 0
			}
			c.change(s)
			v := c.check.Judge(s.History)
			assert.Equal(t, c.want, v.Outcome, v)
			assert.Contains(t, v.Observed+v.Reason, c.text)
		})
	}
}
