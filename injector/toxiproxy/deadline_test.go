package toxiproxy

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A fault that ends while its time is over, but its deadline still waits for the lock, is not ended again: what bears its
// name by then may be another one.
func TestDeadlineThatWaitsForTheLockIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Limits: Limits{Longest: time.Minute}})
		ended := 0
		s.mu.Lock()
		late := s.after(func(*deadline) { ended++ })
		time.Sleep(time.Minute)
		for late.timer.Stop() { // until it has called its function, which waits
			late.timer.Reset(time.Minute)
			time.Sleep(time.Minute)
		}
		late.cancel()
		s.after(func(*deadline) { ended += 10 })
		s.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		assert.Equal(t, 10, ended, "only the next one")
	})
}

// Without a limit, a deadline is only a sign that the fault has begun.
func TestDeadlineWithoutALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Config{}).after(func(*deadline) { t.Error("it ends") })
		time.Sleep(1000 * time.Hour)
		assert.Nil(t, d.timer)
		d.cancel()
		(*deadline)(nil).cancel()
	})
}

// A proxy whose port is taken when its time is over is enabled again once the port is free.
func TestOutageEndsWhenThePortIsFree(t *testing.T) {
	t.Parallel()
	s := New(Config{Limits: Limits{Longest: time.Hour}})
	defer s.Close()
	require.NoError(t, s.Add(Proxy{Name: "echo", Upstream: "127.0.0.1:1", Enabled: true}))
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.proxies["echo"]
	require.NoError(t, p.disable())
	taken, err := net.Listen("tcp", p.Listen)
	require.NoError(t, err)
	defer taken.Close()
	outage := p.outage
	require.True(t, outage.timer.Stop())
	p.tryEnable(outage)
	assert.False(t, p.Enabled)
	assert.True(t, outage.timer.Stop(), "it is tried again")
	require.NoError(t, taken.Close())
	p.tryEnable(outage)
	assert.True(t, p.Enabled)
	assert.Nil(t, p.outage)
	assert.False(t, outage.timer.Stop(), "it is tried no more")
}
