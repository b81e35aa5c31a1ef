package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

var errRetired = errors.New("the service is no longer needed")

// instance is one run of a service, from start to end.
type instance struct {
	family  *family
	mark    mark
	from    int64         // offset in the log at which this instance starts
	drained chan struct{} // closed when all processes were killed or have ended
	done    chan struct{} // closed when all processes have ended and were reaped

	// Guarded by Service.mu.
	pid      int    // the started process, or one that continues as the daemon
	status   string // set before done is closed
	stopping bool   // crash, stop or a failed start is ending it
	wasReady bool   // it has been ready
}

func (s *Service) launch() (*instance, error) {
	log, from, err := s.openLog()
	if err != nil {
		return nil, err
	}
	defer log.Close()
	path, err := FindProgram(s.spec.Dir, s.spec.Args[0])
	if err != nil {
		return nil, err
	}
	registry.starting.RLock()
	defer registry.starting.RUnlock()
	m, err := registry.beginStart()
	if err != nil {
		return nil, err
	}
	cmd, err := fork(func() *exec.Cmd {
		cmd := exec.Command(path, s.spec.Args[1:]...) //nolint:gosec // the command is what the user asked for
		cmd.Args[0] = s.spec.Args[0]
		cmd.Dir, cmd.Env = s.spec.Dir, environment(append(slices.Clone(s.spec.Env), m.variable(s.spec.Name))...)
		cmd.Stdout, cmd.Stderr = log, log
		return cmd
	}, m)
	if err != nil {
		registry.endStart(m)
		return nil, err
	}
	r := &instance{pid: cmd.Process.Pid, family: newFamily(cmd.Process.Pid, m), mark: m, from: from, drained: make(chan struct{}), done: make(chan struct{})}
	registry.setFamily(m, r.family)
	s.mu.Lock()
	s.latest, s.hung = r, false
	s.mu.Unlock()
	go s.wait(cmd, r)
	return r, nil
}

// openLog opens the log and creates missing directories. It returns the offset at which the log of
// this instance starts.
func (s *Service) openLog() (_ *os.File, from int64, err error) {
	for _, dir := range []string{s.spec.Dir, filepath.Dir(s.spec.Log)} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, 0, err
		}
	}
	if err := truncateLog(s.spec.Log, maxLogSize, keptLogSize); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, 0, err
	}
	log, err := os.OpenFile(s.spec.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, 0, err
	}
	fmt.Fprintf(log, "--- started: %q\n", s.spec.Args[0]) // arguments may hold secrets; the journal has them redacted
	if from, err = log.Seek(0, 2); err != nil {
		log.Close()
	}
	return log, from, err
}

const (
	pollInterval   = 250 * time.Millisecond // how often the log size, and whether a daemon is running, is checked
	recordInterval = time.Second            // how often unmarked processes of all services are recorded
)

// wait reaps the started process, follows a daemon, and kills what is left of a service that has
// exited.
func (s *Service) wait(cmd *exec.Cmd, r *instance) {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	status := ""
	for status == "" {
		select {
		case err := <-ended:
			status = "exit status 0"
			if err != nil {
				status = err.Error()
			}
		case <-tick.C:
			_ = truncateLog(s.spec.Log, maxLogSize, keptLogSize)
			registry.recordUnmarked(recordInterval)
		}
	}
	if more := s.followDaemon(r, status == "exit status 0", tick.C); more != "" {
		status = more
	}
	_ = truncateLog(s.spec.Log, maxLogSize, keptLogSize)
	s.mu.Lock()
	r.status = status
	stopping, wasReady, pid := r.stopping, r.wasReady, r.pid
	s.mu.Unlock()
	registry.endStart(r.mark)
	if !stopping {
		s.event(Event{What: Exited, PID: pid, Detail: status, Log: tail(s.spec.Log, r.from), Ready: wasReady})
	}
	close(r.done)
}

// followDaemon waits, after the started process has exited, until no process of the service is left.
// It returns the exit status of a daemon, or "" if there was none.
func (s *Service) followDaemon(r *instance, cleanExit bool, tick <-chan time.Time) string {
	daemon, listens := false, false
	var before []int
	for {
		members := r.family.alive()
		s.mu.Lock()
		stopping, wasReady := r.stopping, r.wasReady
		s.mu.Unlock()
		pids := pidsOf(members)
		// Listeners are looked up again only after a process has started or exited.
		if cleanExit && tracksDescendants && wasReady && !(listens && slices.Equal(pids, before)) {
			before, listens = pids, s.listens(r.family)
		}
		goesOn := cleanExit && tracksDescendants && len(members) > 0 && (!wasReady || listens) && !s.once
		switch {
		case stopping: // the caller of kill or Stop also ends the remaining processes
			if len(members) == 0 {
				break
			}
			select {
			case <-tick:
				continue
			case <-r.drained:
			}
		case goesOn:
			if !daemon {
				daemon = true
				s.becomeDaemon(r, members)
			}
			select {
			case <-tick:
				_ = truncateLog(s.spec.Log, maxLogSize, keptLogSize)
				registry.recordUnmarked(recordInterval)
				continue
			case <-r.drained:
			}
		default:
			_ = end(context.Background(), r.family)
		}
		if daemon {
			return r.family.lastStatus()
		}
		return ""
	}
}

func pidsOf(members []member) []int {
	var pids []int
	for _, m := range members {
		pids = append(pids, m.pid)
	}
	slices.Sort(pids)
	return pids
}

// becomeDaemon records that a service continues as a daemon.
func (s *Service) becomeDaemon(r *instance, members []member) {
	i := max(0, slices.IndexFunc(members, func(m member) bool { return m.adopted }))
	s.mu.Lock()
	r.pid = members[i].pid
	s.mu.Unlock()
	s.event(Event{What: Daemonized, PID: members[i].pid, Detail: fmt.Sprintf("the started process exited with status 0 and left %s, which continues as the service", members[i])})
}

// listens reports whether a member listens at an endpoint of the service. It returns true if the
// service has no endpoints.
func (s *Service) listens(f *family) bool {
	for _, e := range s.spec.Listens {
		if l := listening(e, f); l.members || l.any && l.hidden || !l.any && accepts(e) {
			return true
		}
	}
	return len(s.spec.Listens) == 0
}

// end kills a family until no process of it is left.
func end(ctx context.Context, f *family) error {
	ctx, cancel := context.WithTimeout(ctx, signalTimeout)
	defer cancel()
	var errs []error
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		members := f.alive()
		if len(members) == 0 {
			return nil
		}
		errs = errs[:0]
		for _, m := range members {
			errs = append(errs, m.signal(killSignal))
		}
		if !pause(ctx, wait) {
			return errors.Join(append(errs, fmt.Errorf("%s did not end within %v of SIGKILL", members[0], signalTimeout))...)
		}
	}
}

// pause waits for d. It returns false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
