package link

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/injector/link/internal/socket"
)

// -soak 107374182400 makes the test with faults transfer 100 GiB each way and switch faults about
// 100,000 times. Use it with -timeout 0.
var soak = flag.Int64("soak", 0, "bytes each way for the byte-exactness test; 0 means 1 GiB healthy and 256 MiB with faults, or 64 MiB with -short or -race")

// TestNoByteIsLostDuplicatedOrReordered sends known bytes each way over 64 connections. Some peers
// half-close, some reset in the middle. What arrives must be a prefix of what was sent, and complete
// on connections that were not reset.
func TestNoByteIsLostDuplicatedOrReordered(t *testing.T) {
	for _, c := range []struct {
		name    string
		total   int64
		disturb func(context.Context, *testing.T, *Link) int
		resets  bool
	}{
		{"healthy", 1 << 30, nil, false},
		{"faults on and off", 256 << 20, switchFaults, false},
		{"faults and resets", 256 << 20, func(ctx context.Context, t *testing.T, l *Link) int {
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() { resetSome(ctx, t, l) })
			return switchFaults(ctx, t, l)
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			switch {
			case *soak != 0:
				c.total = *soak
			case testing.Short() || raceEnabled:
				c.total = 64 << 20
			}
			e := &exactness{each: c.total / 64, resets: c.resets, transport: rawTransport{}}
			e.run(t, c.disturb)
		})
	}
}

// transport opens the link under test and wraps the connections of its two ends.
type transport interface {
	open(t testing.TB, upstream string) *Link
	server(c net.Conn) halfStream
	client(c net.Conn) halfStream
}

type halfStream interface {
	io.ReadWriter
	CloseWrite() error
}

// rawTransport uses plain connections.
type rawTransport struct{}

func (rawTransport) open(t testing.TB, upstream string) *Link { t.Helper(); return open(t, upstream) }
func (rawTransport) server(c net.Conn) halfStream             { return c.(halfStream) }
func (rawTransport) client(c net.Conn) halfStream             { return c.(halfStream) }

// exactness is one run of the test.
type exactness struct {
	transport transport
	each      int64 // bytes per connection and direction
	resets    bool  // faults may reset connections

	complete, truncated atomic.Int64 // directions that arrived complete, and those that ended early
}

func (e *exactness) run(t *testing.T, disturb func(context.Context, *testing.T, *Link) int) {
	var servers sync.WaitGroup
	l := e.transport.open(t, serve(t, func(tcp *net.TCPConn) {
		servers.Add(1)
		defer servers.Done()
		// A socket reports a reset even if another goroutine saw it first.
		raw, err := socket.New(tcp)
		if !assert.NoError(t, err) {
			return
		}
		var id [1]byte
		c := e.transport.server(raw)
		if _, err := io.ReadFull(c, id[:]); err == nil {
			e.runEnd(t, raw, c, pattern(id[0])+1, pattern(id[0]), false)
		}
	}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var faults, clients sync.WaitGroup
	switches := 0
	if disturb != nil {
		faults.Go(func() { switches = disturb(ctx, t, l) })
	}
	for i := range 64 {
		clients.Go(func() {
			tcp, err := net.Dial("tcp", l.Addr())
			if err != nil || !assert.NoError(t, err) {
				assert.True(t, e.resets && errors.Is(err, syscall.ECONNRESET), "%v", err)
				return
			}
			defer tcp.Close()
			raw, err := socket.New(tcp)
			if !assert.NoError(t, err) {
				return
			}
			c := e.transport.client(raw)
			if _, err = c.Write([]byte{byte(i * 2)}); err == nil {
				e.runEnd(t, raw, c, pattern(i*2), pattern(i*2)+1, i%8 == 7)
			}
		})
	}
	clients.Wait()
	cancel()
	faults.Wait()
	servers.Wait()
	t.Logf("%d directions of unbroken connections whole, %d ended early, %d switches", e.complete.Load(), e.truncated.Load(), switches)
	if !e.resets {
		assert.EqualValues(t, 2*56, e.complete.Load(), "the 56 connections that were not reset")
	}
	if disturb != nil {
		assert.Positive(t, switches)
	}
}

// runEnd runs one end of a connection: it sends outgoing and expects incoming. If resets is set, it resets
// the connection in the middle.
func (e *exactness) runEnd(t *testing.T, raw *socket.Conn, c halfStream, outgoing, incoming pattern, resets bool) {
	resetStream := int(min(outgoing, incoming))/2%8 == 7
	var sending sync.WaitGroup
	sending.Go(func() {
		if _, err := io.Copy(c, &source{pattern: outgoing, left: e.each}); err == nil {
			_ = c.CloseWrite()
		}
	})
	defer sending.Wait()
	limit := e.each
	if resets {
		limit /= 2
	}
	read, err := e.compare(t, c, incoming, limit)
	switch {
	case resets && read >= limit:
		raw.Reset()
	case err == nil && read == e.each:
		if !resetStream {
			e.complete.Add(1)
		}
	default:
		e.truncated.Add(1)
		_ = raw.Close() // unblocks the other goroutine
		// Only a reset, by a peer or a fault, may end a stream early.
		assert.True(t, resetStream || e.resets, "%d of %d bytes, %v", read, e.each, err)
		assert.False(t, err == nil, "%d of %d bytes, and an orderly end", read, e.each)
	}
}

// compare compares received bytes with the pattern, up to limit or the end.
func (e *exactness) compare(t *testing.T, r io.Reader, p pattern, limit int64) (read int64, err error) {
	got, want := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := r.Read(got)
		p.fill(want[:n], read)
		if !bytes.Equal(got[:n], want[:n]) {
			t.Errorf("stream %d: wrong bytes at %d", p, read)
			return read, errors.New("wrong bytes")
		}
		if read += int64(n); read >= limit && limit < e.each {
			return read, nil
		}
		if errors.Is(err, io.EOF) {
			return read, nil
		}
		if err != nil {
			return read, err
		}
	}
}

// switchFaults adds and removes faults until ctx ends, up to three at a time, and returns how many it
// added.
func switchFaults(ctx context.Context, t *testing.T, l *Link) (switches int) {
	random := rand.New(rand.NewPCG(1, 2))
	var live []Heal
	for ctx.Err() == nil {
		on := On{ID: "f", Seed: random.Uint64(), Share: []float64{0, 0.5}[random.IntN(2)]}
		dir := Dir(random.IntN(3))
		var heal Heal
		var err error
		switch random.IntN(8) {
		case 0:
			heal, err = l.Delay(Delay{On: on, Dir: dir, By: 2 * time.Millisecond, Jitter: time.Millisecond, Spread: Spread(random.IntN(3))})
		case 1:
			heal, err = l.Limit(Bandwidth{On: on, Dir: dir, Rate: 20 << 20})
		case 2:
			heal, err = l.CutOff(Cut{On: on, Dir: dir})
		case 3:
			heal, err = l.Slice(Slices{On: on, Dir: dir, Size: 1000, Vary: 999})
		case 4:
			heal, err = l.Limit(Bandwidth{On: on, Dir: dir, Rate: 200 << 20, Shared: true})
		case 5:
			heal, err = l.Delay(Delay{On: on, Dir: dir, By: time.Millisecond, Ramp: Ramp{0, 3 * time.Millisecond}, Wave: Wave{time.Millisecond, time.Millisecond}})
		case 6:
			heal, err = l.CloseSlowly(SlowClose{On: on, Dir: dir, By: 3 * time.Millisecond})
		case 7:
			heal, err = l.AcceptSlowly(SlowAccept{On: on})
		}
		if !assert.NoError(t, err) {
			return switches
		}
		switches++
		if live = append(live, heal); len(live) > random.IntN(3) {
			i := random.IntN(len(live))
			assert.NoError(t, live[i](ctx))
			live = append(live[:i], live[i+1:]...)
		}
		time.Sleep(time.Duration(random.IntN(3)) * time.Millisecond)
	}
	for _, heal := range live {
		assert.NoError(t, heal(ctx))
	}
	return switches
}

// resetSome resets a few connections after some bytes or some time.
func resetSome(ctx context.Context, t *testing.T, l *Link) {
	for n := uint64(0); ctx.Err() == nil; n++ {
		f := Reset{On: On{ID: "r", Seed: n, Share: 0.02}, AfterBytes: 10_000}
		if n%2 == 0 {
			f.AfterBytes, f.After = 0, time.Millisecond
		}
		heal, err := l.Reset(f)
		assert.NoError(t, err)
		time.Sleep(20 * time.Millisecond)
		assert.NoError(t, heal(ctx))
	}
}

// pattern is a fixed stream of bytes: a block of prime length, repeated, with a different offset for
// each stream. It reveals a shift by any number of bytes that is not a multiple of the length.
type pattern int64

var block = func() []byte {
	b := make([]byte, 1_048_573)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}()

// fill writes the bytes of the stream from offset at.
func (p pattern) fill(b []byte, at int64) {
	for len(b) > 0 {
		n := copy(b, block[(at+int64(p)*9973)%int64(len(block)):])
		b, at = b[n:], at+int64(n)
	}
}

// source yields left bytes of a pattern.
type source struct {
	pattern
	at, left int64
}

func (s *source) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), s.left))
	s.fill(b[:n], s.at)
	s.at, s.left = s.at+int64(n), s.left-int64(n)
	return n, nil
}
