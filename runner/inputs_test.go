package runner

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// TestInputsAreRemembered: a run names the files that it was made of, as sha256sum prints them, and no others.
func TestInputsAreRemembered(t *testing.T) {
	in := &inputs{FS: fstest.MapFS{"b/system.yaml": {Data: []byte("hello\n")}, "a.feature": {Data: []byte("abc")}, "unread": {}, "large": {Data: []byte("abc")}}, read: map[string]journal.File{}}
	for _, name := range []string{"b/system.yaml", "a.feature", "a.feature"} {
		_, err := source.ReadFile(in, name, 100)
		require.NoError(t, err)
	}
	_, err := source.ReadFile(in, "large", 2)
	require.Error(t, err)
	_, err = source.ReadFile(in, "missing", 2)
	require.ErrorIs(t, err, fs.ErrNotExist)
	entries, err := fs.ReadDir(in, ".")
	require.NoError(t, err)
	assert.Len(t, entries, 4)
	assert.Equal(t, []journal.File{
		{Name: "a.feature", Size: 3, SHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{Name: "b/system.yaml", Size: 6, SHA256: "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"},
	}, in.list())
}
