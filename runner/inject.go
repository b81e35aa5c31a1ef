package runner

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/disk"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// injection is a fault that is about to be live, is live, or has been healed.
type injection struct {
	scenarios.Placed
	sentence     string
	by           string // who injected it by hand; "" if the scenario did
	on           string
	unit         string
	step         journal.Step
	target       injector.Target
	count        *evidence.Counter
	duration     time.Duration // requested duration; 0 means until healed
	usageAtStart usage         // what its link had carried when it was injected
	usageDuring  usage         // what its link carried from then until healing began
	live         time.Duration // when it became live; 0 before; written with session.mu held, like healBegan
	heal         injector.Heal // nil before
	injectErr    error         // set if injecting failed
	markLive     func(time.Duration)
	markEnded    func(time.Duration)

	healBegan time.Duration // when healing began; 0 before

	outage *outage    // for a fault on a service; nil for a fault on a link
	hits   outageHits // taken when healing began

	recording sync.Mutex     // held while events of this injection are written, so that none follows the healed event
	recorded  evidence.Tally // as last recorded
	healed    bool
	healErr   error         // set if healing failed
	done      chan struct{} // closed once it was healed, or could not be

	seen, background int64 // as recorded when the fault was healed, like shared
	affected         int64 // as last recorded
	shared           bool
}

// leastHealBound is the minimum time allowed to heal one fault, including starting a process.
const leastHealBound = 20 * time.Second

// inject makes the faults of a step live together. If the step has a duration, it waits and then heals
// them.
func (s *session) inject(do scenarios.Inject, step journal.Step) error {
	description := joinSentences(sentences(do.Faults))
	if s.o.BeforeInject != nil {
		var skip bool
		err := s.awaitPerson(func() (err error) {
			skip, err = s.o.BeforeInject(s.ctx, description)
			return err
		})
		if err != nil {
			s.cancel(err)
			return err
		}
		if skip {
			s.skip(do, step)
			return nil
		}
	}
	placed, err := s.apply(do, step, "")
	if err != nil {
		return err
	}
	lasts := do.For
	for _, p := range do.Faults {
		if series, ok := p.Fault.(interface{ Lasts() time.Duration }); ok && do.For == 0 {
			lasts = max(lasts, series.Lasts())
		}
	}
	early := s.watchOperator()
	if lasts == 0 {
		return nil
	}
	if err := s.sleep(lasts, early); err != nil {
		return err
	}
	if do.For == 0 {
		return nil
	}
	return s.healAll(placed)
}

// skip records faults that the facilitator skipped. Since they had no effect, the scenario proves
// nothing.
func (s *session) skip(do scenarios.Inject, step journal.Step) {
	for _, p := range do.Faults {
		f := s.newInjection(p, step).journalFault("skipped", s, nil)
		f.Hint = "skipped by the facilitator"
		s.recordStep(journal.Event{Fault: f}, step)
	}
}

// sentences returns the sentence of each fault. The parts of a partition share one sentence.
func sentences(faults []scenarios.Placed) []string {
	var all []string
	for i, p := range faults {
		if i == 0 || journal.FaultID(p.ID) != journal.FaultID(faults[i-1].ID) {
			all = append(all, p.Fault.Say(p.From, p.To))
		}
	}
	return all
}

func joinSentences(all []string) string { return strings.Join(all, "; ") }

// apply injects the faults of a step: all targets at the same time, and the faults on one target in
// their order, which may matter. If one fails, the others are healed. The journal records first that
// each fault was requested and then when it became live. by is who injects it by hand, or "".
func (s *session) apply(do scenarios.Inject, step journal.Step, by string) ([]*injection, error) {
	if err := process.LeaseEnded(); err != nil {
		return nil, err
	}
	s.countDials()
	at := s.now()
	placed := make([]*injection, len(do.Faults))
	for i, p := range do.Faults {
		in := s.prepare(p, step)
		in.duration, in.by = do.For, by
		in.markLive, in.markEnded = s.aggregator.AddFault(at)
		s.recordStep(journal.Event{At: at, Fault: in.journalFault("injected", s, nil)}, step)
		placed[i] = in
	}
	for _, in := range placed {
		if in.From == "" {
			in.outage = s.outage(in.To, at)
		}
	}
	start := s.linkUsage()
	forEachTarget(placed, func(on []*injection) {
		for _, in := range on {
			in.usageAtStart = start[in.targetName()]
			in.injectErr = catchPanic(func() (err error) {
				in.heal, err = s.makeLive(in)
				return err
			})
			if in.injectErr == nil {
				s.mu.Lock()
				in.live = s.now()
				s.mu.Unlock()
				in.markLive(in.live)
			}
		}
	})
	var errs []error
	for _, in := range placed {
		if in.injectErr != nil {
			errs = append(errs, fmt.Errorf("inject %s: %w", in.sentence, in.injectErr))
			in.markEnded(s.now())
			s.recordStep(journal.Event{Fault: in.journalFault("healed", s, in.injectErr)}, step)
			continue
		}
		s.recordStep(journal.Event{At: in.live, Fault: in.journalFault("live", s, nil)}, step)
		s.mu.Lock()
		s.live = append(s.live, in)
		s.mu.Unlock()
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, s.healAll(placed))...)
	}
	return placed, nil
}

// forEachTarget groups injections by target and calls do for all targets at the same time.
func forEachTarget(all []*injection, do func(on []*injection)) {
	var targets []string
	on := map[string][]*injection{}
	for _, in := range all {
		name := in.targetName()
		if on[name] == nil {
			targets = append(targets, name)
		}
		on[name] = append(on[name], in)
	}
	start := make(chan struct{})
	var workers sync.WaitGroup
	for _, t := range targets {
		workers.Go(func() {
			<-start
			do(on[t])
		})
	}
	close(start)
	workers.Wait()
}

// catchPanic calls do and turns a panic, of a user-defined fault or of the runner, into an error.
func catchPanic(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return do()
}

// onlyReads reports whether the fault affected messages, and only such that read.
func (s *session) onlyReads(p scenarios.Placed, t evidence.Tally) bool {
	protocol, _ := s.protocol(p)
	for op := range t.Ops {
		if protocol.Reads == nil || !protocol.Reads(op) {
			return false
		}
	}
	return len(t.Ops) > 0
}

// newInjection returns the injection of a fault that is not live yet.
func (s *session) newInjection(p scenarios.Placed, step journal.Step) *injection {
	kind := p.Fault.Kind()
	in := &injection{Placed: p, sentence: p.Fault.Say(p.From, p.To), on: p.On(), unit: kind.On, step: step, done: make(chan struct{})}
	switch protocol, ok := s.protocol(p); {
	case p.From == "":
		in.unit = "calls"
	case ok && kind.On == "calls":
		in.unit = protocol.Unit // a fault on replies also applies to the replies of message protocols
	}
	in.count = evidence.NewCounter(in.unit)
	return in
}

// protocol returns the protocol of the link that a fault is placed on. ok is false if the fault is
// placed on a service or if the runner does not parse the protocol.
func (s *session) protocol(p scenarios.Placed) (message.Protocol, bool) {
	for _, l := range s.e.System.Links {
		if l.From == p.From && l.To == p.To {
			return l.Relayed()
		}
	}
	return message.Protocol{}, false
}

// targetName returns the name of the link or service that the fault is placed on. It does not depend
// on the direction in which the fault acts.
func (in *injection) targetName() string {
	if in.From == "" {
		return in.To
	}
	return scenarios.Link{From: in.From, To: in.To}.Name()
}

// prepare adds a fault to s.placed and returns its injection, with the target set.
func (s *session) prepare(p scenarios.Placed, step journal.Step) *injection {
	in := s.newInjection(p, step)
	in.target = injector.Target{ID: p.ID, Seed: s.seed, Count: in.count}
	if p.From != "" {
		name := in.targetName()
		in.target.Link, in.target.Datagrams, in.target.Relay = s.system.Links[name], s.system.Datagrams[name], s.system.Relays[name]
	} else {
		in.target.Service, in.target.Disk = s.system.Services[p.To], s.system.Disks[p.To]
		in.target.Lost = func(l disk.Lost) {
			s.recordStep(journal.Event{Note: &journal.Note{Text: fmt.Sprintf("power loss of %q: %s", p.To, l)}}, step)
		}
	}
	s.mu.Lock()
	s.placed = append(s.placed, in)
	s.mu.Unlock()
	return in
}

// recordCounts records the counts of an injection if they have changed. If the run is killed, these
// are the last counts in the journal.
func (s *session) recordCounts(in *injection) {
	in.recording.Lock()
	defer in.recording.Unlock()
	if in.healed {
		return
	}
	// What an outage affects is counted elsewhere than in its tally.
	if t, f := in.count.Tally(), in.journalFault("counted", s, nil); !t.Equal(in.recorded) || f.Affected != in.affected {
		in.recorded, in.affected = t, f.Affected
		s.recordStep(journal.Event{Fault: f}, in.step)
	}
}

// waits reports whether the fault makes traffic wait, at most until it is healed. A cut-off on a link
// of datagrams does not: it drops them.
func (in *injection) waits(kind injector.Kind) bool {
	return kind.Waits && (in.target.Datagrams == nil || kind.On != "connections")
}

// journalFault returns the journal's record of an injection.
func (in *injection) journalFault(stage string, s *session, err error) *journal.Fault {
	t := in.count.Tally()
	kind := in.Fault.Kind()
	lived := s.now() - in.live
	if in.healBegan > 0 {
		lived = in.healBegan - in.live
	}
	seen, affected, background, shared, hint := s.evidenceOf(in, t, lived)
	f := &journal.Fault{
		ID: in.ID, Stage: stage, Kind: in.Kind, Sentence: in.sentence, By: in.by, On: in.on, Unit: in.unit,
		Seen: seen, Affected: affected, Background: background, Shared: shared, Reads: s.onlyReads(in.Placed, t),
		Idle: t.Idle, Collateral: t.Collateral, Broken: t.Broken,
		Live: in.live, Requested: in.duration, Waits: in.waits(kind), Unseen: kind.Unseen, Unnoticed: kind.Unnoticed, Alters: kind.Alters, Damages: kind.Damages, Ended: in.healBegan,
		Connections: t.Connections, BytesSeen: t.BytesSeen, BytesAffected: t.BytesAffected,
		Delayed: t.Delayed, DelayP50: t.DelayP50, DelayP99: t.DelayP99, DelayMax: t.Worst,
	}
	if t.Affected > 0 {
		f.First, f.Last = s.run.journal.Since(t.First), s.run.journal.Since(t.Last)
	}
	masked := ""
	if affected == 0 && in.healed {
		// All faults healed together have healBegan set by now, so the answer no longer changes.
		s.mu.Lock()
		masked = in.maskedBy(s.placed)
		s.mu.Unlock()
	}
	switch {
	case !in.healed && in.healBegan == 0:
	case masked != "":
		f.Hint = masked
	case hint != "":
		f.Hint = hint
	case affected == 0:
		f.Hint = in.noEffectHint(t)
	}
	if err != nil {
		f.Error = err.Error()
	}
	return f
}
