package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// tmux is a terminal of 80 columns and 24 rows in which this test binary runs as the program.
type tmux struct {
	socket string
	runs   string // parent of run folders
	start  string // the program waits until this file exists
}

// inTmux starts a terminal with the program, which waits for begin.
func inTmux(t *testing.T, env []string, args ...string) *tmux {
	t.Helper()
	_, err := exec.LookPath("tmux")
	machine.Need(t, err, "apt-get install tmux")
	dir, err := os.MkdirTemp("", "tmux") // the path of a socket must be short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	program, err := os.Executable()
	require.NoError(t, err)
	x := &tmux{socket: filepath.Join(dir, "s"), runs: t.TempDir(), start: filepath.Join(dir, "start")}
	script := `trap : INT; while [ ! -e "$0" ]; do sleep 0.05; done; "$@"; echo "exit code $?"; exec cat >/dev/null`
	line := append([]string{"-f", os.DevNull, "new-session", "-d", "-x", "80", "-y", "24", "env", "FIREDRILL_IS_PROGRAM=1", "TERM=screen"}, env...)
	line = append(append(line, "sh", "-c", script, x.start, program), args...)
	x.tmux(t, append(line, "--dir", x.runs)...)
	t.Cleanup(func() { _ = exec.Command("tmux", "-S", x.socket, "kill-server").Run() })
	return x
}

func (x *tmux) tmux(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "tmux", append([]string{"-S", x.socket}, args...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

func (x *tmux) begin(t *testing.T) {
	t.Helper()
	require.NoError(t, os.WriteFile(x.start, nil, 0o600))
}

// press types keys, by tmux's names of keys.
func (x *tmux) press(t *testing.T, keys ...string) {
	t.Helper()
	x.tmux(t, append([]string{"send-keys"}, keys...)...)
}

// until waits until the screen matches a pattern, and returns the screen.
func (x *tmux) until(t *testing.T, pattern string) string {
	t.Helper()
	want, screen := regexp.MustCompile(pattern), ""
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if screen = x.tmux(t, "capture-pane", "-p"); want.MatchString(screen) {
			return screen
		}
	}
	require.FailNow(t, "the screen does not match "+pattern, screen)
	return ""
}

func (x *tmux) journal(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(x.runs, "latest", "journal.ndjson"))
	require.NoError(t, err)
	return string(raw)
}

// TestQuestionsInATerminal: what was typed ahead answers no question, the figures are live while a question is open,
// confirmations come before the load, and h is offered once something is live.
func TestQuestionsInATerminal(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]string{"with cursor movements": "NO_COLOR=", "lines only": "NO_COLOR=1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for attempt := 1; !answersQuestions(t, env); attempt++ {
				require.LessOrEqual(t, attempt, machine.Repeats, "no baseline was steady")
			}
		})
	}
}

// answersQuestions reports whether the run could inject its fault.
func answersQuestions(t *testing.T, env string) bool {
	t.Helper()
	x := inTmux(t, []string{env}, "run", "--step", "../../cmd/firedrill/testdata/confirm.feature")
	x.press(t, "Enter", "Enter", "Space", "h", "Enter") // ahead of all questions
	x.begin(t)
	x.until(t, `please confirm: the dashboards are open`)
	first := clockOf(x.until(t, `setup 0/s`))
	for screen := ""; clockOf(screen) == first || screen == ""; {
		screen = x.until(t, `setup 0/s`)
		require.Contains(t, screen, "Enter: continue")
		require.NotContains(t, screen, "confirmed")
	}
	require.NotContains(t, x.journal(t), `"baseline"`)
	require.NotContains(t, x.journal(t), `"request`)
	x.press(t, "x", "h", "Enter")
	x.until(t, `confirmed`)
	screen := x.until(t, `s: skip|`+notInjected)
	if strings.Contains(screen, notInjected) {
		return false
	}
	require.NotContains(t, screen, "heal", "nothing is live")
	x.until(t, `(?s)s: skip.*fault [1-9]\d*/s p99|fault [1-9]\d*/s p99.*\n *Enter: continue  s: skip`) // the figures go on
	x.press(t, "Enter")
	x.until(t, `h: heal`)
	x.press(t, "h")
	x.until(t, `healed: .*hangs`)
	x.press(t, "C-c")
	x.until(t, `exit code 130`)
	return true
}

// clockOf returns the time in the last line of figures of a screen.
func clockOf(screen string) string {
	all := regexp.MustCompile(`(\d+:\d\d\.\d)  setup 0/s`).FindAllStringSubmatch(screen, -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1]
}

// TestGameDay plays a game day in a terminal by its keys, up to an abort while a fault is live.
func TestGameDay(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"screen": nil, "lines": {"--plain"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for attempt := 1; !playsDay(t, args...); attempt++ {
				require.LessOrEqual(t, attempt, machine.Repeats, "no baseline was steady")
			}
		})
	}
}

// playsDay reports whether both faults of the day could be injected.
func playsDay(t *testing.T, args ...string) bool {
	t.Helper()
	x := inTmux(t, []string{"NO_COLOR="}, append([]string{"gameday", dayFile, "--as", "ana"}, args...)...)
	x.press(t, "c", "c", "c", "Space", "c") // ahead of all questions
	x.begin(t)
	inject := func(what string) bool {
		screen := x.until(t, `next: inject: .*`+what+`|`+notInjected)
		if strings.Contains(screen, notInjected) {
			return false
		}
		x.until(t, `(?s)undo: (the process|the delay).*c: continue`)
		x.press(t, "c")
		x.until(t, `h: heal`)
		return true
	}
	x.until(t, `(?s)1 of 2: the dashboards are open.*c: continue`)
	x.press(t, "c")
	x.until(t, `(?s)2 of 2: abort was tested.*c: continue`)
	x.press(t, "c")
	x.until(t, `(?s)card 1 of 2.*hypothesis:? +pages are served, without.*c: continue`)
	x.press(t, "c")
	if !inject("hangs") {
		return false
	}
	x.press(t, "d")
	x.until(t, `ana: detected`)
	x.press(t, "n", "c", "Space", "4", "2", "x", "BSpace", "!", "Enter") // keys of a note do nothing else
	x.until(t, `ana: c 42!`)
	x.press(t, "n", "finding hgh: no alert", "Enter")
	x.until(t, `recorded as a note, and not as a finding`)
	x.press(t, "n", "finding high: no alert @ben retest 2099-01-15", "Enter")
	x.until(t, `ana: finding high: no alert`)
	x.press(t, "m")
	x.until(t, `ana: mitigated`)
	if len(args) == 0 {
		showsDay(t, x)
	}
	x.press(t, "h")
	x.until(t, `healed: .*hangs`)
	x.until(t, `(?s)card 2 of 2.*next: start.*c: continue`)
	x.press(t, "o")
	x.until(t, `ON HOLD`)
	x.press(t, "c")
	x.until(t, `ana: goes on`)
	x.press(t, "c")
	if !inject("delayed") {
		return false
	}
	x.press(t, "!")
	x.until(t, `exit code 4`)
	x.givenBack(t)

	book, err := readBook(filepath.Join(x.runs, "latest", "journal.ndjson"))
	require.NoError(t, err)
	require.Equal(t, "stopped", book.End.Outcome)
	require.Len(t, book.Scenarios, 2)
	var said []string
	notes := book.Notes
	for _, h := range book.Scenarios {
		notes = append(notes, h.Notes...)
		for _, f := range h.Faults {
			require.Positive(t, f.Live)
			require.Positive(t, f.Healed)
			require.Less(t, f.Healed-f.Live, time.Minute, "a key healed, not the step")
		}
	}
	for _, n := range notes {
		if n.By == "" {
			continue
		}
		require.Equal(t, "ana", n.By)
		require.Positive(t, n.At)
		said = append(said, n.Kind+": "+n.Text)
	}
	for _, want := range []string{"confirmed: the dashboards are open", "confirmed: abort was tested", "detected: detected", "note: c 42!", "mitigated: mitigated", "heal: healed by hand", "hold: on hold", "released: goes on", "abort: aborts the run"} {
		require.Contains(t, strings.Join(said, "\n"), want)
	}
	for file, want := range map[string]string{"report.html": `<h2 id="gameday">Game day</h2>`, "summary.md": "### Game day: The shop without its helpers, 2026\\-12\\-02"} {
		raw, err := os.ReadFile(filepath.Join(x.runs, "latest", file))
		require.NoError(t, err)
		text := strings.ReplaceAll(string(raw), `2026-12-02`, `2026\-12\-02`)
		require.Contains(t, text, want)
		require.Contains(t, text, "detected after")
		require.Contains(t, text, "no alert")
		require.Contains(t, text, "ben")
	}
	return true
}

// showsDay: while a fault is live, the screen has its lease, the figures, the links and the stop rule, at any size.
func showsDay(t *testing.T, x *tmux) {
	t.Helper()
	wide := []string{`card 1 of 2: the comments hang`, `fault for \d+:\d\d  \d+:\d\d`, `success [\d.]+%\s+fallbacks [1-9][\d.]*%\s+p50 [\d.]+ ms\s+p99 [\d.]+ ms\s+[1-9]\d*/s`, `\d+:\d\d left: "comments" hangs`,
		`front -> comments +\d+/s  FAULT`, `\[[#.]{10}\] fewer than 1% of requests succeed`, `hypothesis: pages are served, without comments`, `h: heal  n: note  d: detected  m: mitigated`, `!: abort`}
	for _, size := range [][2]string{{"60", "20"}, {"100", "30"}, {"80", "24"}} {
		x.tmux(t, "resize-window", "-x", size[0], "-y", size[1])
		for _, want := range wide {
			x.until(t, want)
		}
	}
}

// givenBack verifies that the terminal is as it was: it shows its own lines, and reads with echo, line by line.
func (x *tmux) givenBack(t *testing.T) {
	t.Helper()
	require.Equal(t, "0 1\n", x.tmux(t, "display-message", "-p", "#{alternate_on} #{cursor_flag}"))
	tty := strings.TrimSpace(x.tmux(t, "display-message", "-p", "#{pane_tty}"))
	modes, err := exec.CommandContext(t.Context(), "stty", "-F", tty, "-a").Output()
	require.NoError(t, err)
	require.Regexp(t, `[^-]icanon`, string(modes))
	require.Regexp(t, `[^-]echo\b`, string(modes))
}

// TestScreenOfARun: run --screen heals and ends by keys and signals, and gives the terminal back.
func TestScreenOfARun(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *tmux){
		"q":                func(t *testing.T, x *tmux) { x.press(t, "h"); x.until(t, `healed: .*hangs`); x.press(t, "q") },
		"Ctrl-C":           func(t *testing.T, x *tmux) { x.press(t, "C-c") },
		"Ctrl-C and again": func(t *testing.T, x *tmux) { x.press(t, "C-c", "C-c") },
		"SIGTERM": func(t *testing.T, x *tmux) {
			pid := strings.TrimSpace(x.tmux(t, "display-message", "-p", "#{pane_pid}"))
			raw, err := os.ReadFile(filepath.Join("/proc", pid, "task", pid, "children"))
			require.NoError(t, err)
			child, err := strconv.Atoi(strings.Fields(string(raw))[0])
			require.NoError(t, err)
			require.NoError(t, syscall.Kill(child, syscall.SIGTERM))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for attempt := 1; ; attempt++ {
				x := inTmux(t, []string{"NO_COLOR=1"}, "run", "--screen", "../../cmd/firedrill/testdata/long.feature")
				x.begin(t)
				if screen := x.until(t, `h: heal|exit code`); !strings.Contains(screen, "exit code") {
					require.Equal(t, "1\n", x.tmux(t, "display-message", "-p", "#{alternate_on}"))
					end(t, x)
					x.until(t, `exit code 130`)
					x.givenBack(t)
					return
				}
				require.LessOrEqual(t, attempt, machine.Repeats, "no baseline was steady")
			}
		})
	}
}

// TestNoScreen: a terminal that cannot move its cursor gets lines.
func TestNoScreen(t *testing.T) {
	t.Parallel()
	x := inTmux(t, []string{"TERM=dumb"}, "gameday", dayFile)
	x.begin(t)
	x.until(t, `(?s)1 of 2: the dashboards are open.*c: continue`)
	require.Equal(t, "0\n", x.tmux(t, "display-message", "-p", "#{alternate_on}"))
	x.press(t, "q")
	x.until(t, `exit code 130`)
}
