package language

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestBuilderMatchesSentences builds an experiment in Go, writes its steps as a feature, and parses that.
func TestBuilderMatchesSentences(t *testing.T) {
	built, err := scenarios.New("b").
		ReadSystem(files(), "system.yaml").
		BlastRadius("payments", "recs", "inventory").
		StopBelow(0.5, 10*time.Second).
		Load(scenarios.Load{Rate: 50, Mix: []scenarios.Route{{Method: "GET", Path: "/catalog"}}}).
		Baseline(20*time.Second).
		EffectsFrom("GET /ledger").
		EffectsSettle(30*time.Second).
		Answers("GET /catalog", 303, 200).
		Means(503, scenarios.Refused).
		Means(409, scenarios.Acknowledged).
		Inject("orders", "payments", injector.SlowCalls{By: time.Second, Pick: injector.Pick{Share: 0.1}}).For(30*time.Second).
		Inject("", "payments", injector.Crash{}).
		Wait(5*time.Second).
		Restart("payments").
		Inject("", "recs", injector.Hang{}).
		Confirm("dashboards are open").
		Resume("recs").
		Inject("orders", "payments", injector.Refuse{}).
		Inject("orders", "payments", injector.LoseReplies{Then: "held"}).
		Inject("orders", "payments", injector.SlowTraffic{By: time.Second, Way: injector.Way{Dir: link.ToClient, Conns: injector.Conns{Share: 0.5}}}).
		Inject("orders", "payments", injector.Ramp{End: time.Second, Over: 3 * time.Second}).For(3*time.Second).
		Inject("orders", "payments", injector.Reset{After: time.Second, Conns: injector.Conns{From: 3}}).
		ChangeLoad(50, 100, 3*time.Second).
		Heal().
		HealAll().
		StopLoad().
		Check(check.Success{Ratio: 0.99, Window: journal.During}, check.GivesUp{From: "orders", To: "payments", Within: time.Second}).
		Check(check.Recovers{Route: "GET /catalog", Within: 4 * time.Second}).
		Build()
	require.NoError(t, err)
	var b strings.Builder
	b.WriteString("Feature: a\n  Scenario: b\n")
	for _, s := range built.Steps {
		b.WriteString("    " + s.Keyword + " " + s.Text + "\n")
	}
	parsedExperiment := parsed(t, Source{FS: files(b.String())})[0]
	sameRow := cmp.Comparer(func(a, b *message.Protocol) bool { return a == b || a != nil && b != nil && a.Name == b.Name }) // rows hold functions
	diff := cmp.Diff(parsedExperiment, built, sameRow, cmpopts.IgnoreFields(scenarios.Experiment{}, "ID", "Feature", "File", "Line"), cmpopts.IgnoreFields(scenarios.Step{}, "Phrase"), cmpopts.IgnoreFields(journal.Step{}, "At"), cmpopts.IgnoreFields(scenarios.Problem{}, "File", "Line", "Col", "Text"))
	assert.Empty(t, diff, b.String())
}

func TestPlan(t *testing.T) {
	es := parsed(t, Source{FS: files(drills, "Feature: b\n  Scenario: c\n    Given the system described in \"system.yaml\"\n    When \"payments\" hangs\n    And 90s pass\n    And the facilitator confirms \"x\"\n")})
	var b strings.Builder
	require.NoError(t, scenarios.Plan(&b, es))
	golden(t, "plan.golden", b.String())
}

func TestPrintSteps(t *testing.T) {
	var all, some strings.Builder
	require.NoError(t, Standard().PrintSteps(&all, ""))
	golden(t, "steps.golden", all.String())
	require.NoError(t, Standard().PrintSteps(&some, "HANG"))
	assert.Contains(t, some.String(), `{name} hangs( for {duration})`)
	assert.NotContains(t, some.String(), "baseline is measured")
	assert.Error(t, Standard().PrintSteps(os.Stderr, "no such word"))
}
