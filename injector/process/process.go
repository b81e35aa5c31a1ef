// Package process is a service's process: start, ready, crash, hang, resume, stop, logs.
//
// Start a Spec; the Service that comes back is ready. Each process runs in a group of its own, to which all signals go, so that what it started dies
// with it. On Linux the kernel also kills the process when we die without a word (PR_SET_PDEATHSIG), even while it is stopped; what the process
// itself started is not covered by that, and macOS has no such thing: there a process outlives a runner that was killed with SIGKILL.
//
// A crash is SIGKILL: what the process wrote stays in the page cache, so this is a crashed process and no power cut.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Ready says how to know that a service can be used. At most one of TCP, HTTP and Line is set; the zero value means "as soon as it runs".
type Ready struct {
	TCP    string         // host:port accepts
	HTTP   string         // URL answers 2xx
	Line   *regexp.Regexp // a line of the log, of this start, matches
	Within time.Duration  // 0 means 10 s
}

// Spec is what to start. Name, Args and Log are required.
type Spec struct {
	Name  string
	Args  []string // program (see LookPath) and arguments; never a shell line
	Env   []string // NAME=value, added to PATH, HOME, TMPDIR and LANG, which are all that is handed down
	Dir   string   // working folder; created when missing; "" means ours
	Log   string   // file that gets standard output and error, appended, mode 0600
	Ready Ready
	Grace time.Duration // between SIGTERM and SIGKILL on Stop; 0 means 5 s
	Event func(Event)   // told of each change, in order; may be nil
}

// Event is a change in a service's life.
type Event struct {
	At     time.Time
	What   string // started, ready, crashed, stopped, hung, resumed, exited (on its own)
	PID    int
	Detail string // exit status, or what it waited for
}

// Service is a started process. Its methods may be called from many goroutines.
type Service struct {
	spec Spec

	change sync.Mutex // held through crash, stop and restart, so that they do not overlap
	mu     sync.Mutex
	now    *running // nil before the first start
	hung   bool
}

// running is one life of the process.
type running struct {
	pid    int
	from   int64         // offset of this life in the log
	gone   chan struct{} // closed when it has been waited for
	status string        // set before gone is closed
	asked  bool          // we ended it
}

// Start starts a process and waits until it is ready. On error nothing is left running, and the error carries the log's tail.
func Start(ctx context.Context, spec Spec) (*Service, error) {
	if spec.Name == "" || len(spec.Args) == 0 || spec.Log == "" {
		return nil, fmt.Errorf("start service %q: a name, a command and a log file are needed", spec.Name)
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
	s := &Service{spec: spec}
	if err := s.Restart(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Restart starts the process again after it ended, and waits until it is ready; it does nothing when the process runs.
func (s *Service) Restart(ctx context.Context) error {
	s.change.Lock()
	defer s.change.Unlock()
	if s.Running() {
		return nil
	}
	r, err := s.launch()
	if err != nil {
		return fmt.Errorf("start service %q: %w", s.spec.Name, err)
	}
	s.event("started", r.pid, strings.Join(s.spec.Args, " "))
	if err := s.ready(ctx, r); err != nil {
		s.kill(r)
		<-r.gone
		return fmt.Errorf("start service %q: %w%s", s.spec.Name, err, s.tail(r.from))
	}
	s.event("ready", r.pid, s.spec.Ready.String())
	return nil
}

func (s *Service) launch() (*running, error) {
	if s.spec.Dir != "" {
		if err := os.MkdirAll(s.spec.Dir, 0o700); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(s.spec.Log), 0o700); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(s.spec.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	fmt.Fprintf(log, "--- started: %q\n", s.spec.Args)
	from, err := log.Seek(0, 2)
	if err != nil {
		return nil, err
	}
	path, err := LookPath(s.spec.Args[0])
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, s.spec.Args[1:]...) //nolint:gosec // the command is what the user asked for
	cmd.Args[0] = s.spec.Args[0]
	cmd.Dir, cmd.Env = s.spec.Dir, environment(s.spec.Env)
	cmd.Stdout, cmd.Stderr = log, log
	own(cmd)
	if err := fork(cmd); err != nil {
		return nil, err
	}
	r := &running{pid: cmd.Process.Pid, from: from, gone: make(chan struct{})}
	s.mu.Lock()
	s.now, s.hung = r, false
	s.mu.Unlock()
	go s.await(cmd, r)
	return r, nil
}

// await reaps the process and tells when it ended by itself.
func (s *Service) await(cmd *exec.Cmd, r *running) {
	err := cmd.Wait()
	_ = signalGroup(r.pid, syscall.SIGKILL) // what it left behind
	status := "exit status 0"
	if err != nil {
		status = err.Error()
	}
	s.mu.Lock()
	r.status = status
	asked := r.asked
	s.mu.Unlock()
	if !asked {
		s.event("exited", r.pid, status)
	}
	close(r.gone)
}

// environment hands down what programs need to run at all, and nothing else: no secrets of the runner's.
func environment(extra []string) []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "LANG"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return append(env, extra...)
}

func (s *Service) event(what string, pid int, detail string) {
	s.spec.Event(Event{At: time.Now(), What: what, PID: pid, Detail: detail})
}

// Crash kills the whole group with SIGKILL and returns when it is gone.
func (s *Service) Crash(ctx context.Context) error {
	s.change.Lock()
	defer s.change.Unlock()
	r := s.life()
	if r == nil {
		return fmt.Errorf("crash service %q: it does not run", s.spec.Name)
	}
	s.kill(r)
	select {
	case <-r.gone:
	case <-ctx.Done():
		return fmt.Errorf("crash service %q: %w", s.spec.Name, ctx.Err())
	}
	s.event("crashed", r.pid, r.status)
	return nil
}

func (s *Service) kill(r *running) {
	s.mu.Lock()
	r.asked = true
	s.mu.Unlock()
	_ = signalGroup(r.pid, syscall.SIGKILL)
}

// Hang stops the group with SIGSTOP: sockets stay open, nothing answers. A hung service stays Running.
func (s *Service) Hang() error {
	return s.signal("hang", "hung", stopSignal, true)
}

// Resume undoes Hang; it does nothing to a service that does not hang.
func (s *Service) Resume() error {
	s.mu.Lock()
	hung := s.hung
	s.mu.Unlock()
	if !hung {
		return nil
	}
	return s.signal("resume", "resumed", continueSignal, false)
}

func (s *Service) signal(verb, what string, sig syscall.Signal, hung bool) error {
	r := s.life()
	if r == nil {
		return fmt.Errorf("%s service %q: it does not run", verb, s.spec.Name)
	}
	if err := signalGroup(r.pid, sig); err != nil {
		return fmt.Errorf("%s service %q: %w", verb, s.spec.Name, err)
	}
	if hung {
		awaitStop(r.pid)
	}
	s.mu.Lock()
	s.hung = hung
	s.mu.Unlock()
	s.event(what, r.pid, "")
	return nil
}

// Stop asks with SIGTERM, then kills after Grace or when ctx ends; it returns when the group is gone. It may be called twice, and on a service that
// ended by itself.
func (s *Service) Stop(ctx context.Context) error {
	s.change.Lock()
	defer s.change.Unlock()
	r := s.life()
	if r == nil {
		return nil
	}
	s.mu.Lock()
	r.asked, s.hung = true, false
	s.mu.Unlock()
	err := signalGroup(r.pid, syscall.SIGTERM)
	if err == nil {
		err = signalGroup(r.pid, continueSignal) // a stopped process does not even hear SIGTERM
	}
	grace := time.NewTimer(s.spec.Grace)
	defer grace.Stop()
	select {
	case <-r.gone:
	case <-grace.C:
	case <-ctx.Done():
	}
	s.kill(r)
	<-r.gone
	s.event("stopped", r.pid, r.status)
	if err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, errGone) {
		return fmt.Errorf("stop service %q: %w", s.spec.Name, err)
	}
	return nil
}

// life is the process that runs now, nil when none does.
func (s *Service) life() *running {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil {
		return nil
	}
	select {
	case <-s.now.gone:
		return nil
	default:
		return s.now
	}
}

// Running tells whether the process is alive; a hung one is.
func (s *Service) Running() bool { return s.life() != nil }

// PID is the current process's id, 0 when none runs.
func (s *Service) PID() int {
	if r := s.life(); r != nil {
		return r.pid
	}
	return 0
}

// Name is the service's name.
func (s *Service) Name() string { return s.spec.Name }

// tail is the end of the log of one life, for errors.
func (s *Service) tail(from int64) string {
	raw, err := os.ReadFile(s.spec.Log)
	if err != nil || int64(len(raw)) <= from {
		return "; its log is empty"
	}
	lines := strings.Split(strings.TrimSpace(string(raw[from:])), "\n")
	lines = lines[max(0, len(lines)-20):]
	return "; the end of its log:\n    " + strings.Join(slices.Clone(lines), "\n    ")
}
