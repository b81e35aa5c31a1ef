package runner

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// admission decides which scenarios run in parallel. Scenarios run together only if:
//
//   - They share no fixed port, no fixed address of a link, no fixed folder (dir) and no handler in
//     this process, and at most one of them drills a system that is already running.
//   - The machine can run them together. One CPU is assumed to carry ten service processes, a load of
//     500 requests per second, or a mixture. While a scenario with checks that measure time is
//     running, half of the CPUs are left free.
//   - There are at most Options.Parallel of them.
//
// A scenario that would never fit runs alone, and so do those tagged @serial. The tag @light promises
// that services and load together need no more than a fifth of a CPU. The estimate is rough,
// and ports and folders in the arguments or the configuration of services are not known. A scenario
// that was inconclusive because others may have disturbed it is therefore run again alone; see
// session.disturbed.
type admission struct {
	mu       sync.Mutex
	limit    int
	cpus     float64
	waiting  []*job // in order of arrival
	admitted []*job
}

const (
	processesPerCPU = 10
	requestsPerCPU  = 500
	lightCost       = 0.2 // in CPUs, of a scenario tagged @light
)

// job is one attempt of a scenario, from being queued until it is released.
type job struct {
	claims []string // resources that no other job may claim at the same time
	cost   float64  // in CPUs
	timed  bool     // its checks measure time
	alone  bool
	start  chan struct{}
	shared bool // another job was admitted at the same time; guarded by admission.mu
}

func newAdmission(limit int) *admission {
	return &admission{limit: max(1, limit), cpus: float64(runtime.NumCPU())}
}

// queue queues a job. It is admitted as soon as it fits, in order of arrival.
func (a *admission) queue(j *job) *job {
	a.mu.Lock()
	defer a.mu.Unlock()
	j.start = make(chan struct{})
	a.waiting = append(a.waiting, j)
	a.admit()
	return j
}

// wait waits until a job is admitted. If the context ends first, the job is released and the error is
// the context's cause.
func (a *admission) wait(ctx context.Context, j *job) error {
	select {
	case <-j.start:
		return nil
	case <-ctx.Done():
		a.release(j)
		return context.Cause(ctx)
	}
}

// release removes a job, whether it was admitted or is still waiting.
func (a *admission) release(j *job) {
	a.mu.Lock()
	defer a.mu.Unlock()
	same := func(other *job) bool { return other == j }
	a.admitted, a.waiting = slices.DeleteFunc(a.admitted, same), slices.DeleteFunc(a.waiting, same)
	a.admit()
}

// admit admits all waiting jobs that fit, in order. a.mu must be held.
func (a *admission) admit() {
	a.waiting = slices.DeleteFunc(a.waiting, func(j *job) bool {
		if !a.fits(j) {
			return false
		}
		for _, other := range a.admitted {
			other.shared, j.shared = true, true
		}
		a.admitted = append(a.admitted, j)
		close(j.start)
		return true
	})
}

func (a *admission) fits(j *job) bool {
	if len(a.admitted) == 0 {
		return true
	}
	cost, timed := j.cost, j.timed
	for _, other := range a.admitted {
		if j.alone || other.alone || slices.ContainsFunc(j.claims, func(c string) bool { return slices.Contains(other.claims, c) }) {
			return false
		}
		cost += other.cost
		timed = timed || other.timed
	}
	budget := a.cpus
	if timed {
		budget /= 2
	}
	return len(a.admitted) < a.limit && cost <= budget
}

// wasShared reports whether another job was admitted at the same time.
func (a *admission) wasShared(j *job) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return j.shared
}

// jobOf returns the job of a scenario, with the resources that it needs.
func jobOf(e *scenarios.Experiment, o *Options) *job {
	j := &job{alone: slices.Contains(e.Tags, "@serial"), timed: measuresTime(e)}
	processes := 0
	for _, svc := range e.System.Services {
		claim, started := claimOf(svc, e, o)
		j.claims = append(j.claims, claim...)
		if started {
			processes++
		}
	}
	for _, l := range e.System.Links {
		if strings.HasPrefix(l.Listen, "unix:") {
			j.claims = append(j.claims, "address "+l.Listen)
		} else if _, port, err := net.SplitHostPort(l.Address()); err == nil && port != "0" {
			j.claims = append(j.claims, "port "+port)
		}
	}
	j.cost = float64(processes)/processesPerCPU + peak(e)/requestsPerCPU
	if slices.Contains(e.Tags, "@light") {
		j.cost = lightCost
	}
	return j
}

// claimOf returns the resources that a service cannot share with another scenario, and whether it is
// started as a process.
func claimOf(svc scenarios.Service, e *scenarios.Experiment, o *Options) (claims []string, started bool) {
	switch {
	case o.Handlers[svc.Name] != nil:
		return []string{"handler of " + svc.Name}, false
	case svc.Handler != nil:
		if v := reflect.ValueOf(svc.Handler); v.Kind() == reflect.Pointer || v.Kind() == reflect.Func {
			claims = append(claims, fmt.Sprintf("handler at %x", v.Pointer()))
		}
		return claims, false
	case svc.Address != "":
		return []string{"a system that runs already"}, false
	}
	if svc.Port != 0 {
		claims = append(claims, fmt.Sprintf("port %d", svc.Port))
	}
	if svc.Dir != "" {
		claims = append(claims, "folder "+e.System.Path(svc.Dir))
	}
	return claims, svc.StandIn == nil
}

func measuresTime(e *scenarios.Experiment) bool {
	return slices.ContainsFunc(e.Checks, func(c scenarios.Check) bool { return c.Kind().Timed }) ||
		slices.ContainsFunc(e.Steady, func(s check.Steady) bool { return s.Limit > 0 })
}

// peak returns the highest rate that a scenario requests.
func peak(e *scenarios.Experiment) (rate float64) {
	for _, l := range e.Loads() {
		rate += peakOf(e, l)
	}
	return rate
}

// peakOf returns the highest rate of a load. A load of users or counted requests is assumed to make as many requests a
// second as fit into an answer after a tenth of a second.
func peakOf(e *scenarios.Experiment, l *scenarios.Load) float64 {
	const answer = 100 * time.Millisecond
	rate := l.Rate
	if l.Shape == scenarios.Closed {
		rate = float64(l.Users) / (l.Think + answer).Seconds()
	}
	for _, step := range e.Steps {
		switch do := step.Do.(type) {
		case scenarios.RateChange:
			if do.Of() == l.Name {
				rate = max(rate, scenarios.PeakRate(do))
			}
		case scenarios.SendRequests:
			if do.Load == l.Name {
				rate = max(rate, float64(do.AtATime)/answer.Seconds())
			}
		}
	}
	return rate
}
