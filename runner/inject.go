package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
		skip, err := s.o.Before(s.ctx, fmt.Sprint(join(says)))
		if err != nil {
			s.cancel(err)
			return err
		}
		if skip {
			s.event(journal.Event{Note: &journal.Note{Text: "skipped by the facilitator: " + join(says)}}, step)
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
	if lasts == 0 {
		return nil
	}
	var sooner <-chan struct{}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	if s.o.Healing != nil {
		sooner = s.o.Healing(ctx)
	}
	if err := s.pass(lasts, sooner); err != nil {
		return err
	}
	if do.For == 0 {
		return nil
	}
	return s.undo(placed)
}

func join(all []string) string {
	text := ""
	for i, one := range all {
		if i > 0 {
			text += "; "
		}
		text += one
	}
	return text
}

// place makes one fault live.
func (s *session) place(p scenarios.Placed, step journal.Step) (*injection, error) {
	kind, _ := injector.KindOf(p.Fault)
	in := &injection{Placed: p, says: p.Fault.Say(p.From, p.To), on: p.On(), unit: kind.On, step: step}
	t := injector.Target{ID: p.ID, Seed: s.seed}
	if p.From != "" {
		link := p.From + " -> " + p.To
		t.Link, t.Datagrams, t.Relay = s.system.links[link], s.system.datagrams[link], s.system.relays[link]
	} else {
		in.unit = "processes"
		t.Service = s.system.services[p.To]
	}
	in.count = evidence.NewCounter(in.unit)
	t.Count = in.count
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
		return fmt.Sprintf("it saw %d %s and chose none: a larger share, a longer time or more load would let it act", t.Seen, in.unit)
	}
	return "its target was not there"
}

// heal undoes what a step names.
func (s *session) heal(do scenarios.Heal) error {
	s.mu.Lock()
	live := slices.Clone(s.live)
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
		if len(chosen) == 0 {
			return fmt.Errorf("heal %q: no such fault is live on it", do.Service)
		}
	case len(live) > 0:
		chosen = live[len(live)-1:]
	default:
		return errors.New("heal the fault: none is live")
	}
	return s.undo(chosen)
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
		s.event(journal.Event{At: at, Fault: in.fact("healed", s, err)}, in.step)
	}
	return errors.Join(errs...)
}
