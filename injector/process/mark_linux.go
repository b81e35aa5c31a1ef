package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// mark identifies the processes of one start of a service. Children inherit it in two ways: as an
// environment variable, and as the soft limit on real-time CPU time, because redis, nginx and
// PostgreSQL overwrite their environment with their title. As a limit it is 2,000 years or more and so
// has no effect. The limit must be set before the program runs, because the program may fork
// immediately: see fork.
//
// Programs that log in a user, such as "su -" and "sudo -i", reset both. They keep the OOM score
// adjustment, which has room for a small number: see setOOMScore. That number is compared only for
// children of this program that have no other mark. What a killed program has left is not found by
// that number, but by the records of recordUnmarked.
type mark uint64

const (
	markName = "FIREDRILL_SERVICE"
	markTag  = 0x0FD << 52 // the highest bits of every mark, followed by 36 bits of the runner and 16 of the start
)

// newMark returns the mark of a start.
func newMark(runner uint64, start uint64) mark {
	return mark(markTag | runner&(1<<36-1)<<16 | start&(1<<16-1))
}

// runner returns the runner's part of the mark.
func (m mark) runner() uint64 { return uint64(m) >> 16 & (1<<36 - 1) }

// variable returns the mark as an environment variable. The service's name is included for human
// readers.
func (m mark) variable(service string) string {
	return fmt.Sprintf("%s=%016x/%s", markName, uint64(m), service)
}

// number returns the part of the mark that is added to the OOM score adjustment; 0 means none.
// Concurrent starts have different numbers.
func (m mark) number() int { return int(uint64(m) & (1<<16 - 1) % (maxNumbers + 1)) }

// apply sets the mark on a running process.
func (m mark) apply(pid int) {
	m.setLimit(pid)
	m.setOOMScore(pid)
}

// setLimit sets the real-time CPU limit of a running process to the mark. It does nothing if the limit
// is in use or cannot be set, as for a process of another user.
func (m mark) setLimit(pid int) {
	var old unix.Rlimit
	if unix.Prlimit(pid, unix.RLIMIT_RTTIME, nil, &old) != nil || old.Cur != unix.RLIM_INFINITY && old.Cur>>52<<52 != markTag || old.Max < uint64(m) {
		return
	}
	_ = unix.Prlimit(pid, unix.RLIMIT_RTTIME, &unix.Rlimit{Cur: uint64(m), Max: old.Max}, nil)
}

// setOOMScore sets the OOM score adjustment of a running process to that of this program plus the
// number of the mark. When memory runs out, the kernel treats the process as if it used that many
// thousandths of the memory more, and so prefers to kill a service rather than this program. The
// kernel refuses a sum above 1000. Then the process has only the other marks.
func (m mark) setOOMScore(pid int) {
	if n := m.number(); n != 0 {
		_ = os.WriteFile(oomScoreFile(pid), []byte(strconv.Itoa(ownOOMScore()+n)), 0)
	}
}

// hasOOMScore reports whether a process has the OOM score adjustment set by setOOMScore. If the
// adjustment of this program was changed from outside, it returns false, since then any child may have
// such a number.
func (m mark) hasOOMScore(pid int) bool {
	own, err := oomScore(os.Getpid())
	if err != nil || own != ownOOMScore() || m.number() == 0 {
		return false
	}
	n, err := oomScore(pid)
	return err == nil && n == own+m.number()
}

// ownOOMScore returns the OOM score adjustment that this program had when it first started a service.
var ownOOMScore = sync.OnceValue(func() int {
	n, _ := oomScore(os.Getpid())
	return n
})

func oomScore(pid int) (int, error) {
	raw, err := os.ReadFile(oomScoreFile(pid))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(raw)))
}

func oomScoreFile(pid int) string { return fmt.Sprintf("/proc/%d/oom_score_adj", pid) }

// markOf returns the mark of a process, or 0 if it has none.
func markOf(pid int) mark {
	if m := markInEnviron(pid); m != 0 {
		return m
	}
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	_, line, _ := bytes.Cut(raw, []byte("Max realtime timeout"))
	fields := strings.Fields(string(line))
	if len(fields) == 0 {
		return 0
	}
	n, err := strconv.ParseUint(fields[0], 10, 64)
	if err != nil || n>>52<<52 != markTag {
		return 0
	}
	return mark(n)
}

// markInEnviron returns the mark in a process's environment, or 0 if it is missing or was overwritten.
func markInEnviron(pid int) mark {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	for variable := range bytes.SplitSeq(raw, []byte{0}) {
		value, ok := bytes.CutPrefix(variable, []byte(markName+"="))
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(string(value), "/")
		if n, err := strconv.ParseUint(number, 16, 64); err == nil && n>>52<<52 == markTag {
			return mark(n)
		}
	}
	return 0
}
