package link

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/stretchr/testify/require"
)

// toxiproxyStub starts one of Toxiproxy's toxics and returns its stub and channels.
func toxiproxyStub(toxic toxics.Toxic, toxicity float32) (s *toxics.ToxicStub, in, out chan *stream.StreamChunk) {
	in, out = make(chan *stream.StreamChunk), make(chan *stream.StreamChunk)
	s = toxics.NewToxicStub(in, out)
	go s.Run(&toxics.ToxicWrapper{Toxic: toxic, Toxicity: toxicity})
	synctest.Wait()
	return s, in, out
}

func TestToxiproxyWaitsForReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, in, out := toxiproxyStub(new(toxics.NoopToxic), 1)
		in <- &stream.StreamChunk{Data: []byte{1}}
		interrupted := make(chan bool, 1)
		go func() { interrupted <- s.InterruptToxic() }() // Toxiproxy holds the lock of all connections here
		time.Sleep(time.Hour)
		require.Empty(t, interrupted, "if an interruption did not wait for the reader, nothing could deadlock")
		<-out
		require.True(t, <-interrupted)
	})
}

func TestToxiproxyResetWaitsForData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, in, out := toxiproxyStub(new(toxics.ResetToxic), 1)
		time.Sleep(time.Hour)
		require.False(t, s.Closed(), "Toxiproxy closes idle connections now")
		in <- &stream.StreamChunk{Data: []byte{1}}
		<-out
		require.True(t, s.Closed())
	})
}

func TestToxiproxyTimeoutIsExtendedByTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, in, _ := toxiproxyStub(&toxics.TimeoutToxic{Timeout: 1000}, 1)
		for range 100 {
			time.Sleep(900 * time.Millisecond)
			in <- &stream.StreamChunk{Data: []byte{1}}
		}
		require.False(t, s.Closed(), "if a second had ended it, it would be a time-out")
		time.Sleep(1001 * time.Millisecond)
		require.True(t, s.Closed())
	})
}

func TestToxiproxyZeroTimeoutEndsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		toxic := new(toxics.TimeoutToxic)
		s, _, _ := toxiproxyStub(toxic, 1)
		require.True(t, s.InterruptToxic())
		toxic.Cleanup(s)
		require.True(t, s.Closed(), "if the removal left it open, it would be a partition")
	})
}

func TestToxiproxyToxicityIsRedrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, in, out := toxiproxyStub(new(hole), 0.5)
		passed := 0
		for range 100 {
			require.True(t, s.InterruptToxic()) // as when another toxic is added or removed
			go s.Run(&toxics.ToxicWrapper{Toxic: new(hole), Toxicity: 0.5})
			in <- &stream.StreamChunk{Data: []byte{1}}
			synctest.Wait()
			select {
			case <-out:
				passed++
			default:
			}
		}
		require.Positive(t, passed, "if it was drawn once, all or none would pass")
		require.Less(t, passed, 100)
		require.True(t, s.InterruptToxic())
	})
}

// TestToxiproxyJitterIsBiased asks Toxiproxy's toxic for 50 ms ± 20 ms on a stream of one chunk per
// millisecond. The toxic delays each chunk separately but keeps their order, so the mean is well above
// 50 ms.
func TestToxiproxyJitterIsBiased(t *testing.T) {
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

func TestToxiproxyPanicsOnBadRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := make(chan *stream.StreamChunk, 1)
		in <- &stream.StreamChunk{Data: []byte{1}}
		require.Panics(t, func() {
			(&toxics.BandwidthToxic{Rate: -1}).Pipe(toxics.NewToxicStub(in, make(chan *stream.StreamChunk, 1)))
		})
	})
}
