package link

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"time"
)

// CA signs the certificates that terminating links present to clients. A CA is created for one run:
// its key is kept in memory only. Its methods may be called concurrently.
type CA struct {
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	leafKey *ecdsa.PrivateKey // shared by all leaf certificates

	mu     sync.Mutex
	leaves map[string]*tls.Certificate
}

const (
	certLifetime = 30 * 24 * time.Hour
	maxLeaves    = 1024 // size of the cache; clients may ask for any number of names
)

// NewCA creates a certificate authority.
func NewCA() (*CA, error) {
	ca := &CA{leaves: map[string]*tls.Certificate{}}
	var err error
	for _, key := range []**ecdsa.PrivateKey{&ca.key, &ca.leafKey} {
		if *key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, fmt.Errorf("create a certificate authority: %w", err)
		}
	}
	ca.cert = newCertificate("Firedrill, one run's authority")
	ca.cert.IsCA, ca.cert.BasicConstraintsValid, ca.cert.MaxPathLenZero, ca.cert.KeyUsage = true, true, true, x509.KeyUsageCertSign
	raw, err := x509.CreateCertificate(rand.Reader, ca.cert, ca.cert, ca.key.Public(), ca.key)
	if err == nil {
		ca.cert, err = x509.ParseCertificate(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("create a certificate authority: %w", err)
	}
	return ca, nil
}

// newCertificate returns a template with the fields that all certificates share. Its validity starts
// an hour ago, because clients' clocks may differ.
func newCertificate(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	now := time.Now()
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certLifetime)}
}

// PEM returns the certificate that clients have to trust.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// leaf returns a certificate for host, which is a name or an IP address, and for the address at if it
// is a TCP address.
func (ca *CA) leaf(host string, at net.Addr) (*tls.Certificate, error) {
	ip := netip.Addr{}
	if tcp, ok := at.(*net.TCPAddr); ok {
		ip = tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	name := host + " " + ip.String()
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if leaf := ca.leaves[name]; leaf != nil {
		return leaf, nil
	}
	cert := newCertificate(host)
	cert.KeyUsage, cert.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if literal, err := netip.ParseAddr(host); err == nil {
		cert.IPAddresses = append(cert.IPAddresses, net.IP(literal.WithZone("").AsSlice()))
	} else if host != "" {
		cert.DNSNames = []string{host}
	}
	if ip.IsValid() {
		cert.IPAddresses = append(cert.IPAddresses, net.IP(ip.AsSlice()))
	}
	raw, err := x509.CreateCertificate(rand.Reader, cert, ca.cert, ca.leafKey.Public(), ca.key)
	if err != nil {
		return nil, fmt.Errorf("create a certificate for %q: %w", host, err)
	}
	if len(ca.leaves) >= maxLeaves {
		clear(ca.leaves)
	}
	leaf := &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: ca.leafKey}
	ca.leaves[name] = leaf
	return leaf, nil
}
