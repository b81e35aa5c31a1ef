package runner

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// maxKept limits the number of effects kept in memory: those of this scenario, and, as hashes, those
// from before it.
const maxKept = 2_000_000

var errTooMany = errors.New("exceeds the limit of 2,000,000 effects with keys of this scenario")

// ledger reads the list of effects of one scenario and attributes each effect to its cause.
type ledger struct {
	trust       load.Trust
	method, url string

	run, scenario string // prefixes of the keys of this run and of this scenario
	// alone is set if the scenario started the whole system. A new effect with a key that was never
	// sent is then a phantom. In a system that was already running, it may belong to another user.
	alone         bool
	earlier       int            // number of effects listed before the load
	before        map[uint64]int // by hash of key and ID: how often it was listed before the load (once if it has an ID)
	tooManyBefore bool           // more than maxKept before the load: only keys of this scenario are judged
	seed          maphash.Seed
}

// reading is the result of reading the list once.
type reading struct {
	kept   map[journal.Effect]int // of this scenario, and phantoms: how often each is listed (once if it has an ID)
	before int                    // number of effects that existed before the load
	others int                    // number of effects with keys of others
	fresh  int                    // number of new effects of no known run: phantoms, unless others use the system
	folded int                    // number of effects of this scenario listed again with the same ID
	sample []string               // up to three keys of fresh effects
	listed int
	took   time.Duration
}

func (s *session) newLedger() *ledger {
	return &ledger{
		trust: s.system.trust, method: s.e.Effects.Method, url: s.system.trust.URL(s.system.addresses[s.e.Effects.Service], s.e.Effects.Path),
		run: s.run.short + "-", scenario: s.keyPrefix() + "-", alone: s.e.System.Whole(), seed: maphash.MakeSeed(),
	}
}

func (l *ledger) hash(e journal.Effect) uint64 {
	var h maphash.Hash
	h.SetSeed(l.seed)
	_, _ = h.WriteString(e.Key)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(e.ID)
	return h.Sum64()
}

// readBefore reads the effects that exist before the load.
func (l *ledger) readBefore(ctx context.Context) error {
	before := map[uint64]int{}
	many := false
	found, err := fetchEffects(ctx, l.trust, l.method, l.url, func(e journal.Effect) error {
		if len(before) < maxKept {
			before[l.hash(e)]++
		} else {
			many = true
		}
		return nil
	})
	if errors.Is(err, errNull) { // a list without entries yet; read returns it as an error
		err = nil
	}
	if err == nil {
		l.before, l.tooManyBefore, l.earlier = before, many, found.items
	}
	return err
}

// read reads the effects that have appeared since the load began.
func (l *ledger) read(ctx context.Context) (*reading, error) {
	began := time.Now()
	r := &reading{kept: map[journal.Effect]int{}}
	again := map[uint64]int{} // by hash, for effects that existed before the load: how often each was listed so far
	found, err := fetchEffects(ctx, l.trust, l.method, l.url, func(e journal.Effect) error {
		h := l.hash(e)
		if was := l.before[h]; was > 0 && (e.ID != "" || again[h] < was) {
			again[h]++
			r.before++
			return nil
		}
		if !strings.HasPrefix(e.Key, l.scenario) && !l.phantom(r, e.Key) {
			r.others++
			return nil
		}
		if e.ID != "" && r.kept[e] > 0 {
			r.folded++ // the same effect, listed again
			return nil
		}
		if len(r.kept) >= maxKept || r.kept[e] >= maxKept {
			return errTooMany
		}
		r.kept[e]++
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.listed, r.took = found.items, time.Since(began)
	return r, nil
}

// phantom counts a new effect whose key is not of this scenario, and reports whether no other user can
// have caused it.
func (l *ledger) phantom(r *reading, key string) bool {
	if strings.HasPrefix(key, l.run) || load.IsRunKey(key) {
		return false
	}
	if r.fresh++; len(r.sample) < 3 {
		r.sample = append(r.sample, key)
	}
	return l.phantomsCertain()
}

// phantomsCertain reports whether a new effect with an unknown key is a phantom.
func (l *ledger) phantomsCertain() bool { return l.alone && !l.tooManyBefore }

// countOwn returns the number of distinct effects with keys of this scenario.
func (r *reading) countOwn(l *ledger) (n int) {
	for e := range r.kept {
		if strings.HasPrefix(e.Key, l.scenario) {
			n++
		}
	}
	return n
}

// keys returns the keys that have an effect.
func (r *reading) keys() map[string]bool {
	all := make(map[string]bool, len(r.kept))
	for e := range r.kept {
		all[e.Key] = true
	}
	return all
}

// effects returns the effects of the reading, sorted by key and ID since the order of the list may
// vary.
func (r *reading) effects() []journal.Effect {
	var all []journal.Effect
	for e, n := range r.kept {
		for range n {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b journal.Effect) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.ID, b.ID)) })
	return all
}
