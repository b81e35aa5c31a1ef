package message

import (
	"bufio"
	"context"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// framed is the relay of every framed protocol: messages on a connection, whose answers come in the order of the requests or carry an id.
//
// One goroutine reads each direction. What a request owes is noted under the lock that its write to the server takes, so the order of the notes is that of
// the wire. A rule's own answers stand among those notes and are given when they reach the front; so are the ends that rules bring, and every
// answer before them arrives. Nothing is written to the client under a lock: a client that sends much before it reads would block for ever.
func framed(open func(cfg Config) dialect) func(r *Relay, ctx context.Context, client Client, dial Dial) {
	return func(r *Relay, ctx context.Context, client Client, dial Dial) {
		c := &framedConn{dialect: open(r.cfg)}
		if !c.connect(ctx, r, client, dial) {
			return
		}
		c.in = &frames{r: bufio.NewReaderSize(client, 16<<10), dialect: c.dialect, dir: ToServer, most: int(r.cfg.Whole), raw: c.opaque, idle: c.flushUp}
		c.out = &frames{r: bufio.NewReaderSize(c.up, 16<<10), dialect: c.dialect, dir: ToClient, most: int(r.cfg.Whole), raw: c.opaque, idle: c.flushDown}
		c.carry(ctx, c)
	}
}

type framedConn struct {
	pair    // its lock guards what stands below in and out, too
	in, out *frames
	upMu    sync.Mutex // uw, and so the order of the wire to the server

	dialect dialect // but its feed
	owed    []*exchanged
	ids     waiting // for an answer with an id
}

// exchanged is a message that met the rules, and what the client is owed for it.
type exchanged struct {
	frame   frame
	msg     message
	start   time.Time
	chosen  chosen
	touched bool
	skipped string
	swallow bool   // the answer does not go to the client
	local   func() // gives the answer without the server
	passes  []*hold
	answer  int    // bytes of its answer so far
	says    string // what its answer said
}

// requests reads what the client says, until it ends.
func (c *framedConn) requests() {
	for {
		raw, large, err := c.in.next()
		if err != nil {
			c.stop(raw, err)
			return
		}
		if c.deaf() {
			c.drain()
			return
		}
		if err := c.request(raw, large); err != nil {
			c.stop(nil, err)
			return
		}
	}
}

// meet makes a message known and lets the rules choose.
func (c *framedConn) meet(d Dir, raw []byte) *exchanged {
	c.mu.Lock()
	f := c.dialect.look(d, raw, c.front())
	c.seq++
	seq := c.seq
	c.mu.Unlock()
	x := &exchanged{frame: f, start: time.Now()}
	x.msg = message{conn: c.client.ID(), seq: seq, dir: d, method: f.method, path: f.path, op: opOf(f), key: f.key, bytes: len(raw), header: f.header, named: f.named}
	if f.kind == isControl || f.kind == isAnswer || f.exempt {
		return x
	}
	x.chosen = c.relay.decide(x.msg)
	switch rule := x.chosen.rule; {
	case rule == nil:
	case f.immune != "" && (f.kind == isOneWay || (rule.Do != LoseRequest && rule.Do != LoseReply)):
		c.skip(x, f.immune)
	case f.bars != nil && f.bars(rule.Do) != "":
		c.skip(x, f.bars(rule.Do))
	case f.kind == isOneWay && f.id == "" && (rule.Do == LoseReply || rule.Do == Answer):
		x.chosen.rule = nil // nobody waits for an answer to it
	case rule.Do == Answer:
		if _, err := c.refusal(x); err != nil {
			c.skip(x, err.Error())
		}
	}
	return x
}

// front is the request that the server answers now; c.mu is held.
func (c *framedConn) front() *frame {
	for _, x := range c.owed {
		if x.local == nil {
			return &x.frame
		}
	}
	return nil
}

func opOf(f frame) string {
	if f.path == "" {
		return f.method
	}
	return f.method + " " + f.path
}

func (c *framedConn) skip(x *exchanged, why string) {
	x.skipped = why
	c.relay.tell(x.chosen.rule, x.msg, evidence.Skipped, why)
	x.chosen.rule = nil
}

// request carries a message to the server to its fate.
func (c *framedConn) request(raw []byte, large bool) error {
	x := c.meet(ToServer, raw)
	if x.chosen.rule != nil && large {
		c.skip(x, "too large: more than "+plural(int(c.relay.cfg.Whole), "byte"))
	}
	rule := x.chosen.rule
	if len(x.chosen.delays) == 0 && (rule == nil || rule.Do == LoseReply) {
		c.relay.book(true, func(b *Books) { b.In++ })
		return c.send(x, raw)
	}
	c.relay.book(true, func(b *Books) { b.In++; b.Held++ })
	if large { // its delays, and no other rule
		x.touched = c.sleep(x.chosen.delays, x.msg) || x.touched
		c.relay.book(true, func(b *Books) { b.Held-- })
		return c.send(x, raw)
	}
	return c.wait(x, append([]byte(nil), raw...))
}

// wait lets a message meet its fate while the client is watched. What it says next stays behind.
func (c *framedConn) wait(x *exchanged, raw []byte) error {
	c.relay.begin()
	met := make(chan struct{})
	var sendErr error
	c.wg.Go(func() {
		defer c.relay.end()
		defer close(met)
		sendErr = c.fate(x, raw)
	})
	_, err := c.in.more(c.in.idle)
	if err != nil && !sunk(err) {
		c.leave()
	}
	<-met
	return max2(sendErr, err)
}

// fate lets a message wait as its rules say, and then meet what was chosen for it.
func (c *framedConn) fate(x *exchanged, raw []byte) error {
	x.touched = c.sleep(x.chosen.delays, x.msg) || x.touched
	rule := x.chosen.rule
	if rule == nil {
		return c.release(x, raw)
	}
	switch {
	case rule.Do == Answer, rule.Do == LoseRequest && rule.ending() != ThenHeld:
		c.relay.book(true, func(b *Books) { b.Held--; b.Dropped++ })
		c.drop(x)
		return nil
	case rule.Do == LoseRequest:
		x.touched = true
		c.hold(rule, x.msg)
	case rule.Do == Reorder:
		x.skipped, x.touched = c.reorder(rule, x.msg)
	case rule.Do == Corrupt, rule.Do == Truncate:
		raw = c.spoil(x, raw)
	case rule.Do == Twice:
		return c.twice(x, raw)
	}
	return c.release(x, raw)
}

// release sends a message that waited, unless its connection is over.
func (c *framedConn) release(x *exchanged, raw []byte) error {
	if c.ctx.Err() != nil {
		c.relay.book(true, func(b *Books) { b.Held--; b.Collateral++ })
		return nil
	}
	c.relay.book(true, func(b *Books) { b.Held-- })
	c.upMu.Lock()
	err := c.put(x, raw)
	c.upMu.Unlock()
	if err != nil {
		return err
	}
	return c.flushUp()
}

// send passes on what the client has just said; what is left of a large message is streamed.
func (c *framedConn) send(x *exchanged, raw []byte) error {
	c.upMu.Lock()
	defer c.upMu.Unlock()
	if err := c.put(x, raw); err != nil {
		return err
	}
	return c.in.rest(c.uw)
}

// put notes what a message owes and writes it; c.upMu is held.
func (c *framedConn) put(x *exchanged, raw []byte) error {
	var forgotten []*exchanged
	x.passes = c.relay.passing(x.msg)
	c.mu.Lock()
	c.dialect.sent(&x.frame)
	switch {
	case x.frame.kind == isRequest:
		c.owed = append(c.owed, x)
	case x.frame.id != "":
		forgotten = c.ids.add(x)
	}
	c.mu.Unlock()
	c.unanswered(forgotten)
	c.relay.book(true, func(b *Books) { b.Out++ })
	if _, err := c.uw.Write(raw); err != nil {
		c.relay.book(true, func(b *Books) { b.Out--; b.Collateral++ })
		return sinkError{err}
	}
	if x.frame.kind != isRequest && len(x.passes) > 0 {
		if err := c.uw.Flush(); err != nil {
			return sinkError{err}
		}
		c.relay.passed(x.passes)
	}
	if x.frame.kind == isOneWay && x.frame.id == "" && !x.swallow {
		c.report(x, done)
	}
	return nil
}

// done is the status of a call that was answered, for protocols that have no status.
const done = 200

// report tells of an exchange that is over.
func (c *framedConn) report(x *exchanged, status int) {
	if x.frame.kind == isControl || x.frame.exempt || x.msg.dir == ToClient || (x.frame.named && !x.touched && x.skipped == "") {
		return
	}
	call := Call{Start: x.start, End: time.Now(), Op: x.msg.op, Status: status, Affected: x.touched, Skipped: x.skipped}
	c.mu.Lock()
	gone := c.gone
	c.mu.Unlock()
	if status == 0 && !gone.IsZero() && x.frame.kind == isRequest { // others need no answer, so that leaving is no sign of impatience
		call.GaveUp, call.End = true, gone
	}
	c.relay.cfg.Calls(call)
}

func (c *framedConn) flushUp() error {
	c.upMu.Lock()
	defer c.upMu.Unlock()
	if err := c.uw.Flush(); err != nil {
		return sinkError{err}
	}
	return nil
}

// loseTrack: nothing that comes can be followed from now on, which is told once.
func (c *framedConn) loseTrack(why error) {
	c.mu.Lock()
	told := c.raw
	c.raw = true
	c.mu.Unlock()
	if !told {
		c.relay.cfg.Calls(Call{Start: time.Now(), End: time.Now(), Skipped: why.Error()})
	}
}

// goRaw passes on what could not be followed, and all that comes after it.
func (c *framedConn) goRaw(first []byte, why error) {
	c.loseTrack(why)
	c.stop(nil, pour(c.in, first, func(b []byte) error {
		c.upMu.Lock()
		defer c.upMu.Unlock()
		_, err := c.uw.Write(b)
		return err
	}))
}

// pour copies first and all that comes after it; its error is never nil.
func pour(from *frames, first []byte, write func([]byte) error) error {
	for b := first; ; {
		if err := write(b); err != nil {
			return sinkError{err}
		}
		var err error
		if b, err = from.more(from.idle); err != nil {
			return err
		}
		from.used = len(b)
	}
}
