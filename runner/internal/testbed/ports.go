package testbed

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"syscall"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// Free ports are chosen below the range that systems use for outgoing connections and for port 0 (from
// 32768 on Linux, 49152 on macOS). Otherwise such a connection could take the port before its service
// listens, or while the service is down.
const firstPort, ports = 20000, 12000

// port returns the named port of a service: the fixed one or, if that is 0, a free one. Repeated calls
// return the same port. A free port is reserved until the service starts. It is claimed until the system
// stops, because it appears to be free while its service starts or is down.
func (s *System) port(service, name string, fixed int) (int, error) {
	if s.ports[service] == nil {
		s.ports[service] = map[string]int{}
	}
	if p := s.ports[service][name]; p != 0 {
		return p, nil
	}
	for try := 0; fixed == 0; try++ {
		p := firstPort + rand.IntN(ports)
		claim, err := claimPort(p)
		if err == nil {
			var reserved []io.Closer
			if reserved, err = s.reserve(service, "127.0.0.1:"+strconv.Itoa(p)); err == nil {
				s.claims = append(s.claims, claim)
				s.reserved[service] = append(s.reserved[service], reserved...)
				fixed = p
				continue
			}
			_ = claim.Close()
		}
		if try == 1000 {
			return 0, fmt.Errorf("find a free port for %q: %w", service, err)
		}
	}
	s.ports[service][name] = fixed
	return fixed, nil
}

// reserve listens on an address to reserve it, also on UDP if a link of datagrams leads to the
// service.
func (s *System) reserve(service, addr string) ([]io.Closer, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil || !slices.ContainsFunc(s.e.System.Links, func(l scenarios.Link) bool { return l.To == service && l.UDP() }) {
		return []io.Closer{ln}, err
	}
	pc, err := net.ListenPacket("udp", addr)
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	return []io.Closer{ln, pc}, nil
}

// release closes the listeners that reserve the ports of a service. It holds syscall.ForkLock so that
// no process is being started meanwhile: until such a process executes its program, it also holds the
// listeners.
func (s *System) release(service string) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for _, ln := range s.reserved[service] {
		_ = ln.Close()
	}
	delete(s.reserved, service)
}
