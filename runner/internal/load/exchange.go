package load

import (
	"context"
	"net/http"
	"time"
)

// exchange sends one request and calls use with the answer; use reads the body to its end. wrote
// reports whether any of the request was written. stale is how often the request was sent on a kept
// connection that the server had closed; see pool. It implements HTTP/1.1 itself because net/http's
// Transport does not let its caller decide which connection to reuse and when to send a request again.
func (p *pool) exchange(ctx context.Context, address string, request func() (*http.Request, error), use func(*http.Response) error) (wrote bool, stale int, err error) {
	k, err := p.take(ctx, address)
	if err != nil {
		return false, 0, err
	}
	return p.exchangeOn(ctx, address, k, request, use)
}

// exchangeOn is like exchange but starts with a given connection.
func (p *pool) exchangeOn(ctx context.Context, address string, k *pooledConn, request func() (*http.Request, error), use func(*http.Response) error) (wrote bool, stale int, err error) {
	for {
		req, err := request()
		if err != nil {
			_ = k.Close()
			return false, stale, err
		}
		before := k.raw.wrote
		answered, err := p.roundTrip(ctx, address, k, req, use)
		if err == nil {
			return true, stale, nil
		}
		wrote, untouched := k.raw.wrote > before, k.unreadByServer(before)
		_ = k.Close()
		switch {
		case answered || !k.reused || ctx.Err() != nil:
			return wrote, stale, err
		case !untouched && k.wroteAt.After(k.safeUntil):
			return wrote, stale, lateReuse(err)
		case !untouched:
			return wrote, stale, err
		}
		stale++
		p.staleReuse(address)
		if k, err = p.dial(ctx, address); err != nil {
			return false, stale, err
		}
	}
}

// staleReuse notes that a server had closed a kept connection.
func (p *pool) staleReuse(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.host(address).invalidate(0)
}

// unreadByServer reports whether the server has certainly read nothing of what was written after the
// first before bytes.
func (k *pooledConn) unreadByServer(before int64) bool {
	return k.raw.wrote == before || k.raw.unread(before)
}

// roundTrip sends a request on a connection and reads the answer. answered reports whether any of the
// answer arrived. It returns the connection to the pool if it can carry another request, and closes it
// otherwise. On an error the caller closes it.
func (p *pool) roundTrip(ctx context.Context, address string, k *pooledConn, req *http.Request, use func(*http.Response) error) (answered bool, err error) {
	stop := context.AfterFunc(ctx, func() { _ = k.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	written := make(chan error, 1)
	write := func() {
		err := req.Write(k.write) // head and body in one segment: some gateways treat a split request differently
		if err == nil {
			err = k.write.Flush()
		}
		k.wroteAt = time.Now()
		written <- err
	}
	if req.ContentLength > largeBody {
		go write() // the server may answer before it has read the whole request
	} else {
		write()
	}
	resp, answered, err := k.readHead(req)
	if err == nil {
		err = use(resp)
		_ = resp.Body.Close()
	}
	var sent error
	if err != nil || resp.Close {
		_ = k.SetWriteDeadline(time.Unix(1, 0)) // aborts a write whose result no longer matters
	}
	sent = <-written
	switch {
	case err != nil && !answered && sent != nil && ctx.Err() == nil:
		return false, sent // the cause; the read error only follows from it
	case err != nil && answered:
		return true, phaseError{err, malformed}
	case err != nil:
		return false, err
	case sent != nil, req.Close, resp.Close, k.read.Buffered() > 0, resp.StatusCode == http.StatusSwitchingProtocols, !stop():
		_ = k.Close()
	default:
		p.put(address, k, resp.Header)
	}
	return true, nil
}

// largeBody is a size that certainly fits into the buffers of a socket.
const largeBody = 16 << 10

// readHead reads the head of the final answer, skipping informational ones.
func (k *pooledConn) readHead(req *http.Request) (_ *http.Response, answered bool, err error) {
	if _, err := k.read.Peek(1); err != nil {
		return nil, false, err
	}
	for {
		resp, err := http.ReadResponse(k.read, req)
		if err != nil || resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, true, err
		}
	}
}
