package message

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/process"
)

// program finds a real server; without it the test is skipped, but where everything must run.
func program(t testing.TB, name, debian string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	if os.Getenv("FIREDRILL_MUST_RUN") != "" {
		require.FailNow(t, name+" is not installed", "apt-get install %s", debian)
	}
	t.Skipf("%s is not installed: apt-get install %s", name, debian)
	return ""
}

// server starts a real server of the test's own, on a free port and in a folder of its own. Its arguments may hold {port} and {dir}.
func server(t testing.TB, args ...string) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr = ln.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	require.NoError(t, ln.Close())
	dir := t.TempDir()
	for i, arg := range args {
		args[i] = strings.NewReplacer("{port}", port, "{dir}", dir).Replace(arg)
	}
	svc, err := process.Start(t.Context(), process.Spec{
		Name: filepath.Base(args[0]), Args: args, Dir: dir, Log: filepath.Join(dir, "log"), Ready: process.Ready{TCP: addr, Within: 30 * time.Second}, Grace: 5 * time.Second,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, svc.Stop(context.Background())) })
	return addr
}

func redisServer(t testing.TB) string {
	return server(t, program(t, "redis-server", "redis-server"), "--port", "{port}", "--bind", "127.0.0.1", "--dir", "{dir}", "--save", "", "--appendonly", "no")
}
