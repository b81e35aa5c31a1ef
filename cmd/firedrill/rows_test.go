package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/framed"
	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/language"
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
	return check.Kind{Name: "called", About: check.AboutCalls, Means: "calls of a service during the fault",
		Needs: check.Needs{Load: true, Window: journal.During, To: c.To, Unit: "calls"},
		Sentences: []check.Sentence{{
			Pattern:  `{name} is called at least {number} times during the fault`,
			Means:    "a lower limit of calls",
			Examples: []string{`"payments" is called at least 10 times during the fault`},
			Check:    func(a check.Args) check.Check { return called{To: a.Name(0), N: a.Count(1, 1)} },
		}}}
}

// end of excerpt

// excerpt: protocol

// toy is a protocol that only this test knows: questions of one line, such as "ASK price", each answered by a line.
type toy struct{}

func (toy) Feed(_ message.Dir, b []byte) (int, bool, error) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1, true, nil
	}
	return len(b), false, nil
}

func (toy) Inspect(d message.Dir, raw []byte, _ *framed.Frame) framed.Frame {
	if d == message.ToClient {
		return framed.Frame{Kind: framed.Response, Final: true}
	}
	operation, object, _ := strings.Cut(strings.TrimSpace(string(raw)), " ")
	return framed.Frame{Kind: framed.Request, Method: operation, Path: object}
}

func (toy) Sent(*framed.Frame) {}

func toyProtocol() message.Protocol {
	return message.Protocol{
		Name: "toy", Means: "questions of one line", Unit: "messages",
		Actions:   []message.Action{message.Delay, message.LoseRequest, message.LoseReply, message.DelayReply},
		Serve:     framed.Serve(func(message.Config) framed.Dialect { return toy{} }),
		Operation: message.Words("ASK TELL"), Matches: message.MatchWords, Class: message.ClassByParts(":"),
	}
}

// end of excerpt

// oracle answers the questions of the toy protocol until the test ends.
func oracle(t *testing.T) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for questions := bufio.NewScanner(c); questions.Scan(); {
					fmt.Fprintln(c, "answer to", questions.Text())
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// ask asks a question of the toy protocol.
func ask(addr, question string) (string, error) {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintln(c, question)
	return bufio.NewReader(c).ReadString('\n')
}

// TestOneRow adds a kind of fault, a kind of check and a protocol, each as a single value, and finds them wherever
// Firedrill presents such rows.
func TestOneRow(t *testing.T) {
	fault := injector.Describe(stutter{Pause: 20 * time.Millisecond})
	asked := check.Describe(called{To: "payments", N: 10})
	protocol := toyProtocol()
	vocabulary := language.NewVocabulary(append(injector.Kinds(), fault), append(check.Kinds(), asked), append(protocols.All(), protocol))

	t.Run("README", func(t *testing.T) {
		require.Contains(t, faultTable([]injector.Kind{fault}), "| stutter | `"+fault.Example+"` | calls go on at once |")
		require.Contains(t, checkTable([]check.Kind{asked}), "| called | `"+asked.Example+"` | calls of a service during the fault |")
		require.Contains(t, protocolTable(protocols.Table{protocol}), "| toy | questions of one line | delay, lose request, lose reply, delay reply |")
	})
	t.Run("steps", func(t *testing.T) {
		var steps strings.Builder
		require.NoError(t, vocabulary.PrintSteps(&steps, "stutter"))
		require.NoError(t, vocabulary.PrintSteps(&steps, "is called"))
		require.NoError(t, vocabulary.PrintSteps(&steps, "over {protocol}"))
		require.Contains(t, steps.String(), "FAULTS\n\n  {calls} from {name} to {name} stutter with pauses of {duration}( for {duration})\n      calls pause before they go on\n")
		require.Contains(t, steps.String(), "DEGRADATION\n\n  {name} is called at least {number} times during the fault\n")
		require.Regexp(t, `\{protocol\} +tcp, .*, udp, toy\n`, steps.String())
		require.Regexp(t, `"protocol": \{ "enum": \["tcp", .*, "toy"\] \}`, string(vocabulary.Schema()))
	})

	const feature = `Feature: kinds of its own
  Scenario: a stutter
    Given the system described in "system.yaml"
    And a steady load of 50 requests per second on "GET /"
    And the oracle is found
    And a baseline is measured for 1s
    When 50% of calls from "clients" to "front" stutter with pauses of 20ms for 1s
    And these faults run together for 1s:
      | fault   | from    | to    | share | value |
      | stutter | clients | front | 50%   | 10ms  |
    And only "ASK price" messages from "front" to "oracle" are delayed by 10ms for 1s
    Then "front" is called at least 5 times during the fault
    And at least 5 messages from "front" to "oracle" were affected by the fault
`
	files := func(feature, system string) fstest.MapFS {
		return fstest.MapFS{"a.feature": {Data: []byte(feature)}, "system.yaml": {Data: []byte(system)}}
	}
	system := fmt.Sprintf("services:\n  front: {command: [front], serves: [/], depends: {oracle: toy}}\n  oracle: {address: %q}\nclients: {depends: {front: http}}\n", oracle(t))
	parse := func(feature, system string) ([]*scenarios.Experiment, error) {
		return language.Parse(language.Source{FS: files(feature, system), Paths: []string{"a.feature"}, Own: []string{"^the oracle is found$"}, Handlers: []string{"front"}, Vocabulary: vocabulary})
	}

	t.Run("problems", func(t *testing.T) {
		_, err := parse(strings.NewReplacer("from \"clients\" to \"front\" stutter", "from \"clients\" to \"front\" stuter", `Then "front"`, `Then "back"`).Replace(feature), system)
		require.ErrorContains(t, err, `did you mean: `+fault.Sentences[0].Examples[0])
		require.ErrorContains(t, err, `there is no service "back"`)
		_, err = parse(feature, strings.Replace(system, "oracle: toy", "oracle: prose", 1))
		require.ErrorContains(t, err, `there is no protocol "prose"`)
		require.ErrorContains(t, err, `"udp", "toy"`)
		_, err = parse(strings.Replace(feature, "are delayed by 10ms", "are truncated", 1), system)
		require.ErrorContains(t, err, `the link front -> oracle speaks toy: toy has no fault "truncate": it has delay, lose request, lose reply, delay reply`)
	})
	t.Run("plan", func(t *testing.T) {
		es, err := parse(feature, system)
		require.NoError(t, err)
		var plan strings.Builder
		require.NoError(t, scenarios.Plan(&plan, es))
		require.Contains(t, plan.String(), `50% of calls from "clients" to "front" stutter with pauses of 20ms for 1s`)
		require.Contains(t, plan.String(), "undone after 1s: calls go on at once")
		require.Contains(t, plan.String(), `check: "front" is called at least 5 times during the fault`)
		require.Contains(t, plan.String(), "open front -> oracle (toy), clients -> front (http)")
	})
	t.Run("run and reports", func(t *testing.T) {
		var found atomic.Value
		front := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			answer, err := ask(found.Load().(string), "ASK price")
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			fmt.Fprint(w, answer)
		})
		find := func(ctx context.Context) { found.Store(runner.FromContext(ctx).Link("front", "oracle")) }
		var result *runner.Result
		var h *journal.History
		for range 1 + machine.Repeats { // on a busy machine nothing may be injected
			var err error
			result, err = runner.Run(t.Context(), runner.Options{FS: files(feature, system), Paths: []string{"a.feature"}, Dir: t.TempDir(), Vocabulary: vocabulary,
				Handlers: map[string]http.Handler{"front": front}, Steps: []runner.Step{{Pattern: "^the oracle is found$", Do: find}}})
			require.NoError(t, err)
			if h = result.Book.Scenarios[0]; len(h.Faults) > 0 {
				break
			}
		}
		require.Len(t, h.Faults, 3)
		for _, in := range h.Faults[:2] {
			require.Equal(t, "stutter", in.Kind)
			require.Equal(t, "calls", in.Unit)
			require.True(t, in.Waits)
			require.Positive(t, in.Affected)
		}
		slow := h.Faults[2]
		require.Equal(t, "front -> oracle", slow.On)
		require.Equal(t, "messages", slow.Unit)
		require.Positive(t, slow.Affected)
		require.True(t, slices.ContainsFunc(h.Messages, func(m journal.Message) bool { return m.Fault == slow.ID && m.Op == "ASK price" }))
		v := h.Verdicts[len(h.Verdicts)-2]
		require.Equal(t, "called", v.Kind)
		require.Contains(t, []string{"passed", "inconclusive"}, v.Outcome) // the machine may be too busy for a valid scenario
		for _, f := range reports.Formats() {
			if f.File == "" { // no run writes it
				continue
			}
			raw, err := os.ReadFile(filepath.Join(result.Dir, f.File))
			require.NoError(t, err)
			if f.Name == "summary" { // it lists only what did not pass
				continue
			}
			text := strings.NewReplacer("&#34;", `"`, `\"`, `"`, "&quot;", `"`).Replace(string(raw))
			require.Contains(t, text, `"front" is called at least 5 times during the fault`, f.Name)
			require.Contains(t, text, `at least 5 messages from "front" to "oracle" were affected by the fault`, f.Name)
		}
	})
}
