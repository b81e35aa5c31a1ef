//go:build unix

package link

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLinkInChild is not a test. It runs a link in a process that has few descriptors left. It prints
// its address, and its counters for each line of input.
func TestLinkInChild(t *testing.T) {
	upstream := os.Getenv("LINK_TEST_UPSTREAM")
	if upstream == "" {
		return
	}
	l, err := Open(Config{Name: "a -> b", Upstream: upstream})
	require.NoError(t, err)
	const left = 9
	// The listing itself uses one descriptor.
	most := descriptors() - 1 + left
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(most), Max: uint64(most)})) //nolint:gosec // positive
	fmt.Println(l.Addr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		text, err := json.Marshal(l.Counters())
		require.NoError(t, err)
		fmt.Println(string(text))
	}
	os.Exit(0)
}

// childLink is a link in a child process.
type childLink struct {
	t    *testing.T
	addr string
	in   io.Writer
	out  *bufio.Reader
}

func startChildLink(t *testing.T, upstream string) *childLink {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLinkInChild$") //nolint:gosec // this test binary
	cmd.Env = append(os.Environ(), "LINK_TEST_UPSTREAM="+upstream)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	f := &childLink{t: t, in: in, out: bufio.NewReader(out)}
	f.addr = f.line()
	return f
}

func (f *childLink) line() string {
	f.t.Helper()
	line, err := f.out.ReadString('\n')
	require.NoError(f.t, err)
	return line[:len(line)-1]
}

func (f *childLink) counters() (c Counters) {
	f.t.Helper()
	_, err := io.WriteString(f.in, "counters\n")
	require.NoError(f.t, err)
	require.NoError(f.t, json.Unmarshal([]byte(f.line()), &c))
	return c
}

// TestDescriptorShortageIsNotRefusal checks that connections wait while descriptors are short and are
// served later. The shortage is counted as a local limit, and neither as a failed dial nor as a reset.
func TestDescriptorShortageIsNotRefusal(t *testing.T) {
	f := startChildLink(t, serve(t, echo))
	clients := make([]net.Conn, 10)
	for i := range clients {
		c, err := net.Dial("tcp", f.addr)
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		require.NoError(t, c.SetDeadline(time.Now().Add(30*time.Second)))
		send(t, c, "x")
		if i < 4 { // two of the nine descriptors each
			expect(t, c, "x")
		}
		clients[i] = c
	}
	require.Eventually(t, func() bool { return f.counters().LocalLimits > 0 }, 20*time.Second, 5*time.Millisecond)
	require.Contains(t, f.counters().LocalLimitError, syscall.EMFILE.Error())
	for _, c := range clients[:4] {
		require.NoError(t, c.Close())
	}
	var served sync.WaitGroup
	for _, c := range clients[4:] { // concurrently: a connection that is served first frees its descriptors for the others
		served.Go(func() {
			_, err := io.ReadFull(c, make([]byte, 1))
			assert.NoError(t, err)
			assert.NoError(t, c.Close())
		})
	}
	served.Wait()
	var got Counters
	require.Eventually(t, func() bool { // bytes are counted after they were written
		got = f.counters()
		return got.BytesToServer == int64(len(clients))
	}, 20*time.Second, 5*time.Millisecond)
	require.Zero(t, got.DialErrors)
	require.Zero(t, got.Resets)
	require.EqualValues(t, len(clients), got.Opened)
}
