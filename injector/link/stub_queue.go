package link

import (
	"hash/maphash"
	"slices"
	"time"
)

// What a queue does with toxics that are not ours. All of it is under the queue's lock.

// brimful tells whether what stands behind from holds as much as it may; nil is the source.
func (q *queue) brimful(from *stub) bool {
	if i := slices.Index(q.stubs, from) + 1; i < len(q.stubs) {
		return q.stubs[i].held >= far
	}
	return from != nil && q.full()
}

// relieve wakes whoever waits for room.
func (q *queue) relieve() {
	poke(q.space)
	for _, s := range q.stubs {
		poke(s.wake)
	}
}

// remove takes a stub out that needs nothing any more.
func (q *queue) remove(s *stub) {
	i := slices.Index(q.stubs, s)
	if i < 0 {
		return
	}
	q.stubs = slices.Delete(q.stubs, i, i+1)
	q.changed()
	poke(q.wake)
	q.relieve()
}

// dropStubs lets all toxics go because the direction is over.
func (q *queue) dropStubs() {
	for _, s := range q.stubs {
		s.over, s.inbox, s.held = true, nil, 0
		poke(s.wake)
	}
}

// hungry claims the feeder's place where a toxic is live and nobody has it.
func (q *queue) hungry() bool {
	if !q.disturbed.Load() {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.stubs) == 0 || len(q.stages) == 0 || q.fed || q.ended != nil || q.settling() {
		return false
	}
	q.fed = true
	return true
}

// awaited tells whether toxics wait for the source's next word.
func (q *queue) awaited() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.stubs) > 0 && !q.last && q.ended == nil
}

// hand gives the stub a chunk for its toxic.
func (s *stub) hand(c chunk) {
	if last := len(s.inbox) - 1; s.over || s.said != nil || (last >= 0 && s.inbox[last].err != nil) {
		return
	}
	s.inbox = append(s.inbox, parcel{c, maphash.Bytes(sums, c.data)})
	s.held += len(c.data)
	poke(s.wake)
}

// leave asks the stub to let go. What the toxic has kept until now was affected.
func (s *stub) leave() {
	s.leaving = true
	for i := range s.given {
		if s.given[i].kept() {
			s.touch(&s.given[i])
		}
	}
	poke(s.wake)
}

// parcel is a chunk for a toxic. The toxic may change its bytes as soon as it has them.
type parcel struct {
	chunk
	sum uint64
}

// given is a chunk that the toxic has and has not put out.
type given struct {
	n       int // bytes that are left of it
	sum     uint64
	at      time.Time
	touched bool
}

// kept tells whether the toxic has had the chunk for longer than passing it on takes.
func (g *given) kept() bool { return time.Since(g.at) >= time.Millisecond }

// sums is what chunks are compared by.
var sums = maphash.MakeSeed()

// see counts a chunk that the toxic took.
func (s *stub) see(p parcel) {
	s.given = append(s.given, given{n: len(p.data), sum: p.sum, at: time.Now()})
	s.stage.Count.See(1)
	s.stage.Count.Carry(len(p.data), 0)
	if len(s.given) > mostGiven { // it will hardly come any more
		s.touch(&s.given[0])
		s.given = s.given[1:]
	}
}

// mostGiven is how many chunks that a toxic keeps are told apart.
const mostGiven = 1024

// judge compares what comes out with what went in: a chunk that comes as it was, at once, was not affected.
func (s *stub) judge(data []byte) {
	left := len(data)
	if len(s.given) > 0 && s.given[0].n == left && s.given[0].sum == maphash.Bytes(sums, data) {
		if s.given[0].kept() {
			s.touch(&s.given[0])
		}
		s.given = s.given[1:]
		return
	}
	s.strike()
	for left > 0 && len(s.given) > 0 {
		g := &s.given[0]
		s.touch(g)
		n := min(left, g.n)
		left, g.n = left-n, g.n-n
		if g.n == 0 {
			s.given = s.given[1:]
		}
	}
}

// strike counts what the toxic does now on the chunk that it has, or as one of its own.
func (s *stub) strike() {
	if len(s.given) > 0 {
		s.touch(&s.given[0])
		return
	}
	s.stage.Count.See(1)
	s.touch(&given{at: time.Now()})
}

// touch counts a chunk as affected, once.
func (s *stub) touch(g *given) {
	if g.touched {
		return
	}
	g.touched = true
	count := s.stage.Count
	count.Touch(1)
	count.Carry(0, g.n)
	if kept := time.Since(g.at); kept >= time.Millisecond {
		count.Delayed(kept)
	}
	if !s.mark.touched.Swap(true) {
		count.Connection()
	}
}
