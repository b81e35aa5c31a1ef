package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The log that go test keeps of the files a test opens has those of the program, of the packages of this module that it
// imports, and what they embed, and no others. The test runs itself to have such a log.
func TestSourcesAreInTheLogOfTests(t *testing.T) {
	const module = "github.com/firedrill-dev/firedrill/"
	if os.Getenv("FIREDRILL_OPEN_SOURCES") != "" {
		require.NoError(t, openSources(module+"cmd/firedrill"))
		return
	}
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSourcesAreInTheLogOfTests$", "-test.testlogfile="+log) //nolint:gosec // this test
	child.Env = append(os.Environ(), "FIREDRILL_OPEN_SOURCES=1")
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	opened := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "open "); ok {
			if name, err = filepath.Rel(root, name); err == nil {
				opened[name] = true
			}
		}
	}
	for _, name := range []string{"cmd/firedrill/main.go", "injector/message/http1/http1.go", "features/real/redis.feature", "features/real/redis.yaml"} {
		assert.Contains(t, opened, name)
	}
	for name := range opened {
		assert.NotContains(t, name, "_test.go", "what tests import is known without")
		assert.NotContains(t, name, "testify", "modules that go.mod requires are known without")
	}
	require.ErrorContains(t, openSources(module+"none"), "list its files")
}
