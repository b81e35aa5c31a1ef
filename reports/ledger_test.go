package reports

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestPageAndChecksAgreeOnAnomalies: the page lists exactly the violations that the checks judge.
func TestPageAndChecksAgreeOnAnomalies(t *testing.T) {
	request := func(key, outcome string) journal.Request {
		return journal.Request{Key: key, Route: "POST /orders", Outcome: outcome, Attempts: []journal.Attempt{{Status: 201, Error: "timeout"}}}
	}
	all := func() *journal.History {
		return &journal.History{
			Begin:       journal.Begin{ID: "s", Name: "s"},
			Requests:    journal.NewRequestRows(request("twice", "ambiguous"), request("lost", "acknowledged"), request("refused", "refused"), request("fine", "acknowledged"), request("open", "ambiguous")),
			Effects:     journal.NewEffectRows([]journal.Effect{{Key: "twice", ID: "1"}, {Key: "twice", ID: "2"}, {Key: "refused", ID: "3"}, {Key: "refused", ID: "4"}, {Key: "fine", ID: "5"}, {Key: "ghost", ID: "6"}}...),
			EffectsRead: &journal.Effects{Source: "GET /ledger", Count: 6},
			Probes:      []journal.Probe{{Kind: "same key, same body", Key: "fine", Again: []string{"7"}}},
		}
	}
	for name, c := range map[string]struct {
		change func(*journal.History)
		rows   int
	}{
		"all kinds":                      {func(*journal.History) {}, 6}, // the refused key has two effects: it is a duplicate, too
		"effects were not read":          {func(h *journal.History) { h.EffectsRead = nil }, 0},
		"effects could not be read":      {func(h *journal.History) { h.EffectsRead.Error = "status 500" }, 0},
		"the journal lacks some effects": {func(h *journal.History) { h.EffectsRead.Count = 9 }, 0},
		"no request should change anything": {func(h *journal.History) {
			h.Requests = journal.NewRequestRows(journal.Request{Key: "twice", Reads: true})
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := all()
			c.change(h)
			page := string(render(t, writeHTML, &journal.Book{Scenarios: []*journal.History{h}}))
			rows := 0
			for _, kind := range []check.Check{check.ExactlyOnce{}, check.NoPhantom{}} {
				v := check.Ask(kind, h)
				if v.Outcome == check.Inconclusive {
					assert.Contains(t, page, v.Reason, "the page has the reason why requests and effects cannot be compared")
					continue
				}
				for _, reason := range strings.Split(v.Reason, ", ") {
					var n int
					_, err := fmt.Sscanf(reason, "%d", &n)
					assert.NoError(t, err)
					what, _, _ := strings.Cut(strings.TrimPrefix(reason, fmt.Sprint(n)+" "), " (")
					assert.Equal(t, n, strings.Count(page, "<td>"+what+"<"), what)
					rows += n
				}
			}
			assert.Equal(t, c.rows, rows)
			assert.Equal(t, rows > 0, strings.Contains(page, "<th>attempts<"), "no row without a violation that is judged")
		})
	}
}
