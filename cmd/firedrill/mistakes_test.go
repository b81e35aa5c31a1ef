package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMistakesThatStartNothing: mistakes lead to exit code 2 before anything is started, in plan as well as in run
// if both can detect them.
func TestMistakesThatStartNothing(t *testing.T) {
	const feature = "Feature: F\n  Scenario: s\n    Given the system described in \"system.yaml\"\n    When 1s passes\n"
	for name, c := range map[string]struct {
		system string
		args   []string
		says   []string
	}{
		"missing program in a plan": {"services:\n  a: {command: [phyton3, x.py]}\n", []string{"plan", "a.feature"}, []string{"a.feature:3", `service "a"`, `"phyton3"`, "install"}},
		"missing program in a run":  {"services:\n  a: {command: [phyton3, x.py]}\n", []string{"run", "a.feature"}, []string{"a.feature:3", `service "a"`, `"phyton3"`, "nothing was started"}},
		"missing path":              {"services:\n  a: {command: [./nothing]}\n", []string{"run", "a.feature"}, []string{`"./nothing"`}},
		"without what none takes":   {"services:\n  a: {command: [sh, -c, \"sleep 9\"]}\n", []string{"run", "--without", "retries", "a.feature"}, []string{`"retries"`, "${without}"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			require.NoError(t, os.WriteFile("a.feature", []byte(feature), 0o600))
			require.NoError(t, os.WriteFile("system.yaml", []byte(c.system), 0o600))
			var out, errOut bytes.Buffer
			require.Equal(t, usage, Main(c.args, strings.NewReader(""), &out, &errOut), out.String()+errOut.String())
			for _, s := range c.says {
				require.Contains(t, errOut.String(), s)
			}
			require.NoDirExists(t, filepath.Join(".firedrill", "runs"))
		})
	}
}
