package link

import (
	"io"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// TestAffectedOrIdle checks that a connection counts as affected if it was in use, and as idle if the
// fault broke or held an unused one.
func TestAffectedOrIdle(t *testing.T) {
	reset := func(l *Link, on On) (Heal, error) { return l.Reset(Reset{On: on}) }
	refuse := func(l *Link, on On) (Heal, error) { return l.Refuse(on.Count) }
	cut := func(l *Link, on On) (Heal, error) { return l.CutOff(Cut{On: on}) }
	halfOpen := func(l *Link, on On) (Heal, error) { return l.HalfOpen(on) }
	closeClient := func(_ *testing.T, _ *Link, client, _ *net.TCPConn) { _ = client.CloseWrite() }
	request := func(t *testing.T, _ *Link, client, _ *net.TCPConn) { send(t, client, "y") }
	reply := func(t *testing.T, _ *Link, _, server *net.TCPConn) { send(t, server, "y") }
	for name, c := range map[string]struct {
		used           bool // carries bytes just before the fault
		put            func(*Link, On) (Heal, error)
		during         func(t *testing.T, l *Link, client, server *net.TCPConn)
		affected, idle int64
	}{
		"reset, idle":                {false, reset, nil, 0, 1},
		"reset, used":                {true, reset, nil, 1, 0},
		"refuse, idle":               {false, refuse, nil, 0, 1},
		"refuse, used":               {true, refuse, nil, 1, 0},
		"cut off, idle":              {false, cut, nil, 0, 0},
		"cut off, used before only":  {true, cut, nil, 0, 0},
		"cut off, request during":    {false, cut, request, 1, 0},
		"cut off, reply during":      {false, cut, reply, 1, 0},
		"cut off, idle and closed":   {false, cut, closeClient, 0, 1},
		"cut off, used and closed":   {true, cut, closeClient, 1, 0},
		"half-open, idle":            {false, halfOpen, nil, 0, 1}, // when the fault is healed
		"half-open, request during":  {false, halfOpen, request, 1, 0},
		"half-open, reply during":    {false, halfOpen, reply, 1, 0},
		"half-open, idle and closed": {false, halfOpen, closeClient, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := make(chan *net.TCPConn, 1)
			l := open(t, serve(t, func(c *net.TCPConn) { servers <- c; <-t.Context().Done() }))
			client := dial(t, l)
			server := <-servers
			require.Eventually(t, func() bool { return l.Waiting(0) == 0 }, 20*time.Second, time.Millisecond)
			if c.used {
				send(t, client, "x")
				expect(t, server, "x")
				send(t, server, "x")
				expect(t, client, "x")
			}
			count := evidence.NewCounter("connections")
			heal, err := c.put(l, On{ID: "f1", Count: count})
			require.NoError(t, err)
			if c.during != nil {
				c.during(t, l, client, server)
				require.Eventually(t, func() bool { got := count.Tally(); return got.Affected+got.Idle > 0 }, 20*time.Second, time.Millisecond)
			}
			require.NoError(t, heal(t.Context()))
			got := count.Tally()
			require.Equal(t, c.affected, got.Connections)
			if c.affected == 0 || !strings.HasPrefix(name, "refuse") { // other processes' connects may have been refused too
				require.Equal(t, c.affected, got.Affected)
			}
			require.Equal(t, c.idle, got.Idle)
		})
	}
}

// TestIdleEndThenBytes checks that a connection never counts as both affected and idle.
func TestIdleEndThenBytes(t *testing.T) {
	servers := make(chan *net.TCPConn, 1)
	l := open(t, serve(t, func(c *net.TCPConn) { servers <- c; <-t.Context().Done() }))
	client := dial(t, l)
	server := <-servers
	require.Eventually(t, func() bool { return l.Waiting(0) == 0 }, 20*time.Second, time.Millisecond)
	count := evidence.NewCounter("connections")
	heal, err := l.CutOff(Cut{On: On{ID: "f1", Count: count}})
	require.NoError(t, err)
	require.NoError(t, client.CloseWrite())
	require.Eventually(t, func() bool { return count.Tally().Idle == 1 }, 20*time.Second, time.Millisecond)
	send(t, server, "late news")
	require.Eventually(t, func() bool { return count.Tally().Affected == 1 }, 20*time.Second, time.Millisecond)
	require.Zero(t, count.Tally().Idle)
	require.NoError(t, heal(t.Context()))
}

// TestRefusedConnectsOfClientsAreCounted checks that refused connects are counted only if the link was
// in use. Otherwise they may belong to other links.
func TestRefusedConnectsOfClientsAreCounted(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the number is available on Linux only")
	}
	bash, err := exec.LookPath("bash")
	require.NoError(t, err)
	for name, used := range map[string]bool{"used": true, "never used": false} {
		t.Run(name, func(t *testing.T) {
			l := open(t, serve(t, echo))
			if used { // as by a client that connects for each call
				c := dial(t, l)
				send(t, c, "x")
				expect(t, c, "x")
				require.NoError(t, c.Close())
				require.Eventually(t, func() bool { return l.Counters().Live == 0 }, 20*time.Second, time.Millisecond)
			}
			count := evidence.NewCounter("connections")
			heal, err := l.Refuse(count)
			require.NoError(t, err)
			host, port, err := net.SplitHostPort(l.Addr())
			require.NoError(t, err)
			for range 3 {
				require.Error(t, exec.CommandContext(t.Context(), bash, "-c", "exec 3<>/dev/tcp/"+host+"/"+port).Run()) //nolint:gosec // another process that connects
			}
			if used {
				require.Eventually(t, func() bool { return count.Tally().Affected >= 3 }, 20*time.Second, time.Millisecond, "while the fault is live")
			}
			require.NoError(t, heal(t.Context()))
			if !used {
				require.Zero(t, count.Tally().Affected)
			}
		})
	}
}

// TestRefusedDialsOfLinksAreNotCounted: the kernel counts these, too. Other processes may increase its
// counter, so the test needs one moment without them.
func TestRefusedDialsOfLinksAreNotCounted(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the number is available on Linux only")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	down := open(t, ln.Addr().String())
	require.Eventually(t, func() bool {
		before, ok := refusedByKernel()
		own := refusedDials.Load()
		for range 20 {
			if firstRead(down) == nil {
				return false
			}
		}
		after, _ := refusedByKernel()
		return ok && refusedDials.Load()-own >= 20 && after-before < 20
	}, 20*time.Second, 10*time.Millisecond)
}

// TestBytesAreCountedWithAndWithoutFaults also covers bulk transfers.
func TestBytesAreCountedWithAndWithoutFaults(t *testing.T) {
	l, client, server := pair(t)
	both := func(n int64) {
		t.Helper()
		was := l.Counters()
		for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
			go func() { _, _ = way[0].Write(make([]byte, n)) }()
			_, err := io.ReadFull(way[1], make([]byte, n))
			require.NoError(t, err)
		}
		now := l.Counters()
		require.Equal(t, n, now.BytesToServer-was.BytesToServer)
		require.Equal(t, n, now.BytesToClient-was.BytesToClient)
	}
	both(1000)
	heal, err := l.Delay(Delay{On: On{ID: "f1"}, By: time.Millisecond})
	require.NoError(t, err)
	both(1000)
	require.NoError(t, heal(t.Context()))
	both(8 << 20)
}
