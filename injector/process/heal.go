package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Healed is what Heal found of one program that used this package, and what it did about it.
type Healed struct {
	PID    int
	State  string   // Live, Killed or Hung
	Undone []string // what was undone, such as `ended "redis-server" (pid 12)`
	Proved []string // what was verified after that, such as "no process of it is left"
	Err    error    // what could not be undone; it stays recorded
}

// Values of Healed.State.
const (
	OwnerRuns   = "is running"                     // it holds its lease: nothing is touched
	OwnerKilled = "was killed"                     // it has ended without cleaning up
	OwnerHangs  = "hung for longer than its lease" // it exists
)

func (h Healed) String() string {
	return fmt.Sprintf("cleaned up after the run of pid %d, which %s: %s", h.PID, h.State, strings.Join(h.Undone, ", "))
}

// Heal undoes what programs that used this package have left: it kills their processes, unmounts their disks, removes their
// sockets, and deletes the resources of recorded URLs. It does not touch what belongs to a program that holds its lease. It may be called at any time, also by
// several programs at once. Processes are found on Linux only. The error is about the records as a whole.
func Heal() ([]Healed, error) {
	dir, err := leftoversDir()
	if err != nil {
		return nil, err
	}
	var all []Healed
	for _, pattern := range []string{"?????????", "?????????" + endedSuffix} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return all, err
		}
		for _, name := range names {
			if h := healRecord(name); h != nil {
				all = append(all, *h)
			}
		}
	}
	return all, nil
}

// Reclaim is Heal for a program that is about to start. It returns a sentence for each program after which it cleaned up.
func Reclaim() ([]string, error) {
	all, err := Heal()
	var reports []string
	errs := []error{err}
	for _, h := range all {
		if len(h.Undone) > 0 {
			reports = append(reports, h.String())
		}
		errs = append(errs, h.Err)
	}
	return reports, errors.Join(errs...)
}

// healRecord heals after one program. It returns nil if the record is gone, since another program has healed.
func healRecord(name string) *Healed {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &Healed{Err: fmt.Errorf("read what a run left: %w", err)}
	}
	defer f.Close()
	owner, err := readRecord(f)
	h := &Healed{PID: owner.pid, Err: err}
	switch {
	case err != nil:
	case lockAfterOwner(f, owner):
		if !isAt(f, name) {
			return nil
		}
		if healKilled(f, h); h.PID == 0 && h.Err == nil {
			return nil // the program was killed before it wrote anything, or is about to start
		}
	case ownLease(name):
		h.State = OwnerRuns
	case strings.HasSuffix(name, endedSuffix) || overdue(f, nil) && isAt(f, name) && claim(name):
		h.State = OwnerHangs
		h.undo(f)
	default:
		h.State = OwnerRuns
	}
	return h
}

// isAt reports whether a file still has its name.
func isAt(f *os.File, name string) bool {
	there, err := os.Stat(name)
	opened, other := f.Stat()
	return err == nil && other == nil && os.SameFile(there, opened)
}

// lockAfterOwner locks a record if its owner has ended, and reports whether it did. If another program is healing, it
// waits for that.
func lockAfterOwner(f *os.File, owner record) bool {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if tryLock(f) {
			return true
		}
		if owner.running() || time.Since(began) > signalTimeout {
			return false
		}
	}
}

// healKilled heals after a program that has ended. f is its locked record, which is removed if everything was undone.
func healKilled(f *os.File, h *Healed) {
	h.State = OwnerKilled
	if h.undo(f); h.Err == nil {
		name := strings.TrimSuffix(f.Name(), endedSuffix)
		_ = os.Remove(name)
		_ = os.Remove(name + endedSuffix)
	}
}

// undo undoes what a record lists, and verifies that.
func (h *Healed) undo(f *os.File) {
	left, err := readRecord(f)
	if err == nil {
		h.PID = left.pid
		h.Undone, err = killLeftovers(left.runner, left.processes)
	}
	if err == nil && tracksDescendants {
		h.Proved = append(h.Proved, "no process of it is left")
	}
	errs := []error{err}
	for path := range left.paths {
		undone, proved, err := removeRecorded(path)
		if errs = append(errs, err); undone != "" {
			h.Undone = append(h.Undone, undone)
		}
		if proved != "" {
			h.Proved = append(h.Proved, proved)
		}
	}
	if err := errors.Join(errs...); err != nil {
		h.Err = fmt.Errorf("clean up after the run of pid %d, which %s: %w", h.PID, h.State, err)
	}
}

// record is what a program recorded and did not take back.
type record struct {
	runner    uint64 // of its marks
	pid       int
	began     uint64 // its start time; 0 if it was started before the last boot
	paths     map[string]bool
	processes map[int]uint64 // start times, by PID
}

// readRecord reads a record. It skips processes of an earlier boot, and a line that was being written when the program
// was killed.
func readRecord(f *os.File) (record, error) {
	r := record{paths: map[string]bool{}, processes: map[int]uint64{}}
	if _, err := fmt.Sscanf(filepath.Base(f.Name()), "%09x", &r.runner); err != nil {
		return r, fmt.Errorf("read what a run left: %q is not the name of a record: remove it", f.Name())
	}
	raw, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	if err != nil {
		return r, fmt.Errorf("read what a run left: %w", err)
	}
	boot := bootID()
	for line := range strings.Lines(string(raw)) {
		what, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		var pid int
		var began uint64
		var during, path string
		switch what {
		case "pid", "process":
			n, _ := fmt.Sscanf(rest, "%d %d %s", &pid, &began, &during)
			if what == "pid" {
				r.pid = pid
			}
			if n < 3 || during != boot {
				continue
			}
			if what == "pid" {
				r.began = began
			} else {
				r.processes[pid] = began
			}
		case "+", "-":
			if _, err := fmt.Sscanf(rest, "%q", &path); err != nil {
				continue
			}
			if delete(r.paths, path); what == "+" {
				r.paths[path] = true
			}
		}
	}
	return r, nil
}

// running reports whether the owner of the record is running, or is stopped.
func (r record) running() bool { return r.began != 0 && startTime(r.pid) == r.began }

// removeRecorded removes a socket on which nothing listens, unmounts a disk, and deletes the resource of a URL. It leaves
// anything else alone.
func removeRecorded(path string) (undone, proved string, err error) {
	if isURL(path) {
		return deleteResource(path)
	}
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return "", fmt.Sprintf("nothing is at %q", path), nil //nolint:nilerr // it is gone
	case info.Mode()&os.ModeSocket != 0 && !isListening(path):
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", "", err
		}
		return fmt.Sprintf("removed the socket %q", path), fmt.Sprintf("nothing is at %q", path), nil
	case info.IsDir() && isDisk(path):
		if err := unmount(path); err != nil && isDisk(path) {
			return "", "", fmt.Errorf("unmount the disk at %q: %w", path, err)
		}
		undone = fmt.Sprintf("unmounted the disk at %q", path)
	case !info.IsDir():
		return "", "", nil
	}
	if isDisk(path) {
		return undone, "", fmt.Errorf("unmount the disk at %q: another disk is mounted there: run firedrill heal again", path)
	}
	return undone, fmt.Sprintf("no disk is mounted at %q", path), nil
}
