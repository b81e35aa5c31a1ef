package testbed

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// The port of a service that receives datagrams is reserved for TCP and UDP until the service starts.
func TestPortsAreReservedForUDP(t *testing.T) {
	s := newSystem(Config{
		Experiment: &scenarios.Experiment{System: scenarios.System{Links: []scenarios.Link{{From: "a", To: "b", Protocol: "statsd"}, {From: "a", To: "c", Protocol: "http"}}}},
	})
	for i := range s.e.System.Links {
		s.e.System.Links[i].Resolve(protocols.All())
	}
	for service, too := range map[string]bool{"b": true, "c": false} {
		p, err := s.port(service, "", 0)
		require.NoError(t, err)
		addr := fmt.Sprint("127.0.0.1:", p)
		_, err = net.Listen("tcp", addr)
		require.Error(t, err)
		pc, err := net.ListenPacket("udp", addr)
		if too {
			require.Error(t, err)
			s.release(service)
			pc, err = net.ListenPacket("udp", addr)
		}
		require.NoError(t, err)
		require.NoError(t, pc.Close())
		s.release(service)
	}
}

// A port stays claimed after its service was started, on Linux for other processes, too.
func TestPortsAreClaimedUntilTheSystemStops(t *testing.T) {
	s := newSystem(Config{Experiment: &scenarios.Experiment{}})
	p, err := s.port("a", "", 0)
	require.NoError(t, err)
	s.release("a")
	_, err = claimPort(p)
	require.Error(t, err)
	require.NoError(t, s.Stop(t.Context()))
	again, err := claimPort(p)
	require.NoError(t, err)
	require.NoError(t, again.Close())
}
