package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/firedrill-dev/firedrill/runner/control"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// requests are what can be asked of a run from another terminal; see package control.
var requests = map[string]func(*runState, context.Context, control.Request) control.Reply{
	"status": (*runState).status,
	"abort":  (*runState).abort,
}

// openControl opens the control socket, with which the user controls the run from another terminal. If that fails, the run
// goes on, with a note.
func (r *runState) openControl() {
	hands := &control.Hands{Inject: r.injectByHand}
	server, err := control.Listen(r.dir, func(ctx context.Context, q control.Request, tell func(control.Reply)) control.Reply {
		if reply, ok := hands.Answer(ctx, q, tell); ok {
			return reply
		}
		do := requests[q.Do]
		if do == nil {
			return control.Reply{Error: fmt.Sprintf("a run cannot be asked to %q", q.Do)}
		}
		return do(r, ctx, q)
	})
	if err != nil {
		r.write(journal.Event{Note: &journal.Note{Text: "this run cannot be aborted from another terminal: " + err.Error()}})
		return
	}
	r.control = server
}

// join adds a session to those that run, and returns why the run was aborted, or nil. leave removes it.
func (r *runState) join(s *session) (aborted error) {
	r.sessionsMu.Lock()
	defer r.sessionsMu.Unlock()
	r.sessions = append(r.sessions, s)
	return r.aborted
}

func (r *runState) leave(s *session) {
	r.sessionsMu.Lock()
	defer r.sessionsMu.Unlock()
	r.sessions = slices.DeleteFunc(r.sessions, func(other *session) bool { return other == s })
}

// active returns the sessions that run, and why the run was aborted, or nil.
func (r *runState) active() (all []*session, aborted error) {
	r.sessionsMu.Lock()
	defer r.sessionsMu.Unlock()
	return slices.Clone(r.sessions), r.aborted
}

// status describes the scenarios that run, with their live faults.
func (r *runState) status(context.Context, control.Request) control.Reply {
	sessions, _ := r.active()
	var lines []string
	for _, s := range sessions {
		s.mu.Lock()
		line := fmt.Sprintf("%s: %s", s.e.Name, s.phase)
		s.mu.Unlock()
		for _, in := range s.liveInjections() {
			line += "; " + in.sentence
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		lines = []string{"no scenario runs at the moment"}
	}
	return control.Reply{Lines: lines}
}

// abort stops all scenarios, and starts no other. It answers once their faults are healed and that is verified.
func (r *runState) abort(ctx context.Context, q control.Request) control.Reply {
	why := errors.New("stopped: aborted by " + control.Person(q.By))
	r.sessionsMu.Lock()
	if r.aborted == nil {
		r.aborted = why
	}
	sessions := slices.Clone(r.sessions)
	r.sessionsMu.Unlock()
	for _, s := range sessions {
		s.stop(codes.Aborted.Message(why.Error()))
	}
	reply := control.Reply{Lines: []string{"the run is aborted"}}
	for _, s := range sessions {
		select {
		case <-s.whenSettled:
			reply.Lines = append(reply.Lines, s.e.Name+s.afterwards())
		case <-ctx.Done():
			return control.Reply{Error: "the run ended before healing was verified: its report says what became of it"}
		}
	}
	return reply
}
