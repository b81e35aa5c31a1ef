package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"
)

// Endpoint is an address at which a service is reached.
type Endpoint struct {
	Network string // "tcp" or "udp"
	Address string // host:port; a host name means any address of the machine
}

func (e Endpoint) String() string {
	if e.Network == "udp" {
		return e.Address + " (UDP)"
	}
	return e.Address
}

// listeners describes what listens at an endpoint.
type listeners struct {
	any     bool     // a process listens
	members bool     // a process of the service listens
	others  []string // processes listening that do not belong to the service
	hidden  bool     // the service has processes whose sockets this user may not list
}

// unexpected returns an error if processes outside the service are known to listen at the endpoint.
func (l listeners) unexpected(e Endpoint) error {
	if len(l.others) == 0 {
		return nil
	}
	return fmt.Errorf("%s listens on %s and does not belong to this service: end it, or give the service another port", strings.Join(l.others, " and "), e)
}

// setOthers sets others to the processes of found that are not members. The caller must determine
// members after found, so that a member's child that was found is among them or has ended.
func (l *listeners) setOthers(members []member, found map[int]string) {
	for _, m := range members {
		if _, ok := found[m.pid]; ok {
			l.members = true
			delete(found, m.pid)
		}
	}
	l.others = slices.Sorted(maps.Values(found))
}

// checkUnused returns an error if any process listens at the endpoints of a service that has ended.
func checkUnused(endpoints []Endpoint) error {
	for _, e := range endpoints {
		l := listening(e, nil)
		answers := l.any || accepts(e)
		if answers && len(l.others) == 0 {
			l = listening(e, nil) // it may have appeared after the first lookup
		}
		switch {
		case len(l.others) > 0:
			return l.unexpected(e)
		case answers:
			return fmt.Errorf("a process that this user cannot inspect listens on %s: end it, or give the service another port", e)
		}
	}
	return nil
}

// accepts reports whether an endpoint accepts connections. It is used where /proc lists no listener,
// because the list may miss a socket while others are added and removed.
func accepts(e Endpoint) bool {
	if e.Network == "udp" {
		return false
	}
	c, err := net.DialTimeout("tcp", e.Address, time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// checkNoOthers returns an error if processes outside a family listen at the endpoints.
func checkNoOthers(endpoints []Endpoint, f *family) error {
	var errs []error
	for _, e := range endpoints {
		errs = append(errs, listening(e, f).unexpected(e))
	}
	return errors.Join(errs...)
}

// releasing is how long a process of this program may hold a listener that this program has closed. The kernel lets a
// fork return before it closes the descriptors that the child does not inherit.
const releasing = time.Second

// awaitNoOthers returns an error if processes listen at the endpoints, and still do after a while.
func awaitNoOthers(ctx context.Context, endpoints []Endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, releasing)
	defer cancel()
	for {
		err := checkNoOthers(endpoints, nil)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}
