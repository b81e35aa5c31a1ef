package journal

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPrefixTellsTheSameFacts: what a journal that was cut anywhere tells is exactly what its whole lines tell.
func TestPrefixTellsTheSameFacts(t *testing.T) {
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

// TestTheLastPhaseGrows: a folder that is asked in the middle does not hold on to where the phase stood then.
func TestTheLastPhaseGrows(t *testing.T) {
	f := NewFolder()
	f.Add(Event{Scenario: "s", Begin: &Begin{ID: "s"}})
	f.Add(Event{Scenario: "s", At: time.Second, Phase: &Phase{Name: "fault"}})
	require.Equal(t, time.Second, f.Book().Scenarios[0].Phases[0].To)
	f.Add(Event{Scenario: "s", At: 9 * time.Second, Note: &Note{Text: "later"}})
	require.Equal(t, 9*time.Second, f.Book().Scenarios[0].Phases[0].To)
}

// TestLinesAreForPeopleToo: a link's name can be searched for as it is written everywhere else.
func TestLinesAreForPeopleToo(t *testing.T) {
	require.Contains(t, string(written(t)), `"x -> y"`)
	require.Equal(t, 24, bytes.Count(written(t), []byte("\n")), "one line each")
}

// chunks counts the calls of Write, and whether each was one whole line.
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
