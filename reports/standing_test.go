package reports

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStandingIsVisible: flaky scenarios and those in quarantine are groups of their own, with the owner and the last day,
// and nothing of them is hidden.
func TestStandingIsVisible(t *testing.T) {
	b := samples(t)["unsteady"]
	page := string(render(t, writeHTML, b))
	list := page[strings.Index(page, `<h2 id="scenarios">`):]
	list = list[:strings.Index(list, "</table>")]
	var at []int
	for _, want := range []string{`rowgroup">Flaky`, "An order is charged once: flaky</a>", "An order is charged once: flaky, retry 1</a>", `rowgroup">In quarantine`,
		"An order is charged once: in quarantine</a>", "quarantine until 2026-01-12, to be mended by the payments team (the bank has a bug)", `rowgroup">Passed or skipped`, "An order is charged once: passed</a>"} {
		at = append(at, strings.Index(list, want))
		assert.GreaterOrEqual(t, at[len(at)-1], 0, want)
	}
	assert.IsNonDecreasing(t, at)
	why := page[strings.Index(page, `<h2 id="why">`):strings.Index(page, `<h2 id="scenarios">`)]
	assert.Equal(t, 2, strings.Count(why, "no order is applied twice <span"), "the failures in quarantine and of the flaky scenario have cards of their own")
	assert.Less(t, strings.Index(why, ">flaky</span>"), strings.Index(why, ">quarantine</span>"), "what does not count is last")
	assert.Contains(t, why, "in quarantine until 2026-01-12, to be mended by the payments team")
	assert.NotContains(t, string(render(t, writeHTML, samples(t)["failed"])), "rowgroup")

	junit := string(render(t, writeJUnit, b))
	for _, want := range []string{
		`<property name="quarantine.owner" value="the payments team">`, `<property name="quarantine.until" value="2026-01-12">`, `<property name="quarantine.reason" value="the bank has a bug">`,
		`<property name="flaky" value="true">`, `<property name="retry_of" value="orders--flaky">`, "flaky: it failed, and passed when it was run again", "in quarantine until 2026-01-12, to be mended by the payments team: a failure does not fail the run",
	} {
		assert.Contains(t, junit, want)
	}
	assert.Equal(t, 2, strings.Count(junit, "<failure "), "a failure in quarantine stays one")

	summary := string(render(t, writeSummary, b))
	assert.Contains(t, summary, "✗ failed, flaky |")
	assert.Contains(t, summary, "✓ passed, flaky, retry |")
	assert.Equal(t, 2, strings.Count(summary, "✗ failed, quarantine |"), "as a cause, and in the list")
	assert.Contains(t, summary, `quarantine until 2026-01-12: the payments team`)
}

func TestStandingOfARetry(t *testing.T) {
	b := samples(t)["unsteady"]
	require.Len(t, b.Scenarios, 4)
	assert.Equal(t, standing{}, standingOf(b, b.Scenarios[0]))
	assert.Equal(t, standing{Flaky: true}, standingOf(b, b.Scenarios[1]))
	assert.Equal(t, standing{Flaky: true, RetryOf: "orders--flaky"}, standingOf(b, b.Scenarios[2]))
	assert.Equal(t, standing{Quarantined: true}, standingOf(b, b.Scenarios[3]))
}
