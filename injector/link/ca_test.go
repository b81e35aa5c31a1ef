package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLeafCertificates(t *testing.T) {
	ca, err := NewCA()
	require.NoError(t, err)
	leaf := func(host string, at net.Addr) *x509.Certificate {
		made, err := ca.leaf(host, at)
		require.NoError(t, err)
		again, err := ca.leaf(host, at)
		require.NoError(t, err)
		require.Same(t, made, again)
		cert, err := x509.ParseCertificate(made.Certificate[0])
		require.NoError(t, err)
		_, err = cert.Verify(x509.VerifyOptions{Roots: pool(t, ca)})
		require.NoError(t, err)
		return cert
	}
	cert := leaf("::1", &net.TCPAddr{IP: net.ParseIP("::ffff:127.0.0.1")})
	assert.NoError(t, cert.VerifyHostname("[::1]"))
	assert.NoError(t, cert.VerifyHostname("127.0.0.1"))
	cert = leaf("payments.test", &net.UnixAddr{Name: "/a", Net: "unix"})
	assert.NoError(t, cert.VerifyHostname("payments.test"))
	assert.Error(t, cert.VerifyHostname("127.0.0.1"))
	ca.leaves = map[string]*tls.Certificate{}
	for i := range maxLeaves {
		ca.leaves[string(rune('a'+i))] = &tls.Certificate{}
	}
	leaf("one.more", nil)
	assert.Len(t, ca.leaves, 1)
	_, err = ca.leaf("n\u00e4me", nil)
	assert.True(t, err != nil && !errors.Is(err, io.EOF), "a name that no certificate can have")
}
