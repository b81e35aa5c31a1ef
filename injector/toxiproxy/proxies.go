package toxiproxy

import (
	"fmt"
	"io"
	"net/http"
)

func (s *Server) listProxies(*http.Request) (int, any, error) { return http.StatusOK, s.proxies, nil }

func (s *Server) createProxy(r *http.Request) (int, any, error) {
	input := Proxy{Enabled: true}
	if err := decode(r.Body, &input); err != nil {
		return 0, nil, err
	}
	if err := input.check(""); err != nil {
		return 0, nil, err
	}
	if s.proxies[input.Name] != nil {
		return 0, nil, apiError{http.StatusConflict, "proxy already exists"}
	}
	p, err := s.add(input)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, p, nil
}

// add adds a proxy, which replaces another one of the same name.
func (s *Server) add(input Proxy) (*proxy, error) {
	if s.closed {
		return nil, apiError{http.StatusServiceUnavailable, "the server has been closed"}
	}
	p := &proxy{Proxy: input, Toxics: []*toxic{}, server: s}
	p.Enabled = false
	if input.Enabled {
		if err := p.enable(); err != nil {
			return nil, err
		}
	}
	s.proxies[p.Name] = p
	return p, nil
}

// populated is the answer to a list of proxies.
type populated struct {
	*apiError          // nil if all were created
	Proxies   []*proxy `json:"proxies"` // null if there is none, as in Toxiproxy
}

// populate creates or replaces proxies. One that exists with the same addresses stays as it is. A mistake in the list is found
// before any is created; if one cannot listen, those before it are in the answer.
func (s *Server) populate(r *http.Request) (int, any, error) {
	var all populated
	if err := s.populateFrom(r.Body, &all.Proxies); err != nil {
		e := asAPI(err)
		all.apiError = &e
		return e.Status, all, nil
	}
	return http.StatusCreated, all, nil
}

// populateFrom creates or replaces the proxies of a list, and adds them to created.
func (s *Server) populateFrom(list io.Reader, created *[]*proxy) error {
	var input []struct {
		Proxy
		Enabled *bool `json:"enabled"`
	}
	if err := decode(list, &input); err != nil {
		return err
	}
	for i, in := range input {
		if err := in.check(fmt.Sprintf(" at proxy %d", i+1)); err != nil {
			return err
		}
	}
	for _, in := range input {
		in.Proxy.Enabled = in.Enabled == nil || *in.Enabled
		p, err := s.addOrReplace(in.Proxy)
		if err != nil {
			return err
		}
		*created = append(*created, p)
	}
	return nil
}

// addOrReplace adds a proxy, unless there is one with the same settings.
func (s *Server) addOrReplace(input Proxy) (*proxy, error) {
	if p := s.proxies[input.Name]; p != nil {
		differs, err := p.differs(input)
		if err != nil || !differs {
			return p, err
		}
		if err := p.checkKeep(); err != nil {
			return nil, err
		}
		if err := p.stop(); err != nil {
			return nil, err
		}
		p.forget()
	}
	return s.add(input)
}

// proxy returns the proxy that a request names.
func (s *Server) proxy(r *http.Request) (*proxy, error) {
	if p := s.proxies[r.PathValue("proxy")]; p != nil {
		return p, nil
	}
	return nil, apiError{http.StatusNotFound, "proxy not found"}
}

func (s *Server) showProxy(r *http.Request) (int, any, error) {
	p, err := s.proxy(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, p, nil
}

// updateProxy changes addresses, which ends the connections, and enables or disables the proxy. Toxics stay.
func (s *Server) updateProxy(r *http.Request) (int, any, error) {
	p, err := s.proxy(r)
	if err != nil {
		return 0, nil, err
	}
	input := p.Proxy
	if err := decode(r.Body, &input); err != nil {
		return 0, nil, err
	}
	input.Name = p.Name
	if err := input.check(""); err != nil {
		return 0, nil, err
	}
	differs, err := p.differs(input)
	if err != nil {
		return 0, nil, err
	}
	if differs {
		err = p.checkKeep()
	}
	if err == nil && !input.Enabled {
		err = p.disable()
	}
	if err == nil && differs {
		err = p.redirect(input)
	}
	if err == nil && input.Enabled {
		err = p.enable()
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, p, nil
}

// redirect stops the proxy and changes its addresses.
func (p *proxy) redirect(to Proxy) error {
	if err := p.stop(); err != nil {
		return err
	}
	p.Proxy = to
	p.Enabled = false
	return nil
}

func (s *Server) deleteProxy(r *http.Request) (int, any, error) {
	p, err := s.proxy(r)
	if err != nil {
		return 0, nil, err
	}
	if err := p.checkKeep(); err != nil {
		return 0, nil, err
	}
	delete(s.proxies, p.Name)
	err = p.stop()
	p.forget()
	return http.StatusNoContent, nil, err
}
