package runner

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/firedrill-dev/firedrill/runner/internal/effects"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// noteStandIns records the requests that stand-ins could not answer.
func (s *session) noteStandIns() {
	for _, name := range slices.Sorted(maps.Keys(s.system.StandIns)) {
		if text := s.system.StandIns[name].Unanswered(); text != "" {
			s.record(journal.Event{Note: &journal.Note{Text: text}})
		}
	}
}

// standInReader returns the reader of the effects of a stand-in.
func (s *session) standInReader(service string) (effects.Reader, error) {
	in := s.system.StandIns[service]
	if in == nil {
		return effects.Reader{}, fmt.Errorf("the service %q is not a stand-in here: a handler of the test takes its place", service)
	}
	return effects.Reader{Whole: true, Read: func(_ context.Context, each func(journal.Effect) error) error { return in.List(each) }}, nil
}
