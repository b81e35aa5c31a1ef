package check

import (
	"math"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// confidence is that of the intervals in checks and reports. They describe how far chance alone can move a figure, for
// requests that are independent of each other; verdicts do not depend on them.
const confidence = 0.95

// RatioInterval returns the 95% confidence interval of n of of, by Wilson's score (Wilson, Journal of the American
// Statistical Association 22, 1927).
func RatioInterval(n, of int) (lower, upper float64) {
	return wilson(n, of, normalQuantile(1-(1-confidence)/2))
}

// QuantileInterval returns the 95% confidence interval of a percentile (0..100): the values of the two order statistics
// between which it lies (David and Nagaraja, Order Statistics, 2003, 7.1). known is false if there are too few values
// for an upper one; upper is then the largest value.
func QuantileInterval(buckets []journal.Bucket, percentile float64) (lower, upper time.Duration, known bool) {
	n := int(journal.Count(buckets))
	if n == 0 {
		return 0, 0, false
	}
	p, tail := percentile/100, (1-confidence)/2
	// The number of values below the percentile is binomial. The lower rank is the largest that exceeds it with at most
	// the probability tail; so is the upper one the smallest that does not reach it.
	low, high := binomialQuantile(n, p, tail), binomialQuantile(n, p, 1-tail)+1
	lower, upper = atRank(buckets, max(1, low)), atRank(buckets, min(n, high))
	return lower, upper, high <= n
}

// binomialQuantile returns the smallest k so that, of n trials with the chance p each, at most k succeed with
// probability q or more. p is below 1.
func binomialQuantile(n int, p, q float64) int {
	mean, deviation := float64(n)*p, math.Sqrt(float64(n)*p*(1-p))
	k := max(0, math.Floor(mean-8*deviation-8)) // the probability of fewer is negligible
	term := math.Exp(choose(float64(n), k) + k*math.Log(p) + (float64(n)-k)*math.Log(1-p))
	for below := term; below < q-1e-12 && k < float64(n); below += term {
		term *= (float64(n) - k) / (k + 1) * p / (1 - p)
		k++
	}
	return int(k)
}

// atRank returns the value of a rank, from 1.
func atRank(buckets []journal.Bucket, rank int) time.Duration {
	var seen int64
	for _, b := range buckets {
		if seen += b.N; seen >= int64(rank) {
			return b.Up
		}
	}
	return 0
}
