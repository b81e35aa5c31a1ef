package effects

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

// Source says where effects are read, and whose they are.
type Source struct {
	Reader
	Run      string // prefix of the keys of this run
	Scenario string // prefix of the keys of this scenario
	// Alone is set if the scenario started the whole system. A new effect with a key that was never
	// sent is then a phantom. In a system that was already running, it may belong to another user.
	Alone  bool
	Group  string // the field of effects that a check groups them by; "" if none does
	Values bool   // effects are compared by their values, too
}

// Ledger reads the list of effects of one scenario and attributes each effect to its cause.
type Ledger struct {
	Source
	earlier       int            // number of effects listed before the load
	before        map[uint64]int // by hash of key and ID: how often it was listed before the load (once if it has an ID)
	tooManyBefore bool           // more than maxKept before the load: only keys of this scenario are judged
	seed          maphash.Seed
}

func NewLedger(s Source) *Ledger { return &Ledger{Source: s, seed: maphash.MakeSeed()} }

// Reading is the result of reading the list once.
type Reading struct {
	Kept   map[journal.Effect]int            // of this scenario, and phantoms: how often each is listed (once if it has an ID); key and ID only, or key and value
	more   map[journal.Effect]journal.Effect // with group, order, place and value, as listed first; empty if no check needs them
	before int                               // number of effects that existed before the load
	others int                               // number of effects with keys of others
	fresh  int                               // number of new effects of no known run: phantoms, unless others use the system
	folded int                               // number of effects of this scenario listed again with the same ID
	sample []string                          // up to three keys of fresh effects
	listed int
	took   time.Duration
}

func (l *Ledger) hash(e journal.Effect) uint64 {
	var h maphash.Hash
	h.SetSeed(l.seed)
	_, _ = h.WriteString(e.Key)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(e.ID)
	return h.Sum64()
}

// ReadBefore reads the effects that exist before the load.
func (l *Ledger) ReadBefore(ctx context.Context) error {
	before := map[uint64]int{}
	many := false
	listed := 0
	err := l.Source.Read(ctx, func(e journal.Effect) error {
		listed++
		if len(before) < maxKept {
			before[l.hash(e)]++
		} else {
			many = true
		}
		return nil
	})
	if errors.Is(err, ErrNone) {
		err = nil
	}
	if err == nil {
		l.before, l.tooManyBefore, l.earlier = before, many, listed
	}
	return err
}

// Read reads the effects that have appeared since the load began.
func (l *Ledger) Read(ctx context.Context) (*Reading, error) {
	began := time.Now()
	r := &Reading{Kept: map[journal.Effect]int{}, more: map[journal.Effect]journal.Effect{}}
	again := map[uint64]int{} // by hash, for effects that existed before the load: how often each was listed so far
	err := l.Source.Read(ctx, func(whole journal.Effect) error {
		r.listed++
		e := journal.Effect{Key: whole.Key, ID: whole.ID}
		if l.Values && e.ID == "" {
			e.Value = whole.Value
		}
		h := l.hash(e)
		if was := l.before[h]; was > 0 && (e.ID != "" || again[h] < was) {
			again[h]++
			r.before++
			return nil
		}
		if !strings.HasPrefix(e.Key, l.Scenario) && !l.phantom(r, e.Key) {
			r.others++
			return nil
		}
		if e.ID != "" && r.Kept[e] > 0 {
			r.folded++ // the same effect, listed again
			return nil
		}
		if len(r.Kept) >= maxKept || r.Kept[e] >= maxKept {
			return errTooMany
		}
		if r.Kept[e]++; (l.Group != "" || l.Values) && r.Kept[e] == 1 {
			whole.Place = r.listed
			if !l.Values {
				whole.Value = ""
			}
			r.more[e] = whole
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.took = time.Since(began)
	return r, nil
}

// phantom counts a new effect whose key is not of this scenario, and reports whether no other user can
// have caused it.
func (l *Ledger) phantom(r *Reading, key string) bool {
	if strings.HasPrefix(key, l.Run) || load.IsRunKey(key) {
		return false
	}
	if r.fresh++; len(r.sample) < 3 {
		r.sample = append(r.sample, key)
	}
	return l.phantomsCertain()
}

// phantomsCertain reports whether a new effect with an unknown key is a phantom.
func (l *Ledger) phantomsCertain() bool { return l.Alone && !l.tooManyBefore }

// detailed returns the effects of the reading with group and order.
func (r *Reading) detailed() (all journal.EffectRows) {
	for _, e := range r.Effects() {
		if whole, ok := r.more[e]; ok {
			e = whole
		}
		all.Add(e)
	}
	return all
}

// countOwn returns the number of distinct effects with keys of this scenario.
func (r *Reading) countOwn(l *Ledger) (n int) {
	for e := range r.Kept {
		if strings.HasPrefix(e.Key, l.Scenario) {
			n++
		}
	}
	return n
}

// keys returns the keys that have an effect.
func (r *Reading) keys() map[string]bool {
	all := make(map[string]bool, len(r.Kept))
	for e := range r.Kept {
		all[e.Key] = true
	}
	return all
}

// Effects returns the effects of the reading, sorted by key and ID since the order of the list may
// vary.
func (r *Reading) Effects() []journal.Effect {
	var all []journal.Effect
	for e, n := range r.Kept {
		for range n {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b journal.Effect) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.ID, b.ID)) })
	return all
}
