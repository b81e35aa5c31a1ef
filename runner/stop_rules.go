package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/probes"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// stopEvery is how often the stop rules are examined.
const stopEvery = 100 * time.Millisecond

// stopCondition is the condition of a stop rule.
type stopCondition struct {
	met func(now time.Duration) (observed string)                     // "" if the rule does not stop the scenario
	far func(now time.Duration) (held time.Duration, observed string) // how near it is, for people; nil if that is not known
}

// stopWatchers has a row for each kind of stop rule. What watch starts ends with ctx and is counted in session.probing.
var stopWatchers = []struct {
	kind  string // of system.StopKinds
	watch func(ctx context.Context, s *session, r scenarios.StopRule) stopCondition
}{
	{"success_below", watchSuccess},
	{"latency", watchLatency},
	{"probe", watchProbe},
	{"file", watchFile},
	{"http", watchAnswer},
}

// startStopRules watches the stop rules until ctx ends. The first whose condition holds stops the scenario.
func (s *session) startStopRules(ctx context.Context) {
	if len(s.e.Stop) == 0 {
		return
	}
	conditions := make([]stopCondition, len(s.e.Stop))
	for i, rule := range s.e.Stop {
		for _, w := range stopWatchers {
			if w.kind == rule.Kind() {
				conditions[i] = w.watch(ctx, s, rule)
			}
		}
	}
	s.watchStopMeters(conditions)
	s.probing.Go(func() {
		defer s.watchStopMeters(nil)
		every := time.NewTicker(stopEvery)
		defer every.Stop()
		for {
			for i, c := range conditions {
				if why := c.met(s.now()); why != "" {
					s.stop(codes.Stopped.Msgf("stopped by the rule %q: %s", s.e.Stop[i], why))
					return
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-every.C:
			}
		}
	})
}

// stop ends the scenario with outcome stopped, and heals everything. Only the first reason counts.
func (s *session) stop(why codes.Message) {
	s.mu.Lock()
	first := s.stopped.None()
	if first {
		s.stopped = why
	}
	s.mu.Unlock()
	if first {
		s.record(journal.Event{Note: &journal.Note{Text: why.String()}})
	}
	s.cancel(errors.New(why.String()))
}

// failing holds, for each probe, since when its answers have been no, or missing.
type failing struct {
	mu  sync.Mutex
	all map[string]unbroken
}

// unbroken are answers in a row that were not yes. The zero value has none.
type unbroken struct {
	from, to time.Duration // when the first was asked for, and when the last was given up or received
	why      string
}

// answered records the answer to a probe. An error of this machine is no answer.
func (f *failing) answered(probe string, asked, answered time.Duration, a probes.Answer) {
	if a.Local != "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[string]unbroken{}
	}
	if a.Yes || a.Value != nil {
		delete(f.all, probe)
		return
	}
	row, known := f.all[probe]
	if !known {
		row.from = asked
	}
	row.to, row.why = answered, cmp.Or(a.Unanswered, a.Detail)
	f.all[probe] = row
}

func (f *failing) of(probe string) unbroken {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all[probe]
}

func watchProbe(_ context.Context, s *session, r scenarios.StopRule) stopCondition {
	held := func(row unbroken) time.Duration { return max(0, row.to-max(row.from, s.aggregator.Baseline())) }
	met := func(now time.Duration) string {
		row := s.failing.of(r.Probe)
		if row.why == "" || held(row) < r.For || !s.ranThroughout(now, r.For) {
			return ""
		}
		return row.why
	}
	far := func(time.Duration) (time.Duration, string) {
		row := s.failing.of(r.Probe)
		return held(row), cmp.Or(row.why, "yes")
	}
	return stopCondition{met, far}
}

// statWithin is how long a file system may take to say whether a file exists.
const statWithin = 5 * time.Second

// watchFile also stops if it cannot be known whether the file exists.
func watchFile(_ context.Context, s *session, r scenarios.StopRule) stopCondition {
	path := s.e.System.Path(r.File)
	return s.watchStat(func() error {
		_, err := os.Stat(path)
		return err
	})
}

// watchStat asks in a goroutine, and reads its answer when the condition is examined next: a file system that does not answer,
// such as that of a server which is gone, must not keep other rules from acting, nor the scenario from ending.
func (s *session) watchStat(stat func() error) stopCondition {
	answers := make(chan error, 1)
	pending, asked := false, time.Duration(0)
	return stopCondition{met: func(now time.Duration) string {
		if !pending {
			pending, asked = true, now
			go func() { answers <- stat() }()
			return ""
		}
		select {
		case err := <-answers:
			pending = false
			switch {
			case err == nil:
				return "it exists"
			case !errors.Is(err, fs.ErrNotExist):
				return err.Error()
			}
		default:
			if now-asked-s.watchdog.Paused(asked, now) >= statWithin {
				return fmt.Sprintf("whether it exists is not known: no answer within %s", statWithin)
			}
		}
		return ""
	}}
}

// watchAnswer asks the service twice a second. A service that does not answer stops nothing.
func watchAnswer(ctx context.Context, s *session, r scenarios.StopRule) stopCondition {
	var mu sync.Mutex
	observed := ""
	asks := scenarios.Probe{Name: r.String(), HTTP: r.HTTP, Status: r.Status, Every: 500 * time.Millisecond}
	s.probing.Go(func() {
		probes.Run(ctx, asks, s.target(), func(_ time.Time, _ time.Duration, a probes.Answer) {
			if a.Yes || a.Status == r.Status { // whether or not the body ends
				mu.Lock()
				observed = cmp.Or(a.Detail, a.Unanswered)
				mu.Unlock()
			}
		})
	})
	return stopCondition{met: func(time.Duration) string {
		mu.Lock()
		defer mu.Unlock()
		return observed
	}}
}
