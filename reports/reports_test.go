package reports

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the tests once with -update")
	require.Equal(t, string(want), string(got), "run the tests with -update if the change is meant")
}

func render(t testing.TB, f Format, b *journal.Book) []byte {
	var out bytes.Buffer
	require.NoError(t, f(&out, b))
	return out.Bytes()
}

// TestFormats is the conformance test of the table: every report matches its golden file, is deterministic, and
// can render a truncated or empty journal.
func TestFormats(t *testing.T) {
	last := ""
	for _, f := range Formats() {
		assert.Less(t, last, f.Name, "sorted by name")
		last = f.Name
		t.Run(f.Name, func(t *testing.T) {
			assert.NotEmpty(t, f.Means)
			for name, b := range samples(t) {
				got := render(t, f.Write, b)
				golden(t, name+"."+f.File, got)
				assert.Equal(t, string(got), string(render(t, f.Write, samples(t)[name])), "deterministic")
				assert.Equal(t, name == "truncated", strings.Contains(string(got), "cut short at "), name)
			}
			assert.NotEmpty(t, render(t, f.Write, &journal.Book{}))
		})
	}
}

// TestTruncatedJournalsRender truncates a journal at every line.
func TestTruncatedJournalsRender(t *testing.T) {
	tp := newRecording()
	tp.scenario(sampleRun{name: "failed", outcome: "failed"})
	tp.end("failed")
	lines := bytes.SplitAfter(tp.out.Bytes(), []byte("\n"))
	for n := 1; n < len(lines); n += 7 {
		b, err := journal.Fold(bytes.NewReader(bytes.Join(lines[:n], nil)))
		require.NoError(t, err)
		for _, f := range Formats() {
			assert.Contains(t, string(render(t, f.Write, b)), "cut short", "%s after %d lines", f.Name, n)
		}
		assert.NotEqual(t, "passed", Outcome(b))
	}
}

// TestOutcomesAgree compares the outcomes in all reports, for all combinations.
func TestOutcomesAgree(t *testing.T) {
	for _, verdict := range []string{"passed", "failed", "inconclusive", "none"} {
		for _, end := range []string{"passed", "failed", "inconclusive", "stopped", "interrupted", "skipped", "never"} {
			for _, whole := range []bool{true, false} {
				h := &journal.History{Begin: journal.Begin{ID: "s", Name: "s"}, Ended: time.Second}
				if verdict != "none" {
					h.Verdicts = []journal.Verdict{{Check: "c", Kind: "success", Outcome: verdict, Reason: "because"}}
				}
				if end != "never" {
					h.End = &journal.End{Outcome: end, Reason: map[bool]string{true: "its reason"}[end == "stopped" || end == "skipped"]}
				}
				b := &journal.Book{Scenarios: []*journal.History{h}}
				if whole {
					b.End = &journal.End{Outcome: end}
				}
				agree(t, b)
			}
		}
	}
	agree(t, &journal.Book{})
	agree(t, &journal.Book{End: &journal.End{}})
}

func agree(t *testing.T, b *journal.Book) {
	t.Helper()
	want := Outcome(b)
	assert.Contains(t, ranks[1:], want)
	text := strings.Split(strings.TrimSpace(string(render(t, Text(Style{}), b))), "\n")
	assert.True(t, strings.HasPrefix(text[len(text)-1], strings.ToUpper(want)+" "), text)
	page := string(render(t, HTML, b))
	assert.Contains(t, page, "<h1 class=\""+want+"\">")
	assert.Contains(t, page, "<title>"+strings.ToUpper(want)+" ")
	assert.Equal(t, want != "passed", strings.Contains(page, `id="why-1"`), "a card says why: %s", want)
	var doc Document
	require.NoError(t, json.Unmarshal(render(t, JSON, b), &doc))
	assert.Equal(t, want, doc.Outcome)
	var all suites
	require.NoError(t, xml.Unmarshal(render(t, JUnit, b), &all))
	assert.Equal(t, want != "passed", all.Failures > 0, "JUnit is green exactly when the run passed: %s %s", want, text)
	if b.End != nil && b.Broken == "" && len(b.Scenarios) > 0 {
		assert.Equal(t, outcome(b.Scenarios[0]), doc.Scenarios[0].Outcome)
	}
}

// TestFiguresOfAbortedRun: figures of complete windows are shown even if others are missing.
func TestFiguresOfAbortedRun(t *testing.T) {
	h := &journal.History{Begin: journal.Begin{ID: "s", Name: "s"}, Samples: []journal.Sample{{Window: journal.Before, Route: "GET /", Sent: 4, OK: 3, Latency: []journal.Bucket{{Up: 20 * time.Millisecond, N: 4}}}}}
	page := string(render(t, HTML, &journal.Book{Scenarios: []*journal.History{h}}))
	assert.Contains(t, page, "20 ms / – / –")
	assert.Contains(t, page, "75.0% / – / –")
}

func TestJUnitNamesAreUniqueAndOutputIsLimited(t *testing.T) {
	h := &journal.History{Begin: journal.Begin{ID: "s", Name: "s"}, End: &journal.End{Outcome: "failed"}}
	for _, name := range []string{"a", "a", "a (2)", "a\x1b"} {
		h.Verdicts = append(h.Verdicts, journal.Verdict{Check: name, Outcome: "failed", Reason: "r", Details: []string{strings.Repeat("é", maxOutput)}})
	}
	raw := render(t, JUnit, &journal.Book{Scenarios: []*journal.History{h}, End: &journal.End{}})
	assert.NotContains(t, string(raw), "\uFFFD")
	var all suites
	require.NoError(t, xml.Unmarshal(raw, &all))
	seen := map[string]bool{}
	for _, c := range all.Suites[0].Cases {
		assert.False(t, seen[c.Name], c.Name)
		seen[c.Name] = true
		assert.LessOrEqual(t, len(c.Failure.Text), maxOutput)
	}
	assert.Len(t, seen, 4)
}

const payload = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{.}}&amp;\x1b]0;owned\x07\x1b[31m\u009b31m\u202e\x00]]>"

// poison sets every reachable string to the payload.
func poison(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			poison(v.Elem())
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			switch name := v.Type().Field(i).Name; name {
			case "Outcome", "Window", "Unit": // values of a fixed set, which control what is shown
			default:
				poison(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			poison(v.Index(i))
		}
	case reflect.Map:
		if m, ok := v.Interface().(map[string]int); ok && m != nil {
			m[payload] = 7
		}
	case reflect.String:
		v.SetString(v.String() + payload)
	}
}

func TestNothingFromTheJournalIsMarkup(t *testing.T) {
	for name, b := range samples(t) {
		poison(reflect.ValueOf(b))
		page := render(t, HTML, b)
		assert.Contains(t, string(page), "alert(1)", "the payload is there, as text")
		scan := html.NewTokenizer(bytes.NewReader(page))
		for kind := scan.Next(); kind != html.ErrorToken; kind = scan.Next() {
			token := scan.Token()
			if kind == html.StartTagToken || kind == html.SelfClosingTagToken {
				assert.NotContains(t, []string{"script", "img"}, token.Data, name)
				for _, a := range token.Attr {
					assert.False(t, strings.HasPrefix(a.Key, "on"), "%s: %v", name, token)
				}
			}
		}
		assert.ErrorIs(t, scan.Err(), io.EOF)
		text := string(render(t, Text(Style{}), b))
		assert.Contains(t, text, "alert(1)")
		assert.NotRegexp(t, "[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\u202e]", text, name)
		var all suites
		assert.NoError(t, xml.Unmarshal(render(t, JUnit, b), &all), name)
		assert.True(t, json.Valid(render(t, JSON, b)), name)
	}
}

var void = regexp.MustCompile(`^(meta|br|hr|img|link|input)$`)

// TestPageIsWellFormed verifies that elements are balanced, ids are unique, links have targets, and nothing is
// loaded from other servers.
func TestPageIsWellFormed(t *testing.T) {
	for name, b := range samples(t) {
		page := render(t, HTML, b)
		ids, links, open := map[string]bool{}, []string{}, []string{}
		scan := html.NewTokenizer(bytes.NewReader(page))
		for kind := scan.Next(); kind != html.ErrorToken; kind = scan.Next() {
			token := scan.Token()
			switch kind {
			case html.StartTagToken:
				if !void.MatchString(token.Data) {
					open = append(open, token.Data)
				}
				for _, a := range token.Attr {
					switch a.Key {
					case "id":
						assert.False(t, ids[a.Val], "%s: id %q twice", name, a.Val)
						ids[a.Val] = true
					case "href":
						links = append(links, a.Val)
					case "src":
						assert.Fail(t, "nothing is loaded", a.Val)
					}
				}
			case html.EndTagToken:
				require.NotEmpty(t, open)
				require.Equal(t, open[len(open)-1], token.Data, name)
				open = open[:len(open)-1]
			}
		}
		assert.Empty(t, open)
		for _, l := range links {
			require.True(t, strings.HasPrefix(l, "#"), l)
			assert.True(t, ids[l[1:]], "%s: %q leads nowhere", name, l)
		}
		assert.Contains(t, string(page), "default-src 'none'")
	}
}

// TestLongWordsWrap: names without spaces can have any length. The effect on the width is visible only in a
// browser, so the test looks for the style rules.
func TestLongWordsWrap(t *testing.T) {
	page := string(render(t, HTML, samples(t)["failed"]))
	assert.Regexp(t, `(?m)^body \{[^}]*overflow-wrap:anywhere`, page)
	assert.NotContains(t, page, "grid-template-columns: 1fr", "a track of 1fr is as wide as its longest word")
	tables := strings.Count(page, "<table>")
	assert.Positive(t, tables)
	assert.Equal(t, tables, len(regexp.MustCompile(`<div class="(card )?wide"><table>`).FindAllString(page, -1)), "each table scrolls in a container of its own")
}

func TestPageSizeLimit(t *testing.T) {
	tp := newRecording()
	for i := range 10 {
		tp.scenario(sampleRun{name: string(rune('a' + i)), outcome: "failed"})
	}
	tp.end("failed")
	page := render(t, HTML, tp.book(t))
	t.Logf("%d KB", len(page)>>10)
	assert.Less(t, len(page), 2<<20)
}

func TestRerunCommandHasTheSeed(t *testing.T) {
	assert.Equal(t, "firedrill run 'features/orders feature' --seed 42", rerun(samples(t)["passed"]))
	assert.Empty(t, rerun(&journal.Book{}))
}

func TestTrustFactsShowProblems(t *testing.T) {
	h := &journal.History{
		Load: &journal.Load{Asked: 10, Intended: 10, Sent: 7, Unsent: 3, Attempts: 9, Wire: 10}, EffectsRead: &journal.Effects{Error: "404"},
		Faults: []*journal.Injection{{}, {Fault: journal.Fault{Affected: 1}}},
	}
	facts := trustFacts(h)
	require.Len(t, facts, 4)
	for _, f := range facts {
		assert.Equal(t, "inconclusive", f.Outcome, f.Says)
	}
}

func TestTrustFactsShowRunnerProblems(t *testing.T) {
	h := &journal.History{
		Load:   &journal.Load{Own: map[string]int{"too many open files": 3}},
		Pauses: []journal.Pause{{From: 2e9, Took: 300e6}, {From: 5e9, Took: 1200e6}},
	}
	facts := trustFacts(h)
	assert.Contains(t, facts, fact{"inconclusive", "the runner itself stood still", "2 times, the longest for 1200 ms from +5.0s on"})
	assert.Contains(t, facts, fact{"inconclusive", "not sent by the load generator", "3 requests: too many open files"})
}

func TestRerunScenarioIsShown(t *testing.T) {
	b := samples(t)["parted"]
	const why = "one request in a hundred was sent 310ms late"
	for _, name := range []string{"html", "json", "text"} {
		var out bytes.Buffer
		require.NoError(t, WriteTo(&out, name, b))
		assert.Contains(t, out.String(), why, name)
	}
	for _, name := range []string{"html", "text"} {
		var out bytes.Buffer
		require.NoError(t, WriteTo(&out, name, samples(t)["passed"]))
		assert.NotContains(t, out.String(), "run again", name)
	}
}

func TestWriteDir(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, WriteDir(dir, samples(t)["failed"]))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, files, len(Formats()), "no part is left")
	assert.ErrorContains(t, WriteDir(filepath.Join(dir, "none"), &journal.Book{}), "write report.html")
	assert.ErrorContains(t, WriteTo(io.Discard, "pdf", &journal.Book{}), `"pdf": there are html, json, junit, text`)
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWriteErrorsAreReturned(t *testing.T) {
	for _, f := range Formats() {
		assert.ErrorContains(t, f.Write(broken{}, samples(t)["failed"]), "disk full", f.Name)
	}
}

func TestColourIsOptional(t *testing.T) {
	b := samples(t)["failed"]
	assert.NotContains(t, string(render(t, Text(Style{}), b)), "\x1b")
	assert.Contains(t, string(render(t, Text(Style{Colour: true}), b)), "\x1b[31m✗ FAILED\x1b[0m")
}

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

// TestScenariosNotRunAreListed: every report lists the scenarios that an interrupted run did not reach.
func TestScenariosNotRunAreListed(t *testing.T) {
	b := &journal.Book{
		Run: journal.Run{Plan: []journal.Planned{{ID: "a", Name: "first", File: "a.feature", Line: 2}, {ID: "b", Name: "never reached", File: "a.feature", Line: 9}}},
		End: &journal.End{Outcome: "interrupted"},
	}
	b.Scenarios = []*journal.History{{Begin: journal.Begin{ID: "a", Name: "first", File: "a.feature", Line: 2}, End: &journal.End{Outcome: "interrupted", Reason: "Ctrl-C"}}}
	for format, want := range map[string][]string{
		"text": {"NOT RUN  never reached  (a.feature:9)", "1 interrupted, 1 not run"}, "json": {`"not_run"`, `"name": "never reached"`},
		"junit": {`<testsuite name="b"`, "the run ended before it came to this scenario"}, "html": {"– not run", "never reached", "1 not run"},
	} {
		var out bytes.Buffer
		require.NoError(t, WriteTo(&out, format, b))
		for _, text := range want {
			require.Contains(t, out.String(), text, format)
		}
		require.Equal(t, 0, strings.Count(out.String(), "NOT RUN  first"), format)
	}
}

// TestSkippedScenariosAreInconclusive: a run with skipped scenarios passes only if it allows them.
func TestSkippedScenariosAreInconclusive(t *testing.T) {
	b := &journal.Book{End: &journal.End{}, Scenarios: []*journal.History{
		{Begin: journal.Begin{ID: "a", Name: "a"}, End: &journal.End{Outcome: "passed"}, Verdicts: []journal.Verdict{{Kind: "success", Outcome: "passed"}}},
		{Begin: journal.Begin{ID: "b", Name: "b"}, End: &journal.End{Outcome: "skipped", Reason: "redis-server is not installed"}},
	}}
	require.Equal(t, "inconclusive", Outcome(b))
	for _, format := range []string{"text", "html", "junit"} {
		var out bytes.Buffer
		require.NoError(t, WriteTo(&out, format, b))
		require.Contains(t, out.String(), "1 of 2 scenarios were skipped", format)
	}
	b.Run.AllowSkipped = true
	require.Equal(t, "passed", Outcome(b))
}
