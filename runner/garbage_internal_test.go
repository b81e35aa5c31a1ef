package runner

import (
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// A scenario that has ended is garbage, also for a Meter, so that its history is not in memory while the journal is
// folded.
func TestEndedScenarioIsGarbage(t *testing.T) {
	t.Parallel()
	var ended weak.Pointer[session]
	m := &Meter{}
	o := Options{Dir: t.TempDir(), Meter: m, Drive: func(w *ScenarioRun) error {
		ended = weak.Make(w.s)
		return nil
	}}
	e := &scenarios.Experiment{ID: "one", Name: "one", File: "one.feature"}
	res, err := RunExperiments(t.Context(), o, e)
	require.NoError(t, err)
	require.Len(t, res.Book.Scenarios, 1)
	assert.Len(t, m.Counts(), 1)
	assert.Eventually(t, func() bool {
		runtime.GC()
		return ended.Value() == nil
	}, 10*time.Second, 10*time.Millisecond)
	runtime.KeepAlive(m)
}
