package link

import (
	"hash/maphash"
	"slices"
	"time"
)

// Custom toxics in a queue. All of these functions are called with the queue's lock held.

// downstreamFull reports whether the stage after from, a toxic or the queue, is full. A nil from is
// the source.
func (q *queue) downstreamFull(from *stub) bool {
	if i := slices.Index(q.stubs, from) + 1; i < len(q.stubs) {
		return q.stubs[i].inboxBytes >= maxQueuedBytes
	}
	return from != nil && q.full()
}

// notifyRoom wakes goroutines that wait for room in the queue.
func (q *queue) notifyRoom() {
	notify(q.space)
	for _, s := range q.stubs {
		notify(s.wake)
	}
}

// removeStub removes a finished stub.
func (q *queue) removeStub(s *stub) {
	i := slices.Index(q.stubs, s)
	if i < 0 {
		return
	}
	q.stubs = slices.Delete(q.stubs, i, i+1)
	q.updateActive()
	notify(q.wake)
	q.notifyRoom()
}

// dropStubs aborts all stubs because the direction has ended.
func (q *queue) dropStubs() {
	for _, s := range q.stubs {
		s.aborted, s.inbox, s.inboxBytes = true, nil, 0
		notify(s.wake)
	}
}

// claimForToxic claims the right to feed the queue if a toxic is live and no goroutine feeds it.
func (q *queue) claimForToxic() bool {
	if !q.active.Load() {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.stubs) == 0 || len(q.stages) == 0 || q.hasWorker || q.endErr != nil || q.draining() {
		return false
	}
	q.hasWorker = true
	return true
}

// toxicsNeedEnd reports whether toxics still wait for more input or the end of the source.
func (q *queue) toxicsNeedEnd() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.stubs) > 0 && !q.sourceEnded && q.endErr == nil
}

// enqueue adds a chunk to the toxic's input.
func (s *stub) enqueue(c chunk) {
	if last := len(s.inbox) - 1; s.aborted || s.inputEnd != nil || (last >= 0 && s.inbox[last].err != nil) {
		return
	}
	s.inbox = append(s.inbox, inboxChunk{c, maphash.Bytes(hashSeed, c.data)})
	s.inboxBytes += len(c.data)
	notify(s.wake)
}

// startHeal makes the stub release what it holds. Chunks held noticeably until now count as affected.
func (s *stub) startHeal() {
	s.healing = true
	for i := range s.pending {
		if s.pending[i].heldNoticeably() {
			s.touch(&s.pending[i])
		}
	}
	notify(s.wake)
}

// inboxChunk is an input chunk with the hash of its data, since the toxic may change the data once it
// has received it.
type inboxChunk struct {
	chunk
	hash uint64
}

// pendingChunk is a chunk that the toxic has received and not yet put out.
type pendingChunk struct {
	n       int // bytes not yet put out
	hash    uint64
	at      time.Time
	touched bool
}

// heldNoticeably reports whether the toxic has held the chunk for longer than forwarding takes.
func (g *pendingChunk) heldNoticeably() bool { return time.Since(g.at) >= time.Millisecond }

// hashSeed is the seed of the hashes by which chunks are compared.
var hashSeed = maphash.MakeSeed()

// countTaken counts a chunk that the toxic has received.
func (s *stub) countTaken(p inboxChunk) {
	s.pending = append(s.pending, pendingChunk{n: len(p.data), hash: p.hash, at: time.Now()})
	s.stage.Count.See(1)
	s.stage.Count.Carry(len(p.data), 0)
	if len(s.pending) > maxPending { // unlikely to be put out any more
		s.touch(&s.pending[0])
		s.pending = s.pending[1:]
	}
}

// maxPending is how many pending chunks of a toxic are tracked.
const maxPending = 1024

// countOutput compares output with the pending chunks. A chunk that leaves unchanged and at once is
// not affected.
func (s *stub) countOutput(data []byte) {
	left := len(data)
	if len(s.pending) > 0 && s.pending[0].n == left && s.pending[0].hash == maphash.Bytes(hashSeed, data) {
		if s.pending[0].heldNoticeably() {
			s.touch(&s.pending[0])
		}
		s.pending = s.pending[1:]
		return
	}
	s.touchCurrent()
	for left > 0 && len(s.pending) > 0 {
		g := &s.pending[0]
		s.touch(g)
		n := min(left, g.n)
		left, g.n = left-n, g.n-n
		if g.n == 0 {
			s.pending = s.pending[1:]
		}
	}
}

// touchCurrent counts an action of the toxic: on the oldest pending chunk, or as a chunk of its own if
// there is none.
func (s *stub) touchCurrent() {
	if len(s.pending) > 0 {
		s.touch(&s.pending[0])
		return
	}
	s.stage.Count.See(1)
	s.touch(&pendingChunk{at: time.Now()})
}

// touch counts a chunk as affected, once.
func (s *stub) touch(g *pendingChunk) {
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
