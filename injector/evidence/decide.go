package evidence

import "hash/fnv"

// phi is 2^64 divided by the golden ratio, the increment of splitmix64.
const phi = 0x9e3779b97f4a7c15

// Draw returns a number in [0,1) that depends only on its arguments. With the same seed, a message therefore gets
// the same decision in every run, regardless of how goroutines are scheduled. Words identify the decision (link,
// fault, direction, operation, class), and n is the occurrence. The mixing function is the finalizer of splitmix64
// (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
func Draw(seed, n uint64, words ...string) float64 {
	return float64(Hash(seed, n, words...)>>11) / (1 << 53)
}

// Hash returns the 64-bit value that Draw is derived from, for further decisions such as which byte to change.
func Hash(seed, n uint64, words ...string) uint64 {
	h := fnv.New64a()
	for _, w := range words {
		_, _ = h.Write([]byte(w))
		_, _ = h.Write([]byte{0})
	}
	return mix(h.Sum64() ^ mix(seed+n*phi))
}

func mix(z uint64) uint64 {
	z += phi
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}
