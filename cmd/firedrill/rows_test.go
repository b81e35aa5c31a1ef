package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// excerpt: fault

// stutter is a fault that only this test knows.
type stutter struct {
	Pause time.Duration
	injector.Pick
}

func (f stutter) Inject(ctx context.Context, t injector.Target) (injector.Heal, error) {
	return injector.SlowCalls{By: f.Pause, Pick: f.Pick}.Inject(ctx, t)
}

func (f stutter) Say(from, to string) string {
	return fmt.Sprintf("calls from %q to %q stutter with pauses of %s", from, to, injector.Duration(f.Pause))
}

func (f stutter) Kind() injector.Kind {
	return injector.Kind{Name: "stutter", On: "calls", Undo: "calls go on at once", Waits: true, Delay: f.Pause, Sentences: []injector.Sentence{{
		Pattern:  `{calls} from {from} to {to} stutter with pauses of [{duration}]{for}`,
		Means:    "calls pause before they go on",
		Examples: []string{`calls from "orders" to "payments" stutter with pauses of 20ms for 10s`},
		Fault:    func(a injector.Args) injector.Fault { return stutter{Pause: a.Duration(3), Pick: a.Pick(0)} },
	}}}
}

// end of excerpt

// excerpt: check

// called is a check that only this test knows.
type called struct {
	To string
	N  int64
}

func (c called) Judge(h *journal.History) check.Verdict {
	n := h.CallsTotal(journal.During, func(link string) bool { return strings.HasSuffix(link, " -> "+c.To) }).Calls
	v := check.Verdict{Outcome: check.Failed, Observed: fmt.Sprint(n, " calls"), Expected: fmt.Sprint("at least ", c.N), Reason: "it was called too rarely", Window: journal.During}
	if int64(n) >= c.N {
		v.Outcome, v.Reason = check.Passed, ""
	}
	return v
}

func (c called) String() string {
	return fmt.Sprintf("%q is called at least %d times during the fault", c.To, c.N)
}

func (c called) Kind() check.Kind {
	return check.Kind{Name: "called", Means: "calls of a service during the fault",
		Needs: check.Needs{Load: true, Window: journal.During, To: c.To, Unit: "calls"},
		Sentences: []check.Sentence{{
			Pattern:  `{name} is called at least {number} times during the fault`,
			Means:    "a lower limit of calls",
			Examples: []string{`"payments" is called at least 10 times during the fault`},
			Check:    func(a check.Args) check.Check { return called{To: a.Name(0), N: a.Count(1, 1)} },
		}}}
}

// end of excerpt

// TestOneRow adds a kind of fault and a kind of check, each as a single value, and finds them wherever Firedrill
// presents kinds.
func TestOneRow(t *testing.T) {
	fault := injector.Describe(stutter{Pause: 20 * time.Millisecond})
	asked := check.Describe(called{To: "payments", N: 10})
	vocabulary := scenarios.NewVocabulary(append(injector.Kinds(), fault), append(check.Kinds(), asked), protocols.All())

	t.Run("README", func(t *testing.T) {
		require.Contains(t, faultTable([]injector.Kind{fault}), "| stutter | `"+fault.Example+"` | calls go on at once |")
		require.Contains(t, checkTable([]check.Kind{asked}), "| called | `"+asked.Example+"` | calls of a service during the fault |")
	})
	t.Run("steps", func(t *testing.T) {
		var steps strings.Builder
		require.NoError(t, vocabulary.PrintSteps(&steps, "stutter"))
		require.NoError(t, vocabulary.PrintSteps(&steps, "is called"))
		require.Contains(t, steps.String(), "FAULTS\n\n  {calls} from {name} to {name} stutter with pauses of {duration}( for {duration})\n      calls pause before they go on\n")
		require.Contains(t, steps.String(), "DEGRADATION\n\n  {name} is called at least {number} times during the fault\n")
	})

	const feature = `Feature: kinds of its own
  Scenario: a stutter
    Given the system described in "system.yaml"
    And a steady load of 50 requests per second on "GET /"
    And a baseline is measured for 1s
    When 50% of calls from "clients" to "front" stutter with pauses of 20ms for 1s
    And these faults run together for 1s:
      | fault   | from    | to    | share | value |
      | stutter | clients | front | 10%   | 10ms  |
    Then "front" is called at least 5 times during the fault
`
	source := scenarios.Source{FS: fstest.MapFS{
		"a.feature":   {Data: []byte(feature)},
		"system.yaml": {Data: []byte("services:\n  front: {command: [front], serves: [/]}\nclients: {depends: {front: http}}\n")},
	}, Paths: []string{"a.feature"}, Handlers: []string{"front"}, Vocabulary: vocabulary}
	es, err := scenarios.Parse(source)
	require.NoError(t, err)

	t.Run("problems", func(t *testing.T) {
		broken := source
		broken.FS = fstest.MapFS{"system.yaml": source.FS.(fstest.MapFS)["system.yaml"],
			"a.feature": {Data: []byte(strings.NewReplacer("from \"clients\" to \"front\" stutter", "from \"clients\" to \"front\" stuter", `Then "front"`, `Then "back"`).Replace(feature))}}
		_, err := scenarios.Parse(broken)
		require.ErrorContains(t, err, `did you mean: `+fault.Sentences[0].Examples[0])
		require.ErrorContains(t, err, `there is no service "back"`)
	})
	t.Run("plan", func(t *testing.T) {
		var plan strings.Builder
		require.NoError(t, scenarios.Plan(&plan, es))
		require.Contains(t, plan.String(), `50% of calls from "clients" to "front" stutter with pauses of 20ms for 1s`)
		require.Contains(t, plan.String(), "undone after 1s: calls go on at once")
		require.Contains(t, plan.String(), `check: "front" is called at least 5 times during the fault`)
	})
	t.Run("run and reports", func(t *testing.T) {
		hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
		result, err := runner.RunExperiments(t.Context(), runner.Options{Dir: t.TempDir(), Handlers: map[string]http.Handler{"front": hello}}, es...)
		require.NoError(t, err)
		h := result.Book.Scenarios[0]
		require.Len(t, h.Faults, 2)
		for _, in := range h.Faults {
			require.Equal(t, "stutter", in.Kind)
			require.Equal(t, "calls", in.Unit)
			require.True(t, in.Waits)
			require.Positive(t, in.Affected)
		}
		v := h.Verdicts[len(h.Verdicts)-1]
		require.Equal(t, "called", v.Kind)
		require.Contains(t, []string{"passed", "inconclusive"}, v.Outcome) // the machine may be too busy for a valid scenario
		for _, f := range reports.Formats() {
			raw, err := os.ReadFile(filepath.Join(result.Dir, f.File))
			require.NoError(t, err)
			require.Contains(t, strings.NewReplacer("&#34;", `"`, `\"`, `"`, "&quot;", `"`).Replace(string(raw)), `"front" is called at least 5 times during the fault`, f.Name)
		}
	})
}
