package process

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// A program that runs services, or has recorded a path, holds a lease, which is the first line of its record and which a
// heartbeat renews. If the program does not run for the length of the lease, because it is stopped or has no CPU time, the
// lease ends: its guardian or Heal claims the record by renaming it, and undoes what it lists. When the program runs again
// it finds the claim, and starts nothing more.

const (
	defaultLease  = 10 * time.Second
	beatsPerLease = 10
	// endedSuffix is appended to the name of a record whose lease has ended.
	endedSuffix = ".ended"
	// leaseVariable is the environment variable with the length of the lease.
	leaseVariable = "FIREDRILL_LEASE"
)

// leaseLength returns how long the program may fail to run before its lease ends.
func leaseLength() (time.Duration, error) {
	text := os.Getenv(leaseVariable)
	if text == "" {
		return defaultLease, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 100*time.Millisecond || d > 24*time.Hour {
		return 0, fmt.Errorf("read $%s: %q is not a duration from 100ms to 24h, such as 30s: correct it or unset it", leaseVariable, text)
	}
	return d, nil
}

// leaseState is whether the lease of this program has ended, which cannot be undone.
var leaseState = struct {
	sync.Mutex
	err      error
	next     int
	watchers map[int]func(error)
}{watchers: map[int]func(error){}}

// LeaseEnded returns an error if the lease of this program has ended, and renews the lease otherwise. After that, services
// cannot be started any more, and nothing may be injected.
func LeaseEnded() error {
	renewLease()
	leaseState.Lock()
	defer leaseState.Unlock()
	return leaseState.err
}

// OnLeaseEnd has do called when the lease of this program ends, or now if it has ended, and returns a function that
// prevents that. do is called once at most.
func OnLeaseEnd(do func(error)) (stop func()) {
	leaseState.Lock()
	err := leaseState.err
	id := leaseState.next
	leaseState.next++
	if err == nil {
		leaseState.watchers[id] = do
	}
	leaseState.Unlock()
	if err != nil {
		do(err)
	}
	return func() {
		leaseState.Lock()
		defer leaseState.Unlock()
		delete(leaseState.watchers, id)
	}
}

// endLease records that the lease of this program has ended.
func endLease(lasted time.Duration) {
	leaseState.Lock()
	if leaseState.err != nil {
		leaseState.Unlock()
		return
	}
	leaseState.err = fmt.Errorf("this program (pid %d) did not run for longer than its lease of %v, so its services were killed and its disks unmounted; nothing more is injected: run it again, with %s=10m in a debugger", os.Getpid(), lasted, leaseVariable)
	err, watchers := leaseState.err, leaseState.watchers
	leaseState.watchers = map[int]func(error){}
	leaseState.Unlock()
	for _, do := range watchers {
		do(err)
	}
}

// leaseLine returns the first line of a record. It has a constant length.
func leaseLine(lasts time.Duration) string {
	return fmt.Sprintf("lease %020d %020d\n", monotonic()+lasts, lasts)
}
