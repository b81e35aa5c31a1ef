package load

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestMachineUseCountsCPUAndPauses(t *testing.T) {
	if cpuTime() == 0 {
		t.Skip("the CPU time of a process is not known on this system")
	}
	before := readMachineUse()
	begun := cpuTime()
	for cpuTime() < begun+50*time.Millisecond {
		runtime.GC()
	}
	got := readMachineUse().since(before)
	assert.Greater(t, got.cpu, 0.0)
	assert.LessOrEqual(t, got.cpu, 1.1)
	assert.Greater(t, got.gcPause, time.Duration(0))
	now := readMachineUse()
	assert.Zero(t, now.since(now), "nothing was used in no time")
}
