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

// An outage did not act when something else answered in the place of the service, even if that has left by the time of healing.
func TestAnOutageThatClientsMayNotHaveSeenDidNotAct(t *testing.T) {
	addr := freeAddr(t)
	svc, err := process.Start(t.Context(), process.Spec{
		Name: "payments", Args: []string{os.Args[0]}, Env: []string{"SERVE=" + addr}, Log: filepath.Join(t.TempDir(), "log"),
		Ready: process.Ready{HTTP: "http://" + addr + "/", Within: 20 * time.Second}, Grace: time.Second,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, svc.Stop(context.Background())) })
	stranger := func(t *testing.T) {
		var other net.Listener
		require.Eventually(t, func() bool {
			other, err = net.Listen("tcp", addr)
			return err == nil
		}, 10*time.Second, time.Millisecond)
		time.Sleep(time.Second)
		require.NoError(t, other.Close())
	}
	for name, c := range map[string]struct {
		fault Fault
		spoil func(t *testing.T)
		want  string
	}{
		"crash":           {Crash{}, stranger, "listened on " + addr + " in place of the service"},
		"stop":            {Stop{}, stranger, "listened on " + addr + " in place of the service"},
		"hang":            {Hang{}, func(t *testing.T) { require.NoError(t, syscall.Kill(svc.PID(), syscall.SIGCONT)) }, "was continued by another program"},
		"crash, in peace": {Crash{}, func(*testing.T) {}, ""},
		"stop, in peace":  {Stop{}, func(*testing.T) {}, ""},
		"hang, in peace":  {Hang{}, func(*testing.T) {}, ""},
		"several crashes": {Crash{Times: 2, Every: 200 * time.Millisecond}, func(t *testing.T) { time.Sleep(time.Second) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "hang" && runtime.GOOS != "linux" {
				t.Skip("the states of processes are known on Linux only")
			}
			count := evidence.NewCounter("calls")
			heal, err := c.fault.Inject(t.Context(), Target{Service: svc, Count: count})
			require.NoError(t, err)
			c.spoil(t)
			require.NoError(t, heal(t.Context()))
			got := count.Tally()
			require.Contains(t, got.Void, c.want)
			require.Equal(t, c.want == "", got.Void == "")
			require.Equal(t, c.want == "", got.Affected > 0)
		})
	}
}
