package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// injection is a live fault.
type injection struct {
	scenarios.Placed
	says  string
	on    string
	unit  string
	step  journal.Step
	heal  injector.Heal
	count *evidence.Counter
	ended func(time.Duration)

	told   sync.Mutex // held while the journal is told, so that nothing comes after its end
	tally  evidence.Tally
	healed bool
}

// healBound is how long one fault may take to heal, a process's start included.
const healBound = 20 * time.Second

// inject makes faults live together; with a duration it holds and heals them.
func (s *session) inject(do scenarios.Inject, step journal.Step) error {
	var says []string
	for _, p := range do.Faults {
		says = append(says, p.Fault.Say(p.From, p.To))
	}
	if s.o.Before != nil {
		skip, err := s.o.Before(s.ctx, strings.Join(says, "; "))
		if err != nil {
			s.cancel(err)
			return err
		}
		if skip {
			s.skip(do, step)
			return nil
		}
	}
	var placed []*injection
	lasts := do.For
	for _, p := range do.Faults {
		in, err := s.place(p, step)
		if err != nil {
			return err
		}
		placed = append(placed, in)
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
		in := s.injection(p, step)
		f := in.fact("skipped", s, nil)
		f.Hint = "skipped by the facilitator"
		s.event(journal.Event{Fault: f}, step)
	}
}

// injection is a fault before it lives.
func (s *session) injection(p scenarios.Placed, step journal.Step) *injection {
	kind, _ := injector.KindOf(p.Fault)
	in := &injection{Placed: p, says: p.Fault.Say(p.From, p.To), on: p.To, unit: "processes", step: step}
	if p.From != "" {
		in.on, in.unit = p.From+" -> "+p.To, kind.On
	}
	in.count = evidence.NewCounter(in.unit)
	return in
}

// place makes one fault live.
func (s *session) place(p scenarios.Placed, step journal.Step) (*injection, error) {
	in := s.injection(p, step)
	t := injector.Target{ID: p.ID, Seed: s.seed, Count: in.count}
	if p.From != "" {
		t.Link, t.Relay = s.system.links[in.on], s.system.relays[in.on]
	} else {
		t.Service = s.system.services[p.To]
	}
	at := s.now()
	in.ended = s.fold.inject(at)
	s.event(journal.Event{At: at, Fault: in.fact("injected", s, nil)}, step)
	heal, err := p.Fault.Inject(s.ctx, t)
	if err != nil {
		in.ended(s.now())
		s.event(journal.Event{Fault: in.fact("healed", s, err)}, step)
		return nil, fmt.Errorf("inject %s: %w", in.says, err)
	}
	in.heal = heal
	s.mu.Lock()
	s.live = append(s.live, in)
	s.mu.Unlock()
	return in, nil
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
	f := &journal.Fault{ID: in.ID, Stage: stage, Kind: in.Kind, Says: in.says, On: in.on, Unit: in.unit, Seen: t.Seen, Affected: t.Affected}
	if t.Affected > 0 {
		f.First, f.Last = s.run.journal.Since(t.First), s.run.journal.Since(t.Last)
	}
	if stage == "healed" && t.Affected == 0 {
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

// heal undoes what a step names.
func (s *session) heal(do scenarios.Heal) error {
	s.mu.Lock()
	live, handed := slices.Clone(s.live), s.handed
	s.mu.Unlock()
	var chosen []*injection
	switch {
	case do.All:
		chosen = live
	case do.Service != "":
		for _, in := range live {
			if in.From == "" && in.To == do.Service && (do.Kind == "" || in.Kind == do.Kind) {
				chosen = append(chosen, in)
			}
		}
		if len(chosen) == 0 && !handed {
			return fmt.Errorf("heal %q: no such fault is live on it", do.Service)
		}
	case len(live) > 0:
		chosen = live[len(live)-1:]
	case !handed:
		return errors.New("heal the fault: none is live")
	}
	return s.undo(chosen)
}

// lives are the live injections, in order.
func (s *session) lives() []*injection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.live)
}

// undo heals injections, the last first, whatever became of the run.
func (s *session) undo(chosen []*injection) error {
	var errs []error
	for _, in := range slices.Backward(chosen) {
		s.mu.Lock()
		i := slices.Index(s.live, in)
		if i >= 0 {
			s.live = slices.Delete(s.live, i, i+1)
		}
		s.mu.Unlock()
		if i < 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), healBound)
		err := in.heal(ctx)
		cancel()
		if err != nil {
			err = fmt.Errorf("heal %s: %w", in.says, err)
			errs = append(errs, err)
		}
		at := s.now()
		in.ended(at)
		in.told.Lock()
		in.healed = true
		s.event(journal.Event{At: at, Fault: in.fact("healed", s, err)}, in.step)
		in.told.Unlock()
	}
	return errors.Join(errs...)
}
