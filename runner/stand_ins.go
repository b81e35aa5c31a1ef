package runner

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/effects"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// serve serves a handler in this process, on a port that may be 0 for a free one.
func (s *system) serve(service string, port int, handler http.Handler) error {
	ln, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return fmt.Errorf("serve %q: %w", service, err)
	}
	s.addresses[service] = ln.Addr().String()
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	s.servers = append(s.servers, server)
	s.serving.Go(func() { _ = server.Serve(ln) })
	return nil
}

// noteStandIns records the requests that stand-ins could not answer.
func (s *session) noteStandIns() {
	for _, name := range slices.Sorted(maps.Keys(s.system.standIns)) {
		if text := s.system.standIns[name].Unanswered(); text != "" {
			s.record(journal.Event{Note: &journal.Note{Text: text}})
		}
	}
}

// standInReader returns the reader of the effects of a stand-in.
func (s *system) standInReader(service string) (effects.Reader, error) {
	in := s.standIns[service]
	if in == nil {
		return effects.Reader{}, fmt.Errorf("the service %q is not a stand-in here: a handler of the test takes its place", service)
	}
	return effects.Reader{Whole: true, Read: func(_ context.Context, each func(journal.Effect) error) error { return in.List(each) }}, nil
}
