//go:build !linux

package datagram

import "net"

// drops is not supported on this system.
func drops(*net.UDPConn) int64 { return 0 }
