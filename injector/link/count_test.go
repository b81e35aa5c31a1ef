package link

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// chatter is a server that talks all the time and hangs up when the client has.
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

// TestConnectionsAreCountedOnce: where connections are the unit, one that is touched in both directions, chunk after chunk, is one.
func TestConnectionsAreCountedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		put   func(*Link, On) (Heal, error)
		fresh bool // the connection comes after the fault
		says  string
	}{
		"cut off":           {func(l *Link, on On) (Heal, error) { return l.CutOff(Cut{On: on}) }, false, "x"},
		"cut off on dial":   {func(l *Link, on On) (Heal, error) { return l.CutOff(Cut{On: on}) }, true, "x"},
		"half-open":         {func(l *Link, on On) (Heal, error) { return l.HalfOpen(on) }, false, "x"},
		"closed":            {func(l *Link, on On) (Heal, error) { return l.CloseAfter(Close{On: on, AfterBytes: 20}) }, false, "x"},
		"closed, a new one": {func(l *Link, on On) (Heal, error) { return l.CloseAfter(Close{On: on, AfterBytes: 20}) }, true, "x"},
		"closed late":       {func(l *Link, on On) (Heal, error) { return l.CloseSlowly(SlowClose{On: on, By: time.Millisecond}) }, false, "x"},
		"reset in time":     {func(l *Link, on On) (Heal, error) { return l.Reset(Reset{On: on, After: 20 * time.Millisecond}) }, false, "x"},
		"reset by bytes":    {func(l *Link, on On) (Heal, error) { return l.Reset(Reset{On: on, AfterBytes: 20}) }, false, "x"},
		"accepted late":     {func(l *Link, on On) (Heal, error) { return l.AcceptSlowly(SlowAccept{On: on, By: time.Millisecond}) }, true, "x"},
		"stalled":           {func(l *Link, on On) (Heal, error) { return l.StallTLS(on) }, true, "\x16"},
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, serve(t, chatter))
			client := dial(t, l)
			hear(t, client, "tick")
			if c.fresh {
				client.Close()
				require.Eventually(t, func() bool { return l.Counters().Live == 0 }, 20*time.Second, time.Millisecond)
			}
			count := evidence.NewCounter("connections")
			heal, err := c.put(l, On{ID: "f1", Count: count})
			require.NoError(t, err)
			if c.fresh {
				client = dial(t, l)
			}
			for range 20 {
				_, _ = io.WriteString(client, c.says)
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

// TestNewConnectionsAreNumberedFromOne where a fault acts on no others.
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
				say(t, clients[i], "x")
				hear(t, clients[i], "x")
			}
			heal, err := put(l, On{ID: "f1", From: 2, First: 2})
			require.NoError(t, err)
			for i := 3; i < 6; i++ {
				clients[i] = dial(t, l)
				say(t, clients[i], "\x16")
				if i != 4 {
					hear(t, clients[i], "\x16")
				}
			}
			silent(t, clients[4])
			require.NoError(t, heal(t.Context()))
			hear(t, clients[4], "\x16")
		})
	}
}
