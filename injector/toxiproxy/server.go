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
// The API is that of Toxiproxy 2.12: the same requests have the same answers. Refused are, beyond that, values that stop
// Toxiproxy itself, such as a negative rate, negative times, and a proxy without an upstream.
package toxiproxy

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/firedrill-dev/firedrill/injector"
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
	Fault  func(proxy, protocol, sentence string) (injector.Fault, error)
	Limits Limits
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
			a := newAnswer(handle(r)) // what it says is guarded, too
			s.mu.Unlock()
			a.write(w)
		})
	}
	return s
}

// Close closes and removes all proxies. No proxy can be added later.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var all []error
	for _, p := range s.proxies {
		all = append(all, p.stop())
		p.forget()
	}
	clear(s.proxies)
	return errors.Join(all...)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Toxiproxy-Request-Id", rand.Text())
	switch {
	case loopback.Refuse(r) != "":
		newAnswer(0, nil, apiError{http.StatusForbidden, loopback.Refuse(r)}).write(w)
	case strings.HasPrefix(r.UserAgent(), "Mozilla/"): // a page must not send requests
		http.Error(w, "User agent not allowed", http.StatusForbidden)
	default:
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody)) // before the lock is taken: a client may be slow
		if err != nil {
			newAnswer(0, nil, badRequest("bad request body: %v", err)).write(w)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
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

// asAPI returns an error as clients get it. Like Toxiproxy, it reports a listener that fails in the words of the system alone.
func asAPI(err error) apiError {
	e := apiError{http.StatusInternalServerError, err.Error()}
	if listen := (*net.OpError)(nil); errors.As(err, &listen) {
		e.Message = listen.Error()
	}
	errors.As(err, &e)
	return e
}

// answer is the answer to a request.
type answer struct {
	status      int
	contentType string
	text        []byte // nil if it has no body
}

// newAnswer encodes the answer to a request. A body that is a string is JSON already.
func newAnswer(status int, body any, err error) answer {
	if err != nil {
		e := asAPI(err)
		status, body = e.Status, e
	}
	switch body := body.(type) {
	case nil:
		return answer{status: status}
	case string:
		return answer{status, "application/json;charset=utf-8", []byte(body)}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return answer{http.StatusInternalServerError, "text/plain; charset=utf-8", []byte(err.Error())}
	}
	return answer{status, "application/json", append(text, '\n')}
}

func (a answer) write(w http.ResponseWriter) {
	if a.text != nil {
		w.Header().Set("Content-Type", a.contentType)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.text)
}

// decode reads the body of a request into a value that holds the defaults.
func decode(r io.Reader, into any) error {
	if err := json.NewDecoder(r).Decode(into); err != nil {
		return badRequest("bad request body: %v", err)
	}
	return nil
}

func (s *Server) version(*http.Request) (int, any, error) {
	return http.StatusOK, fmt.Sprintf("{\"version\": %q}\n", s.cfg.Version), nil
}

// reset enables all proxies and removes all toxics.
func (s *Server) reset(*http.Request) (int, any, error) {
	var all []error
	for _, p := range s.proxies {
		for _, t := range p.Toxics {
			all = append(all, t.remove())
		}
		p.drop(every)
		all = append(all, p.enable())
	}
	return http.StatusNoContent, nil, errors.Join(all...)
}
