package runner_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// ledgerService accepts orders by key and lists them, in one of the many ways in which services do so.
type ledgerService struct {
	delay       time.Duration                         // time between an answer and the appearance of its effect
	repeatAfter time.Duration                         // every order is applied again after this time
	loseEvery   int                                   // every n-th order is acknowledged and never applied
	status      func(n int) int                       // of the answer to the n-th order; nil means 201
	list        func(w http.ResponseWriter, b []item) // nil lists all items as they are

	mu     sync.Mutex
	reused bool   // reset was called
	before []item // the items when reset was called first
	orders int
	items  []item
	seen   map[string]bool
}

type item struct {
	Key string `json:"key"`
	ID  int    `json:"id"`
}

// reset forgets all requests, before the same drill is run again.
func (b *ledgerService) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.reused {
		b.reused, b.before = true, slices.Clone(b.items)
	}
	b.items, b.orders, b.seen = slices.Clone(b.before), 0, nil
}

func (b *ledgerService) apply(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.items = append(b.items, item{key, len(b.items) + 1})
}

func (b *ledgerService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if r.URL.Path == "/ledger" {
		b.mu.Lock()
		all := append([]item{}, b.items...)
		b.mu.Unlock()
		if b.list != nil {
			b.list(w, all)
		} else {
			_ = json.NewEncoder(w).Encode(all)
		}
		return
	}
	key := r.Header.Get("Idempotency-Key")
	b.mu.Lock()
	if b.seen == nil {
		b.seen = map[string]bool{}
	}
	known := b.seen[key]
	b.seen[key] = true
	b.orders++
	n := b.orders
	b.mu.Unlock()
	switch {
	case known, b.loseEvery > 0 && n%b.loseEvery == 0:
	case b.delay > 0:
		time.AfterFunc(b.delay, func() { b.apply(key) })
	default:
		b.apply(key)
	}
	if b.repeatAfter > 0 && !known {
		time.AfterFunc(b.repeatAfter, func() { b.apply(key) })
	}
	if b.status != nil {
		w.WriteHeader(b.status(n))
		return
	}
	w.WriteHeader(http.StatusCreated)
}

// respondWith answers with text instead of a list.
func respondWith(text string) func(http.ResponseWriter, []item) {
	return func(w http.ResponseWriter, _ []item) { _, _ = io.WriteString(w, text) }
}

func renamedFields(w http.ResponseWriter, all []item) {
	out := []map[string]any{}
	for _, e := range all {
		out = append(out, map[string]any{"idempotency_key": e.Key, "order": e.ID})
	}
	_ = json.NewEncoder(w).Encode(out)
}

// hashedKeys lists a hash instead of the key.
func hashedKeys(w http.ResponseWriter, all []item) {
	for i := range all {
		all[i].Key = fmt.Sprint("order ", all[i].ID)
	}
	_ = json.NewEncoder(w).Encode(all)
}

func onePage(w http.ResponseWriter, all []item) {
	_ = json.NewEncoder(w).Encode(all[:min(20, len(all))])
}

func oldest(n int) func(http.ResponseWriter, []item) {
	return func(w http.ResponseWriter, all []item) { _ = json.NewEncoder(w).Encode(all[:min(n, len(all))]) }
}

func keyAsID(w http.ResponseWriter, all []item) {
	out := []map[string]string{}
	for _, e := range all {
		out = append(out, map[string]string{"key": e.Key, "id": e.Key})
	}
	_ = json.NewEncoder(w).Encode(out)
}

func shuffledAndTwice(w http.ResponseWriter, all []item) {
	all = append(all, all...)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	_ = json.NewEncoder(w).Encode(all)
}

func withoutIDs(w http.ResponseWriter, all []item) {
	out := []map[string]string{}
	for _, e := range all {
		out = append(out, map[string]string{"key": e.Key})
	}
	_ = json.NewEncoder(w).Encode(out)
}

func nullUntilThereIsOne(w http.ResponseWriter, all []item) {
	if len(all) == 0 {
		all = nil
	}
	_ = json.NewEncoder(w).Encode(all)
}

// earlierEffects returns effects from before the scenario, some of them of an earlier run.
func earlierEffects() []item {
	var all []item
	for i := range 100 {
		all = append(all, item{"old", i + 1}, item{fmt.Sprintf("a1b2c3-d4e5f607-%d", i), 1000 + i})
	}
	return all
}

// withExtraEffect adds an effect that was never requested, once there are 60 others.
func withExtraEffect(key string) func(http.ResponseWriter, []item) {
	return func(w http.ResponseWriter, all []item) {
		if len(all) >= 60 {
			all = append(all, item{key, 0})
		}
		_ = json.NewEncoder(w).Encode(all)
	}
}

func everyThird(status int) func(int) int {
	return func(n int) int {
		if n%3 == 0 {
			return status
		}
		return http.StatusCreated
	}
}

func always(status int) func(int) int { return func(int) int { return status } }
