package runner

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// session is one scenario's life: begin, step by step, finish. Its methods are called from one goroutine.
type session struct {
	e    *scenarios.Experiment
	o    *Options
	run  *running
	seed uint64

	ctx    context.Context // ends when the run is interrupted, a stop rule acts, or the session is over
	cancel context.CancelCauseFunc
	system *system
	load   *load
	client *client
	fold   *fold
	live   []*injection // in order of injection
	placed []*injection // all that there were
	rows   rows
	phase  string

	strangers strangers
	quit      chan struct{} // ends the clock
	clock     sync.WaitGroup

	release func() // ends the operator's healing by hand, see byHand

	mu       sync.Mutex
	history  *journal.Folder
	frozen   bool // the facts are complete: from now on only verdicts come to the history
	handed   bool // the operator healed by hand
	loaded   bool
	done     bool
	checked  int
	verdicts []check.Verdict
	problem  error // of ours; makes the scenario inconclusive
	stopped  error // a stop rule's
	skipped  error
	end      *journal.End
}

// rows keeps what keyed requests came to, for probes.
type rows struct {
	mu           sync.Mutex
	acknowledged []ended
}

// maxProbes is how many keys are sent again after the load.
const maxProbes = 20

func newSession(ctx context.Context, r *running, e *scenarios.Experiment) *session {
	s := &session{e: e, o: &r.o, run: r, seed: evidence.Hash(r.seed, 0, e.ID), fold: newFold(), history: journal.NewFolder(), quit: make(chan struct{}), release: func() {}}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	return s
}

// event writes an event of this scenario.
func (s *session) event(e journal.Event, step journal.Step) journal.Event {
	e.Scenario, e.Step = s.e.ID, step.At
	e = s.run.write(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.frozen || e.Verdict != nil {
		s.history.Add(e)
	}
	return e
}

func (s *session) tell(e journal.Event) journal.Event { return s.event(e, journal.Step{}) }

func (s *session) now() time.Duration { return s.run.journal.Now() }

func (s *session) enter(phase string) {
	s.mu.Lock()
	s.phase = phase
	s.mu.Unlock()
	e := s.tell(journal.Event{Phase: &journal.Phase{Name: phase}})
	s.fold.mark(e.At)
}

// begin starts the system.
func (s *session) begin() {
	b := journal.Begin{ID: s.e.ID, Name: s.e.Name, Feature: s.e.Feature, File: s.e.File, Line: s.e.Line, Tags: s.e.Tags, Seed: s.seed}
	for _, step := range s.e.Steps {
		b.Steps = append(b.Steps, step.Step)
	}
	for _, l := range s.e.System.Links {
		b.Links = append(b.Links, journal.Link{From: l.From, To: l.To, Protocol: l.Protocol})
	}
	s.tell(journal.Event{Begin: &b})
	s.enter("setup")
	system, err := startSystem(s.ctx, s.o, s.e, s.seed, filepath.Join(s.run.dir, "scenarios", s.e.ID), hooks{
		process: func(service string, e process.Event) {
			s.tell(journal.Event{At: s.run.journal.Since(e.At), Process: &journal.Process{Service: service, What: e.What, PID: e.PID, Detail: e.Detail}})
		},
		fate:      s.fate,
		call:      s.called,
		strange:   s.strange,
		authority: func() (*link.CA, string, error) { return s.run.authority.get(s.run.dir) },
	})
	var absent missing
	switch {
	case errors.As(err, &absent) && !mustRun():
		s.skipped = err
	case err != nil:
		s.fail(err)
	default:
		s.system = system
		s.run.metrics.add(s)
	}
	s.clock.Go(s.tick)
}

func (s *session) fate(f evidence.Fate) {
	s.tell(journal.Event{At: s.run.journal.Since(f.At), Message: &journal.Message{
		Fault: f.Fault, Link: f.Link, Stage: string(f.Stage), ToServer: f.ToServer, Conn: f.Conn, N: f.Seq, Op: f.Op, Key: f.Key, Bytes: f.Bytes, Detail: f.Detail,
	}})
}

func (s *session) called(link string, c message.Call) {
	if c.Op == "" && c.Skipped != "" {
		s.strange(link, fmt.Sprintf("no fault on calls can act on a connection of link %q: %s", link, c.Skipped))
	}
	s.fold.call(link, c, s.run.journal.Since(c.Start), s.run.journal.Since(c.End))
}

// fail notes an error of ours, the first one: the scenario is inconclusive, and nothing more is injected.
func (s *session) fail(err error) {
	s.mu.Lock()
	if s.problem == nil {
		s.problem = err
	}
	s.mu.Unlock()
}

// over tells whether there is a reason to do nothing more.
func (s *session) over() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.skipped != nil:
		return s.skipped
	case s.problem != nil:
		return s.problem
	}
	return context.Cause(s.ctx)
}

// step does what step i asks for. The error of a check that did not pass is its reason.
func (s *session) step(i int) (err error) {
	defer func() {
		if r := recover(); r != nil { // a fault or a check of the user's own, or a mistake of ours
			err = fmt.Errorf("%s: panic: %v", s.e.Steps[i].At, r)
			s.fail(err)
		}
	}()
	step := s.e.Steps[i]
	if step.IsCheck {
		s.conclude()
		i := s.checked
		s.checked++
		if i >= len(s.verdicts) {
			return errors.New("not judged")
		}
		if v := s.verdicts[i]; v.Outcome != check.Passed {
			return fmt.Errorf("%s: %s", v.Outcome, v.Reason)
		}
		return nil
	}
	if step.Do == nil {
		return s.over()
	}
	s.startLoad()
	if err := s.over(); err != nil {
		return err
	}
	if err := s.act(step); err != nil {
		if s.ctx.Err() == nil {
			s.fail(fmt.Errorf("%s: %w", step.At, err))
		}
		return err
	}
	return nil
}

// act carries an action out.
func (s *session) act(step scenarios.Step) error {
	switch do := step.Do.(type) {
	case scenarios.Inject:
		return s.inject(do, step.Step)
	case scenarios.Heal:
		return s.heal(do)
	case scenarios.Wait:
		return s.pass(do.For, nil)
	case scenarios.ChangeLoad:
		if s.load == nil {
			return errors.New("change the load: there is none")
		}
		s.load.schedule.change(time.Now(), do.From, do.To, do.Over)
		s.enter(s.phase)
		return s.pass(do.Over, nil)
	case scenarios.StopLoad:
		s.endLoad()
		return nil
	case scenarios.Confirm:
		return s.confirm(do.What, step.Step)
	}
	return fmt.Errorf("carry out %T: nobody knows how", step.Do)
}

func (s *session) confirm(what string, step journal.Step) error {
	text := "nobody was there to confirm: " + what
	if s.o.Confirm != nil {
		if err := s.o.Confirm(s.ctx, what); err != nil {
			return err
		}
		text = "confirmed: " + what
	}
	s.event(journal.Event{Note: &journal.Note{Text: text}}, step)
	return nil
}

// pass lets time pass, until d is over or sooner is closed.
func (s *session) pass(d time.Duration, sooner <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-sooner:
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// warmUp is how long the load runs before the baseline begins: connections are made, caches filled.
const warmUp = time.Second

// startLoad starts the load and measures the baseline, the first time something is to happen.
func (s *session) startLoad() {
	if s.loaded || s.over() != nil {
		return
	}
	s.loaded = true
	if s.e.Load == nil {
		s.fold.baseline = 0
		s.enter("fault")
		return
	}
	s.client = newClient(s.ctx, s.e.Load, fmt.Sprintf("%s-%04x", s.run.short, uint16(evidence.Hash(0, 0, s.e.ID))), s.seed, s.system.front, s.finished).trusting(s.system.trust)
	s.client.began = func(n uint64, due time.Time) { s.fold.sent(n, s.run.journal.Since(due)) }
	s.load = startLoad(s.ctx, s.e.Load, s.client, s.peak())
	if s.pass(warmUp, nil) != nil {
		return
	}
	s.fold.mu.Lock()
	s.fold.baseline = s.now()
	s.fold.mu.Unlock()
	s.enter("baseline")
	if s.pass(s.e.Baseline, nil) == nil {
		s.enter("fault")
	}
}

// peak is the highest rate that the scenario asks for.
func (s *session) peak() float64 {
	rate := s.e.Load.Rate
	for _, step := range s.e.Steps {
		if c, ok := step.Do.(scenarios.ChangeLoad); ok {
			rate = max(rate, c.From, c.To)
		}
	}
	return rate
}

// finished folds a request of the load that is over.
func (s *session) finished(e ended) {
	w := s.fold.request(e, s.run.journal.Since(e.due), s.run.journal.Since(e.end))
	if e.key == "" {
		return
	}
	s.tell(journal.Event{Request: e.row(s.run.journal.Since, w)})
	if e.outcome != acknowledged {
		return
	}
	s.rows.mu.Lock()
	defer s.rows.mu.Unlock()
	// The latest of those that needed several attempts are the most interesting to ask again, then any.
	if len(s.rows.acknowledged) < maxProbes {
		s.rows.acknowledged = append(s.rows.acknowledged, e)
	} else if len(e.attempts) > 1 {
		s.rows.acknowledged[int(e.n)%maxProbes] = e
	}
}

func (s *session) endLoad() {
	if s.load == nil {
		return
	}
	l := s.load.end(func(n uint64, due time.Time) { s.fold.unsent(s.client.route(n).Name(), s.run.journal.Since(due)) })
	s.load = nil
	s.tell(journal.Event{Load: &l})
}
