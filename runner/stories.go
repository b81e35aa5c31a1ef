package runner

import (
	"slices"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// stories keeps the calls that requests of the load caused on the links, so that the journal can tell what
// happened to the requests that have an anomaly. Which ones these are is known only after effects were read. A
// call takes 24 bytes; when maxCalls are kept, further ones are only counted. It is safe for concurrent use.
type stories struct {
	mu      sync.Mutex
	calls   []causedCall
	dropped int
	names   []string // of links, operations and faults; causedCall refers to them by index, and names[0] is ""
	index   map[string]uint16
}

// maxCalls limits the memory of stories to 48 MB.
const maxCalls = 2_000_000

// causedCall is a call in compact form. Times are rounded to microseconds.
type causedCall struct {
	at              time.Duration
	took            uint32 // in microseconds; longer calls count as the largest value
	request         uint32
	link, op, fault uint16
	status          int16 // gaveUp if the caller gave up, 0 if there was no complete answer
}

const gaveUp = -1

// requestOf returns a number for a request of one of the loads. ok is false if its number is too high: a load after the
// first may have 16 million requests, and there may be 128 of them.
func requestOf(load int, n uint64) (request uint32, ok bool) {
	const further, bits = 1 << 31, 24
	if load == 0 {
		return uint32(n), n < further //nolint:gosec // limited
	}
	return further | uint32(load)<<bits | uint32(n), load < further>>bits && n < 1<<bits //nolint:gosec // limited
}

// name returns the index of a name, or 0 if too many are known.
func (s *stories) name(text string) uint16 {
	if s.index == nil {
		s.index, s.names = map[string]uint16{"": 0}, []string{""}
	}
	i, ok := s.index[text]
	if !ok && len(s.names) < 1<<16 {
		i = uint16(len(s.names)) //nolint:gosec // below 1<<16
		s.index[text] = i
		s.names = append(s.names, text)
	}
	return i
}

// add adds a call.
func (s *stories) add(link string, c message.Call, at, took time.Duration) {
	request, ok := requestOf(c.Cause.Load, c.Cause.Request)
	if !c.Cause.Known || !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) >= maxCalls {
		s.dropped++
		return
	}
	k := causedCall{
		at: at, took: uint32(min(max(0, took.Microseconds()), 1<<32-1)), request: request, //nolint:gosec // limited
		link: s.name(link), op: s.name(c.Op), status: int16(c.Status), //nolint:gosec // a status of HTTP or gRPC
	}
	if c.Affected {
		k.fault = s.name(c.Fault)
	}
	if c.GaveUp {
		k.status = gaveUp
	}
	s.calls = append(s.calls, k)
}

// of returns the story of each of the requests with the given numbers of requestOf, in their order.
func (s *stories) of(requests []uint32) []journal.Story {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]journal.Story, len(requests))
	at := map[uint32]int{}
	for i, n := range requests {
		all[i].Dropped = s.dropped
		at[n] = i
	}
	for _, k := range s.calls {
		i, ok := at[k.request]
		if !ok {
			continue
		}
		c := journal.StoryCall{
			Link: s.names[k.link], Op: s.names[k.op], At: k.at, Took: time.Duration(k.took) * time.Microsecond,
			Status: int(max(0, k.status)), GaveUp: k.status == gaveUp, Fault: s.names[k.fault],
		}
		all[i].Calls = append(all[i].Calls, c)
	}
	for _, story := range all {
		slices.SortStableFunc(story.Calls, func(a, b journal.StoryCall) int { return int(a.At - b.At) })
	}
	return all
}

// maxStories is how many anomalies get a story.
const maxStories = 100

// requestWith returns the number, as of requestOf, of the request with a key. It returns false for a key of another load.
func (s *session) requestWith(key string) (request uint32, ok bool) {
	for i := range s.e.Loads() {
		if n, is := load.NumberOf(s.keyPrefixOf(i), key); is {
			return requestOf(i, n)
		}
	}
	return 0, false
}

// recordStories records the stories of the requests that have an anomaly.
func (s *session) recordStories() {
	var anomalies []check.Anomaly
	for _, h := range s.facts().BySource() {
		anomalies = append(anomalies, check.NewLedger(h).Anomalies...)
	}
	var keys []string
	var requests []uint32
	for _, a := range anomalies {
		n, ok := s.requestWith(a.Key)
		if ok && !slices.Contains(keys, a.Key) && len(keys) < maxStories {
			keys, requests = append(keys, a.Key), append(requests, n)
		}
	}
	if len(keys) == 0 {
		return
	}
	for i, story := range s.stories.of(requests) {
		if story.Key = keys[i]; len(story.Calls) > 0 {
			s.record(journal.Event{Story: &story})
		}
	}
}
