package reports

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cucumber/messages/go/v21"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// cucumberVersion is the version of the protocol that writeMessages follows: that of the library with its types.
const cucumberVersion = "21.0.1"

// cucumberStatuses are the statuses for outcomes. Cucumber has none for "inconclusive": a pending step is one of which
// nothing is known yet, and makes a strict run fail. All other outcomes are pending, too, so that nothing that was not
// proven is ever passed.
var cucumberStatuses = map[string]messages.TestStepResultStatus{
	"passed":  messages.TestStepResultStatus_PASSED,
	"failed":  messages.TestStepResultStatus_FAILED,
	"stopped": messages.TestStepResultStatus_FAILED,
	"skipped": messages.TestStepResultStatus_SKIPPED,
}

func cucumberStatus(outcome string) messages.TestStepResultStatus {
	if status, ok := cucumberStatuses[outcome]; ok {
		return status
	}
	return messages.TestStepResultStatus_PENDING
}

// writeMessages writes the messages of Cucumber's protocol, one a line. A scenario is a test case, and so is each retry,
// since readers show only the last attempt of a test case. After its steps, each has a hook with the outcome of the
// scenario, which includes checks that no step asks for.
//
// The journal has the times of scenarios and faults, but not of other steps: those begin and end when the scenario began,
// or ended if they are checks. The source of a feature has those lines that the journal knows.
func writeMessages(w io.Writer, b *journal.Book) error {
	buffer := bufio.NewWriter(w)
	m := &messageWriter{out: json.NewEncoder(buffer), book: b}
	m.write(messages.Envelope{Meta: cucumberMeta(b.Run)})
	cases := m.features()
	m.hook = m.id()
	m.write(messages.Envelope{Hook: &messages.Hook{Id: m.hook, Name: "outcome of the scenario", SourceReference: &messages.SourceReference{Uri: "firedrill"}}})
	m.write(messages.Envelope{TestRunStarted: &messages.TestRunStarted{Timestamp: m.time(0)}})
	for _, c := range cases {
		m.testCase(c)
	}
	m.write(messages.Envelope{TestRunFinished: &messages.TestRunFinished{Message: m.runMessage(), Success: Outcome(b) == "passed", Timestamp: m.time(lastEvent(b))}})
	if m.err != nil {
		return m.err
	}
	return buffer.Flush()
}

// messageWriter writes envelopes and keeps the first error.
type messageWriter struct {
	out  *json.Encoder
	book *journal.Book
	ids  int
	hook string // ID of the hook with the outcome
	err  error
}

func (m *messageWriter) write(e messages.Envelope) {
	if m.err == nil {
		m.err = m.out.Encode(e)
	}
}

func (m *messageWriter) id() string {
	m.ids++
	return strconv.Itoa(m.ids)
}

// time returns the time of day at a time of the run.
func (m *messageWriter) time(at time.Duration) *messages.Timestamp {
	t := m.book.Run.Began.Add(at)
	return &messages.Timestamp{Seconds: t.Unix(), Nanos: int64(t.Nanosecond())}
}

func cucumberMeta(r journal.Run) *messages.Meta {
	platform, _, _ := strings.Cut(r.Host, ",")
	system, cpu, _ := strings.Cut(platform, "/")
	product := func(name, version string) *messages.Product {
		if name == "" {
			name = "unknown"
		}
		return &messages.Product{Name: plain(name), Version: plain(version)}
	}
	return &messages.Meta{
		ProtocolVersion: cucumberVersion, Implementation: product("firedrill", r.Version), Runtime: product("firedrill", r.Version),
		Os: product(system, ""), Cpu: product(cpu, ""),
	}
}

// runMessage returns the outcome of the run, and the reason if it is not that of a scenario.
func (m *messageWriter) runMessage() string {
	text := Outcome(m.book)
	if reason := unjudgedReason(m.book); len(causes(m.book)) == 0 && reason != "" {
		text += ": " + reason
	}
	return plain(fmt.Sprintf("%s; seed %d", text, m.book.Run.Seed))
}

// lastEvent returns the time of the last event of all scenarios.
func lastEvent(b *journal.Book) (last time.Duration) {
	for _, h := range b.Scenarios {
		last = max(last, h.Ended)
	}
	return last
}

// testCase writes a test case and its results.
func (m *messageWriter) testCase(c cucumberCase) {
	test := &messages.TestCase{Id: m.id(), PickleId: c.pickle}
	for _, step := range c.steps {
		test.TestSteps = append(test.TestSteps, &messages.TestStep{Id: m.id(), PickleStepId: step})
	}
	last := &messages.TestStep{Id: m.id(), HookId: m.hook}
	test.TestSteps = append(test.TestSteps, last)
	m.write(messages.Envelope{TestCase: test})

	began, ended := c.h.Began, c.h.Ended
	if c.notRun {
		began = lastEvent(m.book)
		ended = began
	}
	t := testRun{m, c, m.id()}
	m.write(messages.Envelope{TestCaseStarted: &messages.TestCaseStarted{Id: t.started, TestCaseId: test.Id, Timestamp: m.time(began)}})
	for i, step := range c.h.Steps {
		t.step(test.TestSteps[i].Id, step)
	}
	t.outcome(last.Id, ended)
	m.write(messages.Envelope{TestCaseFinished: &messages.TestCaseFinished{TestCaseStartedId: t.started, Timestamp: m.time(ended)}})
}

// testRun writes the results of one test case.
type testRun struct {
	*messageWriter
	c       cucumberCase
	started string // ID of the message with which it started
}

// step writes the result of a step: that of its checks or, if it has none, that it was carried out, as far as it is known.
func (t testRun) step(id string, step journal.Step) {
	h := t.c.h
	began, ended := h.Began, h.Began
	status := messages.TestStepResultStatus_UNKNOWN
	switch outcome(h) {
	case "passed", "failed": // only a scenario that was carried out is judged
		status = messages.TestStepResultStatus_PASSED
	case "skipped":
		status = messages.TestStepResultStatus_SKIPPED
	}
	var notes, reasons []string
	for _, in := range h.Faults {
		if in.Step == step.At {
			began, ended = in.Injected, in.Healed
			if in.Healed == 0 {
				ended = h.Ended
			}
			if in.Stage == "skipped" {
				status = messages.TestStepResultStatus_SKIPPED
			}
			notes = append(notes, in.Stated()+": "+affected(in))
		}
	}
	judged := false
	for _, v := range h.Verdicts {
		if v.Step != step.At {
			continue
		}
		began, ended = h.Ended, h.Ended
		notes = append(notes, verdictText(v))
		if v.Outcome != "passed" {
			reasons = append(reasons, v.Outcome+": "+v.Reason)
		}
		if s := t.verdictStatus(v); !judged || statusRank(s) > statusRank(status) {
			status = s
		}
		judged = true
	}
	t.result(id, began, ended, status, reasons, notes)
}

// outcome writes the result of the hook: the outcome of the scenario, with the reasons that are not those of its steps.
func (t testRun) outcome(id string, ended time.Duration) {
	h := t.c.h
	if t.c.notRun {
		t.result(id, ended, ended, messages.TestStepResultStatus_SKIPPED, []string{"not run: the run ended before this scenario began"}, nil)
		return
	}
	o := outcome(h)
	explained := slices.ContainsFunc(h.Verdicts, func(v journal.Verdict) bool { return v.Outcome != "passed" })
	reason := unfinishedReason(abortReason(t.book), h, explained)
	if o == "skipped" {
		reason = h.End.Reason
	}
	var reasons, notes []string
	for _, v := range h.Verdicts {
		if v.Outcome == "passed" || slices.ContainsFunc(h.Steps, func(s journal.Step) bool { return s.At == v.Step }) {
			continue
		}
		notes = append(notes, verdictText(v))
		if !endsBy(h, v, reason) {
			reasons = append(reasons, v.Outcome+": "+v.Check+": "+v.Reason)
		}
	}
	if reason != "" {
		reasons = append(reasons, o+": "+reason)
	}
	if len(reasons) == 0 && o != "passed" {
		reasons = []string{o + ": see the steps that did not pass"}
	}
	for _, note := range []string{rerunNote(h), quarantineNote(h)} {
		if note != "" {
			notes = append(notes, note)
		}
	}
	t.result(id, ended, ended, cucumberStatus(o), reasons, notes)
}

// verdictStatus returns the status of a verdict. In a scenario that is inconclusive no check is known to fail.
func (t testRun) verdictStatus(v journal.Verdict) messages.TestStepResultStatus {
	if v.Outcome == "failed" && outcome(t.c.h) == "inconclusive" {
		return messages.TestStepResultStatus_PENDING
	}
	return cucumberStatus(v.Outcome)
}

// statusRank orders the statuses of verdicts, the worst last.
func statusRank(s messages.TestStepResultStatus) int {
	return slices.Index([]messages.TestStepResultStatus{messages.TestStepResultStatus_PASSED, messages.TestStepResultStatus_PENDING, messages.TestStepResultStatus_FAILED}, s)
}

// verdictText describes a verdict in lines: the check, what it observed and expected, and why it did not pass.
func verdictText(v journal.Verdict) string {
	all := []string{v.Check + ": " + v.Outcome}
	for _, f := range []property{{"observed", v.Observed}, {"expected", v.Expected}, {"window", string(v.Window)}, {"why", v.Reason}} {
		if f.Value != "" {
			all = append(all, f.Name+": "+f.Value)
		}
	}
	return strings.Join(append(all, v.Details...), "\n")
}

// result writes the messages of one step, with notes as attachments.
func (t testRun) result(id string, began, ended time.Duration, status messages.TestStepResultStatus, reasons, notes []string) {
	took := max(0, ended-began)
	t.write(messages.Envelope{TestStepStarted: &messages.TestStepStarted{TestCaseStartedId: t.started, TestStepId: id, Timestamp: t.time(began)}})
	for _, note := range notes {
		t.write(messages.Envelope{Attachment: &messages.Attachment{
			Body: lines(note), ContentEncoding: messages.AttachmentContentEncoding_IDENTITY, MediaType: "text/x.cucumber.log+plain", TestCaseStartedId: t.started, TestStepId: id,
		}})
	}
	t.write(messages.Envelope{TestStepFinished: &messages.TestStepFinished{TestCaseStartedId: t.started, TestStepId: id, Timestamp: t.time(ended), TestStepResult: &messages.TestStepResult{
		Duration: &messages.Duration{Seconds: int64(took / time.Second), Nanos: int64(took % time.Second)}, Message: lines(strings.Join(reasons, "\n")), Status: status,
	}}})
}
