package link

import (
	"fmt"
	"net"

	"github.com/pires/go-proxyproto"
)

// proxyVersions are the versions of the PROXY protocol by name in Config.
var proxyVersions = map[string]byte{"v1": 1, "v2": 2}

func checkProxyProtocol(version string) error {
	if version != "" && proxyVersions[version] == 0 {
		return fmt.Errorf("unknown PROXY protocol %q: use v1 or v2", version)
	}
	return nil
}

// proxyHeader returns a header that announces the client's address, from, and the address that it
// connected to, to. A client on a Unix socket has no address; the header then declares the connection
// as the proxy's own.
func proxyHeader(version string, from, to net.Addr) ([]byte, error) {
	if _, ok := from.(*net.UnixAddr); ok {
		from = nil
	}
	return proxyproto.HeaderProxyFromAddrs(proxyVersions[version], from, to).Format()
}
