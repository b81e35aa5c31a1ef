package aggregate

import (
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// slips counts how late requests were sent, in the buckets of journal.SlipEdges.
type slips map[time.Duration]int64

func (s slips) add(slip time.Duration) {
	edges := journal.SlipEdges()
	i, _ := slices.BinarySearch(edges, slip)
	s[edges[min(i, len(edges)-1)]]++
}

func (s slips) buckets() []journal.Bucket {
	var all []journal.Bucket
	for _, up := range journal.SlipEdges() {
		if n := s[up]; n > 0 {
			all = append(all, journal.Bucket{Up: up, N: n})
		}
	}
	return all
}
