package link

import (
	"fmt"
	"time"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// patience is how long a toxic may take to return when it is interrupted, as every toxic should at once.
const patience = 2 * time.Second

// stub runs a toxic on one direction of one connection: it hands over what arrives, a chunk at a time, and passes on what the toxic puts out. The toxic has
// a goroutine and the stub another, which always listens to it: neither healing nor the connection's end waits for a toxic that waits for its reader.
type stub struct {
	*toxics.ToxicStub
	stage *stage
	mark  *mark
	conn  *conn
	dir   Dir
	q     *queue

	in, out chan *stream.StreamChunk
	done    chan struct{} // the toxic has returned
	panics  any           // with what; read after done
	gone    chan struct{} // nothing is left on the connection
	wake    chan struct{}

	// The queue's lock guards these.
	inbox   []parcel
	held    int // bytes in it
	given   []given
	said    error // the source's end, which the toxic was told
	leaving bool  // the fault is healed: what is held goes on
	over    bool  // the connection or the direction is: what is held is dropped
	shut    bool  // the toxic has closed its output; only serve's
}

// begin lets a toxic act on what arrives from now on; q.mu is held.
func (q *queue) begin(s *stage, c *conn, d Dir) {
	in, out := make(chan *stream.StreamChunk), make(chan *stream.StreamChunk)
	st := &stub{
		ToxicStub: toxics.NewToxicStub(in, out), stage: s, mark: c.mark(s), conn: c, dir: d, q: q, in: in, out: out,
		done: make(chan struct{}), gone: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	q.stubs = append(q.stubs, st)
	p := s.toxic
	p.mu.Lock()
	p.running[st] = struct{}{}
	p.mu.Unlock()
	go st.pipe()
	c.link.wg.Go(st.serve)
}

// pipe runs the toxic. It is no part of the link's group: nobody can end a toxic that does not return.
func (s *stub) pipe() {
	defer close(s.done)
	defer func() { s.panics = recover() }()
	toxic := s.stage.toxic.toxic
	if stateful, ok := toxic.(toxics.StatefulToxic); ok {
		s.State = stateful.NewState()
	}
	toxic.Pipe(s.ToxicStub)
}

// serve carries chunks until the toxic has ended the stream, or has been interrupted because the fault is healed or the connection over.
func (s *stub) serve() {
	defer s.forget()
	done, interrupt, asked := s.done, chan<- struct{}(nil), false
	var late <-chan time.Time
	for {
		in, next, out, ending := s.ready()
		if ending && late == nil {
			late = time.After(patience)
			if !asked {
				asked, interrupt = true, s.Interrupt
			}
		}
		select {
		case in <- next:
			s.gave()
		case c, open := <-out:
			if open {
				s.came(c)
				late = nil // it is at work
			} else {
				s.closed()
			}
		case interrupt <- struct{}{}:
			interrupt = nil
		case <-done:
			if s.returned() {
				return
			}
			done, late = nil, nil
		case <-late:
			s.abandon(interrupt)
			return
		case <-s.wake:
		}
		if done == nil && s.left() {
			return
		}
	}
}

// ready tells what can go into the toxic and whether what comes out has a place, and closes its input at the source's end.
func (s *stub) ready() (in chan<- *stream.StreamChunk, next *stream.StreamChunk, out <-chan *stream.StreamChunk, ending bool) {
	s.q.mu.Lock()
	defer s.q.mu.Unlock()
	ending = s.leaving || s.over
	if !ending && len(s.inbox) > 0 {
		head := s.inbox[0]
		if head.err == nil {
			in, next = s.in, &stream.StreamChunk{Data: head.data, Timestamp: head.arrived}
		} else {
			s.said, s.inbox = head.err, nil
			close(s.in)
		}
	}
	if !s.shut && (ending || !s.q.brimful(s)) {
		out = s.out
	}
	return in, next, out, ending
}

// gave notes that the toxic took what is first in the inbox.
func (s *stub) gave() {
	s.q.mu.Lock()
	defer s.q.mu.Unlock()
	if len(s.inbox) == 0 {
		return // dropped in that moment
	}
	p := s.inbox[0]
	s.inbox = s.inbox[1:]
	s.held -= len(p.data)
	s.see(p)
	s.q.relieve()
}

// came passes on what the toxic put out.
func (s *stub) came(c *stream.StreamChunk) {
	if c == nil || len(c.Data) == 0 {
		return
	}
	s.pass(func() {
		s.judge(c.Data)
		s.q.pass(s, chunk{data: c.Data, arrived: time.Now()})
	})
}

// closed passes the end on: the source's, or the toxic's own, which ends the connection in order.
func (s *stub) closed() {
	s.pass(func() {
		end := s.said
		if end == nil {
			end = errClose
			s.strike()
		}
		s.q.pass(s, chunk{arrived: time.Now(), err: end})
		s.over = true
	})
	s.shut = true
}

// pass changes what is behind the stub, if that is still of interest.
func (s *stub) pass(change func()) {
	s.q.mu.Lock()
	if !s.over {
		change()
	}
	s.q.mu.Unlock()
	if s.dir == ToClient {
		s.conn.flow()
	}
}

// returned looks at how the toxic ended, and tells whether nothing more is to be done. One that returned without a word holds what arrives until it is healed,
// as in Toxiproxy.
func (s *stub) returned() bool {
	switch {
	case s.panics != nil:
		s.fail("panicked", s.panics)
	case s.Closed():
		s.closed()
	default:
		return false
	}
	return true
}

// left lets go of everything when the fault is healed, and tells whether the stub is no longer needed. The toxic has returned.
func (s *stub) left() bool {
	s.q.mu.Lock()
	leaving, over := s.leaving, s.over
	s.q.mu.Unlock()
	if over || !leaving {
		return over
	}
	if s.cleaned() {
		s.closed()
		return true
	}
	s.pass(func() {
		for _, p := range s.inbox {
			s.q.pass(s, p.chunk)
		}
		if s.said != nil {
			s.q.pass(s, chunk{arrived: time.Now(), err: s.said})
		}
		s.q.remove(s)
	})
	return true
}

// cleaned lets a toxic that wants to clean up do so, and tells whether it closed the stream.
func (s *stub) cleaned() bool {
	if cleanup, ok := s.stage.toxic.toxic.(toxics.CleanupToxic); ok {
		func() {
			defer func() {
				if p := recover(); p != nil {
					s.fail("panicked in its clean-up", p)
				}
			}()
			cleanup.Cleanup(s.ToxicStub)
		}()
	}
	return s.Closed()
}

// fail resets the connection, whose bytes the toxic may have lost, and lets the fault's healing say why.
func (s *stub) fail(how string, why any) {
	s.stage.toxic.blame(fmt.Errorf("toxic %q %s on connection %d of link %q, which was reset: %v", s.stage.toxic.name, how, s.conn.id, s.conn.link.cfg.Name, why))
	s.q.mu.Lock()
	s.strike()
	s.q.mu.Unlock()
	_ = s.conn.Reset()
}

// abandon leaves a toxic to itself that does not return. Whenever it wants to put something out, it can.
func (s *stub) abandon(interrupt chan<- struct{}) {
	s.fail("did not return", fmt.Sprintf("%v after it was interrupted it was still at work", patience))
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

// forget ends the stub.
func (s *stub) forget() {
	s.q.mu.Lock()
	s.q.remove(s)
	s.q.mu.Unlock()
	p := s.stage.toxic
	p.mu.Lock()
	delete(p.running, s)
	p.mu.Unlock()
	close(s.gone)
}
