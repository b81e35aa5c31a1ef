package journal

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPrefixHasTheSameFacts: a truncated journal yields exactly the facts of its complete lines.
func TestPrefixHasTheSameFacts(t *testing.T) {
	whole := written(t)
	lines := bytes.SplitAfter(bytes.TrimSuffix(whole, []byte("\n")), []byte("\n"))
	f, length := NewFolder(), 0
	for i, line := range lines {
		var e Event
		require.NoError(t, json.Unmarshal(line, &e))
		f.Add(e)
		length += len(line)
		for _, more := range []int{0, 1, 7} {
			if i == len(lines)-1 {
				more = 0
			}
			got, err := Fold(bytes.NewReader(whole[:min(length+more, len(whole))]))
			require.NoError(t, err)
			got.Broken = ""
			require.Equal(t, f.Book(), got, "after line %d", i+1)
		}
	}
}

// TestLastPhaseGrows: a Folder that is read during a run does not freeze the end of the current phase.
func TestLastPhaseGrows(t *testing.T) {
	f := NewFolder()
	f.Add(Event{Scenario: "s", Begin: &Begin{ID: "s"}})
	f.Add(Event{Scenario: "s", At: time.Second, Phase: &Phase{Name: "fault"}})
	require.Equal(t, time.Second, f.Book().Scenarios[0].Phases[0].To)
	f.Add(Event{Scenario: "s", At: 9 * time.Second, Note: &Note{Text: "later"}})
	require.Equal(t, 9*time.Second, f.Book().Scenarios[0].Phases[0].To)
}

// TestLinesAreSearchable: the name of a link is not escaped, so that it can be searched for.
func TestLinesAreSearchable(t *testing.T) {
	require.Contains(t, string(written(t)), `"x -> y"`)
	require.Equal(t, 26, bytes.Count(written(t), []byte("\n")), "one line each")
}

// chunks counts the calls of Write, by whether each was a complete line.
type chunks struct{ whole, torn int }

func (c *chunks) Write(p []byte) (int, error) {
	if bytes.Count(p, []byte("\n")) == 1 && p[len(p)-1] == '\n' {
		c.whole++
	} else {
		c.torn++
	}
	return len(p), nil
}

func TestEachEventIsOneWrite(t *testing.T) {
	var c chunks
	w := NewWriter(&c, time.Now())
	w.Write(Event{Run: &Run{Schema: Schema}})
	w.Write(Event{Note: &Note{Text: "two\nlines & <signs>"}})
	require.Equal(t, chunks{whole: 2}, c)
}
