package control

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Live is a fault that was injected by hand.
type Live struct {
	Sentence string
	For      time.Duration   // how long it is live; 0 means until it is healed
	Ended    <-chan struct{} // closed when its owner ended it; nil if it cannot

	Met  func() (text string, acted bool) // what it affected so far
	Heal func(why string) error           // is called exactly once, when its owner ended it, too
}

// Hands keeps the faults that are injected by hand. Each lives as long as its sentence says, and no longer than the program
// that asked for it. Its methods may be called by several goroutines.
type Hands struct {
	// Inject makes the fault of a request live. Its error is the answer to the request.
	Inject func(ctx context.Context, id string, r Request) (Live, error)

	mu   sync.Mutex
	last int
	live []*held
}

// held is a live fault.
type held struct {
	Live
	id, by string
	since  time.Time
	heal   chan string   // who heals it; has room for one
	done   chan struct{} // closed when it is healed
	lines  []string      // what became of it; set when done is closed
}

// Answer answers the requests "inject", "faults" and "heal". ok is false for others.
func (h *Hands) Answer(ctx context.Context, r Request, tell func(Reply)) (reply Reply, ok bool) {
	switch r.Do {
	case "inject":
		return h.inject(ctx, r, tell), true
	case "faults":
		return h.list(), true
	case "heal":
		return h.heal(ctx, r), true
	}
	return Reply{}, false
}

// inject injects a fault, and heals it after its time, when it is asked to, and when its client or server ends.
func (h *Hands) inject(ctx context.Context, r Request, tell func(Reply)) Reply {
	if !r.Hold {
		return Reply{Error: "a fault needs a program that holds it: firedrill inject"}
	}
	h.mu.Lock()
	h.last++
	id := fmt.Sprintf("hand-%d", h.last)
	h.mu.Unlock()
	live, err := h.Inject(ctx, id, r)
	if err != nil {
		return Reply{Error: err.Error()}
	}
	f := &held{Live: live, id: id, by: Person(r.By), since: time.Now(), heal: make(chan string, 1), done: make(chan struct{})}
	h.mu.Lock()
	h.live = append(h.live, f)
	h.mu.Unlock()
	tell(Reply{Lines: []string{fmt.Sprintf("%s is live: %s", id, f.Sentence)}})
	why := f.end(ctx)
	err = f.Heal(why)
	h.mu.Lock()
	h.live = slices.DeleteFunc(h.live, func(o *held) bool { return o == f })
	h.mu.Unlock()
	met, acted := f.Met()
	lived := time.Since(f.since).Round(100 * time.Millisecond)
	reply := Reply{Nothing: !acted}
	if err != nil {
		reply.Error = fmt.Sprintf("heal %s: %v", id, err)
		f.lines = []string{reply.Error}
	} else {
		f.lines = []string{fmt.Sprintf("%s is healed after %s, %s: %s", id, lived, why, met)}
	}
	reply.Lines = f.lines
	close(f.done)
	return reply
}

// end waits until a fault has to be healed, and returns why.
func (f *held) end(ctx context.Context) (why string) {
	var over <-chan time.Time
	if f.For > 0 {
		timer := time.NewTimer(f.For)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
		return "since its time is over"
	case by := <-f.heal:
		return "by " + by
	case <-f.Ended:
		return "since its links or its drill ended it"
	case <-ctx.Done():
		return "since " + context.Cause(ctx).Error()
	}
}

// list describes the live faults.
func (h *Hands) list() Reply {
	var lines []string
	for _, f := range h.all() {
		ends := "until it is healed"
		if f.For > 0 {
			at := f.since.Add(f.For)
			ends = fmt.Sprintf("ends at %s (in %s)", at.Format(time.TimeOnly), max(0, time.Until(at)).Round(time.Second))
		}
		met, _ := f.Met()
		lines = append(lines, fmt.Sprintf("%s  %s", f.id, f.Sentence), fmt.Sprintf("  by %s since %s, %s: %s", f.by, f.since.Format(time.TimeOnly), ends, met))
	}
	if len(lines) == 0 {
		lines = []string{"no fault injected by hand is live"}
	}
	return Reply{Lines: lines}
}

// heal heals the fault that a request names, or all, and answers once they are healed.
func (h *Hands) heal(ctx context.Context, r Request) Reply {
	var chosen []*held
	var ids []string
	for _, f := range h.all() {
		ids = append(ids, f.id)
		if r.Fault == "all" || r.Fault == f.id {
			chosen = append(chosen, f)
		}
	}
	switch {
	case len(ids) == 0:
		return Reply{Error: "no fault injected by hand is live, so there is nothing to heal"}
	case len(chosen) == 0:
		return Reply{Error: fmt.Sprintf("no fault %q is live: name one of %s, or \"all\"", r.Fault, strings.Join(ids, ", "))}
	}
	var reply Reply
	for _, f := range chosen {
		select {
		case f.heal <- Person(r.By):
		default: // another request heals it
		}
		select {
		case <-f.done:
			reply.Lines = append(reply.Lines, f.lines...)
		case <-ctx.Done():
			return Reply{Error: context.Cause(ctx).Error()}
		}
	}
	return reply
}

// all returns the live faults, in the order of their injection.
func (h *Hands) all() []*held {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.live)
}

// Person returns who asked for something, for the journal and lists.
func Person(by string) string {
	by = strings.TrimSpace(by)
	switch {
	case by == "":
		return "an unknown user"
	case len(by) > 100:
		return by[:100]
	}
	return by
}
