package machine_test

import (
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// Two thousand addresses of ten thousand, half of them given to another process: by chance, some would be given twice.
func TestFreeAddrGivesNoAddressTwice(t *testing.T) {
	if os.Getenv("FREE_ADDRESSES") == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFreeAddrGivesNoAddressTwice$", "-test.v")
		cmd.Env = append(os.Environ(), "FREE_ADDRESSES=1")
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		given := map[string]bool{}
		text := make([]byte, 1<<20)
		said := ""
		for !strings.Contains(said, "that is all") {
			n, err := out.Read(text)
			require.NoError(t, err, said)
			said += string(text[:n])
		}
		for line := range strings.Lines(said) {
			if addr, is := strings.CutPrefix(strings.TrimSpace(line), "given "); is {
				given[addr] = true
			}
		}
		require.Len(t, given, 1000)
		for range 1000 {
			addr := machine.FreeAddr(t)
			if runtime.GOOS == "linux" {
				assert.False(t, given[addr], "the other process has %s", addr)
			}
			given[addr] = true
		}
		if runtime.GOOS == "linux" {
			assert.Len(t, given, 2000)
		}
		require.NoError(t, in.Close())
		require.NoError(t, cmd.Wait())
		return
	}
	for range 1000 {
		_, _ = os.Stdout.WriteString("\ngiven " + machine.FreeAddr(t) + "\n")
	}
	_, _ = os.Stdout.WriteString("\nthat is all\n")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the other process has had its own
}

// A port is free again once its test has ended, and a port where something listens is not given.
func TestFreeAddrIsFree(t *testing.T) {
	var addr string
	t.Run("first", func(t *testing.T) {
		addr = machine.FreeAddr(t)
		ln, err := net.Listen("tcp", addr)
		require.NoError(t, err)
		require.NoError(t, ln.Close())
	})
	ln, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	require.NoError(t, ln.Close())
}
