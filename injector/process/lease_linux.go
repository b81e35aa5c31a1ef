package process

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// lease is the lease that this program holds.
type lease struct {
	name     string
	lasts    time.Duration
	record   *os.File // for the first line only
	guardian *guardian
	quit     chan struct{}
	done     chan struct{}
}

// held is the lease that this program holds, or nil.
var held atomic.Pointer[lease]

// beginLease starts a guardian, has create create and lock the record, and starts the heartbeat.
func beginLease(name string, lasts time.Duration, create func() error) (_ *lease, err error) {
	l := &lease{name: name, lasts: lasts, quit: make(chan struct{}), done: make(chan struct{})}
	if l.guardian, err = startGuardian(name); err != nil {
		return nil, err
	}
	if err = create(); err == nil {
		l.record, err = os.OpenFile(name, os.O_WRONLY, 0) // without O_APPEND
	}
	if err != nil {
		l.guardian.end()
		return nil, err
	}
	l.guardian.begin()
	held.Store(l)
	go l.keep()
	return l, nil
}

// keep is the heartbeat.
func (l *lease) keep() {
	defer close(l.done)
	beat := time.NewTicker(l.lasts / beatsPerLease)
	defer beat.Stop()
	for {
		select {
		case <-l.quit:
			return
		case <-beat.C:
			l.renew()
			l.guardian.replaceIfEnded(l.name)
		}
	}
}

// renew renews the lease, unless it has ended.
func (l *lease) renew() {
	if _, err := os.Lstat(l.name + endedSuffix); err == nil {
		endLease(l.lasts)
		return
	}
	_, _ = l.record.WriteAt([]byte(leaseLine(l.lasts)), 0) // if this fails, the lease ends
}

func renewLease() {
	if l := held.Load(); l != nil {
		l.renew()
	}
}

// end gives the lease back: it removes the record, and then ends the guardian. l may be nil.
func (l *lease) end() {
	if l == nil {
		return
	}
	held.Store(nil)
	close(l.quit)
	<-l.done
	_ = os.Remove(l.name)
	_ = os.Remove(l.name + endedSuffix)
	l.guardian.end() // while the record is locked, so that it does not heal what is started next
	_ = l.record.Close()
}

// ownLease reports whether a record is that of this program.
func ownLease(name string) bool {
	l := held.Load()
	return l != nil && (name == l.name || name == l.name+endedSuffix)
}

// overdue reports whether the lease of a record has ended. It watches for a fifth of the lease whether it is renewed, and
// counts only time in which this program itself runs: after a pause of the whole machine, the owner may just be about to
// renew. It returns false as soon as stop is closed.
func overdue(record *os.File, stop <-chan struct{}) bool {
	first, lasts, err := readLease(record)
	if err != nil || monotonic() < first {
		return false
	}
	const observations = 10
	for every, n := lasts/5/observations, 0; n < observations; n++ {
		began := monotonic()
		select {
		case <-stop:
			return false
		case <-time.After(every):
		}
		if monotonic()-began > 3*every+100*time.Millisecond {
			n = -1
		}
		if at, _, err := readLease(record); err != nil || at != first {
			return false
		}
	}
	return true
}

// readLease returns when a lease ends if it is not renewed, by the clock of monotonic, and its length.
func readLease(record *os.File) (ends, lasts time.Duration, err error) {
	line := make([]byte, len(leaseLine(0)))
	if _, err := record.ReadAt(line, 0); err != nil {
		return 0, 0, err
	}
	_, err = fmt.Sscanf(string(line), "lease %d %d\n", &ends, &lasts)
	return ends, lasts, err
}

// claim declares that the lease of a record has ended, and reports whether this call did.
func claim(name string) bool { return os.Rename(name, name+endedSuffix) == nil }

// monotonic returns the time on a clock that all programs of this machine share and that cannot be set.
func monotonic() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return 0
	}
	return time.Duration(now.Nano())
}
