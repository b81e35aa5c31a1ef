package runner

import (
	"context"
	"errors"
	"fmt"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner/internal/testbed"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// rehearse takes the place of an injection in a dry run: it injects nothing into the system. It records what would be
// injected and what was seen of each fault.
func (s *session) rehearse(do scenarios.Inject, step journal.Step) error {
	var errs []error
	for _, p := range do.Faults {
		sentence := p.Fault.Say(p.From, p.To)
		seen, err := s.rehearseFault(p, step)
		if err != nil {
			errs = append(errs, fmt.Errorf("dry run of %s: %w", sentence, err))
			continue
		}
		s.rehearsed++
		s.recordStep(journal.Event{Note: &journal.Note{Text: fmt.Sprintf("dry run: would inject: %s (on %s): %s", sentence, p.On(), seen)}}, step)
	}
	return errors.Join(errs...)
}

// rehearseFault proves that a fault on a link can be undone: it injects the fault into a twin of the link, which leads to
// the same service and carries nothing else, and heals it. Both links have to pass traffic before and after. See
// rehearseOutage for faults on a service.
func (s *session) rehearseFault(p scenarios.Placed, step journal.Step) (seen string, err error) {
	if p.From == "" {
		return s.rehearseOutage(p)
	}
	l, ok := s.e.System.Link(p.From, p.To)
	if !ok {
		return "", fmt.Errorf("there is no link from %q to %q", p.From, p.To)
	}
	if proxy := s.system.Proxies[l.Name()]; proxy != nil {
		return s.rehearseToxic(l, proxy)
	}
	twin, err := s.system.Twin(s.ctx, l)
	if err != nil {
		return "", fmt.Errorf("open a second link to try the undo: %w", err)
	}
	defer func() { err = errors.Join(err, twin.CloseLinks()) }()
	name := l.Name()
	if err := s.bothPass(l, twin, "before"); err != nil {
		return "", err
	}
	in := s.newInjection(p, step)
	target := injector.Target{ID: p.ID, Seed: s.seed, Count: in.count, Link: twin.Links[name], Datagrams: twin.Datagrams[name], Relay: twin.Relays[name]}
	var heal injector.Heal
	if err := catchPanic(func() (err error) { heal, err = p.Fault.Inject(s.ctx, target); return err }); err != nil {
		return "", fmt.Errorf("inject it into a second link: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), s.healBound(in))
	defer cancel()
	if err := catchPanic(func() error { return heal(ctx) }); err != nil {
		return "", fmt.Errorf("undo it on a second link: %w", err)
	}
	if err := s.bothPass(l, twin, "after"); err != nil {
		return "", err
	}
	if l.UDP() {
		return "undone on a second link; over UDP it cannot be asked whether that passes traffic", nil
	}
	return "undone on a second link; both passed traffic before and after", nil
}

// rehearseOutage proves what can be proved of a fault on a service, and of its undo, while nothing is done to the service. It
// returns that, and what is not proved.
func (s *session) rehearseOutage(p scenarios.Placed) (seen string, err error) {
	svc, kind := s.system.Services[p.To], p.Fault.Kind()
	if svc == nil {
		return "", fmt.Errorf("%q is not a process that Firedrill started", p.To)
	}
	seen, err = svc.CanSignal()
	if err != nil {
		return "", err
	}
	if kind.EndedBy != "resumes" {
		restart, err := svc.CanRestart()
		if err != nil {
			return "", err
		}
		seen += "; " + restart
	}
	if kind.Disk {
		if s.system.Disks[p.To] == nil {
			return "", fmt.Errorf("%q has no data folder that can lose what was not synced", p.To)
		}
		seen += "; its data folder is a disk that can lose what was not synced"
	}
	if kind.Unproved == "" { // a fault of the user
		kind.Unproved = "its undo"
	}
	return fmt.Sprintf("proved: %s; not proved, since nothing was done to it: %s (undo: %s)", seen, kind.Unproved, kind.Undo), nil
}

// bothPass sees that a link and its twin pass traffic.
func (s *session) bothPass(l scenarios.Link, twin *testbed.System, when string) error {
	if l.UDP() {
		return nil
	}
	for _, sys := range []*testbed.System{s.system, twin} {
		if _, asked, err := s.passes(l, sys.Links[l.Name()].Addr()); err != nil || !asked {
			if err == nil {
				err = fmt.Errorf("%q itself does not answer", l.To)
			}
			return fmt.Errorf("%s the fault, link %q does not pass traffic: %w", when, l.Name(), err)
		}
	}
	return nil
}

// dryAct takes the place of another action in a dry run. No time passes, and nothing is done that is not undone.
func (s *session) dryAct(step scenarios.Step) error {
	switch action := step.Do.(type) {
	case scenarios.Inject:
		return s.rehearse(action, step.Step)
	case scenarios.Ask, scenarios.RunCommand:
		s.recordStep(journal.Event{Note: &journal.Note{Text: "dry run: would be done: " + step.Text}}, step.Step)
	}
	return nil
}

// endDryRun ends a dry run. Its outcome is never that of a drill that passed.
func (s *session) endDryRun(end *journal.End, problem, halted, stopErr error) {
	switch {
	case problem != nil:
		endWith(end, "inconclusive", codes.NotStarted.Msgf("dry run: %v", problem))
	case halted != nil:
		endWith(end, "inconclusive", codes.ServiceExited.Msgf("dry run: %v", halted))
	case stopErr != nil:
		endWith(end, "inconclusive", codes.RunnerTrouble.Msgf("dry run: %v", stopErr))
	default:
		endWith(end, "skipped", codes.Skipped.Msgf("dry run: nothing was injected; %d would be, and nothing was judged", s.rehearsed))
		s.run.rehearsed.Add(1)
	}
}
