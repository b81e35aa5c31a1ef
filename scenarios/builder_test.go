package scenarios

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestBuilderAndSentencesAreOneToOne builds an experiment in Go, writes its steps as a feature, and parses that.
func TestBuilderAndSentencesAreOneToOne(t *testing.T) {
	built, err := New("b").
		ReadSystem(files(), "system.yaml").
		BlastRadius("payments", "recs", "inventory").
		StopBelow(0.5, 10*time.Second).
		Load(Load{Rate: 50, Mix: []Route{{Method: "GET", Path: "/catalog"}}}).
		Baseline(20*time.Second).
		EffectsFrom("GET /ledger").
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
	said := parsed(t, Source{FS: files(b.String())})[0]
	diff := cmp.Diff(said, built, cmpopts.IgnoreFields(Experiment{}, "ID", "Feature", "File", "Line"), cmpopts.IgnoreFields(Step{}, "Phrase"), cmpopts.IgnoreFields(journal.Step{}, "At"))
	assert.Empty(t, diff, b.String())
}

func TestBuilderTellsTheLineOfGo(t *testing.T) {
	_, err := New("b").
		ReadSystem(files(), "system.yaml").
		Inject("orders", "paymens", injector.Refuse{}).For(time.Second).
		Check(check.Success{Ratio: 1}).
		Build()
	require.ErrorContains(t, err, "builder_test.go:")
	require.ErrorContains(t, err, `did you mean "payments"?`)
	require.ErrorContains(t, err, "there is no load")
}

func TestBuilderRefuses(t *testing.T) {
	base := func() *Builder {
		return New("b").System(System{Services: []Service{{Name: "a", Address: "127.0.0.1:80"}, {Name: "p", Command: []string{"p"}}}, Links: []Link{{From: "a", To: "p", Protocol: "http"}}})
	}
	route := []Route{{Method: "GET", Path: "/"}}
	for name, c := range map[string]struct {
		b    *Builder
		what string
	}{
		"for nothing":       {New("b").For(time.Second), "no injection before it"},
		"for after a wait":  {base().Wait(time.Second).For(time.Second), "needs an injection"},
		"no wait":           {base().Wait(0), "above 0"},
		"no routes":         {base().Load(Load{Rate: 5}).Wait(time.Second), "has no routes"},
		"no rate":           {base().Load(Load{Mix: route}).Wait(time.Second), "above 0"},
		"shares":            {base().Load(Load{Rate: 5, Mix: []Route{{Method: "GET", Path: "/", Share: 0.4}}}).Wait(time.Second), "sum to 40%"},
		"wrong route":       {base().Load(Load{Rate: 5, Mix: []Route{{Path: "/"}}}).Wait(time.Second), "is not a method"},
		"wrong header":      {base().Load(Load{Rate: 5, Mix: route, KeyHeader: "a b"}).Wait(time.Second), "name of a header"},
		"wrong effects":     {base().EffectsFrom("/ledger").Wait(time.Second), "is not a route"},
		"no system":         {New("b").Wait(time.Second), "no system"},
		"no steps":          {New("b"), "no steps"},
		"a broken system":   {New("b").System(System{Services: []Service{{Name: "x"}}}).Wait(time.Second), "neither a command"},
		"a missing file":    {New("b").ReadSystem(fstest.MapFS{}, "system.yaml").Wait(time.Second), "cannot be read"},
		"crash at address":  {base().Inject("", "a", injector.Crash{}).For(time.Second), "was not started"},
		"a short ramp":      {base().Inject("a", "p", injector.Ramp{End: time.Second, Over: 5 * time.Second}).For(time.Second), "before the ramp comes to its end"},
		"nothing to resume": {base().Resume("p"), "no hang"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := c.b.Build()
			require.ErrorContains(t, err, c.what)
			assert.Nil(t, e)
		})
	}
}

func TestPlan(t *testing.T) {
	es := parsed(t, Source{FS: files(drills, "Feature: b\n  Scenario: c\n    Given the system described in \"system.yaml\"\n    When \"payments\" hangs\n    And 90s pass\n    And the facilitator confirms \"x\"\n")})
	var b strings.Builder
	require.NoError(t, Plan(&b, es))
	golden(t, "plan.golden", b.String())
}

func TestPrintSteps(t *testing.T) {
	var all, some strings.Builder
	require.NoError(t, PrintSteps(&all, ""))
	golden(t, "steps.golden", all.String())
	require.NoError(t, PrintSteps(&some, "HANG"))
	assert.Contains(t, some.String(), `{name} hangs( for {duration})`)
	assert.NotContains(t, some.String(), "baseline is measured")
	assert.Error(t, PrintSteps(os.Stderr, "no such word"))
}

func TestRough(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0 s", 9400 * time.Millisecond: "9 s", time.Minute: "1 min", 70 * time.Second: "1 min 10 s"} {
		assert.Equal(t, want, rough(d))
	}
}

func TestTheBuilderRefusesAWrongToxic(t *testing.T) {
	_, err := New("b").ReadSystem(files(), "system.yaml").Inject("orders", "payments", injector.Toxic{Name: "latency", Attributes: "latency=-5"}).For(time.Second).Build()
	require.ErrorContains(t, err, "latency is -5")
}
