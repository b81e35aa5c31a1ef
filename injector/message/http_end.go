package message

import (
	"errors"
	"io"
	"time"
)

// stop ends the reading of requests after an error of request.
func (c *httpConn) stop(err error) {
	switch {
	case sunk(err):
		c.serverGone()
		c.drain()
	case errors.Is(err, errNotHTTP):
		c.goRaw(nil, err.Error())
	default: // the client broke off; what came of the request goes on
		_ = c.uw.Flush()
		c.clientGone(err)
	}
}

// drain reads away what the client still says, until it ends.
func (c *httpConn) drain() {
	_, err := io.Copy(io.Discard, c.cr)
	c.clientGone(err)
}

// detached tells whether an exchange goes on whether or not the client is there: its answer is to be read to the end. c.mu is held.
func (c *httpConn) detached() bool {
	if c.mux != nil {
		return c.mux.busy() || (c.late && c.mux.toServer.unwritten())
	}
	for _, x := range c.owed {
		if r := x.chosen.rule; r != nil && (r.Do == LoseReply || (r.Do == Twice && r.Second)) {
			return true
		}
	}
	return false
}

// goRaw passes on what could not be followed, and all that comes after it. Without a reason there is nothing to tell.
func (c *httpConn) goRaw(first []byte, why string) {
	c.mu.Lock()
	c.raw = true
	c.mu.Unlock()
	if why != "" {
		c.relay.cfg.Calls(Call{Start: time.Now(), End: time.Now(), Skipped: why})
	}
	_, err := c.uw.Write(first)
	if err != nil {
		err = sinkError{err}
	} else if _, err = copyAll(c.uw, c.cr); err == nil {
		err = io.EOF
	}
	c.stop(err)
}

// end ends the client's connection as a rule asks. After silence both sockets stay open until the client ends; after a FIN the client's until it
// ends too, since closing a socket with unread bytes would send a reset behind.
func (c *httpConn) end(then Ending) {
	c.mu.Lock()
	c.ended = then != ThenSilence
	c.silent = then == ThenSilence
	c.changed.Broadcast()
	c.mu.Unlock()
	switch then {
	case ThenSilence:
		return
	case ThenClosed:
		_ = c.client.CloseWrite()
	default:
		_ = c.client.Reset()
	}
	c.cancel()
}

// unpaid tells of all that the client is owed and will not get.
func (c *httpConn) unpaid() {
	c.mu.Lock()
	owed := c.owed
	c.owed = nil
	for _, x := range owed {
		x.gone = c.gone
	}
	if c.mux != nil {
		owed = c.mux.unpaidStreams()
	}
	c.mu.Unlock()
	for _, x := range owed {
		c.report(x, 0)
	}
}

// report tells of a call that is over. A caller who left while it was owed has given up, also when the answer still went out.
func (c *httpConn) report(x *exchange, status int) {
	call := Call{Start: x.start, End: time.Now(), Op: x.msg.op, Status: status, Affected: x.touched, Skipped: x.skipped}
	if !x.gone.IsZero() {
		call.GaveUp, call.End = true, x.gone
	}
	c.relay.cfg.Calls(call)
}
