package injector

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
)

// patience is how long a test waits for something that must happen.
const patience = time.Minute

// readToEnd makes one request and reads until the connection ends or wait is over. It returns the number of bytes read,
// the error of the last read, and the duration.
func (tg *target) readToEnd(t *testing.T, wait time.Duration) (n int, end error, took time.Duration) { //nolint:staticcheck // end is not a failure
	t.Helper()
	began := time.Now()
	c, err := net.Dial("tcp", tg.Link.Addr())
	require.NoError(t, err)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(wait))
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	for buf := make([]byte, 1024); ; {
		more, err := c.Read(buf)
		n += more
		if err != nil {
			return n, err, time.Since(began)
		}
	}
}

func endsAfter(bytes int, want error) func(*testing.T, *target) bool {
	return func(t *testing.T, tg *target) bool {
		n, end, _ := tg.readToEnd(t, patience)
		return n == bytes && errors.Is(end, want)
	}
}

func closesLate(by time.Duration) func(*testing.T, *target) bool {
	return func(t *testing.T, tg *target) bool {
		n, end, took := tg.readToEnd(t, patience)
		return n > 100 && errors.Is(end, io.EOF) && took >= by
	}
}

// peerAnswered reports whether a request on the older connection is answered.
func (tg *target) peerAnswered(wait time.Duration) bool {
	_ = tg.peer.SetDeadline(time.Now().Add(wait))
	_, _ = io.WriteString(tg.peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	n, err := tg.peer.Read(make([]byte, 1024))
	return err == nil && n > 0
}

// halfOpen reports whether the older connection is silent and a new one works.
func halfOpen(_ *testing.T, tg *target) bool {
	return !tg.peerAnswered(200*time.Millisecond) && tg.healthy()
}

// acceptsNone reports whether a new connection is established but not answered, while the older one works.
func acceptsNone(t *testing.T, tg *target) bool {
	n, end, _ := tg.readToEnd(t, 200*time.Millisecond)
	return n == 0 && errors.Is(end, os.ErrDeadlineExceeded) && tg.peerAnswered(patience)
}

// stalls reports whether the start of a TLS handshake gets no answer at all, while plaintext calls work.
func stalls(t *testing.T, tg *target) bool {
	t.Helper()
	c, err := net.Dial("tcp", tg.Link.Addr())
	require.NoError(t, err)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(200 * time.Millisecond))
	_, _ = io.WriteString(c, "\x16\x03\x01\r\n\r\n")
	_, err = c.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded) && tg.healthy()
}

// ramps reports whether calls become slower until they take the full delay in both directions.
func ramps(_ *testing.T, tg *target) bool {
	_, first := tg.ask(1, patience)
	for range 2 { // one may have been slow by chance
		_, took := tg.ask(1, patience)
		first = min(first, took)
	}
	for began := time.Now(); time.Since(began) < patience; {
		if a, took := tg.ask(1, patience); took >= 2*150*time.Millisecond && took > first {
			return a[0] == "200 done"
		}
	}
	return false
}

// waves reports whether calls are alternately slow and fast.
func waves(_ *testing.T, tg *target) bool {
	turns := 0
	for began := time.Now(); turns < 4 && time.Since(began) < patience; {
		_, took := tg.ask(1, patience)
		if slow := took >= 100*time.Millisecond; slow == (turns%2 == 0) {
			turns++
		}
	}
	return turns == 4
}

// shared reports whether the slower of two concurrent calls takes longer than a single call would.
func shared(_ *testing.T, tg *target) bool {
	durations := make(chan time.Duration, 2)
	for range 2 {
		go func() {
			_, took := tg.ask(1, patience)
			durations <- took
		}()
	}
	return max(<-durations, <-durations) >= 450*time.Millisecond
}

// TestOneWay checks that a one-way fault acts on traffic in its direction only.
func TestOneWay(t *testing.T) {
	for _, f := range []OneWay{
		SlowTraffic{By: 150 * time.Millisecond, Way: Way{Dir: link.ToServer}},
		SlowTraffic{By: 300 * time.Millisecond, Jitter: 10 * time.Millisecond, Spread: link.Normal, Way: Way{Dir: link.ToServer}},
		SlowTraffic{By: 300 * time.Millisecond, Jitter: 10 * time.Millisecond, Spread: link.Pareto, Way: Way{Dir: link.ToServer}},
		Ramp{Start: 200 * time.Millisecond, End: 150 * time.Millisecond, Over: time.Minute, Way: Way{Dir: link.ToServer}},
		Wave{By: 150 * time.Millisecond, Up: time.Minute, Down: time.Minute, Way: Way{Dir: link.ToServer}},
		Bandwidth{Rate: 500, Way: Way{Dir: link.ToServer}},
		SharedBandwidth{Rate: 500, Way: Way{Dir: link.ToServer}},
		Sliced{Size: 10, Apart: 20 * time.Millisecond, Way: Way{Dir: link.ToServer}},
	} {
		reversed, ok := f.Reversed()
		require.True(t, ok)
		require.Equal(t, f.Say("a", "b"), reversed.Say("b", "a"), "the sentence depends on the direction of the link")
		again, _ := reversed.(OneWay).Reversed()
		require.Equal(t, Fault(f), again)
		t.Run(f.Say("orders", "payments"), func(t *testing.T) {
			require.Equal(t, []int64{100, 0}, affectedBytes(t, f))
			require.Equal(t, []int64{0, 100}, affectedBytes(t, reversed))
		})
	}
	for _, both := range []OneWay{SlowTraffic{By: 1}, Ramp{}, Wave{}, Bandwidth{}, SharedBandwidth{}, Sliced{}} {
		same, ok := both.Reversed()
		require.False(t, ok)
		require.Equal(t, Fault(both), same)
	}
}

// affectedBytes sends 100 bytes to the server and then 100 bytes to the client, and returns how many of each the fault
// affected. Affected bytes must take at least 100 ms.
func affectedBytes(t *testing.T, f Fault) (affected []int64) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	l, err := link.Open(link.Config{Name: "orders -> payments", Upstream: ln.Addr().String()})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	client, err := net.Dial("tcp", l.Addr())
	require.NoError(t, err)
	defer client.Close()
	server, err := ln.Accept()
	require.NoError(t, err)
	defer server.Close()
	count := evidence.NewCounter("traffic")
	heal, err := f.Inject(t.Context(), Target{ID: "f1", Link: l, Count: count})
	require.NoError(t, err)
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		began, before := time.Now(), count.Tally().BytesSeen
		_, err := io.WriteString(way[0], strings.Repeat("x", 100))
		require.NoError(t, err)
		_, err = io.ReadFull(way[1], make([]byte, 100))
		require.NoError(t, err)
		affected = append(affected, count.Tally().BytesSeen-before)
		require.True(t, affected[len(affected)-1] == 0 || time.Since(began) >= 100*time.Millisecond)
	}
	require.Positive(t, count.Tally().Affected)
	require.NoError(t, heal(t.Context()))
	return affected
}

// TestConns checks that a fault acts on the selected connections only.
func TestConns(t *testing.T) {
	for _, c := range []struct {
		conns Conns
		want  string // for the older connection and three new ones
	}{
		{Conns{First: 2}, "silent silent answered answered"},
		{Conns{From: 3}, "answered answered silent silent"},
		{Conns{From: 2, First: 3}, "answered silent silent answered"},
		{Conns{Share: 0.5}, "silent answered silent silent"}, // depends on the seed
	} {
		t.Run(c.conns.noun("connections"), func(t *testing.T) {
			tg := newTarget(t, "tcp")
			testInjectAndHeal(t, tg, "connections", Silence{c.conns}, func(t *testing.T, tg *target) bool {
				text := map[bool]string{true: "answered", false: "silent"}
				within := map[string]time.Duration{"answered": patience, "silent": 300 * time.Millisecond}
				want := strings.Fields(c.want)
				got := []string{text[tg.peerAnswered(within[want[0]])]}
				for _, one := range want[1:] {
					a, _ := tg.ask(1, within[one])
					got = append(got, text[a[0] == "200 done"])
				}
				require.Equal(t, want, got)
				return true
			})
		})
	}
}

func TestResetAfterDelay(t *testing.T) {
	tg := newTarget(t, "tcp")
	testInjectAndHeal(t, tg, "connections", Reset{After: time.Second}, func(_ *testing.T, tg *target) bool {
		_ = tg.peer.SetDeadline(time.Now().Add(patience))
		for answered := false; ; answered = true { // an idle connection would not count as affected
			_, err := io.WriteString(tg.peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			if err == nil {
				_, err = tg.peer.Read(make([]byte, 1024))
			}
			if err != nil {
				return answered && errors.Is(err, syscall.ECONNRESET)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// TestHealingHalfOpenResetsConnections: a stream that lost bytes cannot continue.
func TestHealingHalfOpenResetsConnections(t *testing.T) {
	tg := newTarget(t, "tcp")
	testInjectAndHeal(t, tg, "connections", HalfOpen{}, halfOpen)
	_ = tg.peer.SetDeadline(time.Now().Add(patience))
	_, err := tg.peer.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

// TestInvalidStreamFaultsAreRejected also checks that a rejected fault has no effect.
func TestInvalidStreamFaultsAreRejected(t *testing.T) {
	tg := newTarget(t, "tcp")
	for _, f := range []Fault{
		SlowTraffic{By: time.Second, Jitter: 2 * time.Second}, SlowTraffic{By: time.Second, Jitter: 600 * time.Millisecond, Spread: link.Pareto}, SlowTraffic{By: 1, Spread: 9},
		Ramp{}, Ramp{Start: time.Second}, Ramp{End: -1, Over: 1}, Wave{By: 1, Up: 1}, Wave{By: 1, Up: -1, Down: 1}, Bandwidth{}, SharedBandwidth{Rate: -1},
		Sliced{}, Sliced{Size: 1, Apart: -1}, CloseEarly{AfterBytes: -1}, CloseLate{}, Reset{After: -1}, Reset{After: 1, AfterBytes: 1}, SlowAccept{}, SlowAccept{By: -1},
		Silence{Conns{Share: 2}}, HalfOpen{Conns{First: 1, From: 2}}, StallTLS{Conns{Share: -1}},
	} {
		_, err := f.Inject(t.Context(), tg.Target)
		require.Error(t, err, "%+v", f)
		require.Greater(t, len(err.Error()), 40, "the error does not say what to do: %v", err)
	}
	require.True(t, tg.healthy())
}

func TestStreamFaultSentences(t *testing.T) {
	for want, f := range map[string]Fault{
		`20% of connections from "a" to "b" are reset after 4 KiB`:                                          Reset{AfterBytes: 4096, Conns: Conns{Share: 0.2}},
		`20% of the first 50 connections from "a" to "b" fall silent`:                                       Silence{Conns{Share: 0.2, First: 50}},
		`all but the first 4 connections from "a" to "b" are half-open`:                                     HalfOpen{Conns{From: 5}},
		`5% of the 2nd to the 11th new connections from "a" to "b" are accepted 2s late`:                    SlowAccept{By: 2 * time.Second, Conns: Conns{Share: 0.05, From: 2, First: 11}},
		`the first 3 TLS handshakes from "a" to "b" stall`:                                                  StallTLS{Conns{First: 3}},
		`traffic on 20% of connections from "a" to "b" is delayed by 50ms`:                                  SlowTraffic{By: 50 * time.Millisecond, Way: Way{Conns: Conns{Share: 0.2}}},
		`one-way traffic from "a" to "b" is delayed by 1s, give or take 20ms, normally distributed`:         SlowTraffic{By: time.Second, Jitter: 20 * time.Millisecond, Spread: link.Normal, Way: Way{Dir: link.ToServer}},
		`traffic from "a" to "b" is delayed by 1s, give or take 20ms, with a long tail`:                     SlowTraffic{By: time.Second, Jitter: 20 * time.Millisecond, Spread: link.Pareto},
		`one-way traffic on the first 3 connections from "b" to "a" is sliced into pieces of 1 B`:           Sliced{Size: 1, Way: Way{Dir: link.ToClient, Conns: Conns{First: 3}}},
		`all one-way traffic from "b" to "a" together is limited to 1 MB per second`:                        SharedBandwidth{Rate: 1e6, Way: Way{Dir: link.ToClient}},
		`latency from "a" to "b" ramps from 1s to 0ms over 1m`:                                              Ramp{Start: time.Second, Over: time.Minute},
		`one-way latency on all but the first 9 connections from "a" to "b" ramps from 0ms to 5ms over 20s`: Ramp{End: 5 * time.Millisecond, Over: 20 * time.Second, Way: Way{Dir: link.ToServer, Conns: Conns{From: 10}}},
		`latency from "a" to "b" follows a square wave of 500ms, 2s on and 3s off`:                          Wave{By: 500 * time.Millisecond, Up: 2 * time.Second, Down: 3 * time.Second},
	} {
		require.Equal(t, want, f.Say("a", "b"))
	}
}
