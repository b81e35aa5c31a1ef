// Package standin serves stand-ins: dependencies that the runner itself serves over HTTP, with declared answers, and whose
// effects it keeps.
package standin

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/effects"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// maxBody limits the body of a request to a stand-in. A longer one is refused with status 413.
const maxBody = 1 << 20

// maxEffects limits the effects that a stand-in keeps. Further requests are refused with status 507, and reading
// its effects fails.
const maxEffects = 1_000_000

// StandIn serves a service in this process. Its methods may be called concurrently.
type StandIn struct {
	name             string
	declared         scenarios.StandIn
	key, once, value place

	mu      sync.Mutex
	n       int
	effects []journal.Effect
	answers map[string]*answer // by the key that makes requests idempotent
	keyless int                // effects without a key
	full    bool
	unknown map[string]int // requests of other routes
}

// answer is an answer that is given again.
type answer struct {
	route scenarios.StandInRoute
	body  string
}

// New returns the stand-in of a service. Without a place of its own, the key is where requests of the load carry
// theirs.
func New(svc scenarios.Service, key scenarios.Key) *StandIn {
	s := &StandIn{name: svc.Name, declared: *svc.StandIn, answers: map[string]*answer{}, unknown: map[string]int{}}
	s.key, s.once, s.value = placeOf(s.declared.Key), placeOf(s.declared.Once), placeOf(s.declared.Value)
	if s.declared.Key == "" {
		s.key = place{header: "Idempotency-Key"}
		switch key.In {
		case scenarios.InHeader:
			s.key = place{header: key.Name}
		case scenarios.InBody:
			s.key = place{path: strings.Split(key.Name, ".")}
		case scenarios.InQuery:
			s.key = place{query: key.Name}
		}
	}
	return s
}

// place is a part of a request. The zero value is none.
type place struct {
	header, query string
	path          source.JSONPath // in the JSON body
}

// placeOf parses the name of a header, or a path in JSON.
func placeOf(text string) place {
	if !strings.HasPrefix(text, "$") {
		return place{header: text}
	}
	path, _ := source.ParseJSONPath(text) // validated before the run
	return place{path: path}
}

// find returns the text at the place; "" if there is none.
func (p place) find(r *http.Request, body []byte) string {
	switch {
	case p.header != "":
		return r.Header.Get(p.header)
	case p.query != "":
		return r.URL.Query().Get(p.query)
	case p.path != nil:
		return effects.TextAt(body, p.path)
	}
	return ""
}

// ServeHTTP answers a request as declared. The effect is there before the answer is.
func (s *StandIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil { // it is truncated or too long
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	i := slices.IndexFunc(s.declared.Routes, func(route scenarios.StandInRoute) bool { return route.Matches(r.Method, r.URL.Path) })
	if i < 0 {
		s.mu.Lock()
		if op := r.Method + " " + r.URL.Path; len(s.unknown) < 100 || s.unknown[op] > 0 {
			s.unknown[op]++
		}
		s.mu.Unlock()
		http.Error(w, fmt.Sprintf("the stand-in %q has no route %s %s", s.name, r.Method, r.URL.Path), http.StatusNotFound)
		return
	}
	given := s.apply(s.declared.Routes[i], r, body)
	if given == nil {
		http.Error(w, "the stand-in keeps no more effects", http.StatusInsufficientStorage)
		return
	}
	delay := time.NewTimer(given.route.Delay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-r.Context().Done():
		return
	}
	if given.body != "" {
		w.Header().Set("Content-Type", "application/json")
	}
	for name, value := range given.route.Headers {
		w.Header().Set(name, value)
	}
	w.WriteHeader(given.route.Status)
	_, _ = io.WriteString(w, given.body)
}

// apply records the effect of a request, and returns its answer. It returns nil if there is no room for the effect.
func (s *StandIn) apply(route scenarios.StandInRoute, r *http.Request, body []byte) *answer {
	if route.Status == 0 {
		route.Status = http.StatusOK
	}
	key, again := s.key.find(r, body), s.once.find(r, body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := s.answers[again]; first != nil {
		return first
	}
	changes := !journal.Safe(r.Method+" /") && route.Status < http.StatusBadRequest
	if changes && len(s.effects)+s.keyless >= maxEffects {
		s.full = true
		return nil
	}
	s.n++
	number := strconv.Itoa(s.n)
	quoted, _ := json.Marshal(key)
	a := &answer{route: route, body: strings.NewReplacer("{{n}}", number, "{{key}}", string(quoted[1:len(quoted)-1])).Replace(route.Body)}
	switch {
	case !changes:
		return a
	case key == "":
		s.keyless++
	default:
		s.effects = append(s.effects, journal.Effect{Key: key, ID: number, Value: s.value.find(r, body)})
	}
	if again != "" {
		s.answers[again] = a
	}
	return a
}

// List calls each for every effect. It fails if not all effects are known by their key.
func (s *StandIn) List(each func(journal.Effect) error) error {
	s.mu.Lock()
	all, keyless, full := slices.Clone(s.effects), s.keyless, s.full
	s.mu.Unlock()
	switch {
	case keyless > 0:
		return fmt.Errorf("%d requests to the stand-in %q carried no key %s: let the service pass the key on, or say in `key` where it is", keyless, s.name, s.key)
	case full:
		return fmt.Errorf("the stand-in %q got more than %d requests and did not keep all", s.name, maxEffects)
	}
	for _, e := range all {
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}

func (p place) String() string {
	switch {
	case p.header != "":
		return fmt.Sprintf("in the header %q", p.header)
	case p.query != "":
		return fmt.Sprintf("in the query parameter %q", p.query)
	}
	return fmt.Sprintf("at %q of a JSON body", "$."+strings.Join(p.path, "."))
}

// Unanswered describes the requests of routes that the stand-in does not have; "" if there were none.
func (s *StandIn) Unanswered() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unknown) == 0 {
		return ""
	}
	var all []string
	for _, op := range slices.Sorted(maps.Keys(s.unknown)) {
		all = append(all, fmt.Sprintf("%s (%d)", op, s.unknown[op]))
	}
	more := ""
	if len(all) > 10 {
		all, more = all[:10], ", ..."
	}
	return fmt.Sprintf("the stand-in %q answered requests of routes that it does not have with status 404: %s%s", s.name, strings.Join(all, ", "), more)
}
