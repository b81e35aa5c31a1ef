package runner_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// counted is a drill whose requests are sent one after the other, so that a seed selects the same messages each time.
func counted(t *testing.T, o *orders) *scenarios.Experiment {
	t.Helper()
	l := keyedLoad()
	l.Shape, l.GiveUp = scenarios.Counted, 30*time.Second
	l.Mix = []scenarios.Route{{Method: "POST", Path: "/orders", Body: `{"n":{{n}}}`, Share: 1}}
	return build(t, scenarios.New("counted").
		System(scenarios.System{
			Services: []scenarios.Service{{Name: "orders", Handler: o, Serves: []string{"/"}}},
			Links:    []scenarios.Link{{From: "clients", To: "orders", Protocol: "http"}},
		}).
		Load(l).
		EffectsFrom("GET /ledger").EffectsSettle(time.Second).
		Inject("clients", "orders", injector.LoseReplies{Pick: pickShare(0.2)}).
		Send(60, 1).
		Check(check.ExactlyOnce{}))
}

// conclusive runs an experiment until nothing in the run is inconclusive, as it may be on a busy machine.
func conclusive(t *testing.T, o *orders, opts runner.Options, forgets bool) *runner.Result {
	t.Helper()
	for range 5 {
		o.reset()
		o.mu.Lock()
		o.forgets = forgets
		o.mu.Unlock()
		opts.Dir = t.TempDir()
		res, err := runner.RunExperiments(t.Context(), opts, counted(t, o))
		require.NoError(t, err)
		unclear := func(h *journal.History) bool { return h.End.Outcome == "inconclusive" }
		if !slices.ContainsFunc(res.Book.Scenarios, unclear) {
			return res
		}
	}
	t.Fatal("inconclusive again and again")
	return nil
}

// selected lists the requests on which faults acted, for each scenario. How many attempts of a request they acted on is
// left out: an attempt can also fail because its connection was closed meanwhile.
func selected(b *journal.Book) map[string][]string {
	all := map[string][]string{}
	for _, h := range b.Scenarios {
		for _, m := range h.Messages {
			if m.Stage == "applied" {
				all[h.ID] = append(all[h.ID], m.Request)
			}
		}
		slices.Sort(all[h.ID])
		all[h.ID] = slices.Compact(all[h.ID])
	}
	return all
}

// TestRetries verifies that a failed scenario runs again with the same seed, and then with another one, and that its first
// failure is not lost.
func TestRetries(t *testing.T) {
	o := &orders{}
	watch := func(e journal.Event) {
		if e.Begin != nil && strings.HasSuffix(e.Begin.ID, "--retry-2") {
			o.mu.Lock()
			o.forgets = false // the service is mended
			o.mu.Unlock()
		}
	}
	e := counted(t, o)
	res := conclusive(t, o, runner.Options{Retries: 5, Watch: watch}, true)
	require.Len(t, res.Book.Scenarios, 3, "it passes at the second retry")
	require.Equal(t, "flaky", res.Outcome)
	require.Equal(t, 1, res.ExitCode())
	var outcomes []string
	for _, h := range res.Book.Scenarios {
		outcomes = append(outcomes, h.End.Outcome)
	}
	require.Equal(t, []string{"failed", "failed", "passed"}, outcomes)
	require.Equal(t, e.ID, res.Book.Scenarios[2].RetryOf)
	of := selected(res.Book)
	require.NotEmpty(t, of[e.ID])
	require.Equal(t, of[e.ID], of[e.ID+"--retry-1"], "the same seed")
	require.NotEqual(t, of[e.ID], of[e.ID+"--retry-2"], "a new seed")

	res = conclusive(t, o, runner.Options{Retries: 2, AllowFlaky: true, Watch: watch}, true)
	require.Equal(t, "passed", res.Outcome)
	require.Zero(t, res.ExitCode())
}

// TestRepetitions verifies that each repetition has a seed of its own.
func TestRepetitions(t *testing.T) {
	o := &orders{}
	e := counted(t, o)
	res := conclusive(t, o, runner.Options{Repeat: 3, Parallel: 4}, false)
	require.Equal(t, "passed", res.Outcome)
	require.Len(t, res.Book.Scenarios, 3)
	require.Len(t, res.Book.Run.Plan, 3)
	of := selected(res.Book)
	require.NotEqual(t, of[e.ID], of[e.ID+"--repeat-2"])
	require.NotEqual(t, of[e.ID+"--repeat-2"], of[e.ID+"--repeat-3"])
	require.Equal(t, e.ID, res.Book.Scenarios[1].RepeatOf)
}

// TestMaxDuration verifies that a scenario that does not fit is not started, and that the run is not green.
func TestMaxDuration(t *testing.T) {
	o := &orders{}
	e := counted(t, o)
	res, err := runner.RunExperiments(t.Context(), runner.Options{Dir: t.TempDir(), MaxDuration: e.Estimate() - time.Millisecond}, e)
	require.NoError(t, err)
	require.Equal(t, "inconclusive", res.Outcome)
	require.Equal(t, 3, res.ExitCode())
	require.Empty(t, res.Book.Scenarios)
	require.Len(t, res.Book.NotRun(), 1)
	require.Contains(t, res.Book.Notes[0].Text, `"counted" was not started: it takes about`)

	res = conclusive(t, o, runner.Options{MaxDuration: time.Hour}, false)
	require.Equal(t, "passed", res.Outcome)
}
