package runner

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// authority is a run's CA, made when the first link asks for it. Its certificate lies in the run's folder; its key is in memory only.
type authority struct {
	once sync.Once
	ca   *link.CA
	file string // absolute
	err  error
}

func (a *authority) get(dir string) (*link.CA, string, error) {
	a.once.Do(func() {
		if a.ca, a.err = link.NewCA(); a.err != nil {
			return
		}
		if a.file, a.err = filepath.Abs(filepath.Join(dir, "ca.pem")); a.err == nil {
			a.err = os.WriteFile(a.file, a.ca.PEM(), 0o644) //nolint:gosec // for all to trust
		}
	})
	return a.ca, a.file, a.err
}

// trust is what the runner's own clients believe, by the address that they ask. An address that is not in it speaks no TLS.
type trust map[string]*tls.Config

// url is where a path of an address is.
func (t trust) url(address, path string) string {
	if t[address] != nil {
		return "https://" + address + path
	}
	return "http://" + address + path
}

// dial begins TLS with an address, for http.Transport.
func (t trust) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return (&tls.Dialer{Config: t[address]}).DialContext(ctx, network, address)
}

// trusting lets a client speak TLS where it has to.
func (c *client) trusting(t trust) *client {
	c.trust, c.transport.DialTLSContext = t, t.dial
	return c
}

// terminate makes a link end TLS, if it is to, and lets the runner's clients ask the dependency as the link does.
func (s *system) terminate(cfg *link.Config, l scenarios.Link, h hooks) (err error) {
	if l.TLS == nil {
		return nil
	}
	t := &link.TLS{Insecure: l.TLS.Insecure, Failed: func(err error) { h.strange(l.Name(), err.Error()) }}
	if t.CA, s.caFile, err = h.authority(); err != nil {
		return fmt.Errorf("terminate TLS on link %q: %w", l.Name(), err)
	}
	if l.TLS.CA != "" {
		file := l.TLS.CA
		if !filepath.IsAbs(file) {
			file = filepath.Join(s.e.System.Dir, file)
		}
		raw, err := os.ReadFile(file)
		if t.Roots = x509.NewCertPool(); err == nil && !t.Roots.AppendCertsFromPEM(raw) {
			err = errors.New("no certificate is in it: it has to be in PEM")
		}
		if err != nil {
			return fmt.Errorf("terminate TLS on link %q: read the CA of %q from %q: %w", l.Name(), l.To, file, err)
		}
	}
	cfg.TLS = t
	s.trust[cfg.Upstream] = &tls.Config{RootCAs: t.Roots, InsecureSkipVerify: t.Insecure} //nolint:gosec // as the user says
	return nil
}

// trustLink lets the runner's clients ask through a link that ends TLS.
func (s *system) trustLink(open *link.Link, t *link.TLS) {
	if t != nil {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(t.CA.PEM())
		s.trust[open.Addr()] = &tls.Config{RootCAs: roots} //nolint:gosec // the default's versions
	}
}

// CA is the file of the certificate that vouches for links that terminate TLS; "" when none does.
func (r *Running) CA() string { return r.system.caFile }

// fewStrange is how much is told of a link's connections that could not be looked into.
const fewStrange = 3

// strangers are what links told of connections that they could not look into.
type strangers struct {
	mu   sync.Mutex
	told map[string][]string // by link
}

// strange notes why a connection could not be looked into: each reason once, and the first few of a link.
func (s *session) strange(link, why string) {
	if s.strangers.first(link, why) {
		s.tell(journal.Event{Note: &journal.Note{Text: why}})
	}
}

func (s *strangers) first(link, why string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := s.told[link]
	for _, before := range told {
		if before == why {
			return false
		}
	}
	if len(told) == fewStrange {
		return false
	}
	if s.told == nil {
		s.told = map[string][]string{}
	}
	s.told[link] = append(told, why)
	return true
}
