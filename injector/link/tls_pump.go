package link

import (
	"io"
	"sync"
)

// pump copies what is said inside TLS, both ways, until both are done.
func (s *sealed) pump() {
	c, client, up := s.c, s.client, s.up
	c.mu.Lock()
	c.peer = up.sock
	c.mu.Unlock()
	if c.over.Load() {
		up.sock.reset()
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		switch srcErr, dstErr := carry(up, client); {
		case dstErr != nil: // the server is gone
			c.passReset()
		case srcErr != nil:
			c.abort(up.sock)
		default:
			_ = up.CloseWrite()
			s.halfDone()
			if client.wire.awaitReset() {
				c.abort(up.sock)
			}
		}
	})
	switch srcErr, dstErr := carry(client, up); {
	case dstErr != nil: // the client is gone
		c.abort(up.sock)
	case srcErr != nil:
		c.passReset()
	default:
		_ = client.CloseWrite()
		s.halfDone()
		if up.wire.awaitReset() {
			c.passReset()
		}
	}
	both.Wait()
}

// halfDone notes the orderly end of one direction. With the second, the connection is over for TLS, and closed once all has gone out.
func (s *sealed) halfDone() {
	if s.c.halves.Add(1) < 2 {
		return
	}
	s.c.sending.Wait()
	s.c.mu.Lock()
	s.c.peer = nil
	s.c.mu.Unlock()
	_ = s.up.Close()
	_ = s.c.Close()
}

// carry copies until src ends; a nil srcErr is an orderly end.
func carry(dst io.Writer, src io.Reader) (srcErr, dstErr error) {
	p := make([]byte, 16<<10) // a record's worth
	for {
		n, err := src.Read(p)
		if n > 0 {
			if _, werr := dst.Write(p[:n]); werr != nil {
				return nil, werr
			}
		}
		switch {
		case err == io.EOF:
			return nil, nil
		case err != nil:
			return err, nil
		}
	}
}
