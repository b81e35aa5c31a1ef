package load

import (
	"math"
	"runtime"
	"runtime/metrics"
	"slices"
	"time"
)

// machineUse is what this process has used of the machine since its start.
type machineUse struct {
	at     time.Time
	cpu    time.Duration // CPU time of all threads; 0 if it is not known
	pauses *metrics.Float64Histogram
}

// pausesOfGC is the metric of the times for which the garbage collector stops all goroutines.
const pausesOfGC = "/sched/pauses/total/gc:seconds"

func readMachineUse() machineUse {
	sample := []metrics.Sample{{Name: pausesOfGC}}
	metrics.Read(sample)
	u := machineUse{at: time.Now(), cpu: cpuTime()}
	if sample[0].Value.Kind() == metrics.KindFloat64Histogram {
		h := *sample[0].Value.Float64Histogram()
		h.Counts = slices.Clone(h.Counts)
		u.pauses = &h
	}
	return u
}

// used is what this process used between two moments.
type used struct {
	cpu     float64       // its share of the CPU time of all CPUs; 0 if it is not known
	gcPause time.Duration // the longest pause of the garbage collector, rounded up; 0 if there was none
}

func (u machineUse) since(before machineUse) (all used) {
	if took := u.at.Sub(before.at); took > 0 && u.cpu > 0 {
		all.cpu = (u.cpu - before.cpu).Seconds() / took.Seconds() / float64(runtime.NumCPU())
	}
	if u.pauses == nil || before.pauses == nil {
		return all
	}
	for i, n := range slices.Backward(u.pauses.Counts) {
		if n > before.pauses.Counts[i] {
			longest := u.pauses.Buckets[i+1]
			if math.IsInf(longest, 1) {
				longest = u.pauses.Buckets[i]
			}
			all.gcPause = time.Duration(longest * float64(time.Second))
			break
		}
	}
	return all
}
