//go:build !unix

package link

import "net"

// port cannot be kept here: between refusing and healing another process may take it.
type port struct{}

func reserve(net.Listener, string) *port { return nil }

func (*port) release() {}
