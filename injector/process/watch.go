package process

import (
	"fmt"
	"strings"
	"time"
)

// watchEvery is how often a service that is down or hung is checked.
const watchEvery = 100 * time.Millisecond

// Watch checks, while a service is down or hung, that its clients can see the outage. They cannot if
// another process starts to listen at its address, or another program continues its processes. On
// Linux it opens no connection. Call the returned function once to end the watch, before the service
// is healed. It returns a description of the process that answered instead, or "".
func (s *Service) Watch() (end func() string) { return s.startWatch().end }

func (s *Service) startWatch() *watch {
	w := &watch{s: s, hung: s.current(), began: time.Now(), stop: make(chan struct{}), found: make(chan string, 1)}
	if w.hung != nil {
		w.members, w.knownSockets = w.hung.family.alive(), map[string]bool{}
		for _, e := range s.spec.Listens {
			for inode := range socketsAt(e) {
				w.knownSockets[inode] = true // the first check finds their owners
			}
		}
	}
	go func() { w.found <- w.run() }()
	return w
}

func (w *watch) end() string {
	close(w.stop)
	return <-w.found
}

// watch is the state of one Watch.
type watch struct {
	s            *Service
	hung         *instance // the hung instance; nil if the service is down
	began        time.Time
	members      []member        // of the hung instance
	knownSockets map[string]bool // sockets that existed when the service hung
	checked      bool

	stop  chan struct{} // closed by end
	found chan string   // the result of run
}

// run checks until it finds something, and once more after stop was closed.
func (w *watch) run() string {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for last := false; ; {
		if who := w.check(); who != "" || last {
			return who
		}
		select {
		case <-tick.C:
		case <-w.stop:
			last = true
		}
	}
}

// check describes the process that answers now, or returns "". It returns "" while the service changes
// and after it was healed, which another fault on the service may do.
func (w *watch) check() string {
	if !w.s.change.TryLock() {
		return ""
	}
	defer w.s.change.Unlock()
	w.s.mu.Lock()
	hung := w.s.hung
	w.s.mu.Unlock()
	if w.s.current() != w.hung || w.hung != nil && !hung {
		return ""
	}
	since := time.Since(w.began).Round(watchEvery)
	for _, m := range w.members {
		if m.runs() {
			return fmt.Sprintf("%s of the service was continued by another program %s after the hang began, and has not hung since", m, since)
		}
	}
	first := !w.checked
	w.checked = true
	for _, e := range w.s.spec.Listens {
		who := w.intruder(e, first)
		if who == "" && first && w.hung != nil {
			if all := sharing(e, w.hung.family); len(all) > 0 {
				return fmt.Sprintf("%s shares the socket on which the service listens on %s, but does not belong to the service and does not hang", strings.Join(all, " and "), e)
			}
		}
		if who != "" {
			return fmt.Sprintf("%s listened on %s in place of the service, %s after the outage began, so clients could be answered there: end it, or give the service another port", who, e, since)
		}
	}
	return ""
}

// intruder names a process that listens at an endpoint in place of the service, or returns "". Finding
// the owner of a socket is slow. While the service hangs, it is done only in the first check and when
// a new socket appears.
func (w *watch) intruder(e Endpoint, first bool) string {
	if w.hung == nil {
		l := listening(e, nil)
		return l.intruder(l.any)
	}
	other := false
	for inode := range socketsAt(e) {
		other = other || !w.knownSockets[inode]
	}
	if !other && !first {
		return ""
	}
	return listening(e, w.hung.family).intruder(other)
}

// intruder names the listeners that do not belong to the service. exists means that there is one even
// if it cannot be named.
func (l listeners) intruder(exists bool) string {
	switch {
	case len(l.others) > 0:
		return strings.Join(l.others, " and ")
	case exists:
		return "a process that has ended since, or that this user cannot inspect,"
	}
	return ""
}
