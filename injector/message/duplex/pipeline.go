package duplex

import (
	"bufio"
	"context"
	"iter"
	"slices"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// Pipeline is a connection whose answers come in the order of the requests. It holds the queue of the calls, of type
// X, that have no answer yet. A call that the relay answers itself waits in the same queue for its turn.
//
// One goroutine at a time owns ClientOut, from BeginWrite to EndWrite.
type Pipeline[X comparable] struct {
	Conn
	ClientOut *bufio.Writer // to the client
	ServerOut *bufio.Writer // to the server

	// The lock guards the fields below.
	writing bool
	pending []call[X] // in the order of their requests
}

// call is a call without an answer.
type call[X comparable] struct {
	x      X
	answer func() // answers without the server; nil if the server answers
}

// Connect dials the server. If that fails, it resets the client's connection and returns false.
func (p *Pipeline[X]) Connect(ctx context.Context, r *message.Relay, client message.Client, dial message.Dial) bool {
	if !p.Conn.Connect(ctx, r, client, dial) {
		return false
	}
	p.ClientOut, p.ServerOut = bufio.NewWriterSize(client, 16<<10), bufio.NewWriterSize(p.Upstream(), 16<<10)
	return true
}

// Expect appends a call that the server answers to the queue. The lock is held.
func (p *Pipeline[X]) Expect(x X) { p.pending = append(p.pending, call[X]{x: x}) }

// AnswerInTurn appends a call that the relay answers to the queue. answer is called when all earlier calls have
// been answered, by a goroutine that owns ClientOut. It is not called if the connection ends first.
func (p *Pipeline[X]) AnswerInTurn(x X, answer func()) {
	p.Lock()
	p.pending = append(p.pending, call[X]{x, answer})
	p.Unlock()
	p.answerDue()
}

// answerDue answers the calls at the front of the queue that the relay answers. If another goroutine owns
// ClientOut, its EndWrite does so.
func (p *Pipeline[X]) answerDue() {
	for {
		p.Lock()
		if p.writing || len(p.pending) == 0 || p.pending[0].answer == nil || p.EndedByRule() {
			p.Unlock()
			return
		}
		answer := p.pending[0].answer
		p.pending = p.pending[1:]
		p.writing = true
		p.Unlock()
		answer()
		p.releaseWriter()
	}
}

// Front returns the call at the front of the queue if the server answers it, or the zero value. The lock is held.
func (p *Pipeline[X]) Front() (x X) {
	if len(p.pending) > 0 && p.pending[0].answer == nil {
		x = p.pending[0].x
	}
	return x
}

// LastPending returns the last call in the queue, or the zero value. The lock is held.
func (p *Pipeline[X]) LastPending() (x X) {
	if n := len(p.pending); n > 0 {
		x = p.pending[n-1].x
	}
	return x
}

// NextOfServer returns the first call that the server answers, or the zero value. Calls that the relay answers may
// stand before it. The lock is held.
func (p *Pipeline[X]) NextOfServer() (x X) {
	for _, c := range p.pending {
		if c.answer == nil {
			return c.x
		}
	}
	return x
}

// Pending returns the calls in the queue. The lock is held.
func (p *Pipeline[X]) Pending() iter.Seq[X] {
	return func(yield func(X) bool) {
		for _, c := range p.pending {
			if !yield(c.x) {
				return
			}
		}
	}
}

// PendingCount returns the number of calls in the queue. The lock is held.
func (p *Pipeline[X]) PendingCount() int { return len(p.pending) }

// Answered removes a call from the front of the queue, if it is there.
func (p *Pipeline[X]) Answered(x X) {
	p.Lock()
	defer p.Unlock()
	if len(p.pending) > 0 && p.pending[0].x == x {
		p.pending = p.pending[1:]
	}
	p.Broadcast()
}

// TakePending removes all calls from the queue and returns them.
func (p *Pipeline[X]) TakePending() []X {
	p.Lock()
	defer p.Unlock()
	all := slices.Collect(p.Pending())
	p.pending = nil
	return all
}

// EndClient is like Conn.EndClient, and sends earlier answers first. The caller owns ClientOut.
func (p *Pipeline[X]) EndClient(ending message.Ending) {
	p.Lock()
	p.markEnded(ending)
	p.Unlock()
	_ = p.ClientOut.Flush()
	p.closeClient(ending)
}

// EndClientWith is EndClient for a call that a rule lost, and that is no longer in the queue. It calls lost for each
// other call in the queue before the client notices. After silence, the call is in the queue again, until the client
// has closed its connection.
func (p *Pipeline[X]) EndClientWith(x X, ending message.Ending, lost func(other X)) {
	p.Lock()
	p.markEnded(ending)
	others := slices.Collect(p.Pending())
	if ending == message.EndSilence {
		p.pending = slices.Insert(p.pending, 0, call[X]{x: x})
	}
	p.Unlock()
	for _, other := range others {
		lost(other)
	}
	_ = p.ClientOut.Flush()
	p.closeClient(ending)
}

// BeginWrite waits for ownership of ClientOut.
func (p *Pipeline[X]) BeginWrite() {
	p.Lock()
	defer p.Unlock()
	for p.writing {
		p.Wait()
	}
	p.writing = true
}

// EndWrite gives up ownership of ClientOut, and answers the calls whose turn has come.
func (p *Pipeline[X]) EndWrite() {
	p.releaseWriter()
	p.answerDue()
}

func (p *Pipeline[X]) releaseWriter() {
	p.Lock()
	p.writing = false
	p.Broadcast()
	p.Unlock()
}

// FlushToClient flushes ClientOut, unless another goroutine owns it, which will flush it.
func (p *Pipeline[X]) FlushToClient() error {
	p.Lock()
	if p.writing {
		p.Unlock()
		return nil
	}
	p.writing = true
	p.Unlock()
	err := p.ClientOut.Flush()
	p.EndWrite()
	if err != nil {
		return WriteFailed(err)
	}
	return nil
}

// WriteToClient writes to the client. The caller owns ClientOut.
func (p *Pipeline[X]) WriteToClient(b []byte) error {
	if _, err := p.ClientOut.Write(b); err != nil {
		return WriteFailed(err)
	}
	return nil
}

// WriteMessage writes a message, or the beginning of one, to the client and counts it.
func (p *Pipeline[X]) WriteMessage(b []byte) error {
	err := p.WriteToClient(b)
	if err == nil {
		p.Relay.Wrote(message.ToClient)
	}
	return err
}
