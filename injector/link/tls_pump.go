package link

import (
	"io"
	"sync"
)

// pump copies plaintext in both directions until both have ended.
func (s *tlsSession) pump() {
	c, client, up := s.c, s.client, s.up
	c.mu.Lock()
	c.peer = up.sock
	c.mu.Unlock()
	if c.closed.Load() {
		up.sock.Reset()
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		switch srcErr, dstErr := carry(up, client); {
		case dstErr != nil: // the server closed the connection
			c.forwardReset()
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
	case dstErr != nil: // the client closed the connection
		c.abort(up.sock)
	case srcErr != nil:
		c.forwardReset()
	default:
		_ = client.CloseWrite()
		s.halfDone()
		if up.wire.awaitReset() {
			c.forwardReset()
		}
	}
	both.Wait()
}

// halfDone records the graceful end of one direction. After the second, it closes the connection once
// everything has been sent.
func (s *tlsSession) halfDone() {
	if s.c.eofs.Add(1) < 2 {
		return
	}
	s.c.sender.Wait()
	s.c.mu.Lock()
	s.c.peer = nil
	s.c.mu.Unlock()
	_ = s.up.Close()
	_ = s.c.Close()
}

// carry copies until src ends. srcErr is nil for a graceful end.
func carry(dst io.Writer, src io.Reader) (srcErr, dstErr error) {
	p := make([]byte, 16<<10) // the size of a TLS record
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
