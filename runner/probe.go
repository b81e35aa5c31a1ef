package runner

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/effects"
	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// maxProbes is the maximum number of keys that are sent again after the load.
const maxProbes = 20

// maxRounds is how often a key is sent if it gets no answer. All pending keys are sent in each round,
// so that an error that remains concerns the key: an error such as a broken connection of the service
// goes away by the next round.
const maxRounds = 5

// probe sends acknowledged keys again, and pairs of requests with new keys, if a check asks for it, and
// reads what that applied. Each kind of probe has its own keys, because a key that the service had
// forgotten is known again once it was sent.
func (s *session) probe() {
	var kinds []check.Needs
	inPairs := false
	for _, c := range s.e.Checks {
		n := c.Kind().Needs
		if n.Probe != "" {
			kinds = append(kinds, n)
		}
		inPairs = inPairs || n.Pairs
	}
	if len(s.loads) == 0 || len(kinds) == 0 && !inPairs {
		return
	}
	clients, end := s.probeClients()
	defer end()
	h := s.facts()
	chosen := make([][]keyed, len(kinds))
	sent := map[string]bool{}
	for i, n := range kinds {
		own := func(n uint64) bool { return n%uint64(len(kinds)) == uint64(i) }
		chosen[i] = chooseProbes(candidates(h, clients, n.Probe, own), own)
		for _, r := range chosen[i] {
			sent[r.client.Key(r.n)] = true
		}
	}
	of := func(key string) bool { return sent[key] }
	var before []*effects.Reading
	var unread error
	for _, l := range s.ledgers {
		reading, err := l.ReadKeys(s.ctx, of)
		before, unread = append(before, reading), cmp.Or(unread, err)
	}
	var probes []*journal.Probe
	for i, n := range kinds {
		probes = append(probes, s.sendAgain(h, chosen[i], n.Probe, n.Status)...)
	}
	var pairs []*journal.Pair
	if inPairs {
		pairs = s.sendPairs(clients)
	}
	for _, p := range pairs {
		sent[p.Key] = true
	}
	if len(s.ledgers) > 0 && len(probes)+len(pairs) > 0 {
		after, err := s.readAgain(of, unread)
		s.recordReapplied(before, after, err, probes)
		recordPairEffects(after, err, pairs)
	}
	for _, p := range probes {
		s.record(journal.Event{Probe: p})
	}
	for _, p := range pairs {
		s.record(journal.Event{Pair: p})
	}
}

// probeClients returns for each load a client that sends requests as the load does, but not through a link. The caller
// calls end.
func (s *session) probeClients() (all []*load.Client, end func()) {
	for i := range s.loads {
		all = append(all, load.NewClient(s.withSystem(), s.clientConfig(i, func(service string) string { return s.system.Addresses[service] })))
	}
	return all, func() {
		for _, c := range all {
			c.Close()
		}
	}
}

// probeBody returns the number of the request whose body a probe of request n sends: its own or, for check.OtherBody, one
// with another body. It returns false if there is none.
func probeBody(kind string, c *load.Client, n uint64) (uint64, bool) {
	if kind == check.OtherBody {
		return c.OtherBody(n)
	}
	return n, true
}

// candidates returns the acknowledged requests that can be sent again. Of very many, it returns some of each sort that
// chooseProbes distinguishes, spread evenly over time.
func candidates(h *journal.History, clients []*load.Client, kind string, own func(n uint64) bool) (all []keyed) {
	type sort struct{ own, metFault, retried bool }
	samples := map[sort]*sample{}
	var key []byte
	for i, r := range journal.Packed(&h.Requests) {
		if r.Common.Outcome != load.Acknowledged.String() || r.Common.Reads {
			continue
		}
		key = r.AppendKey(key[:0])
		for _, c := range clients {
			n, ok := load.NumberOf(c.KeyPrefix, string(key))
			if !ok || len(c.Route(n).Then) > 0 {
				continue
			}
			k := keyed{row: i, client: c, n: n, due: r.Due(), metFault: r.MetFault(h), retried: len(r.Common.Attempts) > 1}
			of := sort{own(n), k.metFault, k.retried}
			if samples[of] == nil {
				samples[of] = &sample{every: 1}
			}
			samples[of].add(k, func() bool {
				_, ok := probeBody(kind, c, n)
				return ok
			})
		}
	}
	for _, s := range samples {
		all = append(all, s.kept...)
	}
	slices.SortFunc(all, func(a, b keyed) int { return cmp.Compare(a.row, b.row) })
	return all
}

// sample keeps some of many requests, spread evenly: each of the first maxSample, then every second, and so on.
type sample struct {
	kept        []keyed
	seen, every int
}

const maxSample = 1000

// add adds a request. It calls eligible only if the request would be kept.
func (s *sample) add(k keyed, eligible func() bool) {
	if s.seen++; s.seen%s.every != 0 || !eligible() {
		return
	}
	if s.kept = append(s.kept, k); len(s.kept) < maxSample {
		return
	}
	for i := range maxSample / 2 {
		s.kept[i] = s.kept[2*i]
	}
	s.kept, s.every = s.kept[:maxSample/2], 2*s.every
}

// sendAgain sends the keys of requests again: with the original body or, for check.OtherBody, with another body, for
// which the status want is expected.
func (s *session) sendAgain(h *journal.History, pending []keyed, kind string, want int) []*journal.Probe {
	var all []*journal.Probe
	for round := 1; len(pending) > 0; round++ {
		var retry []keyed
		pause := 50 * time.Millisecond << round
		for _, r := range pending {
			other, _ := probeBody(kind, r.client, r.n)
			a := r.client.Try(r.n, other)
			switch {
			case s.ctx.Err() != nil:
				return all
			case round < maxRounds && unresolved(a) && (a.Status == 0 || a.Status != want):
				retry = append(retry, r)
				pause = max(pause, min(a.Answer.RetryAfter, time.Second))
			default:
				all = append(all, s.probeResult(kind, want, h.Requests.At(r.row), a))
			}
		}
		if pending = retry; len(pending) > 0 && s.sleep(pause, nil) != nil {
			break
		}
	}
	return all
}

// unresolved reports whether an answer does not show how the service treats the key, so that the key
// has to be sent again. This is so if the outcome of the attempt is unknown, or if the service or a
// gateway is not processing requests.
func unresolved(a load.Attempt) bool {
	return a.Outcome != load.Acknowledged && (load.ShouldRetry(a) || a.Status >= 500)
}

// probeResult returns the final result of a probe. A persistent 409 or 425 concerns the key itself:
// after the load, an acknowledged request is no longer being processed.
func (s *session) probeResult(kind string, want int, r journal.Request, a load.Attempt) *journal.Probe {
	p := &journal.Probe{
		Kind: kind, Key: r.Key, Window: r.Window, Want: r.Digest, Got: a.Answer.Digest, Status: a.Status, Error: a.Kind,
		First: r.Attempts[len(r.Attempts)-1].Status,
	}
	_, configured := s.e.Load.Means[a.Status]
	persistent := !configured && (a.Status == http.StatusConflict || a.Status == http.StatusTooEarly)
	switch {
	case a.Status == 0: // the reason is in p.Error
	case kind == check.OtherBody:
		p.Want, p.Got = strconv.Itoa(want), strconv.Itoa(a.Status)
	case a.Outcome != load.Acknowledged:
		p.Got = fmt.Sprintf("status %d", a.Status)
	case p.Got != p.Want:
		p.Differs = differs(a.Answer.Body, s.bodies.get(r.Key), s.run.journal.RedactText)
	}
	if a.Status != 0 && a.Status != want && unresolved(a) && !persistent {
		p.Error = fmt.Sprintf("status %d", a.Status)
	}
	return p
}

// readAgain waits until effects have settled and reads those of some keys from each source. unread is why they could not
// be read before keys were sent again.
func (s *session) readAgain(of func(key string) bool, unread error) ([]*effects.Reading, error) {
	if unread != nil {
		return nil, unread
	}
	if err := s.sleep(s.e.Effects.Within(), nil); err != nil {
		return nil, err
	}
	after := make([]*effects.Reading, len(s.ledgers))
	for i, l := range s.ledgers {
		unread = cmp.Or(unread, s.retryRead(func() (err error) {
			after[i], err = l.ReadKeys(s.ctx, of)
			return err
		}))
	}
	return after, unread
}

// recordReapplied notes which keys have more effects than before they were sent again. A key without an
// effect before is ignored, since its first effect may have been late.
func (s *session) recordReapplied(before, after []*effects.Reading, unread error, probes []*journal.Probe) {
	if unread != nil {
		for _, p := range probes {
			p.Unread = unread.Error()
		}
		return
	}
	for i, l := range s.ledgers {
		added := addedEffects(before[i], after[i])
		for _, p := range probes {
			for _, id := range added[p.Key] {
				p.Again = append(p.Again, id)
				if len(s.ledgers) > 1 {
					p.AgainIn = append(p.AgainIn, l.source.Name)
				}
			}
		}
	}
}

// addedEffects returns the ids of the effects that a later reading has in addition, by key, for keys that had one before.
func addedEffects(before, after *effects.Reading) map[string][]string {
	had, hadEffect, added := map[journal.Effect]int{}, map[string]bool{}, map[string][]string{}
	for _, e := range before.Effects.All() {
		had[journal.Effect{Key: e.Key, ID: e.ID}]++
		hadEffect[e.Key] = true
	}
	for _, e := range after.Effects.All() {
		e = journal.Effect{Key: e.Key, ID: e.ID}
		if had[e] > 0 {
			had[e]--
		} else if hadEffect[e.Key] {
			added[e.Key] = append(added[e.Key], e.ID)
		}
	}
	return added
}

// maxBodies limits the memory for the bodies that are kept.
const maxBodies = 4 << 20

// bodies holds the first answer of each key, if there is room, to show where a later one differs. It is safe for
// concurrent use.
type bodies struct {
	mu    sync.Mutex
	text  []byte               // the bodies one after another
	byKey map[uint64][2]uint32 // by the hash of the key: where its body begins and ends
	seed  maphash.Seed
}

func (b *bodies) add(key, body string) {
	const overhead = 32 // of an entry
	b.mu.Lock()
	defer b.mu.Unlock()
	if body == "" || len(b.text)+len(body)+(len(b.byKey)+1)*overhead > maxBodies {
		return
	}
	if b.byKey == nil {
		b.byKey, b.seed = map[uint64][2]uint32{}, maphash.MakeSeed()
	}
	from := uint32(len(b.text)) //nolint:gosec // limited
	b.text = append(b.text, body...)
	b.byKey[maphash.String(b.seed, key)] = [2]uint32{from, uint32(len(b.text))} //nolint:gosec // limited
}

func (b *bodies) get(key string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byKey == nil {
		return ""
	}
	at := b.byKey[maphash.String(b.seed, key)]
	return string(b.text[at[0]:at[1]])
}

// differs returns where two texts first differ, with secrets redacted, or "" if one of them is not
// known.
func differs(got, want string, redact func(string) string) string {
	if got == "" || want == "" {
		return ""
	}
	// Redact first: a truncated secret would not be recognized.
	a, b := []rune(redact(got)), []rune(redact(want))
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	if at == len(a) && at == len(b) {
		return "they differ only in redacted text"
	}
	part := func(text []rune) string {
		from, to := max(0, at-20), min(len(text), at+30)
		return strings.Repeat("…", min(from, 1)) + strings.TrimSpace(string(text[from:to])) + strings.Repeat("…", min(len(text)-to, 1))
	}
	return part(a) + " instead of " + part(b)
}

// keyed is an acknowledged request with its number, and the client that sends it again.
type keyed struct {
	row               int // of History.Requests
	client            *load.Client
	n                 uint64
	due               time.Duration
	metFault, retried bool
}

// chooseProbes returns the requests whose keys are sent again: first those that were retried during
// the fault, then others during the fault, then any, each spread evenly over time. Requests for which
// own returns true are preferred.
func chooseProbes(all []keyed, own func(n uint64) bool) []keyed {
	var chosen []keyed
	type id struct { // of a request
		client *load.Client
		n      uint64
	}
	seen := map[id]bool{}
	add := func(most int, matches func(keyed) bool) {
		var candidates []keyed
		for _, r := range all {
			if !seen[id{r.client, r.n}] && matches(r) {
				candidates = append(candidates, r)
			}
		}
		for _, r := range spread(candidates, most-len(chosen)) {
			seen[id{r.client, r.n}] = true
			chosen = append(chosen, r)
		}
	}
	duringFault := func(r keyed) bool { return r.metFault }
	add(maxProbes/2, func(r keyed) bool { return own(r.n) && duringFault(r) && r.retried })
	add(maxProbes, func(r keyed) bool { return own(r.n) && duringFault(r) })
	if len(chosen) == 0 {
		add(maxProbes, duringFault)
	}
	add(maxProbes, func(r keyed) bool { return own(r.n) })
	return chosen
}

// spread returns n requests spread evenly over time, including the first and the last.
func spread(all []keyed, n int) []keyed {
	if n <= 0 || len(all) <= n {
		return all[:min(len(all), max(0, n))]
	}
	slices.SortStableFunc(all, func(a, b keyed) int { return cmp.Compare(a.due, b.due) })
	var chosen []keyed
	for i := range n {
		chosen = append(chosen, all[i*(len(all)-1)/max(1, n-1)])
	}
	return chosen
}
