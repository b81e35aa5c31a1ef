package process

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// In the role "threads", this test binary serves after its first thread has exited, like programs that
// call pthread_exit in main. /proc shows such a process as a zombie.
func init() {
	if os.Getenv("ROLE") != "threads" {
		return
	}
	go func() {
		_ = http.ListenAndServe(os.Getenv("ADDR"), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) //nolint:gosec // a test's server
	}()
	_, _, _ = syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0) // exits only this thread, which is the first
}

func TestServiceWhoseFirstThreadExited(t *testing.T) {
	addr := machine.FreeAddr(t)
	sp := spec(filepath.Join(t.TempDir(), "log"), "threads", addr)
	sp.Ready = Ready{HTTP: "http://" + addr + "/", Within: patience}
	s, err := Start(t.Context(), sp)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop(t.Context())) }()
	first, err := readStat(fmt.Sprintf("/proc/%d/stat", s.PID()))
	require.NoError(t, err)
	require.Equal(t, "Z", string(first.state))
	require.Equal(t, listeners{any: true, members: true}, listening(Endpoint{"tcp", addr}, s.current().family))
	require.NoError(t, s.Crash(t.Context()))
	require.NoError(t, checkUnused([]Endpoint{{"tcp", addr}}))
}
