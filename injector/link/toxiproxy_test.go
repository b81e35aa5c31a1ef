package link

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/stretchr/testify/require"
)

// TestWhyJitterIsNotToxiproxys shows the bias that delay avoids: Toxiproxy's own latency toxic, asked for 50 ms give or take 20 ms on a stream of one
// chunk a millisecond, delays each chunk by itself and lets none overtake another, so that the mean rises well above what was asked.
func TestWhyJitterIsNotToxiproxys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const chunks = 2000
		in, out := make(chan *stream.StreamChunk, chunks), make(chan *stream.StreamChunk, chunks)
		stub := toxics.NewToxicStub(in, out)
		go (&toxics.LatencyToxic{Latency: 50, Jitter: 20}).Pipe(stub)
		go func() {
			for range chunks {
				time.Sleep(time.Millisecond)
				in <- &stream.StreamChunk{Data: []byte{1}, Timestamp: time.Now()}
			}
			close(in)
		}()
		began, sum, n := time.Now(), time.Duration(0), 0
		for range out {
			n++
			sum += time.Since(began) - time.Duration(n)*time.Millisecond
		}
		require.Equal(t, chunks, n)
		require.Greater(t, sum/chunks, 55*time.Millisecond, "if Toxiproxy got this right, its toxic can serve again")
	})
}
