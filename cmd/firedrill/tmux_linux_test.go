package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
	if _, err := exec.LookPath("tmux"); err != nil {
		if os.Getenv("FIREDRILL_MUST_RUN") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
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
				require.Less(t, attempt, 3, "no baseline was steady")
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
		require.Contains(t, screen, "Enter: done")
		require.NotContains(t, screen, "confirmed")
	}
	require.NotContains(t, x.journal(t), `"baseline"`)
	require.NotContains(t, x.journal(t), `"request`)
	x.press(t, "x", "h", "Enter")
	x.until(t, `confirmed`)
	screen := x.until(t, `Enter or space|`+notInjected)
	if strings.Contains(screen, notInjected) {
		return false
	}
	require.NotContains(t, screen, "heal", "nothing is live")
	x.until(t, `(?s)Enter or space.*fault [1-9]\d*/s p99|fault [1-9]\d*/s p99.*\n *Enter or space`) // the figures go on
	x.press(t, "Enter")
	x.until(t, `h: heal now`)
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
