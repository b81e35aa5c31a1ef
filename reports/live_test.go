package reports

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func TestLive(t *testing.T) {
	for name, tty := range map[string]bool{"live.txt": false, "live-terminal.txt": true, "live-parted.txt": false} {
		tp := newRecording()
		tp.scenario(sampleRun{name: "failed", outcome: "failed", partition: name == "live-parted.txt"})
		tp.end("failed")
		var out bytes.Buffer
		l := NewLive(&out, tty)
		for line := range bytes.Lines(tp.out.Bytes()) {
			var e journal.Event
			require.NoError(t, json.Unmarshal(line, &e))
			l.Event(e)
		}
		l.Close()
		golden(t, name, out.Bytes())
	}
}

// TestLiveNamesNoScenarioWithoutOne: a note of the run, such as on a scenario that was not started, is about no scenario.
func TestLiveNamesNoScenarioWithoutOne(t *testing.T) {
	var out bytes.Buffer
	l := NewLive(&out, false)
	l.Event(journal.Event{At: 1e9, Note: &journal.Note{Text: `"row 2" was not started`}})
	l.Event(journal.Event{At: 2e9, Scenario: "s", Begin: &journal.Begin{ID: "s", Name: "row 3"}})
	assert.Equal(t, "  0:01.0  \"row 2\" was not started\n  0:02.0  row 3: started\n", out.String())
}

func TestLiveEscapesControlCharacters(t *testing.T) {
	var out bytes.Buffer
	l := NewLive(&out, true)
	for _, e := range []journal.Event{
		{Begin: &journal.Begin{}}, {Phase: &journal.Phase{}}, {Fault: &journal.Fault{Stage: "injected"}}, {Note: &journal.Note{}},
		{Tick: &journal.Tick{}}, {Verdict: &journal.Verdict{Outcome: "failed"}}, {End: &journal.End{Outcome: "failed"}},
	} {
		e.Scenario = "s"
		stage := e.Fault
		poison(reflect.ValueOf(&e))
		if stage != nil {
			e.Fault.Stage = "injected"
		}
		e.Scenario = "s"
		l.Event(e)
	}
	own := regexp.MustCompile("\r|\x1b\\[(K|\\?7[lh])").ReplaceAllString(out.String(), "")
	assert.Contains(t, own, "alert(1)")
	assert.NotRegexp(t, "[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\u202e]", own)
}
