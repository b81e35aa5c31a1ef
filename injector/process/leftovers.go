package process

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// registry records what this program would leave behind if it were killed now. While there are
// services or recorded paths, it keeps a file, the record, in a directory of the user. The record is
// locked as long as this program runs: a program that can lock it knows that the owner has ended. Its
// first line is the lease, which a heartbeat renews and a guardian watches.
var registry = &leftovers{families: map[mark]*family{}}

type leftovers struct {
	starting sync.RWMutex // read-locked while a process is started; locked forever by Abandon

	mu         sync.Mutex
	runner     uint64 // 36 random bits, part of all marks of this program
	starts     uint64
	refs       int              // number of services and recorded paths
	file       *os.File         // the record; nil if there are no references
	lease      *lease           // of the record
	families   map[mark]*family // live starts; the value is nil until there is a process
	paths      map[string]bool
	lastRecord time.Time      // when recordUnmarked last recorded
	unmarked   map[int]uint64 // start times of members recorded by recordUnmarked, by PID
}

// errNoRecords is returned where what a killed program leaves behind cannot be recorded. There, programs run without.
var errNoRecords = errors.New("what a killed run leaves behind is not recorded on this system")

// beginStart registers a start and returns its mark. It returns an error if the start cannot be recorded.
func (e *leftovers) beginStart() (mark, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.acquire(); err != nil {
		return 0, err
	}
	for {
		e.starts++
		if m := newMark(e.runner, e.starts); !e.numberTaken(m.number()) {
			e.families[m] = nil
			return m, nil
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

// acquire adds a reference and creates the record and its lease if necessary. If the lease of this program has ended, it
// returns an error.
func (e *leftovers) acquire() error {
	if err := LeaseEnded(); err != nil {
		return err
	}
	if e.refs > 0 {
		e.refs++
		return nil
	}
	for e.runner == 0 {
		var raw [8]byte
		_, _ = rand.Read(raw[:])
		e.runner = binary.LittleEndian.Uint64(raw[:]) >> 28
	}
	switch err := e.createRecord(); {
	case errors.Is(err, errNoRecords):
	case err != nil:
		e.removeRecord()
		return fmt.Errorf("record what a killed run would leave behind: %w (set TMPDIR to a folder that this user can write to)", err)
	}
	e.refs++
	return nil
}

func (e *leftovers) createRecord() error {
	dir, err := leftoversDir()
	if err != nil {
		return err
	}
	lasts, err := leaseLength()
	if err != nil {
		return err
	}
	name := filepath.Join(dir, fmt.Sprintf("%09x", e.runner))
	e.lease, err = beginLease(name, lasts, func() (err error) {
		if e.file, err = lockNew(name); err == nil {
			_, err = fmt.Fprintf(e.file, "%s%s", leaseLine(lasts), processLine("pid", os.Getpid()))
		}
		return err
	})
	return err
}

func (e *leftovers) release() {
	if e.refs--; e.refs == 0 {
		e.removeRecord()
	}
}

func (e *leftovers) removeRecord() {
	e.lease.end()
	e.lease = nil
	if e.file != nil {
		_ = os.Remove(e.file.Name())
		_ = os.Remove(e.file.Name() + endedSuffix)
		_ = e.file.Close()
		e.file = nil
	}
}

// processLine returns a line of the record that names a process, with its start time and the boot, so that another
// process with its PID is never taken for it.
func processLine(what string, pid int) string {
	return fmt.Sprintf("%s %d %d %s\n", what, pid, startTime(pid), bootID())
}

func (e *leftovers) setFamily(m mark, f *family) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.families[m] = f
	if e.file != nil {
		_, _ = fmt.Fprint(e.file, processLine("process", f.root))
	}
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

// Record registers a Unix socket that is removed, a folder where a disk is mounted that is unmounted, or the http or https
// URL of a resource that is deleted, if this program is killed before forget is called. Call Record before creating it, and
// do not create it if Record returns an error. forget may be called more than once.
func Record(path string) (forget func(), err error) {
	if !isURL(path) {
		if path, err = filepath.Abs(path); err != nil {
			return nil, err
		}
	}
	e := registry
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.acquire(); err != nil {
		return nil, err
	}
	if e.paths == nil {
		e.paths = map[string]bool{}
	}
	e.paths[path] = true
	if err := e.write("+", path); err != nil {
		delete(e.paths, path)
		e.release()
		return nil, fmt.Errorf("record %q for the case that this run is killed: %w", path, err)
	}
	return sync.OnceFunc(func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.paths, path)
		_ = e.write("-", path) // a path that is recorded and gone does no harm
		e.release()
	}), nil
}

func (e *leftovers) write(sign, path string) error {
	if e.file == nil {
		return nil
	}
	_, err := fmt.Fprintf(e.file, "%s %q\n", sign, path)
	return err
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
		_, _, _ = removeRecorded(path)
	}
	registry.refs = 0
	registry.removeRecord()
}
