package journal

import (
	"hash/maphash"
	"slices"
)

// EffectIndex finds effects by their key. It takes 8 to 12 bytes for an effect; a map of keys would take ten times as
// much. Keys that differ only in the number at their end follow each other in it, so that it is fast to look them up in
// their order. It is not safe for concurrent use.
type EffectIndex struct {
	effects *EffectRows
	seed    maphash.Seed
	first   []int32 // by hash: the first effect, or -1
	next    []int32 // by effect: the next one with the same hash, or -1
	found   []int
}

// Index returns an index of effects, to which none may be added while it is used.
func Index(effects *EffectRows) *EffectIndex {
	n, size := effects.Len(), 1
	for size < n {
		size *= 2
	}
	x := &EffectIndex{effects: effects, seed: maphash.MakeSeed(), first: slices.Repeat([]int32{-1}, size), next: make([]int32, n)}
	var key []byte
	for _, p := range slices.Backward(effects.parts) {
		for i := p.block.size() - 1; i >= 0; i-- { // from the last on, so that those of a key are found in order
			key = p.block.appendKey(key[:0], i)
			at := x.bucket(splitNumber(key))
			x.next[p.start+i], x.first[at] = x.first[at], int32(p.start+i) //nolint:gosec // far fewer effects
		}
	}
	return x
}

// bucket returns the place in first of a key that was split.
func (x *EffectIndex) bucket(common []byte, n field, _ bool) uint64 {
	return (maphash.Bytes(x.seed, common) + uint64(n)) & uint64(len(x.first)-1) //nolint:gosec // positive
}

// First returns the index of the first effect of a key, or -1.
func (x *EffectIndex) First(key []byte) int {
	common, n, split := splitNumber(key)
	for i := x.first[x.bucket(common, n, split)]; i >= 0; i = x.next[i] {
		if p, at := x.effects.part(int(i)); p.block.hasKey(at, key, common, n, split) {
			return int(i)
		}
	}
	return -1
}

// Of returns the indices of the effects of a key, in order. They are valid until the next call.
func (x *EffectIndex) Of(key []byte) []int {
	x.found = x.found[:0]
	common, n, split := splitNumber(key)
	for i := x.first[x.bucket(common, n, split)]; i >= 0; i = x.next[i] {
		if p, at := x.effects.part(int(i)); p.block.hasKey(at, key, common, n, split) {
			x.found = append(x.found, int(i))
		}
	}
	return x.found
}
