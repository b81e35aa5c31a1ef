package check

import (
	"cmp"
	"math"
	"sort"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// paired holds two histograms side by side, in ascending order: at each Up, a values of the first and b of the
// second.
type paired struct {
	rows []row
	m, n float64 // values of the first and of the second
}

type row struct {
	up   time.Duration
	a, b float64
}

func pair(first, second []journal.Bucket) paired {
	p := paired{rows: make([]row, 0, len(first)+len(second)), m: float64(journal.Count(first)), n: float64(journal.Count(second))}
	for len(first) > 0 || len(second) > 0 {
		switch {
		case len(second) == 0 || (len(first) > 0 && first[0].Up < second[0].Up):
			p.rows = append(p.rows, row{first[0].Up, float64(first[0].N), 0})
			first = first[1:]
		case len(first) == 0 || second[0].Up < first[0].Up:
			p.rows = append(p.rows, row{second[0].Up, 0, float64(second[0].N)})
			second = second[1:]
		default:
			p.rows = append(p.rows, row{first[0].Up, float64(first[0].N), float64(second[0].N)})
			first, second = first[1:], second[1:]
		}
	}
	return p
}

// rankSum returns by how many standard deviations the second sample is larger than expected if both had the same
// distribution. This is Wilcoxon's rank sum test in its normal approximation, corrected for ties and continuity.
func (p paired) rankSum() float64 {
	var u, below, ties float64
	for _, r := range p.rows {
		u += r.b * (below + r.a/2)
		below += r.a
		t := r.a + r.b
		ties += t*t*t - t
	}
	all := p.m + p.n
	variance := p.m * p.n / 12 * (all + 1 - ties/(all*(all-1)))
	if variance <= 0 {
		return 0
	}
	return (u - p.m*p.n/2 - 0.5) / math.Sqrt(variance)
}

// ratio returns the median of all ratios of a value of the second sample to one of the first (the Hodges-Lehmann
// estimate on logarithms).
func (p paired) ratio() float64 {
	lower, upper := math.Log(1e-7), math.Log(1e7)
	for range 40 {
		middle := (lower + upper) / 2
		if p.within(math.Exp(middle)) < p.m*p.n/2 {
			lower = middle
		} else {
			upper = middle
		}
	}
	return math.Exp(upper)
}

// within counts the pairs whose second value is at most times the first.
func (p paired) within(times float64) (pairs float64) {
	i, below := 0, 0.0
	for _, r := range p.rows {
		for ; i < len(p.rows) && float64(p.rows[i].up) <= times*float64(r.up); i++ {
			below += p.rows[i].b
		}
		pairs += r.a * below
	}
	return pairs
}

// tail tests whether the second sample has more of the marked values (score 1) than expected if both had the same
// distribution, by Fisher's exact test. It returns the standard deviations of its significance level.
func (p paired) tail(marked []float64) float64 {
	var a, b float64
	for i, score := range marked {
		a, b = a+score*p.rows[i].a, b+score*p.rows[i].b
	}
	return normalQuantile(1 - max(1e-15, hypergeometricTail(b, a+b, p.n, p.m+p.n)))
}

// above returns 1 for each row at or above the pooled q-quantile, and 0 for the others. Values equal to the quantile
// count as above it: requests that reached a time-out share one bucket.
func (p paired) above(q float64) []float64 {
	scores, seen := make([]float64, len(p.rows)), 0.0
	for i, r := range p.rows {
		seen += r.a + r.b
		if seen > q*(p.m+p.n)+1e-9 {
			scores[i] = 1
		}
	}
	return scores
}

// aboveFirst returns 1 for each row above the q-quantile of the first sample, and 0 for the others.
func (p paired) aboveFirst(q float64) []float64 {
	scores, seen := make([]float64, len(p.rows)), 0.0
	for i, r := range p.rows {
		if seen >= q*p.m-1e-9 {
			scores[i] = 1
		}
		seen += r.a
	}
	return scores
}

// midranks returns for each row the mean rank of its values among all values.
func (p paired) midranks() []float64 {
	scores, seen := make([]float64, len(p.rows)), 0.0
	for i, r := range p.rows {
		scores[i] = seen + (r.a+r.b+1)/2
		seen += r.a + r.b
	}
	return scores
}

// dependence returns the square root of the design effect, at least 1: the factor by which the difference of the
// mean scores of the two samples varies more than it would if the values in a slice were independent of each
// other.
func (p paired) dependence(first, second [][]journal.Bucket, scores []float64) float64 {
	clustered, independent := 0.0, 0.0
	for _, slices := range [][][]journal.Bucket{first, second} {
		c, i := p.variances(slices, scores)
		clustered, independent = clustered+c, independent+i
	}
	if independent <= 0 {
		return 1
	}
	return math.Sqrt(max(1, clustered/independent))
}

// variances returns the variance of the mean score of a sample, estimated from its slices (clustered) and for
// independent values.
func (p paired) variances(slices [][]journal.Bucket, scores []float64) (clustered, independent float64) {
	var n, sum, squares float64
	sums, counts := make([]float64, len(slices)), make([]float64, len(slices))
	for i, s := range slices {
		for _, b := range s {
			at, _ := sort.Find(len(p.rows), func(i int) int { return cmp.Compare(b.Up, p.rows[i].up) })
			score, many := scores[at], float64(b.N)
			sums[i], counts[i] = sums[i]+many*score, counts[i]+many
			squares += many * score * score
		}
		n, sum = n+counts[i], sum+sums[i]
	}
	if n < 2 {
		return 0, 0
	}
	mean, k := sum/n, 0.0
	for i := range slices {
		if counts[i] > 0 {
			k++
		}
		clustered += (sums[i] - counts[i]*mean) * (sums[i] - counts[i]*mean) / (n * n)
	}
	independent = (squares/n - mean*mean) / n
	if k < 2 {
		return independent, independent
	}
	return clustered * k / (k - 1), independent
}

// hypergeometricTail returns the probability that, of drawn values out of all, at least k belong to the n marked
// ones.
func hypergeometricTail(k, drawn, n, all float64) (sum float64) {
	for i := k; i <= math.Min(drawn, n); i++ {
		term := math.Exp(choose(n, i) + choose(all-n, drawn-i) - choose(all, drawn))
		sum += term
		if i > drawn*n/all && term < sum*1e-12 {
			break
		}
	}
	return math.Min(1, sum)
}

// choose returns the logarithm of a binomial coefficient, or -Inf where it is 0.
func choose(n, k float64) float64 {
	if k < 0 || k > n {
		return math.Inf(-1)
	}
	return logFactorial(n) - logFactorial(k) - logFactorial(n-k)
}

func logFactorial(n float64) float64 {
	l, _ := math.Lgamma(n + 1)
	return l
}

// upperBound returns an upper bound of the q-quantile of the distribution behind a histogram, with at least the
// given confidence: the smallest order statistic that is one. It returns the longest duration if there is none.
func upperBound(buckets []journal.Bucket, q, confidence float64) time.Duration {
	n := float64(journal.Count(buckets))
	above, k := 0.0, n // above is P(X >= k), where X is the number of values below the quantile
	for ; k > 0; k-- {
		if above += math.Exp(choose(n, k) + k*math.Log(q) + (n-k)*math.Log(1-q)); above > 1-confidence {
			break
		}
	}
	if k >= n {
		return math.MaxInt64
	}
	rank, seen := k+1, 0.0
	for _, b := range buckets {
		if seen += float64(b.N); seen >= rank {
			return b.Up
		}
	}
	return math.MaxInt64
}

// normalQuantile returns the p-quantile of the standard normal distribution.
func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

// studentQuantile returns the p-quantile of Student's t distribution, by its expansion around the normal
// distribution (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5). It accounts for dependence
// being estimated from a limited number of slices. With less than one degree of freedom it returns the normal
// quantile.
func studentQuantile(p float64, degrees int) float64 {
	z := normalQuantile(p)
	if degrees < 1 {
		return z
	}
	n, z3 := float64(degrees), z*z*z
	return z + (z3+z)/(4*n) + (5*z3*z*z+16*z3+3*z)/(96*n*n)
}

// binomialTail returns the probability of at least k successes in n trials that each succeed with probability p.
func binomialTail(k, n int, p float64) float64 {
	if k <= 0 {
		return 1
	}
	lgamma := func(x float64) float64 { v, _ := math.Lgamma(x); return v }
	tail := 0.0
	for i := k; i <= n; i++ {
		choose := lgamma(float64(n+1)) - lgamma(float64(i+1)) - lgamma(float64(n-i+1))
		term := math.Exp(choose + float64(i)*math.Log(max(p, 1e-300)) + float64(n-i)*math.Log(max(1-p, 1e-300)))
		if tail += term; float64(i) > p*float64(n) && term < tail*1e-12 {
			break
		}
	}
	return tail
}

// wilson returns Wilson's score interval of a proportion (Wilson, 1927), extending z standard deviations to either
// side.
func wilson(k, n int, z float64) (lower, upper float64) {
	if n == 0 {
		return 0, 1
	}
	total, p := float64(n), float64(k)/float64(n)
	middle := (p + z*z/(2*total)) / (1 + z*z/total)
	half := z / (1 + z*z/total) * math.Sqrt(p*(1-p)/total+z*z/(4*total*total))
	return max(0, middle-half), min(1, middle+half)
}
