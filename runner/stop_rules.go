package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/probes"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// stopEvery is how often the stop rules are examined.
const stopEvery = 100 * time.Millisecond

// stopCondition returns what is observed if the condition of a stop rule holds now, or "".
type stopCondition func(now time.Duration) (observed string)

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
	s.probing.Go(func() {
		every := time.NewTicker(stopEvery)
		defer every.Stop()
		for {
			for i, observed := range conditions {
				if why := observed(s.now()); why != "" {
					s.stop(fmt.Errorf("stopped by the rule %q: %s", s.e.Stop[i], why))
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
func (s *session) stop(why error) {
	s.mu.Lock()
	first := s.stopped == nil
	if first {
		s.stopped = why
	}
	s.mu.Unlock()
	if first {
		s.record(journal.Event{Note: &journal.Note{Text: why.Error()}})
	}
	s.cancel(why)
}

// ranThroughout reports whether requests and answers of the whole time d until now can be judged: it is not before the
// baseline, and the runner itself was not paused for more than a tenth of it, since no request ends while the runner does
// not run.
func (s *session) ranThroughout(now, d time.Duration) bool {
	s.fold.mu.Lock()
	began := s.fold.baseline
	s.fold.mu.Unlock()
	return now-d >= began && s.watchdog.paused(now-d, now) <= d/10
}

func watchSuccess(_ context.Context, s *session, r scenarios.StopRule) stopCondition {
	return func(now time.Duration) string {
		if !s.ranThroughout(now, r.For) {
			return ""
		}
		share, failing := s.fold.failing(goal{}, now, r.For, r.Ratio, r.Enough())
		if !failing {
			return ""
		}
		return fmt.Sprintf("%.1f%% succeeded", 100*share)
	}
}

// watchLatency uses that the p95 latency is above a limit if less than 95% of requests are within it.
func watchLatency(_ context.Context, s *session, r scenarios.StopRule) stopCondition {
	within := goal{limited: true, limit: slices.Index(s.fold.limits, r.Limit)}
	return func(now time.Duration) string {
		if !s.ranThroughout(now, r.For) {
			return ""
		}
		share, failing := s.fold.failing(within, now, r.For, r.Percentile/100, r.Enough())
		if !failing {
			return ""
		}
		return fmt.Sprintf("%.1f%% of requests took longer", 100*(1-share))
	}
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
	return func(now time.Duration) string {
		s.fold.mu.Lock()
		began := s.fold.baseline
		s.fold.mu.Unlock()
		row := s.failing.of(r.Probe)
		if row.why == "" || row.to-max(row.from, began) < r.For || !s.ranThroughout(now, r.For) {
			return ""
		}
		return row.why
	}
}

// watchFile also stops if it cannot be known whether the file exists.
func watchFile(_ context.Context, s *session, r scenarios.StopRule) stopCondition {
	path := s.e.System.Path(r.File)
	return func(time.Duration) string {
		switch _, err := os.Stat(path); {
		case err == nil:
			return "it exists"
		case !errors.Is(err, fs.ErrNotExist):
			return err.Error()
		}
		return ""
	}
}

// watchAnswer asks the service twice a second. A service that does not answer stops nothing.
func watchAnswer(ctx context.Context, s *session, r scenarios.StopRule) stopCondition {
	var mu sync.Mutex
	observed := ""
	asks := scenarios.Probe{Name: r.String(), HTTP: r.HTTP, Status: r.Status, Every: 500 * time.Millisecond}
	s.probing.Go(func() {
		probes.Run(ctx, asks, s.target(), func(_ time.Time, _ time.Duration, a probes.Answer) {
			if a.Yes {
				mu.Lock()
				observed = a.Detail
				mu.Unlock()
			}
		})
	})
	return func(time.Duration) string {
		mu.Lock()
		defer mu.Unlock()
		return observed
	}
}
