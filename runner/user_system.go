package runner

import (
	"context"

	"github.com/firedrill-dev/firedrill/runner/internal/testbed"
)

type systemKey struct{}

// System is the running system, for use in user-defined steps and in functions of a load.
type System struct{ system *testbed.System }

// withSystem returns the context of the scenario, from which FromContext returns its system.
func (s *session) withSystem() context.Context {
	return context.WithValue(s.ctx, systemKey{}, &System{system: s.system})
}

// FromContext returns the running system from the context of a user-defined step or a Func. It returns nil outside a
// scenario and if the system could not be started.
func FromContext(ctx context.Context) *System {
	s, _ := ctx.Value(systemKey{}).(*System)
	if s == nil || s.system == nil {
		return nil
	}
	return s
}

// Address returns the host:port on which a service listens, or "" if the system has no such service.
func (s *System) Address(service string) string { return s.system.Addresses[service] }

// Link returns the address at which from reaches to through their link, which it may share with others, or "" if there is
// no such link.
func (s *System) Link(from, to string) string {
	addr, _ := s.system.Between(from, to)
	return addr
}

// CA returns the file with the CA certificate of the links that terminate TLS, or "" if no link does.
func (s *System) CA() string { return s.system.CAFile }
