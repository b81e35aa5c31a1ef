package runner

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/effects"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// locks reads the holders of the locks that checks ask about.
func (s *session) locks() {
	for _, l := range s.e.Locks {
		fact := journal.Lock{Name: l.Name, Source: l.Source.Name}
		var err error
		for began := s.now(); ; {
			if fact.Events, err = s.readLock(l); err == nil || s.now()-began > effects.ReadRetryLimit || s.sleep(effects.MinReadInterval, nil) != nil {
				break
			}
		}
		if err != nil && !errors.Is(err, effects.ErrNone) {
			fact.Error = fmt.Sprintf("the holders of the lock %q cannot be read from %s: %v", l.Name, l.Source.Name, err)
		}
		s.recordStep(journal.Event{Lock: &fact}, l.Source.Step)
	}
}

// lockWords are the values of a source that lists a lock, and what they mean.
var lockWords = map[string]journal.LockEvent{
	"acquired": {}, "acquire": {}, "locked": {}, "lock": {},
	"renewed": {Renews: true}, "renew": {Renews: true},
	"released": {Ends: true}, "release": {Ends: true}, "unlocked": {Ends: true}, "unlock": {Ends: true},
	"lost": {Ends: true}, "expired": {Ends: true},
}

// readLock reads what a source lists of a lock.
func (s *session) readLock(l scenarios.Lock) ([]journal.LockEvent, error) {
	reader, err := s.reader(l.Source, "lock")
	if err != nil {
		return nil, err
	}
	var all []journal.LockEvent
	n := 0
	err = reader.Read(s.ctx, func(e journal.Effect) error {
		if n++; e.Key != l.Name {
			return nil
		}
		event, known := lockWords[strings.ToLower(e.Value)]
		at, isTime := wallTime(e.Order)
		switch {
		case e.ID == "":
			return fmt.Errorf("item %d names no holder: it is the id", n)
		case !known:
			return fmt.Errorf("the value of item %d is %q: it has to be acquired, renewed, released, lost or expired", n, e.Value)
		case !isTime:
			return fmt.Errorf("the \"seq\" of item %d is %q: it has to be a time in RFC 3339 or a Unix time", n, e.Order)
		}
		event.Holder, event.At = e.ID, s.began+at.Sub(s.beganWall)
		all = append(all, event)
		return nil
	})
	return all, err
}

// wallTime parses a time in RFC 3339, or a Unix time in seconds, milliseconds, microseconds or nanoseconds.
func wallTime(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z07"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 1e9 {
		return time.Time{}, false
	}
	for n > 1e10 { // such a number of seconds is a year after 2286
		n /= 1000
	}
	whole, part := math.Modf(n)
	return time.Unix(int64(whole), int64(part*1e9)), true
}
