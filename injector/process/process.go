// Package process runs the processes of a service: start, readiness, crash, hang, resume, stop and
// logs.
//
// Start starts a Spec and returns a Service that is ready. A service is the started process and, on
// Linux, all its descendants, even in a process group or session of their own. For that, this program
// becomes the subreaper of its descendants (PR_SET_CHILD_SUBREAPER) and marks each start, so that
// every process can be attributed to a service, even one started by "su -" or "sudo -i". A crash kills
// all of them, a hang stops all of them, and Stop ends all of them. As a side effect, orphans of other
// children of this program become its children, too; they are not touched.
//
// If the started process exits with status 0 and leaves other processes, as `redis-server --daemonize
// yes` does, the service is a daemon. It continues as long as one of its processes listens at the
// address of the service. Processes that a service has started by another program, such as dockerd or
// systemd, are not its descendants and are not found.
//
// A service is ready when one of its own processes listens at its address. After a crash nothing
// listens there, and after a hang only stopped processes do. If another process listens there, an
// error names it. Watch reports processes that start to listen there later, during the outage.
//
// What outlives a program that is killed is recorded, before it is started: processes by their marks, PIDs and start times,
// paths by Record. On Linux a guardian, a process of its own, kills the processes, removes the sockets and unmounts the disks
// when the program has been killed. The program also holds a lease of 10 s ($FIREDRILL_LEASE): if it does not run for that
// long, the guardian does the same, and the program starts nothing more when it runs again; see LeaseEnded. If the guardian
// was killed, too, Heal does its work. Processes that "su -" or "sudo -i" have started are recorded when the service becomes
// ready and then once a second; one that was started after that is not found. In addition, the kernel kills the started
// process when this program is killed (PR_SET_PDEATHSIG).
//
// On macOS and other Unix systems a service is the process group that was started. Processes that
// leave the group are not found, it is not known which process listens, and processes outlive a runner
// that is killed with SIGKILL.
//
// A crash is SIGKILL. Written data stays in the page cache, so a crash is not a power failure; see package disk.
package process

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Spec describes a service to start. Name, Args and Log are required.
type Spec struct {
	Name string
	Args []string // program (see FindProgram) and arguments; no shell is involved
	// Env lists NAME=value pairs. The process gets them and PATH, HOME, TMPDIR and LANG, and no other variables.
	Env []string
	Dir string // working directory, created if missing; "" means the current one
	// Log is the file for standard output and error. It is appended to, has mode 0600, and is truncated with a
	// note when it exceeds 64 MiB.
	Log     string
	Listens []Endpoint
	Ready   Ready
	Signal  string        // signal that requests a graceful stop, one of StopSignals; "" means SIGTERM
	Grace   time.Duration // time between Signal and SIGKILL; 0 means 5 s
	Event   func(Event)   // called for each change, in order; may be nil
}

// Event is a change of a service's state.
type Event struct {
	At     time.Time
	What   string // one of Started, Daemonized, BecameReady, Crashed, Stopped, Killed, Hung, Resumed and Exited
	PID    int
	Detail string // exit status, or the readiness condition
	Log    string // end of the log; for Exited
	Ready  bool   // whether it had been ready; for Exited
}

// Values of Event.What.
const (
	Started = "started"
	// Daemonized means that the started process exited with status 0 and its descendants continue as the service.
	Daemonized  = "daemon"
	BecameReady = "ready"
	Crashed     = "crashed"
	Stopped     = "stopped"
	Killed      = "killed" // Stop had to use SIGKILL
	Hung        = "hung"
	Resumed     = "resumed"
	Exited      = "exited" // unexpectedly: not requested
)

// signalTimeout is how long processes may take to end after SIGKILL, or to stop after SIGSTOP.
const signalTimeout = 10 * time.Second

// Service is a service, running or not. Its methods may be called concurrently.
type Service struct {
	spec Spec
	once bool // a command: what it leaves running is ended; see Run

	change  sync.Mutex // serializes crash, stop and restart
	retired context.Context
	retire  context.CancelFunc

	mu     sync.Mutex
	latest *instance // nil before the first start
	hung   bool
}

// Start starts a service and waits until it is ready. If it returns an error, no process is left
// running. The error includes the end of the log.
func Start(ctx context.Context, spec Spec) (*Service, error) {
	s, err := newService(spec)
	if err != nil {
		return nil, err
	}
	return s, s.Restart(ctx)
}

// newService returns a service that has not been started.
func newService(spec Spec) (*Service, error) {
	if spec.Name == "" || len(spec.Args) == 0 || spec.Log == "" {
		return nil, fmt.Errorf("start service %q: a name, a command and a log file are required", spec.Name)
	}
	if spec.Signal == "" {
		spec.Signal = "SIGTERM"
	}
	if _, ok := stopSignals[spec.Signal]; !ok {
		return nil, fmt.Errorf("start service %q: %q is not a stop signal: use one of %s", spec.Name, spec.Signal, strings.Join(StopSignals(), ", "))
	}
	if spec.Ready.Within == 0 {
		spec.Ready.Within = 10 * time.Second
	}
	if spec.Grace == 0 {
		spec.Grace = 5 * time.Second
	}
	if spec.Event == nil {
		spec.Event = func(Event) {}
	}
	if at := spec.Ready.address(); len(spec.Listens) == 0 && at != "" {
		spec.Listens = []Endpoint{{"tcp", at}}
	}
	s := &Service{spec: spec}
	s.retired, s.retire = context.WithCancel(context.Background())
	return s, nil
}

// Restart starts a service that has ended and waits until it is ready. It does nothing if the service
// is running or retired.
func (s *Service) Restart(ctx context.Context) error {
	s.change.Lock()
	defer s.change.Unlock()
	if s.Running() || s.retired.Err() != nil {
		return nil
	}
	// With its port taken, the process would exit and hide the cause.
	if err := awaitNoOthers(ctx, s.spec.Listens); err != nil {
		return fmt.Errorf("start service %q: %w", s.spec.Name, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.retired, func() { cancel(errRetired) })()
	r, err := s.launch()
	if err != nil {
		return fmt.Errorf("start service %q: %w", s.spec.Name, err)
	}
	s.event(Event{What: Started, PID: r.family.root, Detail: strings.Join(s.spec.Args, " ")})
	if err := s.ready(ctx, r); err != nil {
		_ = s.kill(r)
		<-r.done
		if context.Cause(ctx) == errRetired { //nolint:errorlint // never wrapped
			return nil
		}
		return fmt.Errorf("start service %q: %w%s", s.spec.Name, err, logTail(tail(s.spec.Log, r.from)))
	}
	registry.recordUnmarked(0)
	s.event(Event{What: BecameReady, PID: s.PID(), Detail: s.spec.Ready.String()})
	return nil
}

// Retire declares that the service is not needed again. It aborts a start in progress, and Restart
// does nothing from now on.
func (s *Service) Retire() { s.retire() }

// environment returns the variables that programs need to run, and extra. It withholds all others,
// which may contain secrets.
func environment(extra ...string) []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "LANG"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return append(env, extra...)
}

func (s *Service) event(e Event) {
	e.At = time.Now()
	s.spec.Event(e)
}

// current returns the running instance, or nil.
func (s *Service) current() *instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.latest == nil {
		return nil
	}
	select {
	case <-s.latest.done:
		return nil
	default:
		return s.latest
	}
}

// Running reports whether the service is running. A hung service is.
func (s *Service) Running() bool { return s.current() != nil }

// Listening reports whether the service is running and a process of it listens at one of its endpoints, if it has any. A
// process that ends closes its sockets first.
func (s *Service) Listening() bool {
	r := s.current()
	return r != nil && s.listens(r.family)
}

// PID returns the ID of the current process, or 0 if the service is not running. For a daemon it is
// that of a process that continues.
func (s *Service) PID() int {
	if r := s.current(); r != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		return r.pid
	}
	return 0
}

// Name returns the name of the service.
func (s *Service) Name() string { return s.spec.Name }
