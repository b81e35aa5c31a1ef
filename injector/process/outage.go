package process

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Crash kills all processes of the service with SIGKILL and returns when they have ended. It returns
// an error if another process listens at the address of the service, because clients do not see a
// crash then. The service stays down in that case, too.
func (s *Service) Crash(ctx context.Context) error {
	s.change.Lock()
	defer s.change.Unlock()
	r := s.current()
	if r == nil || r.exited() {
		return fmt.Errorf("crash service %q: it is not running", s.spec.Name)
	}
	if err := s.kill(r); err != nil {
		return fmt.Errorf("crash service %q: %w", s.spec.Name, err)
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		return fmt.Errorf("crash service %q: %w", s.spec.Name, ctx.Err())
	}
	s.event(Event{What: Crashed, PID: r.pid, Detail: r.status})
	if err := checkUnused(s.spec.Listens); err != nil {
		return fmt.Errorf("crash service %q: its processes were killed, but %w", s.spec.Name, err)
	}
	return nil
}

// exited reports whether no process of the instance is left. If that was not requested, wait reports it as an exit.
func (r *instance) exited() bool { return len(r.family.alive()) == 0 }

// kill kills all processes of an instance. Those in the process group of the first one are killed at
// the same moment.
func (s *Service) kill(r *instance) error {
	s.mu.Lock()
	first := !r.stopping
	r.stopping = true
	s.mu.Unlock()
	for _, m := range r.family.alive() {
		if m.adopted && first {
			_ = m.signalGroup(killSignal)
		}
	}
	return s.killRemaining(r)
}

func (s *Service) killRemaining(r *instance) error {
	if err := end(context.Background(), r.family); err != nil {
		return err
	}
	select {
	case <-r.drained:
	default:
		close(r.drained)
	}
	return nil
}

// Hang stops all processes of the service with SIGSTOP and returns when all have stopped. Sockets stay
// open, but nothing answers. A hung service is still Running. If another process listens at the
// address of the service, Hang resumes the service and returns an error.
func (s *Service) Hang() error {
	s.change.Lock()
	defer s.change.Unlock()
	r := s.current()
	if r == nil {
		return fmt.Errorf("hang service %q: it is not running", s.spec.Name)
	}
	err := freeze(r.family)
	if err == nil {
		err = checkNoOthers(s.spec.Listens, r.family)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("hang service %q: %w", s.spec.Name, err), thaw(r.family))
	}
	s.mu.Lock()
	s.hung = true
	s.mu.Unlock()
	s.event(Event{What: Hung, PID: s.PID()})
	return nil
}

// freeze stops a family until every thread of every member has stopped, including members started in
// the meantime.
func freeze(f *family) error {
	ctx, cancel := context.WithTimeout(context.Background(), signalTimeout)
	defer cancel()
	signalled := map[member]bool{}
	for {
		members := f.alive()
		allStopped := true
		for _, m := range members {
			if !signalled[m] {
				allStopped, signalled[m] = false, true // it may have forked before it stopped: check again
				if err := m.signal(stopSignal); err != nil {
					return err
				}
			}
			allStopped = allStopped && m.stopped()
		}
		if allStopped {
			return nil
		}
		if !pause(ctx, time.Millisecond) {
			i := max(0, slices.IndexFunc(members, func(m member) bool { return !m.stopped() }))
			return fmt.Errorf("%s did not stop within %v of SIGSTOP", members[i], signalTimeout)
		}
	}
}

func thaw(f *family) error {
	var errs []error
	for _, m := range f.alive() {
		errs = append(errs, m.signal(continueSignal))
	}
	return errors.Join(errs...)
}

// Resume undoes Hang. It does nothing if the service does not hang.
func (s *Service) Resume() error {
	s.change.Lock()
	defer s.change.Unlock()
	s.mu.Lock()
	hung := s.hung
	s.hung = false
	s.mu.Unlock()
	if !hung {
		return nil
	}
	r := s.current()
	if r == nil {
		return fmt.Errorf("resume service %q: it is not running", s.spec.Name)
	}
	if err := thaw(r.family); err != nil {
		return fmt.Errorf("resume service %q: %w", s.spec.Name, err)
	}
	s.event(Event{What: Resumed, PID: s.PID()})
	return nil
}

// Unstopped is the error of Stop for a service that had to be killed.
type Unstopped struct {
	Service, Signal string
	Within          time.Duration // 0 if ctx ended first
	Left            []string      // the processes that had not ended
}

func (e *Unstopped) Error() string {
	if e.Within == 0 {
		return fmt.Sprintf("%q was killed before %s had ended it, because the run was aborted", e.Service, e.Signal)
	}
	return fmt.Sprintf("%q did not end within %v of %s and was killed: this was a crash, not an orderly stop; raise stop.within or send another stop.signal (still running: %s)",
		e.Service, e.Within, e.Signal, strings.Join(e.Left, ", "))
}

// Stop requests a graceful stop with the service's signal. After Grace, or when ctx ends, it kills the
// remaining processes and returns an *Unstopped error. It returns when all processes have ended. It
// may be called more than once, and on a service that has exited unexpectedly.
//
// The signal is sent to the process group of the started process, and to the groups of descendants
// whose parents have ended.
func (s *Service) Stop(ctx context.Context) error {
	s.change.Lock()
	defer s.change.Unlock()
	r := s.current()
	if r == nil {
		return nil
	}
	if r.exited() {
		<-r.done
		return nil
	}
	s.mu.Lock()
	r.stopping, s.hung = true, false
	s.mu.Unlock()
	left, err := s.requestStop(ctx, r)
	unstopped := &Unstopped{Service: s.spec.Name, Signal: s.spec.Signal, Within: s.spec.Grace}
	if ctx.Err() != nil {
		unstopped.Within = 0
	}
	for _, m := range left {
		unstopped.Left = append(unstopped.Left, m.String())
	}
	if kill := s.killRemaining(r); kill != nil {
		return fmt.Errorf("stop service %q: %w", s.spec.Name, kill)
	}
	<-r.done
	if len(left) > 0 {
		s.event(Event{What: Killed, PID: r.pid, Detail: unstopped.Error()})
		return unstopped
	}
	s.event(Event{What: Stopped, PID: r.pid, Detail: r.status})
	if err != nil {
		return fmt.Errorf("stop service %q: %w", s.spec.Name, err)
	}
	return nil
}

// requestStop sends the stop signal and waits for the processes to end. It returns those that have not
// ended in time.
func (s *Service) requestStop(ctx context.Context, r *instance) (left []member, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.spec.Grace)
	defer cancel()
	signalled := map[int]bool{}
	var errs []error
	for {
		left = r.family.alive()
		for _, m := range left {
			if m.adopted && !signalled[m.group] {
				signalled[m.group] = true
				errs = append(errs, m.signalGroup(stopSignals[s.spec.Signal]))
			}
			_ = m.signal(continueSignal) // a stopped process does not receive SIGTERM
		}
		if len(left) == 0 || !pause(ctx, 5*time.Millisecond) {
			return left, errors.Join(errs...)
		}
	}
}
