package runner

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Repeats is how often a drill that proved nothing because this machine was busy is run again, at most.
const Repeats = 4

// Steadily returns the result of a run. It runs again, at most Repeats times, if a scenario was inconclusive because
// of this machine: it was too busy to send the load on time, the runner did not run for a while, or the
// baseline was not steady. It never repeats a verdict.
func Steadily(t *testing.T, run func() (*Result, error)) *Result {
	t.Helper()
	res, err := run()
	require.NoError(t, err)
	for range Repeats {
		h, why := disturbed(res)
		if h == nil {
			break
		}
		t.Logf("run again, because this machine was busy: %s\n%s", why, strings.Join(failures(h), "\n"))
		awaitQuiet()
		res, err = run()
		require.NoError(t, err)
	}
	return res
}

// disturbed returns the first scenario that was inconclusive because of this machine, and the reason, or nil.
func disturbed(res *Result) (*journal.History, string) {
	for _, h := range res.Book.Scenarios {
		why := busyMachine(h, "load delivered", "baseline steady")
		if h.Load != nil && why != "" && !strings.Contains(why, "the steady state: success") { // the system failed
			return h, why
		}
	}
	return nil, ""
}

// awaitQuiet waits until this process has run on time for a second, or for half a minute.
func awaitQuiet() {
	began, last := time.Now(), time.Now()
	for quiet := last; time.Since(quiet) < time.Second && time.Since(began) < 30*time.Second; last = time.Now() {
		time.Sleep(10 * time.Millisecond)
		if time.Since(last) > 30*time.Millisecond {
			quiet = time.Now()
		}
	}
}

// steadily is Steadily for a run of one scenario.
func steadily(t *testing.T, run func() (*Result, error)) *journal.History {
	t.Helper()
	res := Steadily(t, run)
	require.Len(t, res.Book.Scenarios, 1)
	return onlyScenario(res)
}

// Failures is failures for tests outside this package.
var Failures = failures
