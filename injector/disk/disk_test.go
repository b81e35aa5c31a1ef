//go:build linux

package disk

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// TestMain makes this test binary act as a program that is killed while it has a disk.
func TestMain(m *testing.M) {
	if folder := os.Getenv("DISK_TO_LEAVE"); folder != "" {
		_, err := Open(folder, size)
		os.Stdout.WriteString(strings.Join([]string{"mounted", errorText(err)}, " ") + "\n")
		select {}
	}
	os.Exit(m.Run())
}

func errorText(err error) string {
	if err == nil {
		return "well"
	}
	return err.Error()
}

const size = 32_000_000

// available skips a test where disks cannot be mounted, unless all tests must run.
func available(t *testing.T) {
	t.Helper()
	machine.Need(t, Available(), "")
}

func write(t *testing.T, name, text string, sync bool) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteString(text)
	require.NoError(t, err)
	if sync {
		require.NoError(t, f.Sync())
	}
}

// What was synced is kept, and everything else is gone: what was appended or overwritten, new files, and new names. A
// second power failure acts as the first one does.
func TestPowerLossDiscardsWhatWasNotSynced(t *testing.T) {
	available(t)
	folder := filepath.Join(t.TempDir(), "a folder", "data")
	d, err := Open(folder, size)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, entries, "a program may want an empty folder")

	kept, killed := filepath.Join(folder, "kept"), 0
	write(t, kept, "synced ", true)
	for range 2 {
		write(t, kept, "not synced", false)
		write(t, filepath.Join(folder, "new"), "not synced either", false)
		require.NoError(t, os.WriteFile(filepath.Join(folder, "empty"), nil, 0o600))
		lost, err := d.LosePower(func() error { killed++; return nil })
		require.NoError(t, err)
		assert.Equal(t, Lost{Files: 3, Bytes: int64(len("synced not synced") + len("not synced either"))}, lost)
		raw, err := os.ReadFile(kept)
		require.NoError(t, err)
		assert.Equal(t, "synced ", string(raw))
		entries, err := os.ReadDir(folder)
		require.NoError(t, err)
		assert.Len(t, entries, 1)
	}
	lost, err := d.LosePower(func() error { killed++; return nil })
	require.NoError(t, err)
	assert.Equal(t, "all data was synced, and none is gone", lost.String())
	assert.Equal(t, 3, killed)

	require.NoError(t, d.Close())
	require.NoError(t, d.Close(), "a second time")
	assert.NoDirExists(t, folder)
	assert.Empty(t, mountsBelow(t, folder))
}

// A disk can be closed after its processes could not be killed.
func TestPowerLossThatFails(t *testing.T) {
	available(t)
	folder := filepath.Join(t.TempDir(), "data")
	d, err := Open(folder, size)
	require.NoError(t, err)
	boom := errors.New("boom")
	_, err = d.LosePower(func() error { return boom })
	require.ErrorIs(t, err, boom)
	f, err := os.Open(folder) // the folder is in use when it is unmounted
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, d.Close())
	assert.Empty(t, mountsBelow(t, folder))
}

func TestOpenErrors(t *testing.T) {
	available(t)
	folder := t.TempDir()
	write(t, filepath.Join(folder, "important"), "x", false)
	_, err := Open(folder, size)
	require.ErrorContains(t, err, "the folder is not empty, and its content would be hidden")
	require.FileExists(t, filepath.Join(folder, "important"))
	_, err = Open(filepath.Join(folder, "data"), 1000)
	require.ErrorContains(t, err, "mkfs.ext4")
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left")
}

// A disk of a program that was killed is unmounted by its guardian, and its loop device is released.
func TestDiskOfAKilledProgram(t *testing.T) {
	available(t)
	folder := filepath.Join(t.TempDir(), "of a killed program")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "DISK_TO_LEAVE="+folder)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(io.LimitReader(out, 4096)).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "mounted well\n", line)
	mounts := mountsBelow(t, folder)
	require.Len(t, mounts, 1)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())

	require.Eventually(t, func() bool { return len(mountsBelow(t, folder)) == 0 }, 30*time.Second, 5*time.Millisecond)
	require.Eventually(t, func() bool { // the device is free, or another program took it
		image, _ := os.ReadFile("/sys/block/" + filepath.Base(mounts[0]) + "/loop/backing_file")
		return !strings.Contains(string(image), filepath.Dir(folder))
	}, 30*time.Second, 5*time.Millisecond)
}

// mountsBelow returns the devices that are mounted at a folder or below.
func mountsBelow(t *testing.T, folder string) []string {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/mounts")
	require.NoError(t, err)
	var all []string
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		if strings.HasPrefix(strings.ReplaceAll(fields[1], `\040`, " "), folder) {
			all = append(all, fields[0])
		}
	}
	return all
}
