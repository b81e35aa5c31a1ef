package toxiproxy_test

import (
	"net"
	"testing"
)

// AssertProxyUp is what Toxiproxy's tests of the API take from its other tests.
func AssertProxyUp(t *testing.T, addr string, up bool) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if (err == nil) != up {
		t.Errorf("%s: up is to be %v: %v", addr, up, err)
	}
	if err == nil {
		_ = conn.Close()
	}
}
