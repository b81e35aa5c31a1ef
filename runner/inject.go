package runner

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// injection is a fault that is, was or is about to be live.
type injection struct {
	scenarios.Placed
	says   string
	on     string
	unit   string
	step   journal.Step
	target injector.Target
	count  *evidence.Counter
	live   time.Duration // since when; 0 before
	heal   injector.Heal // nil before
	err    error         // of injecting
	ended  func(time.Duration)

	told   sync.Mutex     // held while the journal is told, so that nothing comes after its end
	tally  evidence.Tally // as told last
	healed bool
	failed error // healing
}

// healBound is how long one fault may take to heal, a process's start included.
const healBound = 20 * time.Second

// inject makes faults live together; with a duration it holds and heals them.
func (s *session) inject(do scenarios.Inject, step journal.Step) error {
	says := join(sayings(do.Faults))
	if s.o.Before != nil {
		skip, err := s.o.Before(s.ctx, says)
		if err != nil {
			s.cancel(err)
			return err
		}
		if skip {
			s.skip(do, step)
			return nil
		}
	}
	placed, err := s.apply(do.Faults, step)
	if err != nil {
		return err
	}
	lasts := do.For
	for _, p := range do.Faults {
		if series, ok := p.Fault.(interface{ Lasts() time.Duration }); ok && do.For == 0 {
			lasts = max(lasts, series.Lasts())
		}
	}
	sooner := s.byHand()
	if lasts == 0 {
		return nil
	}
	if err := s.pass(lasts, sooner); err != nil {
		return err
	}
	if do.For == 0 {
		return nil
	}
	return s.undo(placed)
}

// skip tells of faults that the facilitator let out: they touched nothing, so the drill proves nothing.
func (s *session) skip(do scenarios.Inject, step journal.Step) {
	for _, p := range do.Faults {
		f := s.injection(p, step).fact("skipped", s, nil)
		f.Hint = "skipped by the facilitator"
		s.event(journal.Event{Fault: f}, step)
	}
}

// sayings are the sentences of faults; a partition's is said once.
func sayings(faults []scenarios.Placed) []string {
	var all []string
	for i, p := range faults {
		if i == 0 || journal.Whole(p.ID) != journal.Whole(faults[i-1].ID) {
			all = append(all, p.Fault.Say(p.From, p.To))
		}
	}
	return all
}

func join(all []string) string { return strings.Join(all, "; ") }

// apply makes the faults of a step live at the same moment: all targets at once, and on each the faults in their order, which there may matter. On an error
// of one all others are healed. The journal has the intent first, and then for each since when it is live.
func (s *session) apply(faults []scenarios.Placed, step journal.Step) ([]*injection, error) {
	at := s.now()
	placed := make([]*injection, len(faults))
	for i, p := range faults {
		in := s.place(p, step)
		in.ended = s.fold.inject(at)
		s.event(journal.Event{At: at, Fault: in.fact("injected", s, nil)}, step)
		placed[i] = in
	}
	together(placed, func(on []*injection) {
		for _, in := range on {
			in.err = guarded(func() (err error) {
				in.heal, err = in.Fault.Inject(s.ctx, in.target)
				return err
			})
			if in.err == nil {
				in.live = s.now()
			}
		}
	})
	var errs []error
	for _, in := range placed {
		if in.err != nil {
			errs = append(errs, fmt.Errorf("inject %s: %w", in.says, in.err))
			in.ended(s.now())
			s.event(journal.Event{Fault: in.fact("healed", s, in.err)}, step)
			continue
		}
		s.event(journal.Event{At: in.live, Fault: in.fact("live", s, nil)}, step)
		s.mu.Lock()
		s.live = append(s.live, in)
		s.mu.Unlock()
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, s.undo(placed))...)
	}
	return placed, nil
}

// together does something with the injections of each target, the targets at the same time.
func together(all []*injection, do func(on []*injection)) {
	var targets []string
	on := map[string][]*injection{}
	for _, in := range all {
		name := in.aims()
		if on[name] == nil {
			targets = append(targets, name)
		}
		on[name] = append(on[name], in)
	}
	start := make(chan struct{})
	var ended sync.WaitGroup
	for _, t := range targets {
		ended.Go(func() {
			<-start
			do(on[t])
		})
	}
	close(start)
	ended.Wait()
}

// guarded turns a panic, of a fault of the user's own or of ours, into an error.
func guarded(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return do()
}

// injection is a fault before it lives.
func (s *session) injection(p scenarios.Placed, step journal.Step) *injection {
	kind, _ := injector.KindOf(p.Fault)
	in := &injection{Placed: p, says: p.Fault.Say(p.From, p.To), on: p.On(), unit: kind.On, step: step}
	switch row, ok := s.protocol(p); {
	case p.From == "":
		in.unit = "processes"
	case ok && kind.On == "calls":
		in.unit = row.Unit // replies are lost of messages too
	}
	in.count = evidence.NewCounter(in.unit)
	return in
}

// protocol is that of the link that a fault is placed on; ok is false when its messages are not known, or it is placed on a service.
func (s *session) protocol(p scenarios.Placed) (message.Protocol, bool) {
	for _, l := range s.e.System.Links {
		if l.From == p.From && l.To == p.To {
			return message.ProtocolOf(l.Protocol)
		}
	}
	return message.Protocol{}, false
}

// aims is the name of the link or the service that it is placed on, whichever way what it acts on goes.
func (in *injection) aims() string {
	if in.From == "" {
		return in.To
	}
	return scenarios.Link{From: in.From, To: in.To}.Name()
}

// place finds what a fault acts on.
func (s *session) place(p scenarios.Placed, step journal.Step) *injection {
	in := s.injection(p, step)
	in.target = injector.Target{ID: p.ID, Seed: s.seed, Count: in.count}
	if p.From != "" {
		name := in.aims()
		in.target.Link, in.target.Datagrams, in.target.Relay = s.system.links[name], s.system.datagrams[name], s.system.relays[name]
	} else {
		in.target.Service = s.system.services[p.To]
	}
	s.mu.Lock()
	s.placed = append(s.placed, in)
	s.mu.Unlock()
	return in
}

// counted tells how far an injection has come, if it has come further. A run that is killed tells no more than this.
func (s *session) counted(in *injection) {
	in.told.Lock()
	defer in.told.Unlock()
	if t := in.count.Tally(); !in.healed && t != in.tally {
		in.tally = t
		s.event(journal.Event{Fault: in.fact("counted", s, nil)}, in.step)
	}
}

// fact is the injection as the journal tells it.
func (in *injection) fact(stage string, s *session, err error) *journal.Fault {
	t := in.count.Tally()
	f := &journal.Fault{
		ID: in.ID, Stage: stage, Kind: in.Kind, Says: in.says, On: in.on, Unit: in.unit, Seen: t.Seen, Affected: t.Affected, Live: in.live,
		Connections: t.Connections, BytesSeen: t.BytesSeen, BytesAffected: t.BytesAffected,
		Delayed: t.Delayed, DelayP50: t.DelayP50, DelayP99: t.DelayP99, DelayMax: t.Worst,
	}
	if t.Affected > 0 {
		f.First, f.Last = s.run.journal.Since(t.First), s.run.journal.Since(t.Last)
	}
	if in.healed && t.Affected == 0 {
		f.Hint = in.hint(t)
	}
	if err != nil {
		f.Error = err.Error()
	}
	return f
}

// hint says why a fault may have touched nothing.
func (in *injection) hint(t evidence.Tally) string {
	switch {
	case t.Seen == 0 && in.From != "":
		return fmt.Sprintf("%s carried nothing that it could act on while it was live: does the load make %q call %q, and does %q use the link's address?", in.on, in.From, in.To, in.From)
	case t.Seen > 0:
		return fmt.Sprintf("it saw %d %s and acted on none: a larger share, a longer time or more load would let it act", t.Seen, in.unit)
	}
	return "its target was not there"
}
