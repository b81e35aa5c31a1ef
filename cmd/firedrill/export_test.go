package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/feature"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// smallDay is a game day of a small system: its service serves the last answer of its dependency if that fails, unless a bug is
// planted.
type smallDay struct {
	dir, service string
}

func newSmallDay(t *testing.T) *smallDay {
	t.Helper()
	d := &smallDay{dir: t.TempDir()}
	service, err := machine.Build(d.dir, "features/truth/service")
	require.NoError(t, err)
	d.service = service
	d.plant(t, true)
	d.write(t, "day.feature", `Feature: small
  Scenario: the dependency is slow
    Given the system described in "system.yaml"
    And a steady load of 20 requests per second on "GET /dep"
    And a baseline is measured for 2s
    And the run stops at once if fewer than 1% of requests succeed for 50s
    When calls from "front" to "back" are delayed by 5ms for 10m
    Then at least 95% of requests succeed
    And at least 95% of requests succeed before the fault
`)
	d.write(t, "day.yaml", `title: small
date: "2026-12-02"
roles: {facilitator: Ana}
preflight: [all are here]
cards:
  - {title: slow, hypothesis: pages are served, owner: Cleo, steady_state: well, blast_radius: one service, stop_rules: few succeed, undo: the delay is removed, feature: day.feature, scenario: the dependency is slow, severity: critical}
`)
	return d
}

func (d *smallDay) write(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600))
}

// plant plants the bug, or mends it.
func (d *smallDay) plant(t *testing.T, bug bool) {
	t.Helper()
	mended := `, "--stale"`
	if bug {
		mended = ""
	}
	d.write(t, "system.yaml", fmt.Sprintf(`services:
  back: {command: [%q, "--listen", "127.0.0.1:${port}"]}
  front: {command: [%[1]q, "--listen", "127.0.0.1:${port}", "--dep", "${link:back}"%s], serves: [/dep], depends: {back: http}}
`, d.service, mended))
}

// play plays the day: a fault is injected by hand, and a key heals the fault of the card. It reports whether the machine let
// it be judged: there is a finding.
func (d *smallDay) play(t *testing.T) (p *program, judged bool) {
	t.Helper()
	in, keys, err := os.Pipe()
	require.NoError(t, err)
	defer in.Close()
	defer keys.Close()
	p = startWith(t, nil, in, "gameday", filepath.Join(d.dir, "day.yaml"), "--as", "ana")
	press := func(key string) {
		_, err := io.WriteString(keys, key)
		require.NoError(t, err)
	}
	press("ccc")
	raw := p.until(t, `"stage":"live"|`+notInjected)
	if strings.Contains(string(raw), notInjected) {
		return p, false
	}
	code, said := firedrill(t, "inject", "--run", filepath.Join(p.runs, "latest"), `calls from "front" to "back" answer with status 503 for 3s`)
	require.Zero(t, code, said)
	press("h")
	require.Equal(t, 3, p.code(t), p.output())
	return p, strings.Contains(p.out.String(), "finding 1, ")
}

// TestGameDayExport: the feature of a finding repeats what was injected by hand. It finds the planted bug again, and passes
// once that is mended.
func TestGameDayExport(t *testing.T) {
	t.Parallel()
	d := newSmallDay(t)
	p, judged := d.play(t)
	for attempt := 1; !judged; attempt++ {
		require.LessOrEqual(t, attempt, machine.Repeats, "no day was judged:\n%s", p.out)
		p, judged = d.play(t)
	}
	require.Contains(t, p.out.String(), "finding 1, critical, owner Cleo, retest –: at least 95% of requests succeed: ")

	code, said := firedrill(t, "gameday", "export", "--dir", p.runs, "latest")
	require.Zero(t, code, said)
	name := filepath.Join(d.dir, "finding-1-the-dependency-is-slow.feature")
	require.Contains(t, said, "wrote "+name)
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	text := string(raw)
	require.Contains(t, text, "# Severity: critical; owner: Cleo\nFeature: Finding 1: the dependency is slow\n\n  Scenario: the dependency is slow\n    Given the system described in \"system.yaml\"\n")
	require.Regexp(t, `    When calls from "front" to "back" are delayed by 5ms\n(    And [\d.ms]+ pass(es)?\n)?    And calls from "front" to "back" answer with status 503 for [\d.]+s\n(    And [\d.ms]+ pass(es)?\n)?    And the fault is healed\n    Then at least 95% of requests succeed\n$`, text)
	code, said = firedrill(t, "fmt", "--check", name)
	require.Zero(t, code, said)
	code, said = firedrill(t, "gameday", "export", "--dir", p.runs, "latest")
	require.Equal(t, usage, code)
	require.Contains(t, said, "exists already")

	require.Equal(t, 1, runAgain(t, name), "the planted bug is not found again")
	d.plant(t, false)
	require.Equal(t, 0, runAgain(t, name), "the bug was mended")

	d.write(t, "day.feature", strings.Replace(readFile(t, filepath.Join(d.dir, "day.feature")), "20 requests", "21 requests", 1))
	code, said = firedrill(t, "gameday", "export", "--dir", p.runs, "latest")
	require.Equal(t, usage, code)
	require.Contains(t, said, "as it was run")

	require.NoError(t, os.Remove(filepath.Join(d.dir, "day.feature")))
	code, said = firedrill(t, "gameday", "export", "--dir", p.runs, "latest")
	require.Equal(t, usage, code)
	require.Contains(t, said, "no such file or directory: change to the folder in which the run was started")
}

// runAgain runs a feature, and again if the machine was too busy to judge. It returns the exit code.
func runAgain(t *testing.T, feature string) (code int) {
	t.Helper()
	for range 1 + machine.Repeats {
		p := start(t, "", "run", feature)
		if code = p.code(t); code != inconclusive {
			break
		}
		t.Log(p.output())
	}
	return code
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(raw)
}

// TestReproduce: faults that people injected or healed by hand are repeated at the same times. All other steps stay as they
// were written.
func TestReproduce(t *testing.T) {
	t.Parallel()
	const s, slow, cut, hangs = time.Second, `calls from "front" to "back" are delayed by 5ms`, `"front" is cut off from "back"`, `"back" hangs`
	fault := func(by, kind, on, sentence string, live, ended time.Duration) *journal.Injection {
		return &journal.Injection{Injected: live, Healed: ended, Fault: journal.Fault{ID: sentence, By: by, Kind: kind, On: on, Sentence: sentence, Live: live, Ended: ended}}
	}
	own := fault("", "slow calls", "front -> back", slow, 100*s, 110*s)
	own.Step = "f:2"
	heal := []journal.TimedNote{{At: 104 * s, Note: journal.Note{Kind: "heal", By: "ana"}}}
	for name, c := range map[string]struct {
		faults []*journal.Injection
		notes  []journal.TimedNote
		want   string
	}{
		"untouched":      {[]*journal.Injection{own}, nil, slow + " for 10s; 2s pass"},
		"healed by hand": {[]*journal.Injection{fault("", "slow calls", "front -> back", slow, 100*s, 104*s+20*time.Millisecond)}, heal, slow + " for 4s"},
		"one in another": {[]*journal.Injection{own, fault("ana", "cut", "front -> back", cut, 102*s, 105500*time.Millisecond)}, nil, slow + "; 2s pass; " + cut + " for 3.5s; 4.5s pass; the fault is healed"},
		"one after another": {[]*journal.Injection{own, fault("ana", "cut", "front -> back", cut, 300*s, 301*s)}, nil,
			slow + " for 10s; 10s pass; " + cut + " for 1s"},
		"the first ends first": {[]*journal.Injection{own, fault("ana", "cut", "front -> back", cut, 109*s, 112*s)}, nil,
			slow + "; 9s pass; " + cut + "; 1s passes; all faults are healed; " + cut + "; 2s pass; the fault is healed"},
		"a service resumes first": {[]*journal.Injection{fault("ana", "hang", "back", hangs, 99*s, 101*s), own}, nil,
			hangs + "; 1s passes; " + slow + `; 1s passes; "back" resumes; 9s pass; the fault is healed`},
		"both end at once": {[]*journal.Injection{own, fault("ana", "cut", "front -> back", cut, 102*s, 110*s)}, nil, slow + "; 2s pass; " + cut + "; 8s pass; all faults are healed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inject := scenarios.Inject{For: 10 * s}
			ran := &ranScenario{
				text:  &feature.Scenario{Steps: []feature.Step{{Kind: "Context", Text: "a system"}, {Kind: "Action", Text: slow + " for 10s"}, {Kind: "Action", Text: "2s pass"}, {Kind: "Outcome", Text: "good"}, {Kind: "Outcome", Text: "bad"}}},
				steps: []scenarios.Step{{}, {Do: inject}, {Do: scenarios.Wait{For: 2 * s}}, {IsCheck: true}, {IsCheck: true}},
			}
			h := &journal.History{Faults: c.faults, Notes: c.notes, Verdicts: []journal.Verdict{{Step: "f:5", Outcome: "failed"}}}
			h.Steps = []journal.Step{{At: "f:1"}, {At: "f:2"}, {At: "f:3"}, {At: "f:4"}, {At: "f:5"}}
			var got []string
			for _, step := range keywords(ran.reproduce(h)) {
				got = append(got, step.Keyword+" "+step.Text)
			}
			require.Equal(t, "Given a system; When "+strings.ReplaceAll(c.want, "; ", "; And ")+"; Then bad", strings.Join(got, "; "))
		})
	}
}

// TestChooseFinding: one finding needs no number, and a wrong one is answered with the list.
func TestChooseFinding(t *testing.T) {
	t.Parallel()
	h := &journal.History{}
	one, two := reports.Finding{N: 1, Scenario: h}, reports.Finding{N: 2, Finding: journal.Finding{Severity: "low", What: "two"}}
	for _, c := range []struct {
		all  []reports.Finding
		n    int
		want string
	}{
		{nil, 0, "the run has no findings"}, {[]reports.Finding{one, two}, 0, "name one with --finding:"}, {[]reports.Finding{one, two}, 3, "there is no finding 3:"},
		{[]reports.Finding{one, two}, 2, "finding 2 was noted before any scenario began"}, {[]reports.Finding{one}, 0, ""}, {[]reports.Finding{one, two}, 1, ""},
	} {
		f, err := chooseFinding(c.all, c.n)
		if c.want != "" {
			require.ErrorContains(t, err, c.want)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, 1, f.N)
	}
}

// TestExportedArguments: tables and doc strings are read again as they were, whatever they contain.
func TestExportedArguments(t *testing.T) {
	t.Parallel()
	doc := "{\"a\": \"\"\"b\"\"\"}\n\n  \\n indented | \\\" "
	table := []feature.Line{{Cells: []string{"route", "body"}}, {Cells: []string{`a|b\n\|`, "two\nlines"}}, {Cells: []string{"", `\`}}}
	ran := &ranScenario{
		text:  &feature.Scenario{Steps: []feature.Step{{Kind: "Context", Text: "a table:", Table: table}, {Kind: "Context", Text: "a text:", Doc: &doc}, {Kind: "Action", Text: "it acts"}}},
		steps: make([]scenarios.Step, 3),
	}
	h := &journal.History{Begin: journal.Begin{Name: "all", Tags: []string{"@a", "@b"}, Steps: make([]journal.Step, 3)}}
	text := reproduction(&journal.Book{}, reports.Finding{N: 1, Scenario: h, Finding: journal.Finding{What: "two\nlines"}}, ran)
	formatted, err := feature.Format("x.feature", []byte(text))
	require.NoError(t, err, text)
	problems := &source.List{}
	read := feature.Read(fstest.MapFS{"x.feature": {Data: formatted}}, "x.feature", func(string) bool { return false }, problems)
	require.NoError(t, problems.Err(), string(formatted))
	require.Equal(t, h.Tags, read[0].Tags)
	require.Equal(t, doc, *read[0].Steps[1].Doc)
	for i, row := range read[0].Steps[0].Table {
		require.Equal(t, table[i].Cells, row.Cells)
	}
}
