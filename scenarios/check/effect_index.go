package check

import (
	"hash/maphash"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// effectIndex finds the effects of a key. It takes 9 to 17 bytes for an effect; a map of keys would take ten times as
// much.
type effectIndex struct {
	effects   *journal.EffectRows
	seed      maphash.Seed
	first     []int32 // by hash: the first effect, or -1
	next      []int32 // by effect: the next one with the same hash, or -1
	requested []bool  // by effect: of was called for its key
	key       []byte
	found     []int
}

func indexEffects(effects *journal.EffectRows) *effectIndex {
	n, size := effects.Len(), 1
	for size < n {
		size *= 2
	}
	x := &effectIndex{effects: effects, seed: maphash.MakeSeed(), first: make([]int32, size), next: make([]int32, n), requested: make([]bool, n)}
	for i := range x.first {
		x.first[i] = -1
	}
	for i := n - 1; i >= 0; i-- { // so that those of a key are found in order
		x.key = effects.AppendKey(x.key[:0], i)
		at := maphash.Bytes(x.seed, x.key) & uint64(size-1) //nolint:gosec // positive
		x.next[i], x.first[at] = x.first[at], int32(i)      //nolint:gosec // far fewer effects
	}
	return x
}

// of returns the indices of the effects of a key. They are valid until the next call.
func (x *effectIndex) of(key string) []int {
	x.found = x.found[:0]
	for i := x.first[maphash.String(x.seed, key)&uint64(len(x.first)-1)]; i >= 0; i = x.next[i] { //nolint:gosec // positive
		if x.key = x.effects.AppendKey(x.key[:0], int(i)); string(x.key) == key {
			x.requested[i] = true
			x.found = append(x.found, int(i))
		}
	}
	return x.found
}
