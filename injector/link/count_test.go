package link

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// chatter is a server that writes continuously until the client closes the connection.
func chatter(c *net.TCPConn) {
	ended := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, c); close(ended) }()
	for {
		select {
		case <-ended:
			return
		case <-time.After(2 * time.Millisecond):
			if _, err := c.Write([]byte("tick")); err != nil {
				c.Close()
			}
		}
	}
}

// TestConnectionsAreCountedOnce checks that faults that count connections count each one once, even if
// it is affected in both directions and by many chunks.
func TestConnectionsAreCountedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		put        func(*Link, On) (Heal, error)
		afterFault bool // the connection is opened after the fault was added
		input      string
	}{
		"cut off":           {func(l *Link, on On) (Heal, error) { return l.CutOff(Cut{On: on}) }, false, "x"},
		"cut off on dial":   {func(l *Link, on On) (Heal, error) { return l.CutOff(Cut{On: on}) }, true, "x"},
		"half-open":         {func(l *Link, on On) (Heal, error) { return l.HalfOpen(on) }, false, "x"},
		"closed":            {func(l *Link, on On) (Heal, error) { return l.CloseAfter(EarlyClose{On: on, AfterBytes: 20}) }, false, "x"},
		"closed, a new one": {func(l *Link, on On) (Heal, error) { return l.CloseAfter(EarlyClose{On: on, AfterBytes: 20}) }, true, "x"},
		"closed late":       {func(l *Link, on On) (Heal, error) { return l.CloseSlowly(SlowClose{On: on, By: time.Millisecond}) }, false, "x"},
		"reset in time":     {func(l *Link, on On) (Heal, error) { return l.Reset(Reset{On: on, After: 20 * time.Millisecond}) }, false, "x"},
		"reset by bytes":    {func(l *Link, on On) (Heal, error) { return l.Reset(Reset{On: on, AfterBytes: 20}) }, false, "x"},
		"accepted late":     {func(l *Link, on On) (Heal, error) { return l.AcceptSlowly(SlowAccept{On: on, By: time.Millisecond}) }, true, "x"},
		"stalled":           {func(l *Link, on On) (Heal, error) { return l.StallTLS(on) }, true, "\x16"},
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, serve(t, chatter))
			client := dial(t, l)
			expect(t, client, "tick")
			if c.afterFault {
				client.Close()
				require.Eventually(t, func() bool { return l.Counters().Live == 0 }, 20*time.Second, time.Millisecond)
			}
			count := evidence.NewCounter("connections")
			heal, err := c.put(l, On{ID: "f1", Count: count})
			require.NoError(t, err)
			if c.afterFault {
				client = dial(t, l)
			}
			for range 20 {
				_, _ = io.WriteString(client, c.input)
				time.Sleep(2 * time.Millisecond)
			}
			_ = client.CloseWrite()
			require.Eventually(t, func() bool { return count.Tally().Affected > 0 }, 20*time.Second, time.Millisecond)
			require.NoError(t, heal(t.Context()))
			_, _ = io.Copy(io.Discard, client)
			got := count.Tally()
			require.EqualValues(t, 1, got.Affected)
			require.EqualValues(t, 1, got.Seen)
			require.EqualValues(t, 1, got.Connections)
		})
	}
}

// TestNewConnectionsAreNumberedFromOne tests faults that act on new connections only.
func TestNewConnectionsAreNumberedFromOne(t *testing.T) {
	for name, put := range map[string]func(*Link, On) (Heal, error){
		"accept": func(l *Link, on On) (Heal, error) { return l.AcceptSlowly(SlowAccept{On: on}) },
		"TLS":    func(l *Link, on On) (Heal, error) { return l.StallTLS(on) },
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, serve(t, echo))
			clients := make([]*net.TCPConn, 6)
			for i := range 3 {
				clients[i] = dial(t, l)
				send(t, clients[i], "x")
				expect(t, clients[i], "x")
			}
			heal, err := put(l, On{ID: "f1", From: 2, First: 2})
			require.NoError(t, err)
			for i := 3; i < 6; i++ {
				clients[i] = dial(t, l)
				send(t, clients[i], "\x16")
				if i != 4 {
					expect(t, clients[i], "\x16")
				}
			}
			expectSilence(t, clients[4])
			require.NoError(t, heal(t.Context()))
			expect(t, clients[4], "\x16")
		})
	}
}

func TestConnectionsAreNumberedForEachFault(t *testing.T) {
	l := unboundLink()
	l.ids = 10
	for _, id := range []uint64{9, 3, 7} { // the others have ended
		l.conns[&conn{id: id}] = struct{}{}
	}
	for _, c := range []struct {
		On
		want []uint64
	}{
		{On{}, []uint64{3, 7, 9, 11, 12, 13}},
		{On{First: 2}, []uint64{3, 7}},
		{On{First: 4}, []uint64{3, 7, 9, 11}},
		{On{From: 1}, []uint64{3, 7, 9, 11, 12, 13}},
		{On{From: 3}, []uint64{9, 11, 12, 13}},
		{On{From: 5}, []uint64{12, 13}},
		{On{From: 2, First: 4}, []uint64{7, 9, 11}},
		{On{From: 5, First: 5}, []uint64{12}},
	} {
		w := l.newChooser(c.On)
		var got []uint64
		for _, id := range []uint64{3, 7, 9, 11, 12, 13} {
			if w.picks("a -> b", id) {
				got = append(got, id)
			}
		}
		require.Equal(t, c.want, got, "%+v", c.On)
	}
}

// TestBytesAreCountedBeforeTheyArrive checks at each arrival that the link has counted all that has arrived. Large
// messages are moved by splice, others copied; during a fault they pass through the queue.
func TestBytesAreCountedBeforeTheyArrive(t *testing.T) {
	for name, c := range map[string]struct {
		size, messages int
		fault          bool
	}{
		"copied": {1, 20000, false},
		"queued": {1, 5000, true},
		"moved":  {300 << 10, 300, false},
	} {
		t.Run(name, func(t *testing.T) {
			l, client, server := pair(t)
			if c.fault {
				heal, err := l.Delay(Delay{On: On{ID: "f1", Count: evidence.NewCounter("traffic")}, By: time.Microsecond})
				require.NoError(t, err)
				defer func() { require.NoError(t, heal(t.Context())) }()
			}
			pass := func(from, to *net.TCPConn, arrived int64, counted func(Counters) int64) int64 {
				sent := make(chan error, 1)
				go func() { _, err := from.Write(make([]byte, c.size)); sent <- err }()
				buf := make([]byte, c.size)
				for rest := c.size; rest > 0; {
					n, err := to.Read(buf)
					require.NoError(t, err)
					rest -= n
					arrived += int64(n)
					require.GreaterOrEqual(t, counted(l.Counters()), arrived)
				}
				require.NoError(t, <-sent)
				return arrived
			}
			before := l.Counters()
			toServer, toClient := before.BytesToServer, before.BytesToClient
			for range repeats(c.messages) {
				toServer = pass(client, server, toServer, func(c Counters) int64 { return c.BytesToServer })
				toClient = pass(server, client, toClient, func(c Counters) int64 { return c.BytesToClient })
			}
			require.Equal(t, toServer, l.Counters().BytesToServer)
			require.Equal(t, toClient, l.Counters().BytesToClient)
		})
	}
}

// TestUnwrittenBytesAreNotCounted makes the writes to either side fail.
func TestUnwrittenBytesAreNotCounted(t *testing.T) {
	for name, toServer := range map[string]bool{"to the server": true, "to the client": false} {
		t.Run(name, func(t *testing.T) {
			l, client, server := pair(t)
			before := l.Counters()
			l.mu.Lock()
			for c := range l.conns {
				c.mu.Lock()
				require.NoError(t, c.peer.SetWriteDeadline(time.Unix(1, 0)))
				require.NoError(t, c.sock.SetWriteDeadline(time.Unix(1, 0)))
				c.mu.Unlock()
			}
			l.mu.Unlock()
			if toServer {
				send(t, client, "lost")
			} else {
				send(t, server, "lost")
			}
			require.Eventually(t, func() bool { return l.Counters().Live == 0 }, 20*time.Second, time.Millisecond)
			require.Equal(t, before.BytesToServer, l.Counters().BytesToServer)
			require.Equal(t, before.BytesToClient, l.Counters().BytesToClient)
		})
	}
}
