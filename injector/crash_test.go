//go:build unix

package injector

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/process"
)

// TestOutageHiddenFromClientsIsVoid checks that an outage does not count if another process answered in place of the
// service, even if that process had ended before the fault was healed.
func TestOutageHiddenFromClientsIsVoid(t *testing.T) {
	addr := freeAddr(t)
	svc, err := process.Start(t.Context(), process.Spec{
		Name: "payments", Args: []string{os.Args[0]}, Env: []string{"SERVE=" + addr}, Log: filepath.Join(t.TempDir(), "log"),
		Ready: process.Ready{HTTP: "http://" + addr + "/", Within: 20 * time.Second}, Grace: 20 * time.Second,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, svc.Stop(context.Background())) })
	otherListener := func(t *testing.T) {
		var other net.Listener
		require.Eventually(t, func() bool {
			other, err = net.Listen("tcp", addr)
			return err == nil
		}, 10*time.Second, time.Millisecond)
		time.Sleep(time.Second)
		require.NoError(t, other.Close())
	}
	for name, c := range map[string]struct {
		fault     Fault
		interfere func(t *testing.T)
		want      string
	}{
		"crash":              {Crash{}, otherListener, "listened on " + addr + " in place of the service"},
		"stop":               {Stop{}, otherListener, "listened on " + addr + " in place of the service"},
		"hang":               {Hang{}, func(t *testing.T) { require.NoError(t, syscall.Kill(svc.PID(), syscall.SIGCONT)) }, "was continued by another program"},
		"crash, undisturbed": {Crash{}, func(*testing.T) {}, ""},
		"stop, undisturbed":  {Stop{}, func(*testing.T) {}, ""},
		"hang, undisturbed":  {Hang{}, func(*testing.T) {}, ""},
		"several crashes":    {Crash{Times: 2, Every: 200 * time.Millisecond}, func(t *testing.T) { time.Sleep(time.Second) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "hang" && runtime.GOOS != "linux" {
				t.Skip("process states can be read on Linux only")
			}
			count := evidence.NewCounter("calls")
			heal, err := c.fault.Inject(t.Context(), Target{Service: svc, Count: count})
			require.NoError(t, err)
			c.interfere(t)
			require.NoError(t, heal(t.Context()))
			got := count.Tally()
			require.Contains(t, got.Void, c.want)
			require.Equal(t, c.want == "", got.Void == "")
			require.Equal(t, c.want == "", got.Affected > 0)
		})
	}
}
