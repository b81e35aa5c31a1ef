//go:build !unix

package link

import "net"

// port does not reserve anything on this system: until Heal, another process may take the port.
type port struct{}

func reservePort(net.Listener, string) *port { return nil }

func (*port) release() {}
