// Package machine lets the tests of several packages, which run at the same time, share this machine. Drills
// measure latency: one that was inconclusive because the machine was busy is run again without others beside it.
package machine

import (
	"os"
	"path/filepath"
	"strconv"
)

// Repeats is how often a drill that proved nothing because the machine was busy is run again, at most.
const Repeats = 4

// Share waits until no test has reserved the machine, and then runs drill, beside those of other tests.
func Share(drill func()) error {
	gate, err := lock("gate", true) // so that a test that reserves the machine is not passed again and again
	if err != nil {
		return err
	}
	shared, err := lock("machine", false)
	_ = gate.Close()
	if err != nil {
		return err
	}
	defer shared.Close()
	drill()
	return nil
}

// Reserve waits until all drills that share the machine have ended, and then runs drill without others beside it.
// A drill must not reserve the machine while it shares it.
func Reserve(drill func()) error {
	gate, err := lock("gate", true)
	if err != nil {
		return err
	}
	defer gate.Close()
	reserved, err := lock("machine", true)
	if err != nil {
		return err
	}
	defer reserved.Close()
	drill()
	return nil
}

// lock waits for a lock that this user's processes have in common. Closing the file releases it, as does the end of
// the process.
func lock(name string, exclusive bool) (*os.File, error) {
	path := filepath.Join(os.TempDir(), "firedrill-test-"+strconv.Itoa(os.Getuid())+"-"+name+".lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f, exclusive); err != nil {
		_ = f.Close()
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return f, nil
}
