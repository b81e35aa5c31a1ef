package testbed

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// Authority is the CA of a run, created when the first link needs it. Its certificate is written to
// the run's folder. Its key is kept in memory only.
type Authority struct {
	once sync.Once
	ca   *link.CA
	file string // absolute path
	err  error
}

// Get returns the CA and the absolute path of its certificate. dir is the run's folder.
func (a *Authority) Get(dir string) (*link.CA, string, error) {
	a.once.Do(func() {
		if a.ca, a.err = link.NewCA(); a.err != nil {
			return
		}
		if a.file, a.err = filepath.Abs(filepath.Join(dir, "ca.pem")); a.err == nil {
			a.err = os.WriteFile(a.file, a.ca.PEM(), 0o644) //nolint:gosec // must be readable by all services
		}
	})
	return a.ca, a.file, a.err
}

// terminate makes a link terminate TLS, if its configuration says so. The runner's clients then verify
// the dependency in the same way as the link.
func (s *System) terminate(cfg *link.Config, l scenarios.Link) (err error) {
	if l.TLS == nil {
		return nil
	}
	t := &link.TLS{Insecure: l.TLS.Insecure, Failed: func(err error) { s.cfg.Hooks.Unparsed(l.Name(), err.Error()) }}
	if t.CA, s.CAFile, err = s.cfg.Hooks.Authority(); err != nil {
		return fmt.Errorf("terminate TLS on link %q: %w", l.Name(), err)
	}
	if row, ok := l.Relayed(); ok {
		t.Request, t.Grant = row.TLSRequest, row.TLSGrant
	}
	if l.TLS.CA != "" {
		file := s.e.System.Path(l.TLS.CA)
		raw, err := os.ReadFile(file)
		if t.Roots = x509.NewCertPool(); err == nil && !t.Roots.AppendCertsFromPEM(raw) {
			err = errors.New("it has no certificate in PEM format")
		}
		if err != nil {
			return fmt.Errorf("terminate TLS on link %q: read the CA of %q from %q: %w", l.Name(), l.To, file, err)
		}
	}
	cfg.TLS = t
	s.Trust[cfg.Upstream] = &tls.Config{RootCAs: t.Roots, InsecureSkipVerify: t.Insecure} //nolint:gosec // chosen by the user
	return nil
}

// trustLink makes the runner's clients trust a link that terminates TLS.
func (s *System) trustLink(open *link.Link, t *link.TLS) {
	if t != nil {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(t.CA.PEM())
		s.Trust[open.Addr()] = &tls.Config{RootCAs: roots} //nolint:gosec // default TLS versions
	}
}
