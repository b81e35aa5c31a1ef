package reports

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/language"
)

func drilled() *journal.History {
	h := &journal.History{Begin: journal.Begin{ID: "s", Name: "s", Links: []journal.Link{
		{From: "clients", To: "orders", Protocol: "http"}, {From: "orders", To: "payments", Protocol: "http"}, {From: "orders", To: "store", Protocol: "redis"}, {From: "payments", To: "bank", Protocol: "tcp"},
		{From: "payments", To: "ledger", Protocol: "grpc"},
	}}}
	h.Calls = []journal.Calls{{Link: "orders -> payments", Calls: 100}, {Link: "orders -> payments", Calls: 23}}
	h.Traffic = []journal.Traffic{{Link: "payments -> bank", Opened: 4}}
	fault := func(on string, affected int64, sentence string) {
		h.Faults = append(h.Faults, &journal.Injection{Injected: 1, Healed: 2, Fault: journal.Fault{On: on, Affected: affected, Sentence: sentence, Kind: "k"}})
	}
	fault("orders -> payments", 40, "slow")
	fault("payments -> bank", 0, "cut off")
	fault("ledger", 1, "crash")
	return h
}

func TestTopologyShowsEvidence(t *testing.T) {
	all := newTopologies([]*journal.History{drilled(), {Begin: journal.Begin{ID: "without links"}}, drilled()})
	require.Len(t, all, 1, "both scenarios have the same system")
	got := all[0]
	assert.Equal(t, 2, got.Scenarios)
	links := map[string]*linkEvidence{}
	for _, l := range got.Links {
		links[l.Name()] = l
	}
	assert.Equal(t, int64(246), links["orders -> payments"].Calls)
	assert.Equal(t, int64(80), links["orders -> payments"].Affected)
	assert.Empty(t, links["orders -> payments"].Broken)
	assert.Equal(t, []string{"cut off"}, links["payments -> bank"].Broken)
	assert.Contains(t, string(got.SVG), "✗ fault never acted")
	assert.Equal(t, 1, strings.Count(string(got.SVG), "stroke-dasharray"), "one link is drawn broken")
	var untouched []string
	for _, l := range got.Untouched() {
		untouched = append(untouched, l.Name())
	}
	assert.Equal(t, []string{"clients -> orders", "orders -> store"}, untouched, "a fault on a service touches the link to it")
	page := string(render(t, writeHTML, &journal.Book{Scenarios: []*journal.History{drilled()}, End: &journal.End{}}))
	assert.Contains(t, page, "2 links that no fault of this run touched")
	assert.Contains(t, page, "never acted: cut off")
}

func TestCallersAreLeftOfWhatTheyCall(t *testing.T) {
	top := newTopologies([]*journal.History{drilled()})[0]
	at := top.layOut()
	for _, l := range top.Links {
		assert.Less(t, at[l.From][0], at[l.To][0], l.Name())
	}
	circle := &topology{Links: []*linkEvidence{{Link: journal.Link{From: "a", To: "b"}}, {Link: journal.Link{From: "b", To: "c"}}, {Link: journal.Link{From: "c", To: "a"}}}}
	seen := map[[2]int]bool{}
	for _, p := range circle.layOut() {
		assert.False(t, seen[p], "boxes do not overlap")
		seen[p] = true
	}
	assert.LessOrEqual(t, circle.Width, 12+2*columnWidth+boxWidth)
}

// TestDrillsToPasteAreSentences: what the page offers can be pasted into a feature.
func TestDrillsToPasteAreSentences(t *testing.T) {
	for _, row := range append(protocols.All(), message.Protocol{Name: "tcp"}) {
		protocol := row.Name
		l := linkEvidence{Link: journal.Link{From: "orders", To: "payments", Protocol: protocol, Unit: row.Unit}}
		for _, drill := range l.Drills() {
			feature := "Feature: f\n  Scenario: s\n    Given the system described in \"system.yaml\"\n    And a steady load of 20 requests per second on \"POST /orders\"\n    " + drill + "\n    Then at least 99% of requests succeed during the fault\n"
			system := fmt.Sprintf("services:\n  orders: {address: \"127.0.0.1:8080\", depends: {payments: {protocol: %s%s, listen: \"127.0.0.1:9191\"}}}\n  payments: {address: \"127.0.0.1:9090\"}\n", protocol, map[bool]string{true: ", framing: {width: 4, lockstep: true}"}[protocol == "lengths"])
			_, err := language.Parse(language.Source{FS: fstest.MapFS{"a.feature": {Data: []byte(feature)}, "system.yaml": {Data: []byte(system)}}, Paths: []string{"a.feature"}})
			assert.NoError(t, err, drill)
		}
	}
}

// TestLanesNameTheLostAnswer: the call to which no answer arrived, and when it was sent again.
func TestLanesNameTheLostAnswer(t *testing.T) {
	h := samples(t)["failed"].Scenarios[0]
	lanes := newLedgers(h)[0].Lanes
	require.Len(t, lanes, 3, "three keys with two effects")
	assert.Equal(t, "k-0", lanes[0].Key, "one with a known cause is first, then the smallest")
	assert.Equal(t, "2 effects: o-0, o-100", lanes[0].Effects)
	assert.Equal(t, "orders -> payments: no answer arrived to what was sent at +5.000s, since a fault acted on it; it was sent again at +6.000s", lanes[0].Cause)
	for _, name := range []string{"clients", "orders -&gt; payments", "✗ no answer", "status 200", "✗ timeout", "status 201", "url(#hatch)"} {
		assert.Contains(t, string(lanes[0].SVG), name)
	}
	assert.Empty(t, cause("acknowledged and lost", []span{{row: "a", lost: true}, {row: "a", at: 1}}), "only of what was applied more than once")
	assert.Empty(t, cause("applied more than once", []span{{row: "a", lost: true}, {row: "b", at: 1}}), "nothing was sent again on the same link")
	assert.Equal(t, "orders -> payments: no answer arrived to what was sent at +2.000s, since a fault acted on it; it was sent again at +3.000s", cause("applied more than once", []span{
		{row: "clients", at: time.Second, lost: true}, {row: "orders -> payments", at: 2 * time.Second, lost: true, fault: true}, {row: "orders -> payments", at: 3 * time.Second}, {row: "clients", at: 4 * time.Second},
	}), "the deepest one that a fault acted on")
}
