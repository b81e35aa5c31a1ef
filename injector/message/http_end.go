package message

import (
	"errors"
	"io"
	"time"
)

// stop handles the error that ended the reading of requests.
func (c *httpConn) stop(err error) {
	switch {
	case isSinkError(err):
		c.markUpstreamFailed()
		c.discardInput()
	case errors.Is(err, errNotHTTP):
		c.passRequestsThrough(nil, err.Error())
	default: // the client disconnected; forward what was received of the request
		_ = c.uw.Flush()
		c.clientClosed(err)
	}
}

// discardInput reads and discards the client's input until it ends.
func (c *httpConn) discardInput() {
	_, err := io.Copy(io.Discard, c.cr)
	c.clientClosed(err)
}

// outlivesClient reports whether the answer to a pending call must be read to its end even if the client has
// disconnected. c.mu is held.
func (c *httpConn) outlivesClient() bool {
	if c.mux != nil {
		return c.mux.busy() || (c.sentAfterClose && c.mux.toServer.hasUnwritten())
	}
	for _, x := range c.pending {
		if x.needsWholeReply() {
			return true
		}
	}
	return false
}

// passRequestsThrough forwards first and all further input unchanged, after input that cannot be parsed. why is
// reported unless it is "".
func (c *httpConn) passRequestsThrough(first []byte, why string) {
	c.mu.Lock()
	c.passthrough = true
	c.changed.Broadcast()
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

// end ends the client's connection as a rule asks. After silence, both sockets stay open until the client
// closes. After a FIN, the client's socket stays open until the client closes, because closing a socket with
// unread input would send a reset.
func (c *httpConn) end(ending Ending) {
	c.mu.Lock()
	c.endedByRule = ending != EndSilence
	c.blackholed = ending == EndSilence
	c.changed.Broadcast()
	c.mu.Unlock()
	switch ending {
	case EndSilence:
		return
	case EndClosed:
		_ = c.client.CloseWrite()
	default:
		_ = c.client.Reset()
	}
	c.cancel()
}

// reportUnanswered reports the calls that will not be answered.
func (c *httpConn) reportUnanswered() {
	c.mu.Lock()
	var unanswered []*Exchange
	for _, x := range c.pending {
		x.gaveUpAt = c.clientClosedAt
		unanswered = append(unanswered, &x.Exchange)
	}
	c.pending = nil
	if c.mux != nil {
		unanswered = c.mux.unansweredStreams()
	}
	c.mu.Unlock()
	for _, x := range unanswered {
		c.relay.report(x, 0)
	}
}
