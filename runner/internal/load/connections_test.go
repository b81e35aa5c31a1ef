package load

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// connectionCounter is a server that counts its connections.
type connectionCounter struct {
	mu             sync.Mutex
	opened, closed int
	announced      int // requests with "Connection: close"
}

func (s *connectionCounter) start(t *testing.T) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.Close {
			s.announced++
		}
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch state {
		case http.StateNew:
			s.opened++
		case http.StateClosed:
			s.closed++
		default:
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func (s *connectionCounter) counts() (opened, closed, announced int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened, s.closed, s.announced
}

// send sends requests one after the other, with a pause that lets connections be reused.
func send(t *testing.T, address string, l scenarios.Load, requests int) (all []Result) {
	t.Helper()
	l.GiveUp, l.Mix = 30*time.Second, []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}
	k := &resultCollector{}
	c := NewClient(t.Context(), Config{Load: &l, Address: at(address), Ended: k.add})
	t.Cleanup(c.Close)
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for n := range requests {
		c.Do(uint64(n), time.Now())
		<-pace.C
	}
	for _, e := range k.all {
		assert.Equal(t, []any{Acknowledged, 1}, []any{e.Outcome, e.Wire})
	}
	return k.all
}

func TestNewConnectionForEachRequest(t *testing.T) {
	t.Parallel()
	s := &connectionCounter{}
	send(t, s.start(t), scenarios.Load{NewConnections: true}, 20)
	opened, _, announced := s.counts()
	assert.Equal(t, []int{20, 20}, []int{opened, announced})
	s = &connectionCounter{}
	send(t, s.start(t), scenarios.Load{}, 60)
	opened, _, announced = s.counts()
	assert.Less(t, opened, 60, "connections are reused otherwise")
	assert.Zero(t, announced)
}

// Idle connections are closed although no request follows.
func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	s := &connectionCounter{}
	send(t, s.start(t), scenarios.Load{CloseIdle: 100 * time.Millisecond}, 60)
	opened, _, _ := s.counts()
	assert.Less(t, opened, 60, "they are reused before")
	require.Eventually(t, func() bool {
		opened, closed, _ := s.counts()
		return closed == opened
	}, 10*time.Second, 10*time.Millisecond)
}
