package runner

import (
	"sync"

	"github.com/firedrill-dev/firedrill/runner/internal/effects"
	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// maxPairs is the number of pairs of requests that are sent at the same moment after the load.
const maxPairs = 20

// maxPairNumbers limits how many request numbers are tried to find those of routes that change something.
const maxPairNumbers = 10_000

// sendPairs sends pairs of requests with the same new key and the same body at the same moment, each on a
// connection of its own. The keys follow those of the load.
func (s *session) sendPairs(clients []*load.Client) []*journal.Pair {
	var all []*journal.Pair
	for i, client := range clients {
		unused, most := s.unusedNumber(client.Load.Name), maxPairs*(i+1)/len(clients)
		for n := unused; n < unused+maxPairNumbers && len(all) < most && s.ctx.Err() == nil; n++ {
			if route := client.Route(n); client.Load.Changes(route) {
				all = append(all, s.sendPair(client, n))
			}
		}
	}
	return all
}

// unusedNumber returns a request number above all of a load's.
func (s *session) unusedNumber(load string) (above uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.history.Book().Scenarios[0].Loads {
		if l.Name == load {
			above = uint64(max(l.Intended, l.Sent+l.Unsent))
		}
	}
	return above
}

// sendPair sends request n twice at the same moment.
func (s *session) sendPair(client *load.Client, n uint64) *journal.Pair {
	route := client.Route(n)
	p := &journal.Pair{Key: client.Key(n), Route: route.Name()}
	start := make(chan struct{})
	var both sync.WaitGroup
	for i := range p.Answers {
		both.Go(func() {
			<-start
			p.Answers[i] = client.Try(n, n).PairAnswer(s.run.journal.Since)
		})
	}
	close(start)
	both.Wait()
	return p
}

// recordPairEffects notes the effects of each pair, of the source that has the most of them.
func recordPairEffects(after []*effects.Reading, unread error, pairs []*journal.Pair) {
	if unread != nil {
		for _, p := range pairs {
			p.Unread = unread.Error()
		}
		return
	}
	for _, reading := range after {
		byKey := map[string][]string{}
		for _, e := range reading.Effects.All() {
			byKey[e.Key] = append(byKey[e.Key], e.ID)
		}
		for _, p := range pairs {
			if len(byKey[p.Key]) > len(p.Effects) {
				p.Effects = byKey[p.Key]
			}
		}
	}
}
