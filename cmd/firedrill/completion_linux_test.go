package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// shells are those whose completion is tested by pressing keys, with how each starts without the user's own settings,
// and how it is made to show "ready> " as its prompt and to complete.
var shells = map[string]struct{ args, settings []string }{
	"zsh": {[]string{"-f", "-i"}, []string{
		"autoload -Uz compinit && compinit -u -d zcompdump", "source <(firedrill completion zsh)", "PROMPT='ready> '",
	}},
	"fish": {[]string{"--no-config", "--private"}, []string{
		"firedrill completion fish | source", "function fish_prompt; echo 'ready> '; end",
	}},
}

// TestKeysComplete presses keys in real shells: what is typed, then Tab and Enter. The program then gets what the shell
// has completed.
func TestKeysComplete(t *testing.T) {
	t.Parallel()
	for name := range shells {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startShell(t, name)
			for _, c := range []struct {
				typed string
				want  []string
			}{
				{"firedrill lin", nil}, // ambiguous: nothing is chosen
				{"firedrill lint", []string{"lint"}},
				{"firedrill catal", []string{"catalogue"}},
				{"firedrill lint --form", []string{"lint", "--format"}},
				{"firedrill lint --format js", []string{"lint", "--format", "json"}},
				{"firedrill report --format metr", []string{"report", "--format", "metrics"}},
				{"firedrill run --dir dri", []string{"run", "--dir", "drills"}},
				{"firedrill run drills/a", []string{"run", "drills/a.feature"}},
				{"firedrill run drills/no", nil},  // notes.txt is no feature
				{"firedrill run --name dri", nil}, // a name is no file
				{`firedrill run drills/with\ sp`, []string{"run", "drills/with space.feature"}},
				{"firedrill run drills --tags @sm", []string{"run", "drills", "--tags", "@smoke"}},
				{`firedrill run drills --tags @smoke\ or\ @sl`, []string{"run", "drills", "--tags", "@smoke or @slow"}},
			} {
				if c.want == nil { // the program gets what was typed
					c.want = strings.Fields(c.typed)[1:]
				}
				got := s.complete(c.typed)
				if c.typed == "firedrill run --dir dri" {
					got[2] = strings.TrimSuffix(got[2], "/") // zsh removes it
				}
				require.Equal(t, c.want, got, "%s, Tab", c.typed)
			}
			if name == "fish" { // it also completes in a quote that is open
				require.Equal(t, []string{"run", "drills", "--tags", "@smoke or @slow"}, s.complete(`firedrill run drills --tags "@smoke or @sl`))
			}
		})
	}
}

// shell is a shell on a terminal.
type shell struct {
	t    *testing.T
	keys *os.File
	out  *buffer
	ran  string // the file with the arguments that firedrill was called with, one a line
}

func startShell(t *testing.T, name string) *shell {
	t.Helper()
	path, err := exec.LookPath(name)
	machine.Need(t, err, "apt-get install "+name)
	dir := t.TempDir()
	s := &shell{t: t, out: &buffer{}, ran: filepath.Join(dir, "ran")}
	for file, text := range map[string]string{
		"drills/a.feature": "@smoke @orders\nFeature: A\n", "drills/b.feature": "@slow\nFeature: B\n", "drills/notes.txt": "", "drills/with space.feature": "Feature: C\n",
		"bin/firedrill": "#!/bin/sh\ncase $1 in completion|__complete*) exec '" + built(t) + "' \"$@\" ;; esac\n" +
			"printf '%s\\n' \"$@\" >'" + s.ran + "'; echo it was called\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o700)) //nolint:gosec // one is a program
	}
	master, terminal := openTerminal(t)
	require.NoError(t, unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 200}))
	cmd := exec.CommandContext(t.Context(), path, shells[name].args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, terminal, terminal, terminal
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CACHE_HOME="+dir, "TERM=xterm", "LC_ALL=C.UTF-8")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, cmd.Start())
	require.NoError(t, terminal.Close())
	s.keys = master
	read := make(chan struct{})
	go func() {
		defer close(read)
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			_, _ = s.out.Write(b[:n])
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-read
		_ = master.Close()
	})
	s.press(strings.Join(append(shells[name].settings, "firedrill"), "; ")+"\r", wasCalled)
	return s
}

// wasCalled matches the output of firedrill and the next prompt.
var wasCalled = regexp.MustCompile(`(?s)it was called\r?\n.*ready> `)

// press presses keys and waits for output.
func (s *shell) press(keys string, shown *regexp.Regexp) {
	s.t.Helper()
	before := len(s.out.String())
	_, err := s.keys.WriteString(keys)
	require.NoError(s.t, err)
	if !assert.Eventually(s.t, func() bool { return shown.MatchString(s.out.String()[before:]) }, 30*time.Second, 5*time.Millisecond) {
		require.FailNow(s.t, "nothing that matches "+shown.String(), "after %q the terminal shows %q", keys, s.out.String()[before:])
	}
}

// complete types text, Tab and Enter, and returns the arguments that firedrill is then called with.
func (s *shell) complete(text string) (args []string) {
	s.t.Helper()
	s.press(text+"\t\r", wasCalled)
	raw, err := os.ReadFile(s.ran)
	require.NoError(s.t, err)
	return strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
}

// TestFormatsAreCompleted verifies that each value of --format that shells offer is one that the help of the command
// names, and that no flag with a value is completed by chance.
func TestFormatsAreCompleted(t *testing.T) {
	files := map[string]bool{"against": true, "output": true, "populate": true, "run": true} // of which names of files are offered
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		for _, line := range strings.Split(cmd.LocalFlags().FlagUsages(), "\n") {
			m := regexp.MustCompile(`^ +(?:-\w, )?--([\w-]+) (\w+) `).FindStringSubmatch(line) // with a value
			if m == nil || files[m[1]] {
				continue
			}
			_, known := cmd.GetFlagCompletionFunc(m[1])
			assert.True(t, known, "%s: how is --%s completed? Add it to flagValues", cmd.CommandPath(), m[1])
			if m[1] == "format" {
				values, _ := completeFormats(cmd, nil, "")
				for _, value := range values {
					assert.Regexp(t, `\b`+value+`\b`, line, cmd.CommandPath())
				}
				assert.Len(t, regexp.MustCompile(`\b(text|json|html|junit|messages|metrics|summary|vegeta|go|vscode)\b`).FindAllString(strings.Split(line, "(default")[0], -1), len(values), "%s: %s", cmd.CommandPath(), line)
			}
		}
		for _, sub := range cmd.Commands() {
			check(sub)
		}
	}
	check(command())
}
