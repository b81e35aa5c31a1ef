package link

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// proxySignature starts a header of version 2 of the PROXY protocol (section 2.2 of its
// specification).
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
	return fmt.Errorf("unknown PROXY protocol %q: use v1 or v2", version)
}

// proxyHeader returns a header that announces the client's address, from, and the address that it
// connected to, to. The protocol has no form for a client on a Unix socket; the header then declares
// the connection as the proxy's own.
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

// tcpPair returns both addresses in one family, without zones. ok is false if they are not TCP
// addresses of one family.
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
