package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/aggregate"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// ranThroughout reports whether requests and answers of the whole time d until now can be judged: it is not before the
// baseline, and the runner itself was not paused for more than a tenth of it, since no request ends while the runner does
// not run.
func (s *session) ranThroughout(now, d time.Duration) bool {
	return now-d >= s.aggregator.Baseline() && s.watchdog.Paused(now-d, now) <= d/10
}

func watchSuccess(_ context.Context, s *session, r scenarios.StopRule) stopCondition {
	return s.watchShare(r, aggregate.Goal{}, r.Ratio, func(share float64) string { return fmt.Sprintf("%.1f%% succeeded", 100*share) })
}

// watchLatency uses that the p95 latency is above a limit if less than 95% of requests are within it.
func watchLatency(_ context.Context, s *session, r scenarios.StopRule) stopCondition {
	within := aggregate.Goal{Limit: r.Limit}
	return s.watchShare(r, within, r.Percentile/100, func(share float64) string { return fmt.Sprintf("%.1f%% of requests took longer", 100*(1-share)) })
}

// watchShare watches whether less than a share of requests meets a goal.
func (s *session) watchShare(r scenarios.StopRule, g aggregate.Goal, least float64, says func(share float64) string) stopCondition {
	failing := func(now, d time.Duration) (float64, bool) {
		if !s.ranThroughout(now, d) {
			return 0, false
		}
		return s.aggregator.Failing(g, now, d, least, r.Enough())
	}
	met := func(now time.Duration) string {
		share, fails := failing(now, r.For)
		if !fails {
			return ""
		}
		return says(share)
	}
	far := func(now time.Duration) (held time.Duration, observed string) {
		const parts = 10
		for i := time.Duration(parts); i > 0 && held == 0; i-- {
			if _, fails := failing(now, r.For*i/parts); fails {
				held = r.For * i / parts
			}
		}
		good, all := s.aggregator.Met(g, max(now-max(r.For/parts, time.Second), 0), now)
		if all == 0 {
			return held, ""
		}
		return held, says(float64(good) / float64(all))
	}
	return stopCondition{met, far}
}
