package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/runner/internal/probes"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// verifyWithin limits how long it may take to see that a link passes traffic or that a service runs.
const verifyWithin = 2 * time.Second

// verifyHealed examines from outside that no fault that was injected acts any more, after a scenario ended early: that
// each link that a fault acted on passes traffic. A service that a fault acted on was started by this scenario and ends
// with it, so that it is not started again. It returns what was seen, for people, and an error if something still seems to
// be broken.
func (s *session) verifyHealed() (seen string, err error) {
	if err := s.awaitHealed(); err != nil {
		return "", err
	}
	var names, ending []string
	known := map[string]bool{}
	for _, in := range s.allPlaced() {
		if in.heal != nil && in.From == "" && !known[in.targetName()] {
			known[in.targetName()] = true
			ending = append(ending, fmt.Sprintf("%q ends with the scenario", in.targetName()))
		}
		if in.heal != nil && in.From != "" && !known[in.targetName()] {
			known[in.targetName()] = true
			names = append(names, in.targetName())
		}
	}
	results, errs := make([]string, len(names)), make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { results[i], errs[i] = s.verify(name) })
	}
	all.Wait()
	return strings.Join(append(results, ending...), "; "), errors.Join(errs...)
}

// awaitHealed waits until the faults are healed by another goroutine.
func (s *session) awaitHealed() error {
	for _, in := range s.allPlaced() {
		if in.From == "" {
			continue
		}
		for began := time.Now(); ; time.Sleep(time.Millisecond) {
			in.recording.Lock()
			done, err := in.healed || in.heal == nil, in.healErr
			in.recording.Unlock()
			if err != nil {
				return err
			}
			if done {
				break
			}
			if time.Since(began) > s.healBound(in) {
				return fmt.Errorf("heal %s: not done after %s", in.sentence, s.healBound(in))
			}
		}
	}
	return nil
}

// verify sees that the link with a name works.
func (s *session) verify(name string) (seen string, err error) {
	for _, l := range s.e.System.Links {
		if l.Name() != name {
			continue
		}
		if s.system.Links[name] == nil {
			return fmt.Sprintf("%s: not asked, since over UDP nothing has to answer", name), nil
		}
		if seen, _, err = s.passes(l, s.system.Links[name].Addr()); err != nil {
			return "", fmt.Errorf("link %q does not pass traffic: %w", name, err)
		}
		return fmt.Sprintf("%s %s", name, seen), nil
	}
	return "", fmt.Errorf("there is no link %q", name)
}

// passes sends traffic through the link l that listens at addr, until it passes, for a limited time. asked is false if its
// service does not answer, so that nothing can be said of the link.
func (s *session) passes(l scenarios.Link, addr string) (seen string, asked bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), verifyWithin)
	defer cancel()
	seen, asked, err = s.verifyLink(ctx, l, addr)
	for err != nil && ctx.Err() == nil { // a reply that the fault had changed may still be on its way
		time.Sleep(50 * time.Millisecond)
		seen, asked, err = s.verifyLink(ctx, l, addr)
	}
	return seen, asked, err
}

// verifyLink sends traffic through a link. A link of HTTP has to answer as the service itself does. Any other has to open
// a connection to the service that stays open for a moment.
func (s *session) verifyLink(ctx context.Context, l scenarios.Link, addr string) (seen string, asked bool, err error) {
	if l.ProtocolName() != "http" || l.TLS != nil {
		upstream, err := s.system.Upstream(l)
		if err != nil {
			return "", false, err
		}
		if err := verifyConnection(ctx, upstream); err != nil {
			return fmt.Sprintf("not asked, since %q itself does not answer: %v", l.To, err), false, nil
		}
		if err := verifyConnection(ctx, addr); err != nil {
			return "", true, err
		}
		return "opens connections", true, nil
	}
	direct, _, why := probes.Fetch(ctx, s.target(), l.To, http.MethodGet, "/", "")
	if direct == 0 {
		return fmt.Sprintf("not asked, since %q itself does not answer: %s%s", l.To, why.Unanswered, why.Local), false, nil
	}
	through := probes.Target{Trust: load.Trust{}, Address: func(string) string { return addr }}
	status, _, why := probes.Fetch(ctx, through, l.To, http.MethodGet, "/", "")
	switch {
	case status == 0:
		return "", true, fmt.Errorf("GET / is not answered: %s%s", why.Unanswered, why.Local)
	case status != direct:
		return "", true, fmt.Errorf("GET / is answered with status %d, and by %q itself with %d", status, l.To, direct)
	}
	return fmt.Sprintf("answers as %q itself does", l.To), true, nil
}

// verifyConnection opens a connection and waits for a moment that nothing closes it.
func verifyConnection(ctx context.Context, addr string) error {
	const moment = 150 * time.Millisecond
	network := "tcp"
	if path, unix := strings.CutPrefix(addr, "unix:"); unix {
		network, addr = "unix", path
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(moment))
	var slow net.Error
	if _, err := conn.Read(make([]byte, 1)); err != nil && (!errors.As(err, &slow) || !slow.Timeout()) {
		if errors.Is(err, io.EOF) {
			err = errors.New("the connection is closed")
		}
		return err
	}
	return nil
}

// recordHealed verifies that everything is healed after a scenario ended early, and records what was seen.
func (s *session) recordHealed() {
	if len(s.allPlaced()) == 0 {
		return
	}
	seen, err := s.verifyHealed()
	if err != nil {
		s.fail(fmt.Errorf("healing could not be verified: %w", err))
		return
	}
	s.mu.Lock()
	s.verified = seen
	s.mu.Unlock()
	s.record(journal.Event{Note: &journal.Note{Text: "healing was verified: " + seen}})
}
