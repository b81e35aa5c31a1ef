package http1

import (
	"errors"
	"io"

	"github.com/firedrill-dev/firedrill/injector/message/duplex"
)

// stop handles the error that ended the reading of requests.
func (c *connection) stop(err error) {
	switch {
	case duplex.IsWriteError(err):
		c.MarkUpstreamFailed()
		c.DiscardInput()
	case errors.Is(err, errNotHTTP):
		c.passRequestsThrough(nil, err.Error())
	default: // the client disconnected; forward what was received of the request
		_ = c.ServerOut.Flush()
		c.ClientClosed(err)
	}
}

// OutlivesClient reports whether the answer to a pending call must be read to its end even if the client has
// disconnected. The lock is held.
func (c *connection) OutlivesClient() bool {
	if c.mux != nil {
		return c.mux.OutlivesClient()
	}
	for x := range c.Pending() {
		if x.NeedsWholeReply() {
			return true
		}
	}
	return false
}

// passRequestsThrough forwards first and all further input unchanged, after input that cannot be parsed. why is
// reported unless it is "".
func (c *connection) passRequestsThrough(first []byte, why string) {
	c.EnterPassthrough()
	if why != "" {
		c.Relay.Unparsed(why)
	}
	_, err := c.ServerOut.Write(first)
	if err != nil {
		err = duplex.WriteFailed(err)
	} else if _, err = duplex.CopyAll(c.ServerOut, c.ClientIn); err == nil {
		err = io.EOF
	}
	c.stop(err)
}

// ReportUnanswered reports the calls that will not be answered.
func (c *connection) ReportUnanswered() {
	c.Lock()
	if c.mux != nil {
		c.Unlock()
		c.mux.ReportUnanswered()
		return
	}
	c.Unlock()
	for _, x := range c.TakePending() {
		x.GaveUpAt = c.ClientClosedAt()
		c.Relay.Report(&x.Exchange, 0)
	}
}
