package runner

import (
	"sync"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// maxUnparsedNotes is the maximum number of notes about unparsed connections of one link.
const maxUnparsedNotes = 3

// unparsedNotes remembers why connections could not be parsed, so that each reason is noted once.
type unparsedNotes struct {
	mu    sync.Mutex
	noted map[string][]string // by link
}

// noteUnparsed records why a connection could not be parsed: each reason once, up to maxUnparsedNotes
// per link.
func (s *session) noteUnparsed(link, why string) {
	if s.unparsed.firstTime(link, why) {
		s.record(journal.Event{Note: &journal.Note{Text: why}})
	}
}

func (s *unparsedNotes) firstTime(link, why string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	noted := s.noted[link]
	for _, before := range noted {
		if before == why {
			return false
		}
	}
	if len(noted) == maxUnparsedNotes {
		return false
	}
	if s.noted == nil {
		s.noted = map[string][]string{}
	}
	s.noted[link] = append(noted, why)
	return true
}
