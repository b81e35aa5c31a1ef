package check

import (
	"fmt"
	"math"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// side is one of two windows to compare. OK is how many of Sent succeeded. Latency has a histogram for each slice
// of time, as samples do; it covers all requests whose latency is to be compared. The differences between slices
// show how far requests depend on each other. The requests of a single slice are taken as independent.
type side struct {
	Sent, OK int
	Latency  [][]journal.Bucket
}

// comparison is the result of a comparison. Passed means that no relevant difference was found although it would
// have shown, Failed that there is one, and Inconclusive that there are too few requests. Reason is empty only if
// it passed.
type comparison struct {
	Outcome          Outcome
	Observed, Reason string
	Doubt            codes.Message // why Outcome is inconclusive
}

// The significance levels of compare. On two windows of the same system it fails wrongly in at most 1 of 100 cases.
// That rate is divided among its three tests (Bonferroni). The rank test gets most of it, since it is the one that
// detects a shift of all latencies.
const (
	alphaSuccess = 0.001
	alphaRank    = 0.006
	alphaTail    = 0.002
	alphaTimes   = 0.01 // of compareTimes, which has one test
)

// The smallest differences that count, however significant they are. Windows of a real system always differ a
// little, and with many requests every difference is significant. A rise of latency must exceed both
// minRelativeRise and minRise: on a system that answers in 1.6 ms, 1.9 ms is not the effect of a fault.
const (
	minDrop         = 0.005 // of success
	minRelativeRise = 0.1
	minRise         = 5 * time.Millisecond
)

// compare judges whether the requests of one window did worse than those of another. It implements "is not
// affected by the fault".
//
// compare fails when one of three tests finds a difference that is large enough to matter:
//
//   - Success: the share fell by more than half a point, with 99.9% confidence, by Newcombe's interval for the
//     difference of two proportions from Wilson's score intervals (Newcombe, Statistics in Medicine 17, 1998,
//     method 10).
//   - All latencies: those of the second window are stochastically larger (Wilcoxon's rank sum test with ties;
//     Mann and Whitney, 1947), and the typical rise is above a tenth and 5 ms. The typical rise is the median of
//     all ratios between the two windows (Hodges and Lehmann, 1963).
//   - The slowest twentieth: the second window has more than its share of the pooled slowest twentieth, and p95
//     rose by more than a tenth and 5 ms. This is a quantile test, which is Fisher's exact test above a pooled
//     quantile (Conover, Practical Nonparametric Statistics, 1999, on Mood's median test).
//
// None of the tests assumes a distribution. Requests are not independent of each other: a stall delays many in a
// row. The statistics of both latency tests are therefore divided by the square root of the design effect, the
// factor by which the scores of slices vary more than those of independent requests would (Kish, Survey Sampling,
// 1965). A rise that is significant only for independent requests is inconclusive.
//
// compare passes when no test found a difference, success is within half a point, and p95 is within 1.2 times that
// of the first window or 50 ms above it, whichever is more. The latter must hold with 95% confidence, by the bound
// of an order statistic (David and Nagaraja, Order Statistics, 2003, 7.1). Otherwise the result is inconclusive.
//
// With 1,000 requests in each window, a rise of all latencies by 20% is found in at least 95 of 100 cases. This
// holds for distributions whose p95 is up to four times the median, and if 20% are more than 5 ms. The tests
// simulate both rates.
func compare(before, during side) comparison {
	was, is := before.share(), during.share()
	first, second := journal.Merge(before.Latency...), journal.Merge(during.Latency...)
	p := journal.Quantile(first, 95)
	c := comparison{Observed: fmt.Sprintf("success %s, baseline %s; p95 %s, baseline %s", observed(during.OK, during.Sent), observed(before.OK, before.Sent), quantile(second, 95), quantile(first, 95))}
	m, n := journal.Count(first), journal.Count(second)
	if before.Sent == 0 || during.Sent == 0 {
		return c.inconclusive(codes.TooFewRequests.Msgf("there are %s requests before and %s during the fault: nothing to compare", Count(before.Sent), Count(during.Sent)))
	}
	if lower := successDrop(during, before, normalQuantile(1-alphaSuccess)); lower > minDrop {
		return c.failed("success fell from %s to %s", percent(round(was, 4)), percent(round(is, 4)))
	}
	if m >= minCompared && n >= minCompared {
		switch reason, bursts := slower(before.Latency, during.Latency, minRise); {
		case reason != "" && bursts:
			return c.inconclusive(codes.Undecided.Msgf("%s, but in bursts, as in a few stalls: a longer baseline and a longer fault would decide it", reason))
		case reason != "":
			return c.failed("%s", reason)
		}
	}
	switch most := upperBound(second, 0.95, 0.95); {
	case is < was-minDrop:
		return c.inconclusive(codes.Undecided.Msgf("success fell from %s to %s, which %s and %s requests are too few to distinguish from chance", percent(round(was, 4)), percent(round(is, 4)), Count(before.Sent), Count(during.Sent)))
	case m < minCompared || n < minCompared:
		return c.inconclusive(codes.TooFewRequests.Msgf("%s latencies before and %s during the fault are too few to compare: at least %d each are needed", Count(m), Count(n), minCompared))
	case most > steadyLimit(p):
		return c.inconclusive(codes.TooFewRequests.Msgf("p95 was %s before and may be up to %s during the fault: %s requests are too few", duration(p), duration(most), Count(n)))
	}
	c.Outcome = Passed
	return c
}

// minCompared is how many latencies each window must have, so that five of them lie above its p95.
const minCompared = 100

// slower describes what is slower in the second window, or returns "" if nothing relevant is. bursts reports
// whether that is significant only for independent requests.
func slower(before, during [][]journal.Bucket, floor time.Duration) (reason string, bursts bool) {
	first, second := journal.Merge(before...), journal.Merge(during...)
	both := pair(first, second)
	if z := both.rankSum(); z >= normalQuantile(1-alphaRank) {
		typical, ratio := journal.Quantile(first, 50), both.ratio()
		if ratio > 1+minRelativeRise && time.Duration((ratio-1)*float64(typical)) > floor {
			reason = fmt.Sprintf("latencies rose by %s throughout: the median from %s to %s", percent(round(ratio-1, 2)), duration(typical), duration(journal.Quantile(second, 50)))
			if bursts = z/both.dependence(before, during, both.midranks()) < normalQuantile(1-alphaRank); !bursts {
				return reason, false
			}
		}
	}
	p, q := journal.Quantile(first, 95), journal.Quantile(second, 95)
	if z := both.tail(both.above(0.95)); q > max(time.Duration(float64(p)*(1+minRelativeRise)), p+floor) && z >= normalQuantile(1-alphaTail) {
		return fmt.Sprintf("p95 rose from %s to %s", duration(p), duration(q)), z/both.dependence(before, during, both.above(0.95)) < normalQuantile(1-alphaTail)
	}
	return reason, bursts
}

// compareTimes judges whether a percentile (0..100) stays within so many times that of the first window, or 5 ms
// above it, whichever is more. It implements "stays within N times the baseline".
//
// It fails when the percentile is above the limit and a quantile test confirms that with 99% confidence. The test
// counts how many latencies of the second window are above the percentile of the first, each of which is multiplied by
// times, and accounts for slices as compare does. If the percentile is above the limit but the test does not confirm it,
// or only for independent requests, the result is inconclusive. It is also inconclusive if fewer than five
// requests lie above the percentile.
func compareTimes(before, during [][]journal.Bucket, percentile, times float64) comparison {
	first, second := journal.Merge(before...), journal.Merge(during...)
	p, q := journal.Quantile(first, percentile), journal.Quantile(second, percentile)
	c := comparison{Observed: quantile(second, percentile) + ", baseline " + quantile(first, percentile)}
	least := int64(Latency{Percentile: percentile}.least())
	m, n := journal.Count(first), journal.Count(second)
	if m < least || n < least {
		return c.inconclusive(codes.TooFewRequests.Msgf("p%v of %s requests, and of %s in the baseline, is not meaningful: at least %d each are needed", percentile, Count(n), Count(m), least))
	}
	limit := timesAllowed(p, times)
	if q <= limit {
		c.Outcome = Passed
		return c
	}
	longer := make([][]journal.Bucket, len(before))
	for i, slice := range before {
		for _, b := range slice {
			up := timesAllowed(b.Up, times)
			longer[i] = append(longer[i], journal.Bucket{Up: up + up/resolution, N: b.N})
		}
	}
	both := pair(journal.Merge(longer...), second)
	above := both.aboveFirst(min(percentile/100, 1-5/float64(m)))
	switch z, least := both.tail(above), normalQuantile(1-alphaTimes); {
	case z < least:
		return c.inconclusive(codes.Undecided.Msgf("p%v was %s, above %s: %s and %s requests are too few to distinguish that from chance", percentile, duration(q), duration(limit), Count(m), Count(n)))
	case z/both.dependence(longer, during, above) < studentQuantile(1-alphaTimes, len(longer)+len(during)-2):
		return c.inconclusive(codes.Undecided.Msgf("p%v was %s, above %s, but in bursts, as in a few stalls: a longer baseline and a longer fault would decide it", percentile, duration(q), duration(limit)))
	}
	return c.failed("p%v was %s, %.1f times the baseline's %s", percentile, duration(q), float64(q)/float64(max(1, p)), duration(p))
}

// timesAllowed returns the limit of "within so many times" for what took d in the baseline.
func timesAllowed(d time.Duration, times float64) time.Duration {
	return max(time.Duration(times*float64(d)), d+minRise)
}

// resolution is that of the histograms in the journal, which have two significant digits: the upper bound of a
// bucket is up to 1/128 above its smallest value.
const resolution = 128

// shortest returns the shortest latency that may be in a bucket of a histogram, given its upper bound.
func shortest(up time.Duration) time.Duration { return up - up/resolution }

// leftOpen begins what the resolution of histograms leaves open.
const leftOpen = "latencies are recorded with a resolution of 0.8%, which leaves open"

func (c comparison) failed(reason string, args ...any) comparison {
	c.Outcome, c.Reason = Failed, fmt.Sprintf(reason, args...)
	return c
}

func (c comparison) inconclusive(doubt codes.Message) comparison {
	c.Outcome, c.Doubt = Inconclusive, doubt
	return c
}

func (s side) share() float64 { return float64(s.OK) / math.Max(1, float64(s.Sent)) }

// successDrop returns by how much, at least, the share of successes is lower in is than in was, with a confidence
// of z standard deviations (Newcombe's method 10).
func successDrop(is, was side, z float64) float64 {
	_, isUpper := wilson(is.OK, is.Sent, z)
	wasLower, _ := wilson(was.OK, was.Sent, z)
	a, b := was.share(), is.share()
	return a - b - math.Hypot(a-wasLower, isUpper-b)
}
