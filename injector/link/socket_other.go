//go:build !unix

package link

// read reads immediately. Without readiness notification, it holds a buffer while it waits.
func (s *socket) read(uintptr) bool {
	buf := buffers.Get().(*[]byte)
	s.buf = buf
	s.n, s.err = s.halfCloser.Read(*buf)
	return true
}
