//go:build !unix

package datagram

import "syscall"

// Ports cannot be shared here: between refusing and healing another process may take one.
func share(string, string, syscall.RawConn) error { return nil }

func sharing(syscall.RawConn, int) error { return nil }
