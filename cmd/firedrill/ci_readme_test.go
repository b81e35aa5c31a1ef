package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// ciExample is what a test needs of a workflow of GitHub Actions and of a job of GitLab.
type ciExample struct {
	Jobs map[string]struct {
		Steps []struct {
			Run  string
			With struct {
				Path   string
				Hidden bool `yaml:"include-hidden-files"`
			}
		}
	}
	Drills struct {
		Script    []string
		Artifacts struct {
			Paths   []string
			Reports struct{ JUnit string }
		}
	}
}

// TestExamplesForCI runs each line of the examples in the manual, in their order, and verifies that their artifacts are
// there. Only the installation is another one: it copies the program that the tests built.
func TestExamplesForCI(t *testing.T) {
	manual := document(t, "runner/README.md")
	examples := map[string]string{}
	for _, m := range regexp.MustCompile("(?s)```yaml\n# (\\S+\\.yml)\n(.*?)```").FindAllStringSubmatch(manual, -1) {
		examples[m[1]] = m[2]
	}
	require.Len(t, examples, 2)
	const install = "go install github.com/firedrill-dev/firedrill/cmd/firedrill@latest"
	program := built(t)
	for name, text := range examples {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var example ciExample
			require.NoError(t, yaml.Unmarshal([]byte(text), &example))
			lines, kept := example.Drills.Script, example.Drills.Artifacts.Paths
			if junit := example.Drills.Artifacts.Reports.JUnit; junit != "" {
				kept = append(kept, junit)
			}
			for _, s := range example.Jobs["drills"].Steps {
				if s.Run != "" {
					lines = append(lines, s.Run)
				}
				if s.With.Path != "" {
					require.True(t, s.With.Hidden, "upload-artifact leaves out hidden folders")
					kept = append(kept, s.With.Path)
				}
			}
			require.GreaterOrEqual(t, len(lines), 2)
			require.NotEmpty(t, kept)
			dir, bin := t.TempDir(), t.TempDir()
			summary := filepath.Join(bin, "summary.md")
			for _, file := range []string{"own.feature", "system.yaml"} {
				require.NoError(t, os.MkdirAll(filepath.Join(dir, "features"), 0o700))
				require.NoError(t, os.WriteFile(filepath.Join(dir, "features", file), []byte(ciFiles[file]), 0o600))
			}
			for _, line := range lines {
				run := func() ([]byte, error) {
					cmd := exec.CommandContext(t.Context(), "sh", "-euc", strings.ReplaceAll(line, install, `cp "$PROGRAM" "$BIN/firedrill"`))
					cmd.Dir = dir
					cmd.Env = append(os.Environ(), "PROGRAM="+program, "BIN="+bin, "PATH="+bin+":"+os.Getenv("PATH"), "GITHUB_STEP_SUMMARY="+summary, "GITHUB_WORKSPACE="+dir)
					return cmd.CombinedOutput()
				}
				out, err := run()
				var exited *exec.ExitError
				if errors.As(err, &exited) && exited.ExitCode() == 3 { // inconclusive: this machine may have been busy
					require.NoError(t, os.RemoveAll(filepath.Join(dir, ".firedrill")))
					out, err = run()
				}
				require.NoError(t, err, "%s\n%s", line, out)
			}
			for _, pattern := range kept {
				found, err := filepath.Glob(filepath.Join(dir, pattern))
				require.NoError(t, err)
				require.Len(t, found, 1, pattern)
			}
			raw, err := os.ReadFile(summary)
			require.NoError(t, err)
			require.Contains(t, string(raw), "PASSED")
		})
	}
}

// ciFiles is a drill that passes within seconds.
var ciFiles = map[string]string{
	"own.feature": `Feature: Charges
  Scenario: calls are slow
    Given the system described in "system.yaml"
    When calls from "clients" to "payments" are delayed by 20ms
    And 40 requests on "GET /charges" are sent, 10 at a time
    Then at least 90% of requests succeed
`,
	"system.yaml": `services:
  payments:
    command: [firedrill, shop, payments, --listen, "127.0.0.1:${port}", --dir, "${dir}", --fsync=false]
    ready: {http: /livez, within: 20s}
    serves: [/charges]
clients: {depends: {payments: http}}
`,
}
