package history_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/reports/history"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// orders is a service that can be slow, forget idempotency keys, or refuse every other order. Drills do not see which.
type orders struct {
	delay            time.Duration
	forgets, refuses bool

	mu     sync.Mutex
	asked  int
	ledger []map[string]string
	known  map[string]bool
}

func (o *orders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		time.Sleep(o.delay)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.Method == http.MethodGet {
		_ = json.NewEncoder(w).Encode(map[string]any{"effects": o.ledger})
		return
	}
	if o.asked++; o.refuses && o.asked%2 == 0 {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	key := r.Header.Get("Idempotency-Key")
	if !o.known[key] || o.forgets {
		o.ledger = append(o.ledger, map[string]string{"key": key, "id": fmt.Sprint(len(o.ledger))})
	}
	if o.known == nil {
		o.known = map[string]bool{}
	}
	o.known[key] = true
	w.WriteHeader(http.StatusCreated)
}

// forget makes the service forget its orders.
func (o *orders) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked, o.ledger, o.known = 0, nil, nil
}

// drill is a drill of a service: some of its replies are lost. Requests is how many the load sends.
func drill(t *testing.T, service http.Handler, requests int) *scenarios.Experiment {
	t.Helper()
	e, err := scenarios.New("replies are lost").
		System(scenarios.System{
			Services: []scenarios.Service{{Name: "orders", Handler: service, Serves: []string{"/"}}},
			Links:    []scenarios.Link{{From: "clients", To: "orders", Protocol: "http"}},
		}).
		Load(scenarios.Load{Shape: scenarios.Counted, Key: scenarios.HeaderKey("Idempotency-Key"), Retries: 3, GiveUp: 5 * time.Second,
			Mix: []scenarios.Route{{Method: "POST", Path: "/orders", Body: `{}`, Share: 1}}}).
		EffectsFrom("GET /ledger").EffectsSettle(time.Second).
		Inject("clients", "orders", injector.LoseReplies{Pick: injector.Pick{Share: 0.2, Match: message.Match{Method: "POST", Path: "/orders"}}}).
		Send(requests, 4).
		Check(check.Success{Ratio: 0.9}, check.ExactlyOnce{}).
		Build()
	require.NoError(t, err)
	return e
}

// record runs drills of services at the same time, and returns the journals of the runs.
func record(t *testing.T, without []string, requests int, services ...*orders) (journals []string) {
	t.Helper()
	var running sync.WaitGroup
	journals = make([]string, len(services))
	for i, o := range services {
		e := drill(t, o, requests)
		running.Go(func() {
			for range 4 { // again if this machine was too busy for a verdict
				result, err := runner.RunExperiments(context.Background(), runner.Options{Dir: t.TempDir(), Seed: 7, Without: without}, e)
				if err == nil && result.Outcome != "inconclusive" {
					journals[i] = filepath.Join(result.Dir, "journal.ndjson")
					return
				}
				o.forget()
			}
		})
	}
	running.Wait()
	require.NotContains(t, journals, "", "a run did not end, or this machine was too busy")
	return journals
}

// place copies the journal of a recorded run into a folder of runs, as that of a run that began at another time.
func place(t *testing.T, path, parent string, began time.Time) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	first, rest, _ := bytes.Cut(raw, []byte("\n"))
	var e journal.Event
	require.NoError(t, json.Unmarshal(first, &e))
	e.Run.Began, e.Run.ID = began, fmt.Sprintf("%s-%04d", began.UTC().Format("20060102T150405Z"), len(rest)%10_000)
	first, err = json.Marshal(e)
	require.NoError(t, err)
	dir := filepath.Join(parent, e.Run.ID)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "journal.ndjson"), append(append(first, '\n'), rest...), 0o600))
	return e.Run.ID
}

func text(t *testing.T, c history.Comparison, all bool) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, c.Text(&b, all))
	return b.String()
}

func list(t *testing.T, parent string) []*history.Run {
	t.Helper()
	runs, unread, err := history.List(parent, time.Time{}, 0)
	require.NoError(t, err)
	require.Empty(t, unread)
	return runs
}

func figure(t *testing.T, c history.Comparison, name string) history.FigureChange {
	t.Helper()
	for _, f := range c.Scenarios[0].Figures {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("no figure %q in %+v", name, c.Scenarios[0].Figures)
	return history.FigureChange{}
}

// TestNights compares real runs of a service that becomes slow, breaks, forgets keys and is mended, as in a row of nights.
func TestNights(t *testing.T) {
	t.Parallel()
	journals := record(t, nil, 100, &orders{}, &orders{}, &orders{}, &orders{}, &orders{}, &orders{}, &orders{delay: 300 * time.Millisecond}, &orders{forgets: true}, &orders{refuses: true})
	healthy, slow, forgetful, refusing := journals[:6], journals[6], journals[7], journals[8]
	night := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	compare := func(t *testing.T, parent, before, now string) history.Comparison {
		a, err := history.Find(parent, before)
		require.NoError(t, err)
		b, err := history.Find(parent, now)
		require.NoError(t, err)
		return history.Compare(a, b, list(t, parent), 20)
	}
	nights := func(t *testing.T, journals ...string) (parent string, names []string) {
		parent = t.TempDir()
		for i, j := range journals {
			names = append(names, place(t, j, parent, night.AddDate(0, 0, i)))
		}
		return parent, names
	}

	t.Run("as usual", func(t *testing.T) {
		parent, names := nights(t, healthy...)
		c := compare(t, parent, names[4], names[5])
		require.Equal(t, history.Passes, c.Scenarios[0].State)
		require.Zero(t, c.ExitCode())
		require.Equal(t, 5, c.Scenarios[0].Earlier)
		require.Equal(t, "as usual", figure(t, c, "applied more than once").Mark)
		require.NotNil(t, figure(t, c, "p95 during the fault").Band)
	})
	t.Run("slow", func(t *testing.T) {
		parent, names := nights(t, append(healthy[:5:5], slow)...)
		c := compare(t, parent, names[4], names[5])
		f := figure(t, c, "p50 during the fault")
		require.Equal(t, "worse", f.Mark, "%+v", f)
		require.Greater(t, f.Now, f.Band.High)
		require.Contains(t, text(t, c, false), "p50 during the fault")
		require.Zero(t, c.ExitCode(), "a figure is no failure")
		c = compare(t, parent, names[5], names[4])
		require.Empty(t, figure(t, c, "p50 during the fault").Mark, "only four runs began before that one")
	})
	t.Run("too few for a band", func(t *testing.T) {
		parent, names := nights(t, append(healthy[:4:4], slow)...)
		c := compare(t, parent, names[3], names[4])
		require.Nil(t, figure(t, c, "p50 during the fault").Band)
		require.Empty(t, figure(t, c, "p50 during the fault").Mark)
		require.Contains(t, text(t, c, false), "no band of what is usual: 4 comparable runs, and 5 are needed")
	})
	t.Run("new failure and fixed", func(t *testing.T) {
		parent, names := nights(t, append(healthy[:5:5], forgetful, forgetful, healthy[5])...)
		c := compare(t, parent, names[4], names[5])
		require.Equal(t, history.NewFailure, c.Scenarios[0].State)
		require.Equal(t, 1, c.ExitCode())
		require.Equal(t, "worse", figure(t, c, "applied more than once").Mark)
		require.Positive(t, figure(t, c, "applied more than once").Now)
		out := text(t, c, false)
		require.Contains(t, out, "✗ NEW FAILURE  replies are lost")
		require.Contains(t, out, "✗ new failure: every acknowledged request is applied exactly once")
		require.NotContains(t, out, "requests succeed", "that check passes, as before")

		c = compare(t, parent, names[5], names[6])
		require.Equal(t, history.StillFailing, c.Scenarios[0].State)
		require.Zero(t, c.ExitCode())
		c = compare(t, parent, names[6], names[7])
		require.Equal(t, history.Fixed, c.Scenarios[0].State)
		require.Equal(t, 2, c.Scenarios[0].EarlierFailed)
	})
	t.Run("another check fails", func(t *testing.T) {
		parent, names := nights(t, forgetful, refusing)
		c := compare(t, parent, names[0], names[1])
		require.Equal(t, history.StillFailing, c.Scenarios[0].State)
		require.Equal(t, 1, c.ExitCode(), "a check failed that did not fail before: %s", text(t, c, true))
	})
	t.Run("flaky", func(t *testing.T) {
		parent, names := nights(t, healthy[0], forgetful, healthy[1], forgetful)
		c := compare(t, parent, names[2], names[3])
		require.Equal(t, history.Flaky, c.Scenarios[0].State)
		require.Equal(t, 1, c.ExitCode(), "it failed, and did not the night before")
	})
	t.Run("killed run", func(t *testing.T) {
		parent, names := nights(t, healthy[0], healthy[1])
		path := filepath.Join(parent, names[1], "journal.ndjson")
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, raw[:len(raw)/2], 0o600))
		c := compare(t, parent, names[0], names[1])
		require.Equal(t, history.NotProven, c.Scenarios[0].State)
		require.Equal(t, 3, c.ExitCode())
	})
	t.Run("trend", func(t *testing.T) {
		parent, _ := nights(t, append(healthy[:5:5], slow, forgetful)...)
		trend := history.NewTrend(list(t, parent), 20)
		require.Len(t, trend, 1)
		require.Equal(t, "passed passed passed passed passed passed failed", strings.Join(trend[0].Outcomes, " "))
		plain, styled := history.TrendText(trend, false), history.TrendText(trend, true)
		require.Contains(t, plain, "......F")
		require.NotContains(t, plain, "▁")
		require.Contains(t, styled, "✓✓✓✓✓✓✗")
		require.Contains(t, styled, "█", "the slow night")
	})
	t.Run("gate", func(t *testing.T) { gates(t, healthy[0], forgetful) })
}

// gates verifies that a gate over four weeks of nights opens and closes as its rule says.
func gates(t *testing.T, healthy, failing string) {
	now := time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)
	g, err := history.ParseGate("fewer than 3 failed drills in 4 weeks")
	require.NoError(t, err)
	for name, want := range map[string]struct {
		nights  int   // the last so many, up to now
		failed  []int // nights before now on which the drill failed
		missing []int // nights on which there was no run
		outcome string
	}{
		"all passed":              {28, nil, nil, history.Open},
		"two failures":            {28, []int{3, 20}, nil, history.Open},
		"three failures":          {28, []int{3, 9, 20}, nil, history.Closed},
		"the third left the time": {40, []int{3, 20, 30}, nil, history.Open},
		"four nights":             {4, nil, nil, history.Undecided},
		"a young history":         {14, nil, nil, history.Undecided},
		"three failures suffice":  {4, []int{0, 1, 2}, nil, history.Closed},
		"not since last week":     {28, nil, []int{0, 1, 2, 3, 4, 5, 6, 7}, history.Undecided},
		"no run at all":           {0, nil, nil, history.Undecided},
	} {
		parent := t.TempDir()
		for n := range want.nights {
			j := healthy
			for _, f := range want.failed {
				if f == n {
					j = failing
				}
			}
			missing := false
			for _, m := range want.missing {
				missing = missing || m == n
			}
			if !missing {
				place(t, j, parent, now.AddDate(0, 0, -n).Add(-10*time.Hour))
			}
		}
		got := g.Judge(list(t, parent), nil, now)
		require.Equal(t, want.outcome, got.Outcome, "%s:\n%s", name, got.Text())
		require.Equal(t, map[string]int{history.Open: 0, history.Closed: 1, history.Undecided: 3}[want.outcome], got.ExitCode())
	}

	parent := t.TempDir()
	for n := range 28 {
		place(t, healthy, parent, now.AddDate(0, 0, -n).Add(-10*time.Hour))
	}
	require.Equal(t, history.Undecided, g.Judge(list(t, parent), []string{"run x cannot be read"}, now).Outcome)
	g.Select = func(s *history.Scenario) bool { return s.Name == "another drill" }
	require.Equal(t, history.Undecided, g.Judge(list(t, parent), nil, now).Outcome, "nothing is known about it")
}

// TestUnlikeRuns verifies that runs are not compared that differ, and that the difference is named.
func TestUnlikeRuns(t *testing.T) {
	t.Parallel()
	alike := record(t, nil, 30, &orders{}, &orders{})
	more := record(t, nil, 40, &orders{})
	unprotected := record(t, []string{"keys"}, 30, &orders{})
	parent := t.TempDir()
	now := time.Now()
	before := place(t, alike[0], parent, now.Add(-time.Hour))
	compare := func(path string, change func(raw string) string) history.Comparison {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		changed := filepath.Join(t.TempDir(), "journal.ndjson")
		require.NoError(t, os.WriteFile(changed, []byte(change(string(raw))), 0o600))
		b, err := history.Find("", filepath.Dir(changed))
		require.NoError(t, err)
		a, err := history.Find(parent, before)
		require.NoError(t, err)
		return history.Compare(a, b, nil, 20)
	}
	same := func(raw string) string { return raw }
	c := compare(alike[1], same)
	require.Zero(t, c.ExitCode())
	require.Equal(t, history.Passes, c.Scenarios[0].State)

	for name, want := range map[string]struct {
		path   string
		change func(string) string
		says   string
	}{
		"other requests":   {more[0], same, `"When 40 requests are sent, 4 at a time", and "When 30 requests are sent, 4 at a time" before`},
		"less protected":   {unprotected[0], same, `without "keys", and none switched off before`},
		"another machine":  {alike[1], func(s string) string { return strings.Replace(s, " CPUs, ", "8 CPUs, ", 1) }, "8 CPUs"},
		"other texts":      {alike[1], func(s string) string { return strings.Replace(s, `"load":"`, `"load":"x`, 1) }, "the load: its requests or its clients"},
		"another system":   {alike[1], func(s string) string { return strings.Replace(s, `"system":"`, `"system":"x`, 1) }, "the description of the system"},
		"a newer Go is OK": {alike[1], func(s string) string { return strings.Replace(s, ", go1.", ", go9.", 1) }, ""},
	} {
		c := compare(want.path, want.change)
		if want.says == "" {
			require.Zero(t, c.ExitCode(), name)
			continue
		}
		require.Equal(t, 3, c.ExitCode(), name)
		require.Contains(t, text(t, c, false), want.says, name)
		require.Contains(t, strings.ToUpper(text(t, c, false)), "NOT COMPARABLE", name)
	}
}

func TestFindNamesTheNewest(t *testing.T) {
	t.Parallel()
	_, err := history.Find(t.TempDir(), "latest")
	require.ErrorContains(t, err, `find the run "latest"`)
	require.ErrorContains(t, err, "firedrill run records one")

	parent := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(parent, "broken"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(parent, "broken", "journal.ndjson"), []byte("{}\n"), 0o600))
	_, err = history.Find(parent, "none")
	require.ErrorContains(t, err, "the newest runs are broken")
	runs, unread, err := history.List(parent, time.Time{}, 0)
	require.NoError(t, err)
	require.Empty(t, runs)
	require.Len(t, unread, 1)
	require.Contains(t, unread[0], "run broken cannot be read")
}

func TestParseGate(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]history.Gate{
		"fewer than 3 failed drills in 4 weeks": {Most: 2, Window: 28 * 24 * time.Hour},
		"at most 1 failed run in 10 days":       {Most: 1, Runs: true, Window: 240 * time.Hour},
		"No failed drill  in 36 hours":          {Window: 36 * time.Hour},
	} {
		g, err := history.ParseGate(rule)
		require.NoError(t, err)
		require.Equal(t, []any{want.Most, want.Runs, want.Window}, []any{g.Most, g.Runs, g.Window}, rule)
	}
	for rule, says := range map[string]string{
		"":                                      `write "fewer than 3 failed drills in 4 weeks"`,
		"fewer than 0 failed drills in 4 weeks": "there cannot be fewer than 0",
		"no failed drill in 0 weeks":            "between 1 and 10000",
		"no failed drill in 99999999999999999 weeks":          "between 1 and 10000",
		"at most 99999999999999999999 failed drills in 1 day": "more than a gate can count",
		"3 failed drills": "is not understood",
	} {
		_, err := history.ParseGate(rule)
		require.ErrorContains(t, err, says, rule)
	}
}
