package runner

import (
	"context"
)

type runningKey struct{}

// Running is the running system, for use in user-defined steps.
type Running struct{ system *system }

// Of returns the running system from a step's context. It returns nil outside a scenario and if the
// system could not be started.
func Of(ctx context.Context) *Running {
	r, _ := ctx.Value(runningKey{}).(*Running)
	if r == nil || r.system == nil {
		return nil
	}
	return r
}

// Address returns the host:port on which a service listens, or "" if the system has no such service.
func (r *Running) Address(service string) string { return r.system.addresses[service] }

// Link returns the address at which from reaches to through their link, or "" if there is no such
// link.
func (r *Running) Link(from, to string) string {
	addr, _ := r.system.link(from + " -> " + to)
	return addr
}

// CA returns the file with the CA certificate of the links that terminate TLS, or "" if no link does.
func (r *Running) CA() string { return r.system.caFile }
