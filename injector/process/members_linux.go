package process

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// tracksDescendants is whether descendants are found in any process group or session, as needed to
// control a daemon.
const tracksDescendants = true

// family finds the processes of one start of a service: the started process and all its descendants,
// in any process group or session. This program is their subreaper, so all of them remain its
// descendants. The mark of an adopted process shows to which start it belongs.
type family struct {
	root int
	mark mark

	mu     sync.Mutex
	known  map[int]uint64 // start times of members seen alive, by PID
	status string         // exit status of the member reaped last
}

func newFamily(root int, m mark) *family {
	return &family{root: root, mark: m, known: map[int]uint64{}}
}

// member is a running process of a service.
type member struct {
	pid, group int
	adopted    bool // its parent is this program
	startTime  uint64
}

// alive returns the members that have not ended. It reaps ended members that this program has adopted.
// The started process is reaped by Cmd.Wait.
func (f *family) alive() []member {
	if f == nil {
		return nil
	}
	var found []member
	for looks := 0; len(found) == 0 && looks < emptyListings; looks++ {
		found = f.among(allProcesses())
	}
	return found
}

// emptyListings is how many listings in a row must contain no member. A single listing can miss a
// process that starts another one and exits while the processes are being listed.
const emptyListings = 4

// among is alive for a given listing of the machine's processes. f must not be nil.
func (f *family) among(all map[int]stat) []member {
	children := map[int][]stat{}
	for _, s := range all {
		children[s.ppid] = append(children[s.ppid], s)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []member
	seen := map[int]uint64{}
	var walk func(parent int, ours bool)
	walk = func(parent int, ours bool) {
		for _, s := range children[parent] {
			own, others := ours, false
			if !own {
				own, others = f.owns(s)
			}
			switch {
			case own && (s.state != 'Z' && s.state != 'X' || hasThreads(s.pid)):
				seen[s.pid] = s.startTime
				found = append(found, member{pid: s.pid, group: s.group, adopted: parent == os.Getpid(), startTime: s.startTime})
			case own && s.pid != f.root && parent == os.Getpid():
				f.reap(s.pid)
			}
			if !others { // descendants of another service belong to that one
				walk(s.pid, own)
			}
		}
	}
	walk(os.Getpid(), false)
	f.known = seen
	return found
}

// owns reports whether a process belongs to this start, and whether it belongs to another one.
func (f *family) owns(s stat) (own, others bool) {
	if began, ok := f.known[s.pid]; s.pid == f.root || ok && began == s.startTime {
		return true, false
	}
	m := markOf(s.pid)
	if m != 0 {
		return m == f.mark, m != f.mark
	}
	return s.group == f.root || s.ppid == os.Getpid() && f.mark.hasOOMScore(s.pid), false
}

func (f *family) reap(pid int) {
	var status unix.WaitStatus
	if n, err := unix.Wait4(pid, &status, unix.WNOHANG, nil); err != nil || n != pid {
		return
	}
	f.status = fmt.Sprintf("exit status %d", status.ExitStatus())
	if status.Signaled() {
		f.status = "signal: " + status.Signal().String()
	}
}

// lastStatus returns the exit status of the member reaped last.
func (f *family) lastStatus() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// signal sends a signal to a member, unless its PID has been reused.
func (m member) signal(sig syscall.Signal) error {
	if s, err := readStat(fmt.Sprintf("/proc/%d/stat", m.pid)); err != nil || s.startTime != m.startTime {
		return nil
	}
	if err := syscall.Kill(m.pid, sig); err != nil && err != syscall.ESRCH {
		return fmt.Errorf("%s: %w", command(m.pid), err)
	}
	return nil
}

// signalGroup sends a signal to the process group of a member, or to the member only if that is this
// program's own group.
func (m member) signalGroup(sig syscall.Signal) error {
	if m.group == syscall.Getpgrp() {
		return m.signal(sig)
	}
	if err := syscall.Kill(-m.group, sig); err != nil && err != syscall.ESRCH {
		return fmt.Errorf("%s: %w", command(m.pid), err)
	}
	return nil
}

// stopped reports whether the kernel has stopped all threads of the member. SIGSTOP takes effect some
// time after it was sent.
func (m member) stopped() bool { return threadsStopped(m.pid) }

// runs reports whether a member that was stopped runs again. It checks the first thread only, since
// SIGCONT continues all threads.
func (m member) runs() bool {
	s, err := readStat(fmt.Sprintf("/proc/%d/stat", m.pid))
	return err == nil && s.startTime == m.startTime && !strings.ContainsRune("TtZX", rune(s.state))
}

func (m member) String() string { return command(m.pid) }
