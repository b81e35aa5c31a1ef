package link

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server whose connections run do; it ends with the test.
func serve(t testing.TB, do func(*net.TCPConn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				do(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return ln.Addr().String()
}

func echo(c *net.TCPConn) { _, _ = io.Copy(c, c); _ = c.CloseWrite() }

func open(t testing.TB, upstream string) *Link {
	t.Helper()
	l, err := Open(Config{Name: "a -> b", Upstream: upstream, DialTimeout: 5 * time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func dial(t testing.TB, l *Link) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", l.Addr(), 5*time.Second)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(30*time.Second)))
	return c.(*net.TCPConn)
}

// firstRead is the error that a client meets first: a quick reset comes before connect has returned.
func firstRead(l *Link) error {
	c, err := net.DialTimeout("tcp", l.Addr(), 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	_, err = c.Read(make([]byte, 1))
	return err
}

func say(t testing.TB, c net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(t, err)
}

func hear(t testing.TB, c net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}

func TestHalfCloseIsPassedOnSoRepliesArrive(t *testing.T) {
	l := open(t, serve(t, func(c *net.TCPConn) {
		asked, _ := io.ReadAll(c) // until the client's FIN
		_, _ = c.Write(asked)
	}))
	for range 50 { // Toxiproxy loses each of these replies
		c := dial(t, l)
		say(t, c, "ask")
		require.NoError(t, c.CloseWrite())
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "ask", string(got))
	}
}

func TestServersResetArrivesAsReset(t *testing.T) {
	l := open(t, serve(t, func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 1))
		_ = c.SetLinger(0)
	}))
	c := dial(t, l)
	say(t, c, "x")
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestClientsResetArrivesAsReset(t *testing.T) {
	for name, before := range map[string]func(*net.TCPConn){
		"at once":            func(*net.TCPConn) {},
		"after a half-close": func(c *net.TCPConn) { _ = c.CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			if name == "after a half-close" && runtime.GOOS != "linux" {
				t.Skip("noticed at the next write only")
			}
			seen, read := make(chan error, 1), make(chan struct{}, 1)
			l := open(t, serve(t, func(c *net.TCPConn) {
				buf := make([]byte, 16)
				for {
					_, err := c.Read(buf)
					select {
					case read <- struct{}{}:
					default:
					}
					if errors.Is(err, io.EOF) {
						if reset, _ := awaitReset(rawOf(c)); reset {
							err = syscall.ECONNRESET
						}
					}
					if err != nil {
						seen <- err
						return
					}
				}
			}))
			c := dial(t, l)
			say(t, c, "x")
			before(c)
			<-read
			require.NoError(t, c.SetLinger(0))
			c.Close()
			require.ErrorIs(t, <-seen, syscall.ECONNRESET)
		})
	}
}

func TestUpstreamRefusalIsAReset(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ln.Close()
	l := open(t, ln.Addr().String())
	require.ErrorIs(t, firstRead(l), syscall.ECONNRESET)
	require.EqualValues(t, 1, l.Counters().DialErrors)
}

func TestClientClosingMidDownloadLeaksNothing(t *testing.T) {
	l := open(t, serve(t, func(c *net.TCPConn) {
		block := make([]byte, 64<<10)
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	}))
	for range 20 {
		c := dial(t, l)
		_, err := io.ReadFull(c, make([]byte, 100<<10))
		require.NoError(t, err)
		c.Close()
	}
	require.Eventually(t, func() bool { return l.Counters().Live == 0 }, 10*time.Second, 5*time.Millisecond)
}

func TestCutOffIsSilentAndHealsWithoutLoss(t *testing.T) {
	l := open(t, serve(t, echo))
	c := dial(t, l)
	say(t, c, "one")
	hear(t, c, "one")
	count := evidence.NewCounter("traffic")
	heal, err := l.CutOff(Cut{On: On{ID: "f1", Count: count}, Dir: Both})
	require.NoError(t, err)

	say(t, c, "two")
	fresh := dial(t, l) // accepted, and hears nothing
	say(t, fresh, "three")
	for _, silent := range []*net.TCPConn{c, fresh} {
		require.NoError(t, silent.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
		_, err := silent.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, silent.SetReadDeadline(time.Now().Add(30*time.Second)))
	}
	require.NoError(t, heal(t.Context()))
	require.NoError(t, heal(t.Context()))
	hear(t, c, "two")
	hear(t, fresh, "three")
	told := count.Tally()
	require.EqualValues(t, 2, told.Affected)
	require.EqualValues(t, 2, told.Connections)
	require.EqualValues(t, 3, told.BytesAffected, "what was kept of the connection that was there; the other was not read")
	require.EqualValues(t, 3, told.BytesSeen)
}

func TestCutOffOneWay(t *testing.T) {
	got := make(chan string, 10)
	l := open(t, serve(t, func(c *net.TCPConn) {
		buf := make([]byte, 16)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			got <- string(buf[:n])
			_, _ = c.Write(buf[:n])
		}
	}))
	c := dial(t, l)
	heal, err := l.CutOff(Cut{On: On{ID: "f1", Count: evidence.NewCounter("traffic")}, Dir: ToClient})
	require.NoError(t, err)
	say(t, c, "work")
	require.Equal(t, "work", <-got, "requests still arrive")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, heal(t.Context()))
	require.NoError(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
	hear(t, c, "work")
}

func TestRefuseIsRefusedAndTheSamePortOpensAgain(t *testing.T) {
	l := open(t, serve(t, echo))
	live := dial(t, l)
	say(t, live, "x")
	hear(t, live, "x")
	count := evidence.NewCounter("connections")
	heal, err := l.Refuse(count)
	require.NoError(t, err)
	_, err = live.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	_, err = net.Dial("tcp", l.Addr())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.NoError(t, heal(t.Context()))
	require.NoError(t, heal(t.Context()))
	c := dial(t, l)
	say(t, c, "again")
	hear(t, c, "again")
	require.EqualValues(t, 2, count.Tally().Affected)
}

func TestResetActsOnLiveAndNewConnections(t *testing.T) {
	ends := make(chan error, 10)
	l := open(t, serve(t, func(c *net.TCPConn) {
		_, err := io.Copy(c, c)
		ends <- err
	}))
	live := dial(t, l)
	say(t, live, "x")
	hear(t, live, "x")
	count := evidence.NewCounter("connections")
	heal, err := l.Reset(Reset{On: On{ID: "f1", Count: count}})
	require.NoError(t, err)
	_, err = live.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.ErrorIs(t, <-ends, syscall.ECONNRESET, "the server sees a reset too")
	require.ErrorIs(t, firstRead(l), syscall.ECONNRESET)
	require.EqualValues(t, 2, count.Tally().Affected)
	require.NoError(t, heal(t.Context()))
	c := dial(t, l)
	say(t, c, "y")
	hear(t, c, "y")
}

func TestResetAfterBytes(t *testing.T) {
	l := open(t, serve(t, echo))
	c := dial(t, l)
	count := evidence.NewCounter("connections")
	heal, err := l.Reset(Reset{On: On{ID: "f1", Count: count}, AfterBytes: 4096})
	require.NoError(t, err)
	say(t, c, "few")
	hear(t, c, "few")
	require.Zero(t, count.Tally().Affected)
	_, err = c.Write(make([]byte, 8192))
	require.NoError(t, err)
	_, err = io.ReadAll(c)
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.EqualValues(t, 1, count.Tally().Affected)
	require.NoError(t, heal(t.Context()))
}

func TestShareIsDrawnOncePerConnection(t *testing.T) {
	l := open(t, serve(t, echo))
	fates := func() (hit []bool) {
		heal, err := l.Reset(Reset{On: On{ID: "f1", Share: 0.5, Seed: 7}})
		require.NoError(t, err)
		defer func() { require.NoError(t, heal(t.Context())) }()
		for range 40 {
			c, err := net.Dial("tcp", l.Addr()) // the reset may come before connect returns
			if err == nil {
				_, _ = io.WriteString(c, "x")
				_, err = io.ReadFull(c, make([]byte, 1))
				c.Close()
			}
			hit = append(hit, err != nil)
		}
		return hit
	}
	first := fates()
	require.Contains(t, first, true)
	require.Contains(t, first, false)
	for i, hit := range first {
		require.Equal(t, hit, (&chooser{On: On{ID: "f1", Share: 0.5, Seed: 7}}).picks("a -> b", uint64(i+1)), "connection %d", i+1)
	}
}

func TestHealIsNotStoppedByAStalledReceiver(t *testing.T) {
	l := open(t, serve(t, func(c *net.TCPConn) {
		block := make([]byte, 1<<20)
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	}))
	heal, err := l.Delay(Delay{On: On{ID: "f1", Count: evidence.NewCounter("chunks")}, By: time.Millisecond})
	require.NoError(t, err)
	c := dial(t, l)
	require.Eventually(t, func() bool {
		before := l.Counters().BytesToClient
		time.Sleep(20 * time.Millisecond)
		return before > 0 && l.Counters().BytesToClient == before
	}, 20*time.Second, time.Millisecond, "the pipe never filled")
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	require.NoError(t, heal(ctx))
	require.Less(t, time.Since(began), time.Second)
	_, err = io.ReadFull(c, make([]byte, 16<<20)) // and nothing is stuck
	require.NoError(t, err)
}

// TestJitterKeepsMeanAndSpreadOnAStream: one chunk a millisecond, delayed by 50 ms, give or take 20 ms, in order. Uniform on 30..70 ms has the
// mean 50 and the standard deviation 11.55; Toxiproxy gives 63 and 4, since independent delays in order cannot do better.
func TestJitterKeepsMeanAndSpreadOnAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var q queue
		q.init(nil)
		s := &stage{least: 1, count: evidence.NewCounter("chunks"), make: func(*conn, Dir) shape {
			return &delay{Delay: Delay{By: 50 * time.Millisecond, Jitter: 20 * time.Millisecond}, seed: 3, start: time.Now()}
		}}
		q.set([]*stage{s}, &conn{id: 1}, ToServer)
		const chunks = 60_000
		var sum, squares float64
		sent := make([]time.Time, 0, chunks)
		buf := make([]byte, 1)
		q.fed = true
		for got := 0; got < chunks; { // one goroutine is source and consumer: sleep until the next arrival or departure
			pause := time.Hour
			if len(sent) < chunks {
				pause = time.Duration(len(sent)+1)*time.Millisecond - time.Since(began)
			}
			n, err, wait, state := q.try(buf, false)
			require.NoError(t, err)
			if state == taken {
				require.Equal(t, 1, n)
				late := float64(time.Since(sent[got])) / float64(time.Millisecond)
				sum += late
				squares += late * late
				got++
				continue
			}
			time.Sleep(min(pause, wait))
			if pause <= wait {
				sent = append(sent, time.Now())
				q.append2([]byte{1})
			}
		}
		mean := sum / chunks
		spread := math.Sqrt(squares/chunks - mean*mean)
		assert.InEpsilon(t, 50, mean, 0.02)
		assert.InEpsilon(t, 20/math.Sqrt(3), spread, 0.05)
		assert.EqualValues(t, chunks, s.count.Tally().Affected)
	})
}

func TestDelayIsAskedOfEachExchange(t *testing.T) {
	l := open(t, serve(t, echo))
	heal, err := l.Delay(Delay{On: On{ID: "f1", Count: evidence.NewCounter("chunks")}, Dir: ToServer, By: 30 * time.Millisecond})
	require.NoError(t, err)
	c := dial(t, l)
	for range 5 {
		began := time.Now()
		say(t, c, "x")
		hear(t, c, "x")
		require.GreaterOrEqual(t, time.Since(began), 30*time.Millisecond)
	}
	require.NoError(t, heal(t.Context()))
}

func TestBandwidthIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q queue
		q.init(nil)
		s := &stage{least: 1, count: evidence.NewCounter("chunks"), make: func(*conn, Dir) shape { return &bandwidth{rate: 1_000_000} }}
		q.set([]*stage{s}, &conn{id: 1}, ToServer)
		began := time.Now()
		for range 3 {
			q.append2(make([]byte, 1_000_000))
		}
		buf := make([]byte, 1<<20)
		for got := 0; got < 3_000_000; {
			n, err, ok := q.take(buf, false)
			require.NoError(t, err)
			require.True(t, ok)
			require.LessOrEqual(t, n, 10_000, "a burst of more than 10 ms' worth")
			got += n
		}
		require.InEpsilon(t, 3*time.Second, time.Since(began), 0.01)
	})
}

func TestBadAttributesAreErrors(t *testing.T) {
	l := open(t, "127.0.0.1:1")
	for _, d := range []Delay{{}, {By: -1}, {By: 1, Jitter: 2}, {By: 1, Jitter: -1}} {
		_, err := l.Delay(d)
		require.ErrorContains(t, err, `"a -> b"`)
	}
	for _, rate := range []int64{0, -1} { // -1 panics in Toxiproxy
		_, err := l.Limit(Bandwidth{Rate: rate})
		require.ErrorContains(t, err, "must be positive")
	}
	for _, r := range []Reset{{AfterBytes: -1}, {On: On{Share: 2}}, {On: On{Share: -1}}} {
		_, err := l.Reset(r)
		require.Error(t, err)
	}
	_, err := Open(Config{Name: "x"})
	require.Error(t, err)
}

// append2 queues as the connection's source does.
func (q *queue) append2(data []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.append(data, nil)
}

// TestARelaysLastWordsOutliveIt: what a relay wrote while traffic was slow reaches the client though the relay has returned.
func TestARelaysLastWordsOutliveIt(t *testing.T) {
	l, err := Open(Config{Name: "a -> b", Upstream: "127.0.0.1:1", Serve: func(_ context.Context, c Conn, _ func(context.Context) (net.Conn, error)) {
		_, _ = c.Read(make([]byte, 1))
		_, _ = c.Write([]byte("last words"))
		_ = c.CloseWrite()
	}})
	require.NoError(t, err)
	defer l.Close()
	heal, err := l.Delay(Delay{On: On{ID: "f1"}, Dir: ToClient, By: 100 * time.Millisecond})
	require.NoError(t, err)
	c := dial(t, l)
	say(t, c, "x")
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "last words", string(got))
	require.NoError(t, heal(t.Context()))
}
