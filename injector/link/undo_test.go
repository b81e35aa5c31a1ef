package link

import (
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// everyFault is each fault that a link can have, by name, in a form that leaves connections to be healed.
var everyFault = map[string]func(l *Link, on On) (Heal, error){
	"delay": func(l *Link, on On) (Heal, error) { return l.Delay(Delay{On: on, By: time.Hour}) },
	"jitter": func(l *Link, on On) (Heal, error) {
		return l.Delay(Delay{On: on, By: time.Hour, Jitter: time.Minute, Spread: Pareto})
	},
	"ramp": func(l *Link, on On) (Heal, error) {
		return l.Delay(Delay{On: on, By: time.Hour, Ramp: Ramp{From: time.Minute, Over: time.Hour}})
	},
	"wave": func(l *Link, on On) (Heal, error) {
		return l.Delay(Delay{On: on, By: time.Hour, Wave: Wave{time.Second, time.Second}})
	},
	"bandwidth":        func(l *Link, on On) (Heal, error) { return l.Limit(Bandwidth{On: on, Rate: 1}) },
	"shared bandwidth": func(l *Link, on On) (Heal, error) { return l.Limit(Bandwidth{On: on, Rate: 10, Shared: true}) },
	"slices":           func(l *Link, on On) (Heal, error) { return l.Slice(Slices{On: on, Size: 1, Apart: time.Hour}) },
	"cut off":          func(l *Link, on On) (Heal, error) { return l.CutOff(Cut{On: on}) },
	"cut off there":    func(l *Link, on On) (Heal, error) { return l.CutOff(Cut{On: on, Dir: ToServer}) },
	"cut off back":     func(l *Link, on On) (Heal, error) { return l.CutOff(Cut{On: on, Dir: ToClient}) },
	"close":            func(l *Link, on On) (Heal, error) { return l.CloseAfter(Close{On: on, AfterBytes: 1 << 40}) },
	"close at once":    func(l *Link, on On) (Heal, error) { return l.CloseAfter(Close{On: on}) },
	"close slowly":     func(l *Link, on On) (Heal, error) { return l.CloseSlowly(SlowClose{On: on, By: time.Hour}) },
	"reset":            func(l *Link, on On) (Heal, error) { return l.Reset(Reset{On: on}) },
	"reset by bytes":   func(l *Link, on On) (Heal, error) { return l.Reset(Reset{On: on, AfterBytes: 1 << 40}) },
	"reset by time":    func(l *Link, on On) (Heal, error) { return l.Reset(Reset{On: on, After: time.Hour}) },
	"refuse":           func(l *Link, on On) (Heal, error) { return l.Refuse(on.Count) },
	"half-open":        func(l *Link, on On) (Heal, error) { return l.HalfOpen(on) },
	"accept slowly":    func(l *Link, on On) (Heal, error) { return l.AcceptSlowly(SlowAccept{On: on}) },
	"stalled TLS":      func(l *Link, on On) (Heal, error) { return l.StallTLS(on) },
	"toxic timeout": func(l *Link, on On) (Heal, error) {
		return l.Toxic(Toxic{On: on, Name: "timeout", Attributes: map[string]any{"timeout": 3_600_000}})
	},
	"toxic keeper": func(l *Link, on On) (Heal, error) { return l.Toxic(Toxic{On: on, Name: "keeper"}) },
	"toxic hole":   func(l *Link, on On) (Heal, error) { return l.Toxic(Toxic{On: on, Name: "hole"}) },
	"toxic of theirs": func(l *Link, on On) (Heal, error) {
		return l.Toxic(Toxic{On: on, Name: "their latency", Attributes: map[string]any{"latency": 3_600_000}})
	},
}

// TestEveryFaultIsUndone puts each fault on 1,000 live connections, some with a receiver that has stalled or a full pipe to the server, and on some that wait
// for an upstream that does not answer. Healing has to return soon and leave nothing of the fault while the connections live; their end leaves nothing at all.
func TestEveryFaultIsUndone(t *testing.T) {
	conns := 1000
	if testing.Short() || raceEnabled {
		conns = 100
	}
	hung := mute(t)
	for name, put := range everyFault {
		t.Run(name, func(t *testing.T) {
			goroutines, fds := runtime.NumGoroutine(), descriptors()
			t.Cleanup(func() { // after all others
				falls(t, runtime.NumGoroutine, goroutines, "goroutines are left")
				falls(t, descriptors, fds+4, "descriptors are left") // two pipes are kept
			})
			c := newCrowd(t, conns, hung)
			idle := runtime.NumGoroutine()
			count := evidence.NewCounter("traffic")
			var heals []Heal
			for _, l := range []*Link{c.link, c.dead} {
				heal, err := put(l, On{ID: "f1", Count: count})
				require.NoError(t, err)
				heals = append(heals, heal)
			}
			c.stir()
			var slowest time.Duration
			for _, heal := range heals {
				began := time.Now()
				require.NoError(t, heal(t.Context()))
				slowest = max(slowest, time.Since(began))
			}
			t.Logf("healed in %v, %d affected", slowest, count.Tally().Affected)
			require.Less(t, slowest, 3*time.Second, "100 ms is meant; a busy machine gets more")
			c.sound(t, idle)
		})
	}
}

// falls waits until a number is no more than most, without a goroutine of its own.
func falls(t *testing.T, number func() int, most int, why string) {
	t.Helper()
	for began := time.Now(); number() > most; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			all := make([]byte, 1<<20)
			t.Logf("%s", all[:runtime.Stack(all, true)])
			require.LessOrEqual(t, number(), most, why)
		}
	}
}

// crowd is live connections of all kinds.
type crowd struct {
	link, dead *Link // dead's upstream does not answer
	talking    []*net.TCPConn
	fresh      []net.Conn // that came while the fault was live
}

// stuck is how many connections of each bad kind there are.
const stuck = 5

func newCrowd(t *testing.T, conns int, hung string) *crowd {
	t.Helper()
	c := &crowd{dead: open(t, hung), link: open(t, serve(t, func(c *net.TCPConn) {
		kind := make([]byte, 1)
		if _, err := io.ReadFull(c, kind); err != nil {
			return
		}
		switch kind[0] {
		case 'f':
			flood(c)
		case 's':
			<-t.Context().Done()
		default:
			_, _ = c.Write(kind)
			_, _ = io.Copy(c, onlyReader{c}) // io.Copy keeps pipes otherwise
			_ = c.CloseWrite()
		}
	}))}
	join := func(l *Link, kind string) *net.TCPConn {
		client := dial(t, l)
		require.NoError(t, client.SetLinger(0))
		say(t, client, kind)
		return client
	}
	for range stuck {
		join(c.link, "f")
		go flood(join(c.link, "s"))
		join(c.dead, "x")
	}
	full(t, func() Counters {
		n := c.link.Counters()
		n.BytesToClient += n.BytesToServer
		return n
	})
	for range conns {
		client := join(c.link, string(rune(handshake)))
		hear(t, client, string(rune(handshake)))
		c.talking = append(c.talking, client)
	}
	require.Eventually(t, func() bool { return c.dead.Counters().Live == stuck }, 20*time.Second, time.Millisecond)
	return c
}

// stir lets things happen while a fault is live: all speak, some end, and new ones come. Whether they can is the fault's affair.
func (c *crowd) stir() {
	for i, client := range c.talking {
		_, _ = io.WriteString(client, "speak")
		switch i % 10 {
		case 8:
			_ = client.CloseWrite()
		case 9:
			_ = client.Close()
		}
	}
	for range stuck {
		if client, err := net.DialTimeout("tcp", c.link.Addr(), 5*time.Second); err == nil {
			_, _ = client.Write([]byte{handshake})
			c.fresh = append(c.fresh, client)
		}
	}
	time.Sleep(20 * time.Millisecond) // more or less of it happens before healing: all the same to the test
}

// sound asserts that nothing of a fault is left: of goroutines, more than idle and a writer for each receiver that has stalled.
func (c *crowd) sound(t *testing.T, idle int) {
	t.Helper()
	for _, client := range c.fresh {
		client.Close()
	}
	client := dial(t, c.link)
	say(t, client, "well?")
	hear(t, client, "well?")
	client.Close()
	falls(t, runtime.NumGoroutine, idle+stuck, "goroutines are left on live connections")
	for _, l := range []*Link{c.link, c.dead} {
		l.mu.Lock()
		require.Empty(t, l.stages)
		require.Empty(t, l.resets)
		require.Empty(t, l.gates)
		for one := range l.conns {
			require.Empty(t, one.marks)
			one.mu.Lock()
			require.Empty(t, one.timers, "a timer is left")
			one.mu.Unlock()
		}
		l.mu.Unlock()
	}
}

// mute is the address of a server that takes no connection: its queue of them is full, and connects hang.
func mute(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	addr := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}).String()
	for range 10 {
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("connects do not hang on this system")
	return ""
}
