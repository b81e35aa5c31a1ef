package reports

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// recording writes a journal with predefined times.
type recording struct {
	out bytes.Buffer
	*journal.Writer
	id string
}

func newRecording() *recording {
	t := &recording{}
	t.Writer = journal.NewWriter(&t.out, time.Time{})
	t.Write(journal.Event{At: 1, Run: &journal.Run{
		Schema: journal.Schema, ID: "20260102T030405-7f3a", Began: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Version: "test", Seed: 42,
		Command: []string{"/usr/bin/firedrill", "run", "--seed", "7", "features/orders feature"}, Host: "linux/amd64, 2 CPUs", Without: nil,
		Files: []journal.File{{Name: "features/orders.feature", Size: 812, SHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}},
	}})
	return t
}

func (t *recording) at(seconds float64, e journal.Event) {
	e.At, e.Scenario = time.Duration(seconds*1e9), t.id
	if e.Verdict != nil && e.Step == "" && !isImplied(*e.Verdict) {
		e.Step = "features/orders.feature:20"
	}
	t.Write(e)
}

func (t *recording) book(tb testing.TB) *journal.Book {
	b, err := journal.Fold(bytes.NewReader(t.out.Bytes()))
	require.NoError(tb, err)
	return b
}

// sampleRun defines a sample scenario.
type sampleRun struct {
	name      string
	outcome   string // outcome of its main check
	killed    bool   // the journal ends in the fault window
	partition bool   // with an additional partition and a slow link

	retryOf    string // ID of the scenario that it is a retry of
	quarantine *journal.Quarantine
}

const (
	sampleSentence = `replies from "payments" to "orders" are lost after the work was done`
	sampleLink     = "orders -> payments"
)

// scenario writes twelve seconds of 200 requests per second: baseline, a fault from +5s to +9s, recovery.
func (t *recording) scenario(d sampleRun) {
	t.id = "orders--" + d.name
	attempt, why := 1, ""
	if d.partition {
		attempt, why = 2, "this machine did not keep up: one request in a hundred was sent 310ms late or later, which is more than 200ms"
	}
	t.at(0.1, journal.Event{Begin: &journal.Begin{
		ID: t.id, Attempt: attempt, RerunReason: why, Name: "An order is charged once: " + d.name, Feature: "Orders", File: "features/orders.feature", Line: 12, Tags: []string{"@smoke"}, RetryOf: d.retryOf, Quarantine: d.quarantine,
		Links: []journal.Link{{From: "orders", To: "payments", Protocol: "http"}},
		Steps: []journal.Step{
			{Keyword: "Given", Text: `the system "shop" is running`, At: "features/orders.feature:13"},
			{Keyword: "When", Text: "clients send 200 requests per second", At: "features/orders.feature:17"},
			{Keyword: "And", Text: sampleSentence + " for 4s", At: "features/orders.feature:18"},
			{Keyword: "Then", Text: "no order is applied twice", At: "features/orders.feature:20"},
			{Keyword: "And", Text: "at least 95% of requests succeed during the fault", At: "features/orders.feature:21"},
		},
	}})
	t.at(0.2, journal.Event{Process: &journal.Process{Service: "orders", What: "started", PID: 100}})
	t.at(0.4, journal.Event{Process: &journal.Process{Service: "orders", What: "ready", PID: 100}})
	t.at(0.5, journal.Event{Phase: &journal.Phase{Name: "setup"}})
	for _, p := range []struct {
		at   float64
		name string
	}{{2, "baseline"}, {5, "fault"}, {9, "recovery"}} {
		if !d.killed || p.at < 9 {
			t.at(p.at, journal.Event{Phase: &journal.Phase{Name: p.name}})
		}
	}
	fault := journal.Fault{ID: t.id + "/1", Stage: "injected", Kind: "lost reply", Sentence: sampleSentence, On: sampleLink, Unit: "calls"}
	t.at(5, journal.Event{Fault: &fault, Step: "features/orders.feature:18"})
	injectOthers := t.injectOthers(d)
	t.slices(d)
	if d.killed {
		t.at(8, journal.Event{Note: &journal.Note{Text: "still going"}})
		return
	}
	t.at(7, journal.Event{Process: &journal.Process{Service: "orders", What: "crashed", PID: 100, Detail: "killed"}})
	t.at(7.4, journal.Event{Process: &journal.Process{Service: "orders", What: "ready", PID: 101}})
	fault.Stage, fault.Seen, fault.Affected = "healed", 800, 160
	fault.First, fault.Last = 5010*time.Millisecond, 8990*time.Millisecond
	if d.outcome == "inconclusive" {
		fault.Affected, fault.First, fault.Last, fault.Hint = 0, 0, 0, "no call matched POST /charge"
	}
	t.at(9, journal.Event{Fault: &fault})
	for i, f := range injectOthers {
		f.Stage = "healed"
		t.at(9.001+float64(i)/1e4, journal.Event{Fault: &f})
	}
	for i := range 6 {
		t.at(6, journal.Event{Message: &journal.Message{Fault: fault.ID, Link: sampleLink, Stage: "reply lost", Op: "POST /charge", Key: fmt.Sprintf("k-%d", i)}})
	}
	t.ledger(d)
	if d.partition {
		t.probesAndTasks()
		t.notesOfPeople()
	}
	t.verdicts(d)
}

// slices writes the samples of two routes and the calls of a link, one second each.
func (t *recording) slices(d sampleRun) {
	for s := 1; s < 12; s++ {
		if d.killed && s >= 8 {
			break
		}
		from, to := time.Duration(s)*time.Second, time.Duration(s+1)*time.Second
		w, slow, lost := journal.Before, time.Duration(1), 0
		switch {
		case s < 2:
			w = journal.Warmup
		case s >= 9:
			w = journal.After
		case s >= 5:
			w, slow, lost = journal.During, 14, 12
		}
		for i, route := range []string{"GET /page", "POST /orders"} {
			sent, lost := 140-80*i, lost*i
			sample := journal.Sample{From: from, To: to, Window: w, Route: route, Sent: sent, OK: sent - lost, Ambiguous: lost, Attempts: sent + lost*2, Wire: sent + lost*2}
			ms := time.Millisecond * time.Duration(3+2*i)
			if lost > 0 {
				sample.Errors = map[string]int{"timeout": lost - 2, "status 503": 2}
				sample.Ambiguous, sample.Refused = lost-2, 2
			}
			sample.Good = []journal.Bucket{{Up: ms, N: int64(sent-lost) / 2}, {Up: ms * 2 * slow, N: int64(sent-lost) / 3}, {Up: ms * 4 * slow, N: int64(sent-lost) / 6}}
			sample.Latency = append(append([]journal.Bucket{}, sample.Good...), journal.Bucket{Up: 2 * time.Second, N: int64(lost)})
			t.at(float64(s)+1, journal.Event{Sample: &sample})
		}
		t.at(float64(s)+1, journal.Event{Calls: &journal.Calls{From: from, To: to, Window: w, Link: sampleLink, Calls: 60 + 2*lost, Affected: 3 * lost, Duration: []journal.Bucket{{Up: 3 * time.Millisecond, N: 60}}}})
		t.at(float64(s)+1, journal.Event{Tick: &journal.Tick{Phase: string(w), Rate: 200, P99: 24 * time.Millisecond * slow, Errors: lost}})
	}
}

// injectOthers injects a slow link and a partition of three links, and returns their final counters.
func (t *recording) injectOthers(d sampleRun) []journal.Fault {
	if !d.partition {
		return nil
	}
	const cutOff = `"orders", "front" are cut off from "payments"`
	all := []journal.Fault{
		{ID: "fault-2", Kind: "slow traffic", Sentence: `traffic from "front" to "stats" is delayed by 50ms`, On: "front -> stats", Unit: "traffic", Seen: 1200, Affected: 1200, Connections: 4, BytesSeen: 1234567, BytesAffected: 1234567, Delayed: 1200, DelayP50: 50080 * time.Microsecond, DelayP99: 51200 * time.Microsecond, DelayMax: 57 * time.Millisecond},
		{ID: "fault-3.1", Kind: "partition", Sentence: cutOff, On: "orders -> payments", Unit: "traffic", Seen: 8, Affected: 6, Connections: 6, BytesSeen: 918, BytesAffected: 918},
		{ID: "fault-3.2", Kind: "partition", Sentence: cutOff, On: "front -> payments", Unit: "traffic", Seen: 1, Affected: 1, Connections: 1, BytesSeen: 153, BytesAffected: 153},
		{ID: "fault-3.3", Kind: "partition", Sentence: cutOff, On: "payments -> orders", Unit: "traffic", Hint: "payments -> orders carried nothing that it could act on while it was live"},
	}
	for i, f := range all {
		f = journal.Fault{ID: f.ID, Stage: "injected", Kind: f.Kind, Sentence: f.Sentence, On: f.On, Unit: f.Unit}
		t.at(5.5, journal.Event{Fault: &f})
		all[i].Live = 5500*time.Millisecond + time.Duration(40+10*i)*time.Microsecond
		live := f
		live.Stage, live.Live = "live", all[i].Live
		t.at(live.Live.Seconds(), journal.Event{Fault: &live})
		if all[i].Affected > 0 {
			all[i].First, all[i].Last = 5510*time.Millisecond, 8990*time.Millisecond
		}
	}
	return all
}

func (t *recording) ledger(d sampleRun) {
	t.at(11.4, journal.Event{Traffic: &journal.Traffic{Link: sampleLink, Opened: 1240, Live: 12, Refused: 3, Resets: 160, BytesToServer: 4567890, BytesToClient: 999950}})
	load := journal.Load{Requested: 2200, Intended: 2200, Sent: 2200, Attempts: 2296, Wire: 2296, Retries: 96, SlipP99: 800 * time.Microsecond, Workers: 40, Bound: 512, Took: 10 * time.Second, CPU: 0.34, GCPause: 300 * time.Microsecond}
	if d.partition {
		t.at(10.2, journal.Event{Pause: &journal.Pause{From: 9900 * time.Millisecond, To: 10150 * time.Millisecond, Took: 250 * time.Millisecond}})
		load.Sent, load.Unsent, load.GeneratorErrors, load.Stale = 2198, 2, map[string]int{"too many open files (this process may open 1,024 files: raise ulimit -n)": 2}, 3
	}
	t.at(11.5, journal.Event{Load: &load})
	effects := 0
	effect := func(key string, n int) {
		t.at(11.6, journal.Event{Effect: &journal.Effect{Key: key, ID: fmt.Sprintf("o-%d", n)}})
		effects++
	}
	for i := range 40 {
		r := journal.Request{Key: fmt.Sprintf("k-%d", i), Route: "POST /orders", Due: 5 * time.Second, Window: journal.During, Outcome: "acknowledged", Attempts: []journal.Attempt{{At: 5 * time.Second, Took: time.Second, Error: "timeout"}, {At: 6 * time.Second, Took: 4 * time.Millisecond, Status: 201}}}
		if i == 39 {
			r.Outcome = "refused"
		}
		t.at(11.5, journal.Event{Request: &r})
		if i == 0 {
			t.at(11.6, journal.Event{Story: &journal.Story{Key: r.Key, Calls: []journal.StoryCall{
				{Link: sampleLink, Op: "POST /charge", At: 5 * time.Second, Took: 12 * time.Millisecond, Fault: t.id + "/1"},
				{Link: sampleLink, Op: "POST /charge", At: 6 * time.Second, Took: 3 * time.Millisecond, Status: 200},
			}}})
		}
		if i < 39 {
			effect(r.Key, i)
		}
		if d.outcome == "failed" && i < 3 {
			effect(r.Key, 100+i)
		}
	}
	t.at(11.7, journal.Event{Effects: &journal.Effects{Source: "GET /ledger", Count: effects}})
	t.at(11.7, journal.Event{Phase: &journal.Phase{Name: "collect"}})
}

func (t *recording) verdicts(d sampleRun) {
	v := journal.Verdict{Check: "no order is applied twice", Kind: "none twice", Outcome: "passed", Observed: "0 of 40 keys", Expected: "no key with two effects", Evidence: []uint64{3, 4}}
	acted := journal.Verdict{Check: "every fault acted", Kind: "faults acted", Outcome: "passed", Observed: "1 of 1"}
	switch d.outcome {
	case "failed":
		v.Outcome, v.Observed, v.Reason = "failed", "3 of 40 keys", "3 keys have two effects each"
		v.Details = []string{"key k-0: 2 effects (o-0, o-100), attempts: timeout at +5.0s, 201 at +6.0s", "key k-1: 2 effects (o-1, o-101)"}
	case "inconclusive":
		acted.Outcome, acted.Observed, acted.Reason = "inconclusive", "0 of 1", "a fault affected nothing: no call matched POST /charge"
		acted.Code = codes.FaultMetNothing.String()
	}
	t.at(11.8, journal.Event{Verdict: &v})
	t.at(11.8, journal.Event{Step: "features/orders.feature:21", Verdict: &journal.Verdict{Check: "at least 95% of requests succeed during the fault", Kind: "success", Outcome: "passed", Observed: "98.5% (788 of 800)", Expected: "at least 95%", Window: journal.During}})
	t.at(11.8, journal.Event{Verdict: &acted})
	t.at(11.8, journal.Event{Verdict: &journal.Verdict{Check: "what was due was sent", Kind: "load delivered", Outcome: "passed", Observed: "2,200 of 2,200"}})
	t.at(11.9, journal.Event{End: &journal.End{Outcome: d.outcome}})
}

func (t *recording) end(outcome string) {
	t.id = ""
	t.at(12, journal.Event{End: &journal.End{Outcome: outcome}})
}

// samples returns the runs of the golden files.
func samples(tb testing.TB) map[string]*journal.Book {
	books := map[string]*journal.Book{}
	for _, o := range []string{"passed", "failed", "inconclusive"} {
		t := newRecording()
		t.scenario(sampleRun{name: o, outcome: o})
		t.end(o)
		books[o] = t.book(tb)
	}
	t := newRecording()
	t.scenario(sampleRun{name: "parted", outcome: "passed", partition: true})
	t.end("passed")
	books["parted"] = t.book(tb)
	t = newRecording()
	t.scenario(sampleRun{name: "passed", outcome: "passed"})
	t.scenario(sampleRun{name: "flaky", outcome: "failed"})
	t.scenario(sampleRun{name: "flaky, retry 1", outcome: "passed", retryOf: "orders--flaky"})
	t.scenario(sampleRun{name: "in quarantine", outcome: "failed", quarantine: &journal.Quarantine{Owner: "the payments team", Until: "2026-01-12", Reason: "the bank has a bug"}})
	t.end("failed")
	books["unsteady"] = t.book(tb)
	t = newRecording()
	t.scenario(sampleRun{name: "passed", outcome: "passed"})
	t.scenario(sampleRun{name: "killed", killed: true})
	t.out.WriteString(`{"seq":99,"at":80`)
	books["truncated"] = t.book(tb)
	return books
}

// probesAndTasks writes what two probes answered, and what two steps did.
func (t *recording) probesAndTasks() {
	for s := 3; s < 11; s++ {
		o := journal.Observation{Probe: "alert firing", Asked: time.Duration(s) * time.Second, Took: 3 * time.Millisecond, Every: time.Second, Yes: s == 7 || s == 8}
		if s == 10 {
			o.Unanswered = "connection refused"
		}
		t.at(float64(s)+0.003, journal.Event{Observation: &o})
		queued := 120 * float64(s)
		t.at(float64(s)+0.004, journal.Event{Observation: &journal.Observation{Probe: "outbox", Asked: o.Asked, Took: o.Took, Every: time.Second, Value: &queued}})
	}
	t.at(6.012, journal.Event{Task: &journal.Task{What: `"POST /promote" of "standby" is asked`, Began: 6 * time.Second, Took: 12 * time.Millisecond, Result: "status 200", Output: "promoted"}})
	t.at(6.5, journal.Event{Task: &journal.Task{What: `the command "resync" is run`, Began: 6100 * time.Millisecond, Took: 400 * time.Millisecond, Result: "exit status 0", Log: "scenarios/s/logs/command-resync.log"}})
}

// notesOfPeople writes what people at the page of a run noted, though it is no game day.
func (t *recording) notesOfPeople() {
	t.at(7.1, journal.Event{Note: &journal.Note{Kind: "detected", By: "ana", Text: "detected"}})
	t.at(8.2, journal.Event{Note: &journal.Note{Kind: "note", By: "ben", Text: "the pager is silent"}})
}
