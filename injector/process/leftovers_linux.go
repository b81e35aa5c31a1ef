package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// emptyScans is how many scans in a row must find nothing. A single scan can miss a process that
// starts its successor and exits while the processes are being listed, which is likely on a busy
// machine.
const emptyScans = 20

// recordUnmarked records members of all services that carry neither the variable nor the limit of a
// mark, so that they are found if this program is killed. It does nothing if the last record is
// not older than every. As a side effect, it reaps ended members that this program has adopted.
func (e *leftovers) recordUnmarked(every time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if time.Since(e.lastRecord) < every {
		return
	}
	e.lastRecord = time.Now()
	all, unmarked := allProcesses(), map[int]uint64{}
	for _, f := range e.families {
		if f == nil {
			continue
		}
		for _, m := range f.among(all) {
			recorded := e.unmarked[m.pid] == m.startTime
			if !recorded && markOf(m.pid) != 0 {
				continue
			}
			unmarked[m.pid] = m.startTime
			if !recorded && e.file != nil {
				_, _ = fmt.Fprintf(e.file, "process %d %d %s\n", m.pid, m.startTime, bootID())
			}
		}
	}
	e.unmarked = unmarked
}

// bootID returns the ID of the machine's boot. Start times count from it, so that a process is
// identified by boot ID, PID and start time.
func bootID() string {
	raw, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(raw))
}

// killLeftovers kills all processes that a runner has left, with their descendants, and describes
// them: those that carry a mark of the runner, and the recorded ones. It also kills their process
// groups, which a process cannot escape by starting another one. No process is left if it returns no
// error.
func killLeftovers(runner uint64, recorded map[int]uint64) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), signalTimeout)
	defer cancel()
	ended := map[int]string{}
	for empty := 0; empty < emptyScans; {
		left, groups := findLeftovers(runner, recorded)
		if empty++; len(left) > 0 {
			empty = 0
		}
		for _, s := range left {
			if ended[s.pid] == "" {
				ended[s.pid] = "ended " + command(s.pid)
			}
			if err := killProcess(s); err != nil {
				return nil, fmt.Errorf("end %s: %w", command(s.pid), err)
			}
		}
		for group := range groups {
			_ = syscall.Kill(-group, syscall.SIGKILL)
		}
		if empty < emptyScans && !pause(ctx, 2*time.Millisecond) && len(left) > 0 {
			return nil, fmt.Errorf("%s did not end within %v of SIGKILL", command(left[0].pid), signalTimeout)
		}
	}
	var all []string
	for _, what := range ended {
		all = append(all, what)
	}
	slices.Sort(all)
	return all, nil
}

// findLeftovers returns the running processes of a runner, without this program and its ancestors, and
// their process groups, without those of this program and its ancestors.
func findLeftovers(runner uint64, recorded map[int]uint64) (left []stat, groups map[int]bool) {
	all := allProcesses()
	spared := map[int]bool{}
	own := map[int]bool{} // their process groups
	for pid := os.Getpid(); pid != 0 && !spared[pid]; pid = all[pid].ppid {
		spared[pid] = true
		if group, err := syscall.Getpgid(pid); err == nil {
			own[group] = true
		}
	}
	groups = map[int]bool{}
	for pid := range all {
		if spared[pid] || all[pid].state == 'Z' {
			continue
		}
		for at := pid; at > 1 && !spared[at]; at = all[at].ppid {
			m := markOf(at)
			if began, ok := recorded[at]; ok && began == all[at].startTime || m != 0 && m.runner() == runner {
				left = append(left, all[pid])
				if group, err := syscall.Getpgid(pid); err == nil && group > 1 && !own[group] {
					groups[group] = true
				}
				break
			}
		}
	}
	return left, groups
}

// killProcess kills a process, unless its PID has been reused.
func killProcess(s stat) error {
	fd, err := unix.PidfdOpen(s.pid, 0) // from here on, fd means one process
	if err == nil {
		defer func() { _ = unix.Close(fd) }()
	}
	switch {
	case errors.Is(err, unix.ESRCH) || startTime(s.pid) != s.startTime:
		return nil
	case err == nil:
		err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	default: // an old kernel, or too many open files
		err = unix.Kill(s.pid, unix.SIGKILL)
	}
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// startTime returns the start time of a process that has not ended, or 0.
func startTime(pid int) uint64 {
	s, err := readStat(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || s.state == 'Z' || s.state == 'X' {
		return 0
	}
	return s.startTime
}

// isDisk reports whether an image of package disk is mounted at a path.
func isDisk(path string) bool {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(raw)) {
		mount, device, _ := strings.Cut(line, " - ")
		fields, source := strings.Fields(mount), strings.Fields(device)
		if len(fields) < 5 || len(source) < 2 || unescape(fields[4]) != path {
			continue
		}
		image, err := os.ReadFile("/sys/block/" + filepath.Base(source[1]) + "/loop/backing_file")
		if err == nil && strings.HasPrefix(filepath.Base(string(image)), DiskPrefix) {
			return true
		}
	}
	return false
}

// unescape replaces the escapes of mountinfo, such as \040 for a space.
func unescape(s string) string {
	return regexp.MustCompile(`\\[0-7]{3}`).ReplaceAllStringFunc(s, func(octal string) string {
		n, _ := strconv.ParseUint(octal[1:], 8, 8)
		return string([]byte{byte(n)})
	})
}

func unmount(path string) error { return syscall.Unmount(path, syscall.MNT_DETACH) }
