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

// CA signs the certificates that terminating links show to their clients. It is made for a run: its key is in memory only and ends with the process.
// Its methods may be called from many goroutines.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	own  *ecdsa.PrivateKey // of all leaves

	mu     sync.Mutex
	leaves map[string]*tls.Certificate
}

const (
	lifetime = 30 * 24 * time.Hour
	maxNames = 1024 // leaves that are kept; a client may ask for any number of names
)

// NewCA makes one.
func NewCA() (*CA, error) {
	ca := &CA{leaves: map[string]*tls.Certificate{}}
	var err error
	for _, key := range []**ecdsa.PrivateKey{&ca.key, &ca.own} {
		if *key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, fmt.Errorf("make a certificate authority: %w", err)
		}
	}
	ca.cert = certificate("Firedrill, one run's authority")
	ca.cert.IsCA, ca.cert.BasicConstraintsValid, ca.cert.MaxPathLenZero, ca.cert.KeyUsage = true, true, true, x509.KeyUsageCertSign
	raw, err := x509.CreateCertificate(rand.Reader, ca.cert, ca.cert, ca.key.Public(), ca.key)
	if err == nil {
		ca.cert, err = x509.ParseCertificate(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("make a certificate authority: %w", err)
	}
	return ca, nil
}

// certificate is what all have in common. It began an hour ago, for clients whose clocks differ.
func certificate(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	now := time.Now()
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(lifetime)}
}

// PEM is the certificate that clients have to trust.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// leaf is a certificate for a host, a name or an address, and for the address at, where that is one.
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
	cert := certificate(host)
	cert.KeyUsage, cert.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if literal, err := netip.ParseAddr(host); err == nil {
		cert.IPAddresses = append(cert.IPAddresses, net.IP(literal.WithZone("").AsSlice()))
	} else if host != "" {
		cert.DNSNames = []string{host}
	}
	if ip.IsValid() {
		cert.IPAddresses = append(cert.IPAddresses, net.IP(ip.AsSlice()))
	}
	raw, err := x509.CreateCertificate(rand.Reader, cert, ca.cert, ca.own.Public(), ca.key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for %q: %w", host, err)
	}
	if len(ca.leaves) >= maxNames {
		clear(ca.leaves)
	}
	leaf := &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: ca.own}
	ca.leaves[name] = leaf
	return leaf, nil
}
