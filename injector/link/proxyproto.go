package link

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// proxySignature begins a header of the PROXY protocol, version 2 (its specification, section 2.2).
const proxySignature = "\r\n\r\n\x00\r\nQUIT\n"

// Parts of a version 2 header: version and command, then family and transport.
const (
	proxyLocal = 0x20
	proxyProxy = 0x21
	proxyTCP4  = 0x11
	proxyTCP6  = 0x21
)

func checkProxyProtocol(version string) error {
	switch version {
	case "", "v1", "v2":
		return nil
	}
	return fmt.Errorf("PROXY protocol %q is not known; known are v1, v2", version)
}

// proxyHeader tells the upstream who is behind a connection: from, who connected to the address to. A client on a Unix socket has no address that the
// protocol could tell: the header then says that the connection is our own.
func proxyHeader(version string, from, to net.Addr) []byte {
	src, dst, ok := tcpPair(from, to)
	if version == "v1" {
		if !ok {
			return []byte("PROXY UNKNOWN\r\n")
		}
		family := "TCP6"
		if src.Addr().Is4() {
			family = "TCP4"
		}
		return fmt.Appendf(nil, "PROXY %s %s %s %d %d\r\n", family, src.Addr(), dst.Addr(), src.Port(), dst.Port())
	}
	if !ok {
		return append([]byte(proxySignature), proxyLocal, 0, 0, 0)
	}
	family := byte(proxyTCP6)
	if src.Addr().Is4() {
		family = proxyTCP4
	}
	addresses := append(src.Addr().AsSlice(), dst.Addr().AsSlice()...)
	addresses = binary.BigEndian.AppendUint16(addresses, src.Port())
	addresses = binary.BigEndian.AppendUint16(addresses, dst.Port())
	header := append([]byte(proxySignature), proxyProxy, family)
	header = binary.BigEndian.AppendUint16(header, uint16(len(addresses))) //nolint:gosec // 12 or 36
	return append(header, addresses...)
}

// tcpPair is both addresses in one family, without zones; not ok when they are not of TCP.
func tcpPair(from, to net.Addr) (src, dst netip.AddrPort, ok bool) {
	a, aok := from.(*net.TCPAddr)
	b, bok := to.(*net.TCPAddr)
	if !aok || !bok {
		return src, dst, false
	}
	plain := func(a *net.TCPAddr) netip.AddrPort {
		at := a.AddrPort()
		return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
	}
	src, dst = plain(a), plain(b)
	return src, dst, src.Addr().Is4() == dst.Addr().Is4()
}
