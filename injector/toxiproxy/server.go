// Package toxiproxy serves Toxiproxy's HTTP control API over the links of this project, so that its clients work
// unchanged: libraries, its command line and its configuration files.
//
// Proxies are links of package link. Toxics act as link.Toxic says, which differs from Toxiproxy where that does not do
// what it documents. Beyond Toxiproxy, a proxy may have a protocol, such as "redis", and then faults on single calls or
// messages are a further type of toxic, "fault", whose attribute "sentence" is a sentence of feature files:
//
//	{"type": "fault", "attributes": {"sentence": "30% of replies from \"redis\" to \"clients\" are lost after the work was done"}}
//
// Two things are stricter than in Toxiproxy, for safety: proxies listen on this machine's loopback addresses only, and
// requests have to name such an address as their host, so that no page in a browser can reach the API through a name
// that leads here (DNS rebinding), nor a page of another site.
//
// The API is that of Toxiproxy 2.12, as its documentation and its source state it.
package toxiproxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/loopback"
)

// maxBody is the size of the largest request that is read, in bytes.
const maxBody = 1 << 20

// Config configures a Server.
type Config struct {
	Version string // that is told to clients; some of them compare it with the least version that they need
	Seed    uint64 // of random choices: which connections a toxic with a toxicity below 1 acts on
	// Fault reads a sentence about the link from "clients" to a proxy with a protocol. Nil means that there is no toxic of
	// type "fault".
	Fault func(proxy, protocol, sentence string) (injector.Fault, error)
}

// Server is a handler of the API. The caller closes it.
type Server struct {
	cfg Config
	mux *http.ServeMux

	mu      sync.Mutex // guards everything below, the proxies included
	proxies map[string]*proxy
	closed  bool
}

// New returns a server without proxies.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, mux: http.NewServeMux(), proxies: map[string]*proxy{}}
	for pattern, handle := range map[string]func(*http.Request) (status int, body any, err error){
		"GET /version":                           s.version,
		"POST /reset":                            s.reset,
		"POST /populate":                         s.populate,
		"GET /proxies":                           s.listProxies,
		"POST /proxies":                          s.createProxy,
		"GET /proxies/{proxy}":                   s.showProxy,
		"POST /proxies/{proxy}":                  s.updateProxy,
		"PATCH /proxies/{proxy}":                 s.updateProxy,
		"DELETE /proxies/{proxy}":                s.deleteProxy,
		"GET /proxies/{proxy}/toxics":            s.listToxics,
		"POST /proxies/{proxy}/toxics":           s.createToxic,
		"GET /proxies/{proxy}/toxics/{toxic}":    s.showToxic,
		"POST /proxies/{proxy}/toxics/{toxic}":   s.updateToxic,
		"PATCH /proxies/{proxy}/toxics/{toxic}":  s.updateToxic,
		"DELETE /proxies/{proxy}/toxics/{toxic}": s.deleteToxic,
	} {
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			status, body, err := handle(r)
			s.mu.Unlock()
			answer(w, status, body, err)
		})
	}
	return s
}

// Close closes all proxies. Requests that come later are refused.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var all []error
	for _, p := range s.proxies {
		all = append(all, p.stop())
		p.drop(every)
	}
	return errors.Join(all...)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case loopback.Refuse(r) != "":
		answer(w, 0, nil, apiError{http.StatusForbidden, loopback.Refuse(r)})
	case strings.HasPrefix(r.UserAgent(), "Mozilla/"):
		answer(w, 0, nil, apiError{http.StatusForbidden, "user agent not allowed"}) // as Toxiproxy: a page must not send requests
	default:
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		s.mux.ServeHTTP(w, r)
	}
}

// apiError is an error as clients of Toxiproxy know it.
type apiError struct {
	Status  int    `json:"status"`
	Message string `json:"error"`
}

func (e apiError) Error() string { return e.Message }

func badRequest(format string, args ...any) error {
	return apiError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// answer writes the answer to a request.
func answer(w http.ResponseWriter, status int, body any, err error) {
	if err != nil {
		e := apiError{http.StatusInternalServerError, err.Error()}
		errors.As(err, &e)
		status = e.Status
		if body == nil {
			body = e
		}
	}
	if body == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// decode reads the body of a request into a value that holds the defaults.
func decode(r io.Reader, into any) error {
	if err := json.NewDecoder(r).Decode(into); err != nil {
		return badRequest("bad request body: %v", err)
	}
	return nil
}

func (s *Server) version(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]string{"version": s.cfg.Version}, nil
}

// reset enables all proxies and removes all toxics.
func (s *Server) reset(*http.Request) (int, any, error) {
	var all []error
	for _, p := range s.proxies {
		for _, t := range p.Toxics {
			all = append(all, t.remove())
		}
		p.drop(every)
		all = append(all, p.enable(true))
	}
	return http.StatusNoContent, nil, errors.Join(all...)
}

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
	return http.StatusCreated, p, err
}

// add adds a proxy, which replaces another one of the same name.
func (s *Server) add(input Proxy) (*proxy, error) {
	if s.closed {
		return nil, apiError{http.StatusServiceUnavailable, "the server has been closed"}
	}
	p := &proxy{Proxy: input, Toxics: []*toxic{}, server: s}
	p.Enabled = false
	if err := p.enable(input.Enabled); err != nil {
		return nil, err
	}
	s.proxies[p.Name] = p
	return p, nil
}

// populate creates or replaces proxies. One that exists with the same addresses stays as it is. Those that were created
// before one that cannot be are in the answer.
func (s *Server) populate(r *http.Request) (int, any, error) {
	var input []struct {
		Proxy
		Enabled *bool `json:"enabled"`
	}
	if err := decode(r.Body, &input); err != nil {
		return 0, nil, err
	}
	for i, in := range input {
		if err := in.check(fmt.Sprintf(" at proxy %d", i+1)); err != nil {
			return 0, nil, err
		}
	}
	populated := []*proxy{}
	for _, in := range input {
		in.Proxy.Enabled = in.Enabled == nil || *in.Enabled
		p := s.proxies[in.Name]
		var err error
		if p == nil || p.differs(in.Proxy) {
			if p != nil {
				err = p.stop()
				p.drop(every)
			}
			if err == nil {
				p, err = s.add(in.Proxy)
			}
		}
		if err != nil {
			e := apiError{http.StatusInternalServerError, err.Error()}
			errors.As(err, &e)
			return 0, struct {
				apiError
				Proxies []*proxy `json:"proxies"`
			}{e, populated}, err
		}
		populated = append(populated, p)
	}
	return http.StatusCreated, map[string]any{"proxies": populated}, nil
}

// Add creates a proxy. Its name must be new.
func (s *Server) Add(p Proxy) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := p.check(""); err != nil {
		return err
	}
	if s.proxies[p.Name] != nil {
		return fmt.Errorf("there is a proxy %q already", p.Name)
	}
	_, err := s.add(p)
	return err
}

// Inject makes a fault act on an enabled proxy, as a toxic of the type "fault" that clients see and can remove. removed is
// closed when it is removed, which heal does, too. count counts what it affects; it may be nil.
func (s *Server) Inject(proxy, name, sentence string, f injector.Fault, count *evidence.Counter) (removed <-chan struct{}, heal func() error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.proxies[proxy]
	switch {
	case p == nil:
		return nil, nil, fmt.Errorf("there is no proxy %q any more", proxy)
	case !p.Enabled:
		return nil, nil, fmt.Errorf("the proxy %q is disabled: enable it first", proxy)
	case p.toxic(name) >= 0:
		return nil, nil, fmt.Errorf("the proxy %q has a toxic %q already", proxy, name)
	}
	t := &toxic{
		Name: name, Type: faultType, Stream: "downstream", Toxicity: 1, Attributes: map[string]any{"sentence": sentence},
		proxy: p, fault: f, count: count, removed: make(chan struct{}),
	}
	if err := t.inject(); err != nil {
		return nil, nil, err
	}
	p.Toxics = append(p.Toxics, t)
	return t.removed, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		p.drop(func(o *toxic) bool { return o == t })
		return t.remove()
	}, nil
}

// Proxies returns the proxies, by name.
func (s *Server) Proxies() (all []Proxy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.proxies)) {
		all = append(all, s.proxies[name].Proxy)
	}
	return all
}

// Populate creates proxies, in the form of Toxiproxy's configuration files: a JSON array.
func (s *Server) Populate(config io.Reader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _, err := s.populate(&http.Request{Body: io.NopCloser(config)})
	return err
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
	if p.differs(input) {
		if err := p.stop(); err != nil {
			return 0, nil, err
		}
		enabled := input.Enabled
		p.Proxy, p.Enabled = input, false
		input.Enabled = enabled
	}
	if err := p.enable(input.Enabled); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, p, nil
}

func (s *Server) deleteProxy(r *http.Request) (int, any, error) {
	p, err := s.proxy(r)
	if err != nil {
		return 0, nil, err
	}
	delete(s.proxies, p.Name)
	err = p.stop()
	p.drop(every)
	return http.StatusNoContent, nil, err
}

func (s *Server) listToxics(r *http.Request) (int, any, error) {
	p, err := s.proxy(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, p.sorted(), nil
}

func (s *Server) createToxic(r *http.Request) (int, any, error) {
	p, err := s.proxy(r)
	if err != nil {
		return 0, nil, err
	}
	t := &toxic{Stream: "downstream", Toxicity: 1, Attributes: map[string]any{}, proxy: p}
	if err := decode(r.Body, t); err != nil {
		return 0, nil, err
	}
	if t.Name == "" {
		t.Name = t.Type + "_" + t.Stream
	}
	if i := p.toxic(t.Name); i >= 0 {
		return 0, nil, apiError{http.StatusConflict, "toxic already exists"}
	}
	if err := t.set(t.Toxicity, t.Attributes); err != nil {
		return 0, nil, err
	}
	p.Toxics = append(p.Toxics, t)
	return http.StatusOK, t, nil
}

// toxic returns the toxic that a request names, and its index.
func (s *Server) toxic(r *http.Request) (*proxy, int, error) {
	p, err := s.proxy(r)
	if err != nil {
		return nil, 0, err
	}
	i := p.toxic(r.PathValue("toxic"))
	if i < 0 {
		return nil, 0, apiError{http.StatusNotFound, "toxic not found"}
	}
	return p, i, nil
}

func (s *Server) showToxic(r *http.Request) (int, any, error) {
	p, i, err := s.toxic(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, p.Toxics[i], nil
}

// updateToxic changes the toxicity and attributes of a toxic. What is not in the request stays.
func (s *Server) updateToxic(r *http.Request) (int, any, error) {
	p, i, err := s.toxic(r)
	if err != nil {
		return 0, nil, err
	}
	t := p.Toxics[i]
	input := struct {
		Toxicity   float64        `json:"toxicity"`
		Attributes map[string]any `json:"attributes"`
	}{Toxicity: t.Toxicity}
	if err := decode(r.Body, &input); err != nil {
		return 0, nil, err
	}
	if err := t.set(input.Toxicity, input.Attributes); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, t, nil
}

func (s *Server) deleteToxic(r *http.Request) (int, any, error) {
	p, i, err := s.toxic(r)
	if err != nil {
		return 0, nil, err
	}
	t := p.Toxics[i]
	p.drop(func(o *toxic) bool { return o == t })
	return http.StatusNoContent, nil, t.remove()
}
