//go:build unix

package link

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestServeInChild is not a test. It is the upstream process of other tests: an echo server that runs
// until it is killed or its input is closed.
func TestServeInChild(t *testing.T) {
	if os.Getenv("LINK_TEST_SERVE") == "" {
		return
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, err = os.Stdout.WriteString("address " + ln.Addr().String() + "\n")
	require.NoError(t, err)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		c, err := ln.Accept()
		require.NoError(t, err)
		go func() { _, _ = io.Copy(c, c); c.Close() }()
	}
}

// process starts an upstream process and returns its address.
func process(t *testing.T) (addr string, p *os.Process) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestServeInChild$") //nolint:gosec // this test binary
	cmd.Env = append(os.Environ(), "LINK_TEST_SERVE=1")
	_, err := cmd.StdinPipe() // closed when this process ends
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "address ")
	return line[len("address ") : len(line)-1], cmd.Process
}

// usedAndIdle opens two connections that have reached the upstream: one that carries bytes and one
// that never does.
func usedAndIdle(t *testing.T, l *Link) (used, idle *net.TCPConn) {
	t.Helper()
	used, idle = dial(t, l), dial(t, l)
	send(t, used, "x")
	expect(t, used, "x")
	require.Eventually(t, func() bool { return l.Counters().Live == 2 && l.Waiting(0) == 0 }, 20*time.Second, time.Millisecond)
	return used, idle
}

func TestOutageOfKilledProcess(t *testing.T) {
	addr, p := process(t)
	l := open(t, addr)
	used, idle := usedAndIdle(t, l)
	before := l.Outage()
	require.Zero(t, before)
	require.NoError(t, p.Kill())
	_, err := p.Wait() // its connections may end before its port is closed
	require.NoError(t, err)
	for _, c := range []*net.TCPConn{used, idle} {
		_, err := c.Read(make([]byte, 1))
		require.Error(t, err)
	}
	require.ErrorIs(t, firstRead(l), syscall.ECONNRESET)
	require.Eventually(t, func() bool { return l.Outage().Refused == 1 }, 20*time.Second, time.Millisecond)
	require.Equal(t, Outage{Refused: 1, Ended: 1, EndedIdle: 1}, l.Outage().Sub(before))
	require.EqualValues(t, 2, l.Outage().Met())
	require.EqualValues(t, 1, l.Counters().DialErrors)
}

func TestOutageOfUnusedProcess(t *testing.T) {
	addr, p := process(t)
	l := open(t, addr)
	idle := dial(t, l)
	require.Eventually(t, func() bool { return l.Counters().Live == 1 && l.Waiting(0) == 0 }, 20*time.Second, time.Millisecond)
	require.NoError(t, p.Kill())
	_, err := idle.Read(make([]byte, 1))
	require.Error(t, err)
	require.Equal(t, Outage{EndedIdle: 1}, l.Outage())
	require.Zero(t, l.Outage().Met())
}

func TestWaitingForHungProcess(t *testing.T) {
	addr, p := process(t)
	l := open(t, addr)
	used, idle := usedAndIdle(t, l)
	require.NoError(t, p.Signal(syscall.SIGSTOP))
	awaitStopped(t, p.Pid)
	fresh := dial(t, l) // the kernel accepts the connection, but nothing answers
	leaves := dial(t, l)
	for _, c := range []*net.TCPConn{used, fresh, leaves} {
		send(t, c, "y")
	}
	require.Eventually(t, func() bool { return l.Waiting(20*time.Millisecond) == 3 }, 20*time.Second, time.Millisecond, "all but the idle one")
	require.Zero(t, l.Waiting(time.Hour))
	require.NoError(t, leaves.SetLinger(0))
	require.NoError(t, leaves.Close())
	require.Eventually(t, func() bool { return l.Outage() == Outage{Abandoned: 1} }, 20*time.Second, time.Millisecond)
	require.EqualValues(t, 2, l.Waiting(0))
	require.NoError(t, p.Signal(syscall.SIGCONT))
	expect(t, used, "y")
	expect(t, fresh, "y")
	require.Zero(t, l.Waiting(0))
	require.NoError(t, idle.Close())
	require.NoError(t, used.Close())
	require.Eventually(t, func() bool { return l.Counters().Live == 1 }, 20*time.Second, time.Millisecond)
	require.Equal(t, Outage{Abandoned: 1}, l.Outage(), "clients that leave with their answers miss nothing")
}

// awaitStopped waits until the kernel has stopped all threads of a process, which it does some time after the signal
// was sent. Where /proc is missing, it does not wait.
func awaitStopped(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, path := range stats {
			if raw, err := os.ReadFile(path); err == nil && !strings.Contains(string(raw), ") T ") {
				return false
			}
		}
		return true
	}, 20*time.Second, time.Millisecond)
}

// TestServerCloseAfterClientIsNoOutage: a server that answers the client's FIN with its own, or closes
// an unused connection, is healthy.
func TestServerCloseAfterClientIsNoOutage(t *testing.T) {
	l, client, server := pair(t)
	require.NoError(t, client.CloseWrite())
	_, err := io.ReadAll(server)
	require.NoError(t, err)
	require.NoError(t, server.Close())
	_, err = io.ReadAll(client)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return l.Counters().Live == 0 }, 20*time.Second, time.Millisecond)
	require.Zero(t, l.Outage())
}
