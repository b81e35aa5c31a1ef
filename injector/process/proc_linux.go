package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// stat holds fields of /proc/PID/stat.
type stat struct {
	pid, ppid, group int
	state            byte
	startTime        uint64 // in clock ticks since boot; identifies a process together with its PID
	name             string
}

// readStat reads the stat file of a process or of a thread.
func readStat(path string) (stat, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return stat{}, err
	}
	open, end := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')') // a name may hold spaces and parentheses
	if open < 1 || end < open {
		return stat{}, fmt.Errorf("read %q: %q is not a process status", path, raw)
	}
	fields := strings.Fields(string(raw[end+1:]))
	if len(fields) < 20 {
		return stat{}, fmt.Errorf("read %q: only %d fields", path, len(fields))
	}
	s := stat{name: string(raw[open+1 : end]), state: fields[0][0]}
	var errs [4]error
	s.pid, errs[0] = strconv.Atoi(strings.TrimSpace(string(raw[:open])))
	s.ppid, errs[1] = strconv.Atoi(fields[1])
	s.group, errs[2] = strconv.Atoi(fields[2])
	s.startTime, errs[3] = strconv.ParseUint(fields[19], 10, 64)
	return s, errors.Join(errs[:]...)
}

// allProcesses returns all processes of the machine, by PID. The caller must not change the map.
func allProcesses() map[int]stat { return processes.get() }

var processes = listing[map[int]stat]{read: readProcesses}

// readProcesses reads all processes of the machine. Those that end meanwhile are left out. Their
// children, which have another parent by then, are read again, so that the ancestors of every process
// are included.
func readProcesses() map[int]stat {
	all := map[int]stat{}
	dir, err := os.Open("/proc")
	if err != nil {
		return all
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		if s, err := readStat("/proc/" + name + "/stat"); err == nil {
			all[s.pid] = s
		}
	}
	readMissingParents(all, func(pid int) (stat, error) { return readStat(fmt.Sprintf("/proc/%d/stat", pid)) })
	return all
}

// readMissingParents adds missing parents and rereads processes whose parents have ended. Parents that
// this user may not see, as with hidepid, remain missing.
func readMissingParents(all map[int]stat, read func(pid int) (stat, error)) {
	for again := true; again; {
		again = false
		for pid, s := range all {
			if _, ok := all[s.ppid]; ok || s.ppid == 0 {
				continue
			}
			if parent, err := read(s.ppid); err == nil { // it was missed or is new
				all[s.ppid], again = parent, true
				continue
			}
			now, err := read(pid)
			if err != nil {
				delete(all, pid)
			} else {
				all[pid] = now
			}
			again = again || err != nil || now.ppid != s.ppid
		}
	}
}

// threadsStopped reports whether all threads of a process are stopped. It returns true if the process
// has ended.
func threadsStopped(pid int) bool {
	paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, path := range paths {
		if s, err := readStat(path); err == nil && !strings.ContainsRune("TtZX", rune(s.state)) {
			return false
		}
	}
	return true
}

// hasThreads reports whether a process continues in other threads after its first one has exited. Its
// sockets stay open until then.
func hasThreads(pid int) bool {
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	return len(threads) > 1
}

// command describes a process by its program and, for interpreters, the script. It omits other
// arguments, which may hold secrets.
func command(pid int) string {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	args := strings.Split(strings.TrimRight(string(raw), "\x00"), "\x00")
	name := filepath.Base(args[0])
	if args[0] == "" { // a kernel thread, a zombie, or another user's process
		s, _ := readStat(fmt.Sprintf("/proc/%d/stat", pid))
		name = s.name
	}
	if len(args) > 1 && !strings.HasPrefix(args[1], "-") && !strings.ContainsAny(args[1], "=@:") {
		name += " " + filepath.Base(args[1])
	}
	return fmt.Sprintf("%.60q (pid %d)", name, pid)
}
