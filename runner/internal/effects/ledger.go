package effects

import (
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
	Effects journal.EffectRows   // of this scenario, and phantoms, as the source lists them; one that has an ID is there once
	index   *journal.EffectIndex // of Effects; nil if it is not needed now
	sum     uint64               // of the hashes of Effects: readings of the same effects have the same sum, whatever their order
	before  int                  // number of effects that existed before the load
	others  int                  // number of effects with keys of others
	own     int                  // number of Effects with keys of this scenario
	fresh   int                  // number of new effects of no known run: phantoms, unless others use the system
	folded  int                  // number of effects of this scenario listed again with the same ID
	sample  []string             // up to three keys of fresh effects
	listed  int
	took    time.Duration
}

// same reports whether two readings have the same effects.
func (r *Reading) same(as *Reading) bool {
	return r.sum == as.sum && r.Effects.Len() == as.Effects.Len()
}

// byKey returns an index of the effects.
func (r *Reading) byKey() *journal.EffectIndex {
	if r.index == nil {
		r.index = journal.Index(&r.Effects)
	}
	return r.index
}

// fold removes effects that were listed before with the same ID.
func (r *Reading) fold(l *Ledger) {
	r.index = journal.Index(&r.Effects)
	again := map[int]bool{}
	var key []byte
	for i := range r.Effects.Len() {
		if key = r.Effects.AppendKey(key[:0], i); r.index.First(key) != i {
			continue
		}
		if of := r.index.Of(key); len(of) > 1 {
			known := map[string]bool{"": false}
			for _, i := range of {
				id := r.Effects.At(i).ID
				if known[id] {
					again[i] = true
				}
				known[id] = id != ""
			}
		}
	}
	if len(again) == 0 {
		return
	}
	var kept journal.EffectRows
	for i, e := range r.Effects.All() {
		if !again[i] {
			kept.Add(e)
			continue
		}
		r.folded++
		r.sum -= l.sumOf(e)
		if strings.HasPrefix(e.Key, l.Scenario) {
			r.own--
		}
	}
	r.Effects, r.index = kept, nil
}

// lacks returns how many effects of an earlier reading are not in this one.
func (r *Reading) lacks(earlier *Reading) (n int) {
	for _, e := range earlier.Effects.All() {
		if !slices.ContainsFunc(r.byKey().Of([]byte(e.Key)), func(i int) bool {
			other := r.Effects.At(i)
			return other.ID == e.ID && (e.ID != "" || other.Value == e.Value)
		}) {
			n++
		}
	}
	return n
}

// hash identifies an effect by its key and its ID.
func (l *Ledger) hash(e journal.Effect) uint64 {
	var h maphash.Hash
	h.SetSeed(l.seed)
	_, _ = h.WriteString(e.Key)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(e.ID)
	return h.Sum64()
}

// sumOf returns the share of an effect in Reading.sum.
func (l *Ledger) sumOf(e journal.Effect) uint64 { return l.hash(e) ^ maphash.String(l.seed, e.Value) }

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
	return l.ReadKeys(ctx, func(string) bool { return true })
}

// ReadKeys is Read that keeps only the effects of some keys.
func (l *Ledger) ReadKeys(ctx context.Context, of func(key string) bool) (*Reading, error) {
	began := time.Now()
	r := &Reading{}
	again := map[uint64]int{} // by hash, for effects that existed before the load: how often each was listed so far
	err := l.Source.Read(ctx, func(e journal.Effect) error {
		r.listed++
		h := l.hash(e)
		if was := l.before[h]; was > 0 && (e.ID != "" || again[h] < was) {
			again[h]++
			r.before++
			return nil
		}
		own := strings.HasPrefix(e.Key, l.Scenario)
		if !own && !l.phantom(r, e.Key) {
			r.others++
			return nil
		}
		if !of(e.Key) {
			return nil
		}
		if r.Effects.Len() >= 2*maxKept {
			r.fold(l)
		}
		if r.Effects.Len() >= 2*maxKept {
			return errTooMany
		}
		if own {
			r.own++
		}
		if !l.Values {
			e.Value = ""
		}
		r.sum += l.sumOf(e)
		if l.Group != "" {
			e.Place = r.listed
		}
		r.Effects.Add(e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if r.fold(l); r.Effects.Len() > maxKept {
		return nil, errTooMany
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
