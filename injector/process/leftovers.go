package process

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// registry records what this program would leave behind if it were killed now. While there are
// services or recorded paths, it keeps a file in a directory of the user. The file is locked as long
// as this program runs: a program that can lock it knows that the owner has ended.
var registry = &leftovers{families: map[mark]*family{}}

type leftovers struct {
	starting sync.RWMutex // read-locked while a process is started; locked forever by Abandon

	mu         sync.Mutex
	runner     uint64 // 36 random bits, part of all marks of this program
	starts     uint64
	refs       int // number of services and recorded paths
	file       *os.File
	families   map[mark]*family // live starts; the value is nil until there is a process
	paths      map[string]bool
	lastRecord time.Time      // when recordUnmarked last recorded
	unmarked   map[int]uint64 // start times of members recorded by recordUnmarked, by PID
}

// beginStart registers a start and returns its mark. It ignores errors of creating the file, since
// Reclaim returns them.
func (e *leftovers) beginStart() mark {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.acquire()
	for {
		e.starts++
		if m := newMark(e.runner, e.starts); !e.numberTaken(m.number()) {
			e.families[m] = nil
			return m
		}
	}
}

// maxNumbers is how many live starts have a number (see mark.number). Further starts have none.
const maxNumbers = 50

// numberTaken reports whether a new start must not use number. Number 0, which means none, is free
// only if all others are in use.
func (e *leftovers) numberTaken(number int) bool {
	if number == 0 {
		return len(e.families) < maxNumbers
	}
	for m := range e.families {
		if m.number() == number {
			return true
		}
	}
	return false
}

// acquire adds a reference and creates the file if necessary.
func (e *leftovers) acquire() error {
	for e.runner == 0 {
		var raw [8]byte
		_, _ = rand.Read(raw[:])
		e.runner = binary.LittleEndian.Uint64(raw[:]) >> 28
	}
	e.refs++
	if e.file != nil {
		return nil
	}
	dir, err := leftoversDir()
	if err != nil {
		return err
	}
	e.file, err = lockNew(filepath.Join(dir, fmt.Sprintf("%09x", e.runner)))
	if err == nil {
		_, err = fmt.Fprintf(e.file, "pid %d\n", os.Getpid())
	}
	return err
}

func (e *leftovers) release() {
	e.refs--
	if e.refs > 0 || e.file == nil {
		return
	}
	_ = os.Remove(e.file.Name())
	_ = e.file.Close()
	e.file = nil
}

func (e *leftovers) setFamily(m mark, f *family) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.families[m] = f
}

// endStart ends a start that has failed or whose processes have all ended.
func (e *leftovers) endStart(m mark) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.families, m)
	e.release()
}

// DiskPrefix begins the names of the images of package disk.
const DiskPrefix = "firedrill-disk-"

// Record registers a Unix socket that Reclaim removes, or a folder where a disk is mounted that Reclaim unmounts, if this
// program is killed before forget is called. Call Record before creating it. forget may be called more than once.
func Record(path string) (forget func()) {
	path, err := filepath.Abs(path)
	if err != nil {
		return func() {}
	}
	e := registry
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.acquire()
	if e.paths == nil {
		e.paths = map[string]bool{}
	}
	e.paths[path] = true
	e.write("+", path)
	return sync.OnceFunc(func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.paths, path)
		e.write("-", path)
		e.release()
	})
}

func (e *leftovers) write(sign, path string) {
	if e.file != nil {
		_, _ = fmt.Fprintf(e.file, "%s %q\n", sign, path)
	}
}

// Abandon kills all services of this program and removes all recorded paths. It is for a program that
// is about to exit without stopping them. A service started afterwards blocks forever.
func Abandon() {
	registry.starting.Lock()
	registry.mu.Lock()
	defer registry.mu.Unlock()
	var all sync.WaitGroup
	for _, f := range registry.families {
		all.Go(func() { _ = end(context.Background(), f) })
	}
	all.Wait()
	for path := range registry.paths {
		_, _ = removeRecorded(path)
	}
	registry.refs = 0
	registry.release()
}

// Reclaim kills processes and removes files left by killed programs that used this package. It returns
// a sentence for each of these programs. It does not touch what belongs to a running program.
// Processes are found on Linux only.
func Reclaim() ([]string, error) {
	dir, err := leftoversDir()
	if err != nil {
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(dir, "?????????"))
	if err != nil {
		return nil, err
	}
	var reports []string
	var errs []error
	for _, name := range names {
		what, err := reclaimOne(name)
		if what != "" {
			reports = append(reports, what)
		}
		errs = append(errs, err)
	}
	return reports, errors.Join(errs...)
}

// reclaimOne cleans up after one program if that has ended. It keeps the program's file if something
// could not be killed or removed.
func reclaimOne(name string) (string, error) {
	f, err := lockOld(name)
	if f == nil || err != nil {
		return "", err
	}
	defer f.Close()
	raw, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) { // another program has cleaned up already
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read leftovers of a killed run: %w", err)
	}
	var runner uint64
	if _, err := fmt.Sscanf(filepath.Base(name), "%09x", &runner); err != nil {
		return "", fmt.Errorf("read leftovers of a killed run: %q is not the name of such a file", name)
	}
	pid, paths, unmarked := parseLeftovers(string(raw))
	ended, err := killLeftovers(runner, unmarked)
	errs := []error{err}
	for path := range paths {
		what, err := removeRecorded(path)
		if errs = append(errs, err); what != "" {
			ended = append(ended, what)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return "", fmt.Errorf("clean up after the run of pid %s, which was killed: %w", pid, err)
	}
	if err := os.Remove(name); err != nil || len(ended) == 0 {
		return "", err
	}
	return fmt.Sprintf("cleaned up after the run of pid %s, which was killed: %s", pid, strings.Join(ended, ", ")), nil
}

// parseLeftovers parses the file of a program and returns what was recorded and not forgotten. It
// skips processes of an earlier boot.
func parseLeftovers(text string) (pid string, paths map[string]bool, unmarked map[int]uint64) {
	pid, paths, unmarked = "unknown", map[string]bool{}, map[int]uint64{}
	boot := bootID()
	for line := range strings.Lines(text) {
		var path string
		sign, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch sign {
		case "pid":
			pid = rest
			continue
		case "process":
			var p int
			var began uint64
			var during string
			if _, err := fmt.Sscanf(rest, "%d %d %s", &p, &began, &during); err == nil && during == boot {
				unmarked[p] = began
			}
			continue
		}
		if _, err := fmt.Sscanf(rest, "%q", &path); err != nil {
			continue // the line was being written when the program was killed
		}
		if sign == "+" {
			paths[path] = true
		} else {
			delete(paths, path)
		}
	}
	return pid, paths, unmarked
}

// removeRecorded removes a socket on which nothing listens, and unmounts a disk. It leaves anything else alone.
func removeRecorded(path string) (string, error) {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return "", nil //nolint:nilerr // it is gone
	case info.Mode()&os.ModeSocket != 0 && !isListening(path):
		return fmt.Sprintf("removed the socket %q", path), os.Remove(path)
	case info.IsDir() && isDisk(path):
		return fmt.Sprintf("unmounted the disk at %q", path), unmount(path)
	}
	return "", nil
}
