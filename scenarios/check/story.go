package check

import (
	"fmt"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// storyOf returns a line for each call that the request with a key caused on a link, or nil if none is known. Its own
// calls, which are its attempts, are left out unless a fault acted on them.
func storyOf(h *journal.History, key string) []string {
	for _, s := range h.Stories {
		if s.Key != key {
			continue
		}
		lines := make([]string, 0, len(s.Calls)+1)
		for _, c := range s.Calls {
			if !strings.HasPrefix(c.Link, "clients -> ") || c.Fault != "" {
				lines = append(lines, storyLine(h, c))
			}
		}
		if s.Dropped > 0 && len(lines) > 0 {
			lines = append(lines, fmt.Sprintf("further calls may be missing: %s calls of all requests were not kept", Count(s.Dropped)))
		}
		return lines
	}
	return nil
}

// storyLine describes a call: `+3.21s orders -> payments "POST /charge": no answer after 12ms (lost replies)`.
func storyLine(h *journal.History, c journal.StoryCall) string {
	end := fmt.Sprintf("status %d", c.Status)
	switch {
	case c.GaveUp:
		end = "the caller gave up"
	case c.Status == 0:
		end = "no answer"
	}
	line := fmt.Sprintf("+%.2fs %s %q: %s after %s", c.At.Seconds(), c.Link, c.Op, end, duration(c.Took))
	for _, in := range h.Faults {
		if in.ID == c.Fault {
			line += fmt.Sprintf(" (%s)", in.Kind)
		}
	}
	return line
}

// liveDuring describes the faults that were live during the attempts of a request.
func liveDuring(h *journal.History, r journal.Request) string {
	if len(r.Attempts) == 0 {
		return ""
	}
	last := r.Attempts[len(r.Attempts)-1]
	var all []string
	for _, in := range h.LiveBetween(r.Began(), last.At+last.Took) {
		all = append(all, in.Sentence)
	}
	return strings.Join(all, "; ")
}
