package sources

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/injector/process"
)

// One thread starts all processes and never exits, since a process is killed when the thread that started it exits.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/firedrill-dev/firedrill/injector/process.init.func1.1"))
}

// program returns the path of a server's program. If it is missing, the test is skipped, or fails where all tests must
// run.
func program(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := process.LookPath(name)
	machine.Need(t, err, "apt-get install "+debian)
	return path
}

// start starts a server on a free port. {port} in its arguments stands for the port.
func start(t *testing.T, dir string, args ...string) (addr string) {
	t.Helper()
	addr = machine.FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "{port}", port)
	}
	svc, err := process.Start(t.Context(), process.Spec{
		Name: filepath.Base(args[0]), Args: args, Dir: dir, Log: filepath.Join(t.TempDir(), "log"), Ready: process.Ready{TCP: addr, Within: time.Minute}, Grace: 5 * time.Second,
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, svc.Stop(context.Background())) })
	return addr
}

func redisServer(t *testing.T) string {
	return start(t, t.TempDir(), program(t, "redis-server", "redis-server"), "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
}

// postgresServer starts PostgreSQL and returns its address. It refuses to run as root, so that it gets the user of
// Debian's package.
func postgresServer(t *testing.T) string {
	initdb, postgres := program(t, "initdb", "postgresql"), program(t, "postgres", "postgresql")
	var as []string
	if os.Geteuid() == 0 {
		as = []string{program(t, "setpriv", "util-linux"), "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL"}
	}
	dir, err := os.MkdirTemp("", "postgres") // only root may read t.TempDir
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o777)) //nolint:gosec // the user of the server writes there
	data := filepath.Join(dir, "data")
	args := append(append([]string{}, as...), initdb, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "--locale=C", "--encoding=UTF8")
	init := exec.CommandContext(t.Context(), args[0], args[1:]...) //nolint:gosec // a test's
	init.Dir = dir
	out, err := init.CombinedOutput()
	require.NoError(t, err, "%s", out)
	addr := start(t, dir, append(as, postgres, "-D", data, "-p", "{port}", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off")...)
	require.Eventually(t, func() bool { // it accepts connections earlier
		c, err := pgx.Connect(t.Context(), "postgres://postgres@"+addr+"/postgres")
		if err == nil {
			_ = c.Close(t.Context())
		}
		return err == nil
	}, time.Minute, 50*time.Millisecond)
	return addr
}

func natsServer(t *testing.T) string {
	s, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(time.Minute))
	return s.Addr().String()
}

// cutAfter forwards connections to an address and ends each after a number of bytes from the server.
func cutAfter(t *testing.T, addr string, bytes int64) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer client.Close()
				server, err := net.Dial("tcp", addr)
				if err != nil {
					return
				}
				defer server.Close()
				all.Go(func() { _, _ = io.Copy(server, client) })
				_, _ = io.CopyN(client, server, bytes)
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); all.Wait() })
	return ln.Addr().String()
}

// fill adds enough effects that a reading is cut in their middle.
func fill(add func(key, id string)) {
	for i := range 3000 {
		add(fmt.Sprint("fill-", strings.Repeat("x", 40), i), strconv.Itoa(i))
	}
}
