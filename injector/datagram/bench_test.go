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

// BenchmarkForward counts datagrams that are carried there and back, with 16 clients who each have 8 under way, so that no buffer is ever full. What it
// is measured against is a plain forwarder in Go.
func BenchmarkForward(b *testing.B) {
	ways := []struct {
		name string
		open func(b *testing.B, upstream string) string
	}{
		{"plain forwarder", plain},
		{"link", func(b *testing.B, upstream string) string { return open(b, upstream, Config{}).Addr() }},
		{"link, a rule that never fires", func(b *testing.B, upstream string) string {
			f := open(b, upstream, Config{})
			f.live(b, message.Rule{Do: message.LoseRequest, Share: 1e-12})
			return f.Addr()
		}},
		{"statsd link, a rule that never fires", func(b *testing.B, upstream string) string {
			f := open(b, upstream, Config{Protocol: "statsd"})
			f.live(b, message.Rule{Do: message.LoseRequest, Match: message.Match{Path: "other"}})
			return f.Addr()
		}},
		{"direct", func(_ *testing.B, upstream string) string { return upstream }},
	}
	for _, w := range ways {
		b.Run(w.name, func(b *testing.B) {
			addr := w.open(b, echo(b))
			flow(b, addr)
		})
	}
}

func flow(b *testing.B, addr string) {
	const clients, window = 16, 8
	var left, lost atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	b.ResetTimer()
	for range clients {
		c := connect(b, addr)
		all.Go(func() {
			ball, buf := []byte("requests.total:1|c|#route:orders,code:200"), make([]byte, largest)
			for range window {
				_, _ = c.Write(ball)
			}
			for left.Add(-1) >= 0 {
				_ = c.SetReadDeadline(time.Now().Add(time.Second))
				if _, err := c.Read(buf); err != nil {
					lost.Add(1)
				}
				_, _ = c.Write(ball)
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "datagrams/s")
	b.ReportMetric(float64(lost.Load()), "lost")
}

// plain is what one writes without us: a socket for each client, and nothing else.
func plain(b *testing.B, upstream string) string {
	front := serve(b)
	to, err := net.ResolveUDPAddr("udp", upstream)
	require.NoError(b, err)
	var all sync.WaitGroup
	clients := map[netip.AddrPort]*net.UDPConn{}
	all.Go(func() {
		buf := make([]byte, largest)
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
					buf := make([]byte, largest)
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
