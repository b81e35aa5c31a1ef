package reports

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// healed returns a scenario whose fault is healed at +9s, and which is then bad for some seconds of ten.
func healed(t *testing.T, bad int) *scenario {
	h := samples(t)["passed"].Scenarios[0]
	var after journal.Sample
	for i, s := range h.Samples {
		if s.Window == journal.After {
			after = s
			h.Samples[i].Window = journal.Warmup // the scenario has its own seconds after healing
		}
	}
	require.Positive(t, after.Sent)
	for i := range 10 {
		s := after
		s.From, s.To = time.Duration(9+i)*time.Second, time.Duration(10+i)*time.Second
		if i < bad {
			s.OK, s.Failed, s.Good = 0, s.Sent, nil
		}
		h.Samples = append(h.Samples, s)
	}
	return newScenario(h, 0, nil)
}

func TestRecoveryOnThePage(t *testing.T) {
	for bad, want := range map[int][2]string{
		0:  {"at once", `<strong class="passed">at once</strong>`},
		2:  {"after 2s", `<strong class="passed">after 2s</strong>`},
		10: {"not recovered", `<strong class="failed">not recovered within the run</strong><br><small>success 0.0%`},
	} {
		s := healed(t, bad)
		assert.Equal(t, want[0], s.Recovered())
		var out strings.Builder
		require.NoError(t, pageTemplate.ExecuteTemplate(&out, "tables", s))
		assert.Contains(t, out.String(), want[1])
		assert.Contains(t, out.String(), "steady: success at least 99.5%")
		assert.Contains(t, out.String(), ">10 s<")
	}
}

// TestWorstRecoveryIsShown: a scenario with several faults is as good as the worst of its recoveries.
func TestWorstRecoveryIsShown(t *testing.T) {
	s := &scenario{Recoveries: []check.Recovery{{Outcome: check.Recovered, Took: 3 * time.Second}, {Outcome: check.NotKnown}, {Outcome: check.Recovered, Took: time.Second}}}
	assert.Empty(t, s.Recovered(), "it is not known")
	s.Recoveries[1].Outcome = check.NotRecovered
	assert.Equal(t, "not recovered", s.Recovered())
	s.Recoveries = s.Recoveries[2:]
	assert.Equal(t, "after 1s", s.Recovered())
	assert.Equal(t, "–", (&scenario{}).Recovered())
}

// TestUnknownRecoveryIsExplainedOnce: the list has a dash, a name of it for screen readers, and the reason below.
func TestUnknownRecoveryIsExplainedOnce(t *testing.T) {
	page := string(render(t, writeHTML, samples(t)["unsteady"]))
	list := page[strings.Index(page, `<h2 id="scenarios">`):]
	list = list[:strings.Index(list, "<section")]
	assert.Equal(t, 4, strings.Count(list, `<a href="#unwatched" aria-label="not known" aria-describedby="unwatched">–</a>`))
	assert.Equal(t, 1, strings.Count(list, `id="unwatched"`))
	assert.Contains(t, list, "whether the system recovered is not known. Most often too few complete seconds with requests were watched")
	assert.Equal(t, 4, strings.Count(page, `>not known</strong><br><small>3 complete seconds with requests were watched`), "each scenario has its reason")

	b := samples(t)["passed"]
	for i := range b.Scenarios[0].Samples {
		b.Scenarios[0].Samples[i].Window = journal.During
	}
	assert.NotContains(t, string(render(t, writeHTML, b)), "unwatched", "nothing is to be explained")
}

// TestCountedLoadHasNoRecovery: nothing was due outside of the fault.
func TestCountedLoadHasNoRecovery(t *testing.T) {
	h := samples(t)["passed"].Scenarios[0]
	for i := range h.Samples {
		h.Samples[i].Window = journal.During
	}
	assert.Empty(t, recoveries(h))
}
