package main

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const dayFile = "../../cmd/firedrill/testdata/gameday/day.yaml"

// checkDay returns the exit code and the output of gameday --check.
func checkDay(t *testing.T, file string) (int, string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code := Main([]string{"gameday", "--check", file}, strings.NewReader(""), &out, &errOut)
	return code, out.String() + errOut.String()
}

// TestGameDayCheck: what a game day lacks is reported with place, cause and remedy, and nothing else is.
func TestGameDayCheck(t *testing.T) {
	t.Parallel()
	code, printed := checkDay(t, dayFile)
	require.Equal(t, 0, code, printed)
	require.Contains(t, printed, "card 2 of 2: the ads are slow")
	require.Contains(t, printed, "watched: fewer than 1% of requests succeed")
	require.Contains(t, printed, "nothing is missing: 2 to confirm first, then 2 to play")

	whole, err := os.ReadFile(dayFile)
	require.NoError(t, err)
	feature, err := os.ReadFile(filepath.Join(filepath.Dir(dayFile), "day.feature"))
	require.NoError(t, err)
	system, err := filepath.Abs("../../features/shop/system.yaml")
	require.NoError(t, err)
	rule := "    And the run stops at once if fewer than 1% of requests succeed for 5m\n"
	require.Contains(t, string(feature), rule)
	for name, c := range map[string]struct{ in, old, new, want string }{
		"no steady state":    {"day.yaml", "    steady_state: most requests succeed\n    blast_radius: the comments", "    blast_radius: the comments", "day.yaml:10:5: card 1 has no steady_state [missing]"},
		"empty stop rules":   {"day.yaml", "stop_rules: fewer than 1% of requests succeed\n    undo: the process", "stop_rules:\n    undo: the process", "day.yaml:15:5: card 1 has no stop_rules [missing]"},
		"only words to stop": {"day.feature", rule, "", "the words of a card stop nothing"},
		"unknown key":        {"day.yaml", "hypothesis: pages are served, without", "hypotesis: pages are served, without", `did you mean "hypothesis"?`},
		"unknown scenario":   {"day.yaml", "scenario: ads are slow", "scenario: ads are slw", `did you mean "ads are slow"?`},
		"scenario twice":     {"day.yaml", "scenario: ads are slow", "scenario: comments hang", "an earlier card runs the scenario"},
		"no facilitator":     {"day.yaml", "  facilitator: Ana\n", "", "the game day has no facilitator"},
		"no checklist":       {"day.yaml", "preflight:\n  - the dashboards are open\n  - abort was tested\n", "", "no checklist before its start"},
		"empty item":         {"day.yaml", "- abort was tested", `- ""`, "day.yaml:8:5: this item of the checklist is empty"},
		"unknown severity":   {"day.yaml", "owner: Cleo\n    steady_state: most requests succeed\n    blast_radius: the ads", "owner: Cleo\n    severity: hgh\n    steady_state: most requests succeed\n    blast_radius: the ads", `did you mean "high"?`},
		"no day of a retest": {"day.yaml", "undo: the delay", "retest: soon\n    undo: the delay", `"soon" is not a date`},
		"no date":            {"day.yaml", "2026-12-02", "2 December", `"2 December" is not a date`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, text := range map[string]string{"day.yaml": string(whole), "day.feature": string(feature)} {
				if file == c.in {
					require.Equal(t, 1, strings.Count(text, c.old), text)
					text = strings.Replace(text, c.old, c.new, 1)
				}
				relative, err := filepath.Rel(dir, system)
				require.NoError(t, err)
				text = strings.Replace(text, "../../../../features/shop/system.yaml", filepath.ToSlash(relative), 1)
				require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
			}
			code, printed := checkDay(t, filepath.Join(dir, "day.yaml"))
			require.Equal(t, usage, code, printed)
			require.Contains(t, printed, c.want)
			require.Equal(t, c.in == "day.yaml", strings.Contains(printed, "1 problem; nothing was started"), printed) // the feature is that of both cards
		})
	}
}

// TestGameDayInit: the file to start with lacks texts only, and is not overwritten.
func TestGameDayInit(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "day.yaml")
	require.Equal(t, 0, Main([]string{"gameday", "init", file}, strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}))
	code, printed := checkDay(t, file)
	require.Equal(t, usage, code, printed)
	require.NotContains(t, printed, "unknown-name")
	require.NotContains(t, printed, "bad-")
	require.Contains(t, printed, "card 1 has no steady_state")

	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	filled := string(raw)
	dir, err := filepath.Abs(filepath.Dir(dayFile))
	require.NoError(t, err)
	relative, err := filepath.Rel(filepath.Dir(file), filepath.Join(dir, "day.feature"))
	require.NoError(t, err)
	for key, text := range map[string]string{"date": "2026-12-02", "feature": filepath.ToSlash(relative), "scenario": "comments hang"} {
		filled = strings.Replace(filled, key+`: "" `, key+`: "`+text+`" `, 1)
	}
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(filled, `: ""`, ": filled in")), 0o600))
	code, printed = checkDay(t, file)
	require.Equal(t, 0, code, printed)
	require.Equal(t, usage, Main([]string{"gameday", "init", file}, strings.NewReader(""), &bytes.Buffer{}, io.Discard), "overwritten")
}

// TestGameDayNeedsAPerson: what was typed before a question, and the end of the input, confirm nothing.
func TestGameDayNeedsAPerson(t *testing.T) {
	t.Parallel()
	p := start(t, "", "gameday", dayFile)
	require.Equal(t, 130, p.code(t), p.output())
	require.Contains(t, p.errOut.String(), "needs a person")
	book, err := readBook(filepath.Join(p.runs, "latest", "journal.ndjson"))
	require.NoError(t, err)
	require.Empty(t, book.Scenarios)
}

// TestPageOnThisMachineOnly: a page that others could open, or hiding without a page, is refused, and nothing starts.
func TestPageOnThisMachineOnly(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for flag, want := range map[string]string{
		"--web=0.0.0.0:0": "only for this machine", "--web=" + taken.Addr().String(): "is it in use?", "--blind": "--blind is about the page of --web",
	} {
		for _, command := range [][]string{{"gameday", dayFile}, {"run", filepath.Join(filepath.Dir(dayFile), "day.feature")}} {
			p := start(t, "", append(command, flag)...)
			require.Equal(t, usage, p.code(t), p.output())
			require.Contains(t, p.errOut.String(), want)
			entries, err := os.ReadDir(p.runs)
			require.NoError(t, err)
			require.Empty(t, entries, "something was started")
		}
	}
}
