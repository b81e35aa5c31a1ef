package journal

import (
	"cmp"
	"slices"
	"time"
)

// Bucket is a bucket of a histogram: N values up to and including Up, and above the Up of the previous bucket.
// Buckets are sorted by Up.
type Bucket struct {
	Up time.Duration `json:"up"`
	N  int64         `json:"n"`
}

// Merge adds histograms.
func Merge(all ...[]Bucket) []Bucket {
	counts := map[time.Duration]int64{}
	for _, buckets := range all {
		for _, b := range buckets {
			counts[b.Up] += b.N
		}
	}
	merged := make([]Bucket, 0, len(counts))
	for up, n := range counts {
		merged = append(merged, Bucket{up, n})
	}
	slices.SortFunc(merged, func(a, b Bucket) int { return cmp.Compare(a.Up, b.Up) })
	return merged
}

// Count returns the number of values in a histogram.
func Count(buckets []Bucket) int64 {
	var n int64
	for _, b := range buckets {
		n += b.N
	}
	return n
}

// Quantile returns the smallest bucket bound at or below which at least percent of the values lie (nearest rank).
// It is 0 for an empty histogram.
func Quantile(buckets []Bucket, percent float64) time.Duration {
	total := Count(buckets)
	rank := percent / 100 * float64(total)
	var seen int64
	for _, b := range buckets {
		seen += b.N
		if float64(seen) >= rank-1e-9 {
			return b.Up
		}
	}
	return 0
}

// Subtract returns the values of a histogram that are not in part, which must be a subset.
func Subtract(all, part []Bucket) []Bucket {
	have := map[time.Duration]int64{}
	for _, b := range part {
		have[b.Up] += b.N
	}
	var rest []Bucket
	for _, b := range all {
		if n := b.N - have[b.Up]; n > 0 {
			rest = append(rest, Bucket{b.Up, n})
		}
	}
	return rest
}
