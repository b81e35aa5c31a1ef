//go:build !unix

package datagram

import "syscall"

// share does nothing: ports cannot be shared on this system, so another process may take the port between
// refusing and healing.
func share(string, string, syscall.RawConn) error { return nil }

func setShared(syscall.RawConn, int) error { return nil }
