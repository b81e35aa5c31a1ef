package runner

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Only the user who runs a drill can read what it leaves: the folder of the run is closed to others, and so is each
// file in it.
func TestRunsArePrivate(t *testing.T) {
	t.Parallel()
	r := runShop(t, backLoad+`    When calls from "front" to "back" are delayed by 20ms for 1s
    Then at least 99% of requests succeed
`, nil)
	info, err := os.Stat(r.Dir)
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
	files := 0
	require.NoError(t, filepath.WalkDir(r.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			files++
			assert.Zero(t, info.Mode().Perm()&0o077, "%s: %v", path, info.Mode())
		}
		return err
	}))
	assert.GreaterOrEqual(t, files, 4)
}
