package machine_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/features/machine"
)

func TestReservedMachineRunsOneDrill(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // not the locks of drills that run now
	var running atomic.Int64
	var drills sync.WaitGroup
	for i := range 30 {
		run, reserved := machine.Share, i%3 == 0
		if reserved {
			run = machine.Reserve
		}
		drills.Go(func() {
			assert.NoError(t, run(func() {
				running.Add(1)
				for range 1000 {
					runtime.Gosched() // so that others begin if nothing prevents it
				}
				if reserved {
					assert.EqualValues(t, 1, running.Load(), "another drill runs beside the one that reserved the machine")
				}
				running.Add(-1)
			}))
		})
	}
	drills.Wait()
}

func TestDrillsShareTheMachine(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	began := make(chan struct{})
	var drills sync.WaitGroup
	for range 2 {
		drills.Go(func() {
			assert.NoError(t, machine.Share(func() { // each waits for the other
				select {
				case began <- struct{}{}:
				case <-began:
				}
			}))
		})
	}
	drills.Wait()
}
