package link

import (
	"fmt"
	"time"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// patience is how long a toxic may take to return after it was interrupted. A correct toxic returns at
// once.
const patience = 2 * time.Second

// stub runs a toxic on one direction of one connection. It passes chunks to the toxic and forwards its
// output. The toxic and the stub have a goroutine each. The stub's goroutine always receives from the
// toxic, so neither healing nor the end of the connection has to wait for a toxic that is blocked on
// its output.
type stub struct {
	*toxics.ToxicStub
	stage *stage
	mark  *mark
	conn  *conn
	dir   Dir
	q     *queue

	in, out    chan *stream.StreamChunk
	done       chan struct{} // the toxic has returned
	panicValue any           // the value of its panic; read after done
	finished   chan struct{} // closed when the stub has nothing left to do
	wake       chan struct{}

	// Guarded by the queue's lock.
	inbox        []inboxChunk
	inboxBytes   int // total bytes in inbox
	pending      []pendingChunk
	inputEnd     error // the end of the source, already passed to the toxic
	healing      bool  // the fault is healed: forward what is held
	aborted      bool  // the connection or the direction has ended: drop what is held
	outputClosed bool  // the toxic has closed its output; used by serve only
}

// startStub makes a toxic act on input from now on. q.mu must be held.
func (q *queue) startStub(s *stage, c *conn, d Dir) {
	in, out := make(chan *stream.StreamChunk), make(chan *stream.StreamChunk)
	st := &stub{
		ToxicStub: toxics.NewToxicStub(in, out), stage: s, mark: c.mark(s), conn: c, dir: d, q: q, in: in, out: out,
		done: make(chan struct{}), finished: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	q.stubs = append(q.stubs, st)
	p := s.toxic
	p.mu.Lock()
	p.running[st] = struct{}{}
	p.mu.Unlock()
	go st.pipe()
	c.link.wg.Go(st.serve)
}

// pipe runs the toxic. It does not belong to the link's wait group, because a toxic that does not
// return cannot be stopped.
func (s *stub) pipe() {
	defer close(s.done)
	defer func() { s.panicValue = recover() }()
	toxic := s.stage.toxic.toxic
	if stateful, ok := toxic.(toxics.StatefulToxic); ok {
		s.State = stateful.NewState()
	}
	toxic.Pipe(s.ToxicStub)
}

// serve forwards chunks until the toxic has closed the stream, or has been interrupted because the
// fault was healed or the connection has ended.
func (s *stub) serve() {
	defer s.remove()
	done, interrupt, requested := s.done, chan<- struct{}(nil), false
	var deadline <-chan time.Time
	for {
		in, next, out, ending := s.channels()
		if ending && deadline == nil {
			deadline = time.After(patience)
			if !requested {
				requested, interrupt = true, s.Interrupt
			}
		}
		select {
		case in <- next:
			s.inputTaken()
		case c, open := <-out:
			if open {
				s.emit(c)
				deadline = nil // the toxic is making progress
			} else {
				s.endOutput()
			}
		case interrupt <- struct{}{}:
			interrupt = nil
		case <-done:
			if s.handleReturn() {
				return
			}
			done, deadline = nil, nil
		case <-deadline:
			s.abandon(interrupt)
			return
		case <-s.wake:
		}
		if done == nil && s.finishHeal() {
			return
		}
	}
}

// channels returns the next chunk for the toxic and the channels that serve may use now; those that it
// may not use are nil. It closes the toxic's input at the end of the source. ending is set if the
// toxic must be interrupted.
func (s *stub) channels() (in chan<- *stream.StreamChunk, next *stream.StreamChunk, out <-chan *stream.StreamChunk, ending bool) {
	s.q.mu.Lock()
	defer s.q.mu.Unlock()
	ending = s.healing || s.aborted
	if !ending && len(s.inbox) > 0 {
		head := s.inbox[0]
		if head.err == nil {
			in, next = s.in, &stream.StreamChunk{Data: head.data, Timestamp: head.arrived}
		} else {
			s.inputEnd, s.inbox = head.err, nil
			close(s.in)
		}
	}
	if !s.outputClosed && (ending || !s.q.downstreamFull(s)) {
		out = s.out
	}
	return in, next, out, ending
}

// inputTaken removes the first chunk of the inbox, which the toxic has received.
func (s *stub) inputTaken() {
	s.q.mu.Lock()
	defer s.q.mu.Unlock()
	if len(s.inbox) == 0 {
		return // dropped in the meantime
	}
	p := s.inbox[0]
	s.inbox = s.inbox[1:]
	s.inboxBytes -= len(p.data)
	s.countTaken(p)
	s.q.notifyRoom()
}

// emit forwards a chunk that the toxic has produced.
func (s *stub) emit(c *stream.StreamChunk) {
	if c == nil || len(c.Data) == 0 {
		return
	}
	s.forward(func() {
		s.countOutput(c.Data)
		s.q.forward(s, chunk{data: c.Data, arrived: time.Now()})
	})
}

// endOutput forwards the end of the stream: the source's, or one caused by the toxic, which closes the
// connection gracefully.
func (s *stub) endOutput() {
	s.forward(func() {
		end := s.inputEnd
		if end == nil {
			end = errClose
			s.touchCurrent()
		}
		s.q.forward(s, chunk{arrived: time.Now(), err: end})
		s.aborted = true
	})
	s.outputClosed = true
}

// forward runs change, which adds output of the stub to the queue, unless the stub was aborted.
func (s *stub) forward(change func()) {
	s.q.mu.Lock()
	if !s.aborted {
		change()
	}
	s.q.mu.Unlock()
	if s.dir == ToClient {
		s.conn.startSending()
	}
}

// handleReturn handles the return of the toxic and reports whether the stub is finished. As in
// Toxiproxy, a toxic that returns without closing the stream holds further input until it is healed.
func (s *stub) handleReturn() bool {
	switch {
	case s.panicValue != nil:
		s.fail("panicked", s.panicValue)
	case s.Closed():
		s.endOutput()
	default:
		return false
	}
	return true
}

// finishHeal forwards everything that is held once the fault is healed, and reports whether the stub
// is no longer needed. It is called after the toxic has returned.
func (s *stub) finishHeal() bool {
	s.q.mu.Lock()
	healing, aborted := s.healing, s.aborted
	s.q.mu.Unlock()
	if aborted || !healing {
		return aborted
	}
	if s.cleanUp() {
		s.endOutput()
		return true
	}
	s.forward(func() {
		for _, p := range s.inbox {
			s.q.forward(s, p.chunk)
		}
		if s.inputEnd != nil {
			s.q.forward(s, chunk{arrived: time.Now(), err: s.inputEnd})
		}
		s.q.removeStub(s)
	})
	return true
}

// cleanUp calls the toxic's Cleanup, if it has one, and reports whether the stream was closed.
func (s *stub) cleanUp() bool {
	if cleanup, ok := s.stage.toxic.toxic.(toxics.CleanupToxic); ok {
		func() {
			defer func() {
				if p := recover(); p != nil {
					s.fail("panicked in Cleanup", p)
				}
			}()
			cleanup.Cleanup(s.ToxicStub)
		}()
	}
	return s.Closed()
}

// fail resets the connection, because the toxic may have lost bytes of it, and makes Heal return the
// reason.
func (s *stub) fail(how string, why any) {
	s.stage.toxic.addProblem(fmt.Errorf("toxic %q %s on connection %d of link %q, which was reset: %v", s.stage.toxic.name, how, s.conn.id, s.conn.link.cfg.Name, why))
	s.q.mu.Lock()
	s.touchCurrent()
	s.q.mu.Unlock()
	_ = s.conn.Reset()
}

// abandon gives up on a toxic that does not return. From now on it discards the toxic's output, so that
// the toxic never blocks on it.
func (s *stub) abandon(interrupt chan<- struct{}) {
	s.fail("did not return", fmt.Sprintf("it was still running %v after it was interrupted", patience))
	out := s.out
	go func() {
		for {
			select {
			case _, open := <-out:
				if !open {
					out = nil
				}
			case interrupt <- struct{}{}:
				interrupt = nil
			case <-s.done:
				return
			}
		}
	}()
}

// remove removes the stub from the queue and the toxic.
func (s *stub) remove() {
	s.q.mu.Lock()
	s.q.removeStub(s)
	s.q.mu.Unlock()
	p := s.stage.toxic
	p.mu.Lock()
	delete(p.running, s)
	p.mu.Unlock()
	close(s.finished)
}
