package datagram

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// BenchmarkForward measures round trips of datagrams for 16 clients with 8 datagrams in flight each, so that no
// buffer is ever full. It alternates between a plain forwarder in Go and a link, because the speed of a machine
// changes within seconds. "x plain" is the rate relative to the plain forwarder.
func BenchmarkForward(b *testing.B) {
	ways := []struct {
		name string
		open func(b *testing.B, upstream string) string
	}{
		{"no rule", func(b *testing.B, upstream string) string { return openLink(b, upstream, Config{}).Addr() }},
		{"a rule that never fires", func(b *testing.B, upstream string) string {
			f := openLink(b, upstream, Config{})
			f.AddRule(b, message.Rule{Action: message.LoseRequest, Share: 1e-12})
			return f.Addr()
		}},
		{"statsd, a rule about another metric", func(b *testing.B, upstream string) string {
			f := openLink(b, upstream, Config{Protocol: "statsd"})
			f.AddRule(b, message.Rule{Action: message.LoseRequest, Match: message.Match{Path: "other"}})
			return f.Addr()
		}},
		{"direct", func(_ *testing.B, upstream string) string { return upstream }},
	}
	for _, w := range ways {
		b.Run(w.name, func(b *testing.B) {
			upstream := echo(b)
			link, simple := newFlow(b, w.open(b, upstream)), newFlow(b, plain(b, upstream))
			const turn = 2000
			var took, other time.Duration
			b.ResetTimer()
			for left := b.N; left > 0; left -= turn {
				n := min(turn, left)
				took += link.run(n)
				b.StopTimer()
				other += simple.run(n)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.N)/took.Seconds(), "datagrams/s")
			b.ReportMetric(other.Seconds()/took.Seconds(), "x-plain")
			b.ReportMetric(float64(link.lost.Load()), "lost")
		})
	}
}

// flow is a set of clients that send datagrams and wait for them to return.
type flow struct {
	clients []*peer
	lost    atomic.Int64
}

func newFlow(b *testing.B, addr string) *flow {
	f := &flow{}
	for range 16 {
		f.clients = append(f.clients, connect(b, addr))
	}
	f.run(1000) // creates the sockets
	return f
}

// run sends n datagrams and waits for all of them.
func (f *flow) run(n int) time.Duration {
	const window = 8
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	began := time.Now()
	for _, c := range f.clients {
		all.Go(func() {
			ball := []byte("requests.total:1|c|#route:orders,code:200")
			away := 0
			for {
				for away < window && left.Add(-1) >= 0 {
					_, _ = c.Write(ball)
					away++
				}
				if away == 0 {
					return
				}
				_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
				if _, err := c.Read(c.buf); err != nil {
					f.lost.Add(1)
				}
				away--
			}
		})
	}
	all.Wait()
	return time.Since(began)
}

// plain starts a minimal forwarder: a socket for each client, and nothing else.
func plain(b *testing.B, upstream string) string {
	front := serve(b)
	to, err := net.ResolveUDPAddr("udp", upstream)
	require.NoError(b, err)
	var all sync.WaitGroup
	clients := map[netip.AddrPort]*net.UDPConn{}
	all.Go(func() {
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := front.ReadFromUDPAddrPort(buf)
			if err != nil {
				break
			}
			up := clients[from]
			if up == nil {
				if up, err = net.DialUDP("udp", nil, to); err != nil {
					break
				}
				clients[from] = up
				all.Go(func() {
					buf := make([]byte, maxDatagram)
					for {
						n, err := up.Read(buf)
						if errors.Is(err, net.ErrClosed) {
							return
						}
						_, _ = front.WriteToUDPAddrPort(buf[:n], from)
					}
				})
			}
			_, _ = up.Write(buf[:n])
		}
		for _, up := range clients {
			_ = up.Close()
		}
	})
	b.Cleanup(func() { _ = front.Close(); all.Wait() })
	return front.addr()
}
