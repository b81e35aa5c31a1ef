package load

import (
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// copyOf returns which of two copies of a service request n is sent to, or "" if requests are not split. Of each two
// requests in a row, one goes to each copy, in an order that is drawn by hash: both get half of the requests, at the same
// moments.
func copyOf(l *scenarios.Load, seed, n uint64) string {
	if len(l.Copies) != 2 {
		return ""
	}
	first := n%2 == 0
	if evidence.Draw(seed, n/2, "copy") < 0.5 {
		first = !first
	}
	if first {
		return l.Copies[0]
	}
	return l.Copies[1]
}

// Copy returns which copy of a service request n is sent to, or "" if requests are not split.
func (c *Client) Copy(n uint64) string { return copyOf(c.Load, c.Seed, n) }

// service returns the service that a step of request n is sent to.
func (c *Client) service(n uint64, s step) string {
	if of := copyOf(c.Load, c.Seed, n); of != "" && s.Service == c.Load.Copies[0] {
		return of
	}
	return s.Service
}
