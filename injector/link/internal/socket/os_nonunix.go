//go:build !unix

package socket

import "net"

// read reads immediately. Without readiness notification, it holds a buffer while it waits.
func (s *Conn) read(uintptr) bool {
	buf := Buffers.Get().(*[]byte)
	s.buf = buf
	s.n, s.err = s.halfCloser.Read(*buf)
	return true
}

// Port does not reserve anything on this system: another process may take the port.
type Port struct{}

// ReservePort returns nil.
func ReservePort(net.Listener, string) *Port { return nil }

// Release has no effect.
func (*Port) Release() {}
