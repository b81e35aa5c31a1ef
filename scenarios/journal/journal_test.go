package journal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// written returns a small journal of one scenario.
func written(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, time.Now())
	w.Write(Event{Run: &Run{Schema: Schema, ID: "r", Seed: 7}})
	at := func(d time.Duration, e Event) {
		e.At, e.Scenario = d, "s"
		w.Write(e)
	}
	at(1, Event{Begin: &Begin{ID: "s", Name: "S"}})
	at(2, Event{Phase: &Phase{Name: "baseline"}})
	at(10, Event{Phase: &Phase{Name: "fault"}})
	at(11, Event{Fault: &Fault{ID: "f", Stage: "injected", Sentence: "x"}, Step: "a.feature:3"})
	at(12, Event{Message: &Message{Fault: "f", Stage: "applied"}})
	at(20, Event{Fault: &Fault{ID: "f", Stage: "healed", Sentence: "x", Seen: 9, Affected: 4}})
	at(21, Event{Sample: &Sample{From: 12, To: 20, Window: During, Route: "b", Sent: 2, OK: 1, Errors: map[string]int{"reset": 1}, Latency: []Bucket{{5, 1}, {9, 1}}}})
	at(22, Event{Sample: &Sample{From: 2, To: 10, Window: Before, Route: "a", Sent: 1, OK: 1, Latency: []Bucket{{5, 1}}}})
	at(23, Event{Calls: &Calls{From: 2, To: 10, Window: Before, Link: "x -> y", Calls: 3}})
	at(24, Event{Load: &Load{Sent: 3}})
	at(25, Event{Request: &Request{Key: "k"}})
	at(26, Event{Probe: &Probe{Key: "k"}})
	at(27, Event{Effect: &Effect{Key: "k"}})
	at(28, Event{Effects: &Effects{Count: 1}})
	at(29, Event{Process: &Process{Service: "y", What: "crashed"}})
	at(30, Event{Accounts: &Accounts{Link: "x -> y"}})
	at(30, Event{Loss: &Loss{Link: "x -> y"}})
	at(30, Event{Traffic: &Traffic{Link: "x -> y", Opened: 2}})
	at(31, Event{Observation: &Observation{Probe: "p", Yes: true}})
	at(31, Event{Task: &Task{What: "t"}})
	at(31, Event{Tick: &Tick{Phase: "fault"}})
	at(32, Event{Note: &Note{Text: "hello"}})
	at(33, Event{Verdict: &Verdict{Check: "c", Outcome: "passed"}, Step: "a.feature:4"})
	at(34, Event{End: &End{Outcome: "passed"}})
	w.Write(Event{End: &End{Outcome: "passed"}})
	require.NoError(t, w.Err())
	return out.Bytes()
}

func TestFoldReturnsWrittenEvents(t *testing.T) {
	b, err := Fold(bytes.NewReader(written(t)))
	require.NoError(t, err)
	require.Empty(t, b.Broken)
	require.Equal(t, "passed", b.End.Outcome)
	require.EqualValues(t, 7, b.Run.Seed)
	require.Len(t, b.Scenarios, 1)
	h := b.Scenarios[0]
	require.Equal(t, []Span{{"baseline", 2, 10}, {"fault", 10, 34}}, h.Phases)
	require.Len(t, h.Faults, 1)
	in := h.Faults[0]
	require.Equal(t, "a.feature:3", in.Step)
	require.EqualValues(t, 11, in.Injected)
	require.EqualValues(t, 20, in.Healed)
	require.EqualValues(t, 4, in.Affected)
	require.Equal(t, []uint64{7}, h.Seqs["fault"], "the last event of the injection")
	require.Equal(t, "a", h.Samples[0].Route, "samples in order of time")
	require.Equal(t, []uint64{9, 8}, h.Seqs["sample"], "and their numbers with them")
	require.Equal(t, "a.feature:4", h.Verdicts[0].Step)
	for name, n := range map[string]int{"calls": len(h.Calls), "requests": h.Requests.Len(), "probes": len(h.Probes), "effects": h.Effects.Len(), "messages": len(h.Messages), "processes": len(h.Processes), "accounts": len(h.Accounts), "losses": len(h.Losses), "traffic": len(h.Traffic), "notes": len(h.Notes), "observations": len(h.Observations), "tasks": len(h.Tasks)} {
		require.Equal(t, 1, n, name)
	}
	require.NotNil(t, h.Load)
	require.NotNil(t, h.EffectsRead)
	from, to, ok := h.FaultSpan()
	require.True(t, ok)
	require.Equal(t, []time.Duration{11, 20}, []time.Duration{from, to})
}

// TestEveryPrefixFolds: if a run is killed, its journal can be read up to the last complete line.
func TestEveryPrefixFolds(t *testing.T) {
	whole := written(t)
	first := bytes.IndexByte(whole, '\n')
	for n := first + 1; n < len(whole); n++ {
		b, err := Fold(bytes.NewReader(whole[:n]))
		require.NoError(t, err)
		lines := bytes.Count(whole[:n], []byte("\n"))
		cut := n > 0 && whole[n-1] != '\n'
		if complete := cut && whole[n] == '\n'; cut && !complete {
			require.Contains(t, b.Broken, fmt.Sprintf("line %d", lines+1))
		}
		if lines < bytes.Count(whole, []byte("\n"))-1 {
			require.Nil(t, b.End)
		}
	}
}

func TestFoldRejectsOtherFiles(t *testing.T) {
	for name, c := range map[string]struct{ text, why string }{
		"empty":       {"", "empty"},
		"other":       {`{"seq":1,"at":1}` + "\n", "not a run"},
		"not JSON":    {"hello\n", "not a journal: line 1"},
		"from future": {`{"seq":1,"run":{"schema":99}}` + "\n", "use a newer version"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Fold(strings.NewReader(c.text))
			require.ErrorContains(t, err, c.why)
		})
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	b, err := Fold(strings.NewReader(`{"seq":1,"run":{"schema":1,"id":"r","colour":"blue"}}` + "\n" + `{"seq":2,"surprise":{}}` + "\n"))
	require.NoError(t, err)
	require.Empty(t, b.Broken)
}

// failing is a writer that fails after some writes, like a full disk.
type failing struct{ left int }

func (f *failing) Write(p []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

func TestFirstWriteErrorIsKept(t *testing.T) {
	w := NewWriter(&failing{left: 1}, time.Now())
	w.Write(Event{Run: &Run{}})
	require.NoError(t, w.Err())
	w.Write(Event{Note: &Note{}})
	require.ErrorContains(t, w.Err(), "disk full")
	require.EqualValues(t, 3, w.Write(Event{Note: &Note{}}).Seq, "numbers go on")
	require.ErrorContains(t, w.Err(), "disk full")
}

func TestConcurrentWrites(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out, time.Now())
	w.Write(Event{Run: &Run{Schema: Schema}})
	w.Write(Event{Scenario: "s", Begin: &Begin{ID: "s"}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				w.Write(Event{Scenario: "s", Message: &Message{Stage: "applied"}})
			}
		})
	}
	wg.Wait()
	b, err := Fold(&out)
	require.NoError(t, err)
	require.Len(t, b.Scenarios[0].Messages, 800)
}

func TestMessagesAreLimited(t *testing.T) {
	f := NewFolder()
	f.Add(Event{Scenario: "s", Begin: &Begin{ID: "s"}})
	for range maxMessages + 5 {
		f.Add(Event{Scenario: "s", Message: &Message{}})
	}
	h := f.Book().Scenarios[0]
	require.Len(t, h.Messages, maxMessages)
	require.Equal(t, 5, h.OmittedMessages)
}

func TestQuantile(t *testing.T) {
	b := []Bucket{{10, 50}, {20, 45}, {30, 4}, {40, 1}}
	for percent, want := range map[float64]time.Duration{0: 10, 50: 10, 50.1: 20, 95: 20, 99: 30, 99.5: 40, 100: 40} {
		require.Equal(t, want, Quantile(b, percent), percent)
	}
	require.Zero(t, Quantile(nil, 50))
	require.Equal(t, []Bucket{{10, 100}, {20, 90}, {30, 8}, {40, 2}}, Merge(b, b))
}

func FuzzFold(f *testing.F) {
	f.Add(written(f))
	f.Add([]byte(`{"run":{"schema":1}}` + "\n" + `{"scenario":"x","fault":{}}` + "\n"))
	f.Add([]byte(`{"run":{"schema":2}}` + "\n" + `{"scenario":"x","begin":{"id":"x"}}` + "\n" +
		`{"seq":3,"scenario":"x","request_rows":{"like":[{"key":"k-","attempts":[{"status":201},{}]}],"rows":[[0,7,100,"00000000000000ff",2,5,9,-1],[0,"é",1,"",2,5,9,1]]}}` + "\n" +
		`{"seq":5,"scenario":"x","effect_rows":{"like":[{"key":"k-"}],"rows":[[0,7,1],[0,8,"o","g",5,6]]}}` + "\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := Fold(bytes.NewReader(raw))
		if err == nil {
			for _, h := range b.Scenarios {
				if n := h.Requests.Len(); len(h.Requests.Slice()) != n {
					t.Fatal("not all requests")
				}
				if n := h.Effects.Len(); len(h.Effects.Slice()) != n {
					t.Fatal("not all effects")
				}
				h.Total("", "")
				h.FaultSpan()
			}
		}
	})
}

func TestPartitionIsOneFault(t *testing.T) {
	for id, want := range map[string]string{"fault-3": "fault-3", "fault-3.12": "fault-3", "": "", "a.b": "a.b", "fault-3.": "fault-3.", "1.2.3": "1.2.3"} {
		require.Equal(t, want, FaultID(id), id)
	}
	in := func(id string, injected, healed time.Duration, affected int64) *Injection {
		return &Injection{Fault: Fault{ID: id, Sentence: id, Seen: 9, Affected: affected}, Injected: injected, Healed: healed}
	}
	h := &History{Faults: []*Injection{in("fault-1", 1, 2, 3), in("fault-2.1", 5, 8, 0), in("fault-2.2", 4, 9, 7), in("fault-3.1", 5, 8, 1), in("fault-3.2", 5, 0, 0), in("fault-3.3", 5, 9, 0)}}
	all := h.CombinedFaults()
	require.Len(t, all, 3)
	require.Same(t, h.Faults[0], all[0])
	require.Equal(t, &Injection{Fault: Fault{ID: "fault-2.1", Sentence: "fault-2.1", Seen: 18, Affected: 7}, Injected: 4, Healed: 9}, all[1])
	require.Zero(t, all[2].Healed, "one of its links was never healed")
	require.EqualValues(t, 5, h.Faults[1].Injected, "the injections stay as they were")
}
