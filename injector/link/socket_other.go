//go:build !unix

package link

// read reads at once: without readiness a buffer is held while it waits.
func (s *socket) read(uintptr) bool {
	buf := buffers.Get().(*[]byte)
	s.buf = buf
	s.n, s.err = s.halfCloser.Read(*buf)
	return true
}
