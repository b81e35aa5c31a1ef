package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCustomToxicsLoseNoBytes adds and removes custom toxics, including Toxiproxy's own, on live
// connections.
func TestCustomToxicsLoseNoBytes(t *testing.T) {
	const conns, each = 16, 2 << 20
	l := open(t, serve(t, echo))
	block := make([]byte, each)
	random := rand.New(rand.NewPCG(5, 6))
	for i := range block {
		block[i] = byte(random.Uint32())
	}
	ctx, cancel := context.WithCancel(t.Context())
	var churn, clients sync.WaitGroup
	switches := 0
	churn.Go(func() { switches = churnToxics(ctx, t, l, random) })
	for range conns {
		clients.Go(func() {
			c, err := net.Dial("tcp", l.Addr())
			if !assert.NoError(t, err) {
				return
			}
			defer c.Close()
			clients.Go(func() {
				for rest := block; len(rest) > 0; {
					n := min(len(rest), 10_007)
					_, err := c.Write(rest[:n])
					if !assert.NoError(t, err) {
						return
					}
					rest = rest[n:]
				}
				_ = c.(*net.TCPConn).CloseWrite()
			})
			got, err := io.ReadAll(c)
			assert.NoError(t, err)
			assert.True(t, bytes.Equal(block, got), "%d bytes of %d", len(got), each)
		})
	}
	clients.Wait()
	cancel()
	churn.Wait()
	require.Greater(t, switches, 10)
}

// churnToxics adds and removes toxics, up to three at a time.
func churnToxics(ctx context.Context, t *testing.T, l *Link, random *rand.Rand) (switches int) {
	var live []Heal
	for ctx.Err() == nil {
		toxic := []Toxic{
			{Name: "their latency", Attributes: map[string]any{"latency": 2, "jitter": 1}},
			{Name: "their bandwidth", Attributes: map[string]any{"rate": 20_000}},
			{Name: "their slicer", Attributes: map[string]any{"average_size": 700, "size_variation": 300}},
			{Name: "their slow_close", Attributes: map[string]any{"delay": 2}},
			{Name: "their noop"}, {Name: "keeper"},
			{Name: "slicer", Attributes: map[string]any{"average_size": 700, "size_variation": 300}},
			{Name: "timeout", Attributes: map[string]any{"timeout": 0}},
		}[random.IntN(8)]
		toxic.On, toxic.Dir = On{ID: "f", Seed: random.Uint64(), Share: 0.7}, Dir(random.IntN(3))
		heal, err := l.Toxic(toxic)
		if !assert.NoError(t, err) {
			return switches
		}
		switches++
		if live = append(live, heal); len(live) > random.IntN(4) {
			i := random.IntN(len(live))
			err := live[i](ctx)
			assert.True(t, err == nil || errors.Is(err, context.Canceled), "%v", err)
			live = append(live[:i], live[i+1:]...)
		}
		time.Sleep(time.Duration(random.IntN(3)) * time.Millisecond)
	}
	for _, heal := range live {
		assert.NoError(t, heal(context.Background()))
	}
	return switches
}
