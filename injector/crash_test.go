//go:build unix

package injector

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/process"
)

// TestOutageHiddenFromClientsIsVoid checks that an outage does not count if another process answered in place of the
// service, even if that process had ended before the fault was healed.
func TestOutageHiddenFromClientsIsVoid(t *testing.T) {
	addr := machine.FreeAddr(t)
	svc, err := process.Start(t.Context(), process.Spec{
		Name: "payments", Args: []string{os.Args[0]}, Env: []string{"SERVE=" + addr}, Log: filepath.Join(t.TempDir(), "log"),
		Ready: process.Ready{HTTP: "http://" + addr + "/", Within: time.Minute}, Grace: time.Minute,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, svc.Stop(context.Background())) })
	otherListener := func(t *testing.T, _ *evidence.Counter) {
		require.True(t, watching())
		var other net.Listener
		require.Eventually(t, func() bool {
			other, err = net.Listen("tcp", addr)
			return err == nil
		}, time.Minute, time.Millisecond)
		require.Eventually(t, func() bool { return !watching() }, time.Minute, time.Millisecond)
		require.NoError(t, other.Close())
	}
	undisturbed := func(*testing.T, *evidence.Counter) {}
	for name, c := range map[string]struct {
		fault     Fault
		interfere func(t *testing.T, count *evidence.Counter)
		want      string
	}{
		"crash":              {Crash{}, otherListener, "listened on " + addr + " in place of the service"},
		"stop":               {Stop{}, otherListener, "listened on " + addr + " in place of the service"},
		"hang":               {Hang{}, func(t *testing.T, _ *evidence.Counter) { require.NoError(t, syscall.Kill(svc.PID(), syscall.SIGCONT)) }, "was continued by another program"},
		"crash, undisturbed": {Crash{}, undisturbed, ""},
		"stop, undisturbed":  {Stop{}, undisturbed, ""},
		"hang, undisturbed":  {Hang{}, undisturbed, ""},
		"several crashes": {Crash{Times: 2, Every: 200 * time.Millisecond}, func(t *testing.T, count *evidence.Counter) {
			require.Eventually(t, func() bool { return count.Tally().Affected == 2 }, time.Minute, time.Millisecond)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "hang" && runtime.GOOS != "linux" {
				t.Skip("process states can be read on Linux only")
			}
			count := evidence.NewCounter("calls")
			heal, err := c.fault.Inject(t.Context(), Target{Service: svc, Count: count})
			require.NoError(t, err)
			c.interfere(t, count)
			require.NoError(t, heal(t.Context()))
			got := count.Tally()
			require.Contains(t, got.Void, c.want)
			require.Equal(t, c.want == "", got.Void == "")
			require.Equal(t, c.want == "", got.Affected > 0)
		})
	}
}

// watching reports whether an outage is being watched. The watch ends once it has found a process that answers.
func watching() bool {
	var goroutines strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&goroutines, 2)
	return strings.Contains(goroutines.String(), "process.(*Service).startWatch")
}
