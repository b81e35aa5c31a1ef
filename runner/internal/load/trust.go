package load

import (
	"context"
	"crypto/tls"
	"net"
)

// Trust holds the TLS configurations of the runner's own clients, by address. Addresses without an
// entry are used without TLS.
type Trust map[string]*tls.Config

// URL returns the URL of a path at an address.
func (t Trust) URL(address, path string) string {
	if t[address] != nil {
		return "https://" + address + path
	}
	return "http://" + address + path
}

// Dial opens a TLS connection to an address. It is used as http.Transport.DialTLSContext.
func (t Trust) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return (&tls.Dialer{Config: t[address]}).DialContext(ctx, network, address)
}
