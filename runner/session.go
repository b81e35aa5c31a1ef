package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/runner/internal/aggregate"
	"github.com/firedrill-dev/firedrill/runner/internal/effects"
	"github.com/firedrill-dev/firedrill/runner/internal/testbed"
	"github.com/firedrill-dev/firedrill/runner/internal/watchdog"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// session runs one scenario: begin, then the steps, then finish. Its methods are called from one
// goroutine.
type session struct {
	e    *scenarios.Experiment
	try  try
	o    *Options
	run  *runState
	seed uint64

	ctx        context.Context // canceled when the run is interrupted, a stop rule fires, the time limit is reached, or the session finishes
	cancel     context.CancelCauseFunc
	system     *testbed.System
	loads      []*runningLoad // once they have begun; parallel to scenarios.Experiment.Loads
	aggregator *aggregate.Aggregator
	live       []*injection // in order of injection
	placed     []*injection // all injections of the scenario
	bodies     bodies
	stories    stories
	ledgers    []ledger        // one for each source of effects; set once the effects that existed before the load were read
	agreements []agreement     // of sources; set once the effects that existed before the load were read
	sums       []effects.Total // of the sums that must stay the same, before the load
	phase      string

	unparsed unparsedNotes

	toldAddresses toldAddresses
	unwritten     unwritten
	quit          chan struct{} // closed to stop the ticker and the watchdog
	flushing      sync.Mutex    // held while slices are written; see flush
	watchdog      *watchdog.Watchdog

	countedDials         map[string]int64 // by link: failed dials already counted; see countDials
	dialsCountedAt       time.Duration    // when countDials last ran
	idleUse, baselineUse map[string]usage // by link: usage without the load, and in the baseline
	clock                sync.WaitGroup

	probing    sync.WaitGroup
	stopProbes func() // stops asking probes and watching stop rules, and waits for that
	failing    failing

	stopConditions []stopCondition // of the stop rules, while they are watched; guarded by mu

	settled     func()          // closes whenSettled, for which an abort waits
	whenSettled <-chan struct{} // the faults are healed, and that was verified

	release func() // stops watching for healing by the operator; see watchOperator

	unwatchLease func() // see leaseEnded

	// When the scenario began, on the clock of the run and on the wall clock, which may be set while the run lasts.
	began     time.Duration
	beganWall time.Time

	byHand     sync.Mutex // held while a fault is injected or healed by hand, and guards byHandOver
	byHandOver bool       // nothing can be injected by hand any more

	mu           sync.Mutex
	history      *journal.Folder
	frozen       bool // the facts are complete: only verdicts are still added to history
	healedByHand bool // the operator healed the faults
	loadStarted  bool
	concluded    bool
	nextCheck    int
	verdicts     []check.Verdict
	problem      error         // first error of the runner itself; makes the scenario inconclusive
	halted       error         // why nothing more is injected: unsteady baseline, or a service exited
	stopped      codes.Message // set when a stop rule fired, or the run was aborted
	timedOut     error         // set when the time limit was reached
	reached      journal.Step  // that was begun last; the zero value before the first
	askedSince   time.Time     // when the open question to a person was asked; the zero value if there is none
	asked        time.Duration // how long people took to answer
	rehearsed    int           // faults that a dry run would have injected
	verified     string        // what was seen to work after a scenario ended early
	skipped      error
	end          *journal.End
}

func newSession(ctx context.Context, r *runState, e *scenarios.Experiment, t try) *session {
	s := &session{
		e: e, try: t, o: &r.o, run: r, seed: r.seedFor(e, t),
		history: journal.NewFolder(), quit: make(chan struct{}), release: func() {}, stopProbes: func() {}, unwatchLease: func() {},
	}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.watchdog = watchdog.New(r.journal.Since, func(p journal.Pause) { s.record(journal.Event{Pause: &p}) })
	s.aggregator = aggregate.New(s.aggregated())
	settled := make(chan struct{})
	s.whenSettled, s.settled = settled, sync.OnceFunc(func() { close(settled) })
	if aborted := r.join(s); aborted != nil {
		s.stop(codes.Aborted.Message(aborted.Error()))
	}
	return s
}

// aggregated returns what the aggregator has to know of the scenario.
func (s *session) aggregated() aggregate.Settings {
	a := aggregate.Settings{Horizon: s.e.Baseline + time.Minute, FallbackIsSuccess: s.fallbackIsSuccess(), Paused: s.watchdog.Overlaps}
	for _, rule := range s.e.Stop {
		a.Horizon = max(a.Horizon, rule.For)
		if rule.Percentile != 0 {
			a.Limits = append(a.Limits, rule.Limit)
		}
	}
	return a
}

func (s *session) fallbackIsSuccess() bool { return s.e.Load != nil && s.e.Load.FallbackIsSuccess }

// recordStep writes an event of this scenario that belongs to a step.
func (s *session) recordStep(e journal.Event, step journal.Step) journal.Event {
	e.Scenario, e.Step = s.e.ID, step.At
	e = s.run.write(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.frozen || e.Verdict != nil {
		s.history.Add(e)
	}
	return e
}

func (s *session) record(e journal.Event) journal.Event { return s.recordStep(e, journal.Step{}) }

func (s *session) now() time.Duration { return s.run.journal.Now() }

func (s *session) enterPhase(phase string) {
	s.mu.Lock()
	s.phase = phase
	s.mu.Unlock()
	e := s.record(journal.Event{Phase: &journal.Phase{Name: phase}})
	s.aggregator.Mark(e.At)
}

// begin starts the system.
func (s *session) begin() {
	b := journal.Begin{
		ID: s.e.ID, Name: s.e.Name, Feature: s.e.Feature, File: s.e.File, Line: s.e.Line, Tags: s.e.Tags,
		FallbackIsSuccess: s.fallbackIsSuccess(), Unproven: s.e.Unproven, Untested: s.e.Untested(), Findings: s.e.Findings(),
		Attempt: s.try.number, RerunReason: s.try.why, RetryOf: s.try.retryOf, RepeatOf: s.try.repeatOf, Digests: s.e.Digests(),
	}
	for _, step := range s.e.Steps {
		b.Steps = append(b.Steps, step.Step)
	}
	b.OnlyReads = s.e.Load != nil
	for _, l := range s.e.Loads() {
		b.OnlyReads = b.OnlyReads && !slices.ContainsFunc(l.Mix, func(rt scenarios.Route) bool { return !rt.Safe() })
		if l.Name != "" {
			b.LoadNames = append(b.LoadNames, l.Name)
		}
	}
	for _, l := range s.e.System.Links {
		row, _ := l.Relayed()
		b.Links = append(b.Links, journal.Link{From: l.From, To: l.To, Protocol: l.Protocol, Unit: row.Unit})
	}
	expired := s.e.Quarantine != nil && s.e.Quarantine.Expired(time.Now())
	if q := s.e.Quarantine; q != nil && !expired {
		b.Quarantine = &journal.Quarantine{Owner: q.Owner, Until: q.Until, Reason: q.Reason}
	}
	s.record(journal.Event{Begin: &b})
	s.began, s.beganWall = s.now(), time.Now().Round(0)
	s.unwatchLease = process.OnLeaseEnd(s.leaseEnded)
	if expired {
		s.recordExpired()
	}
	if s.try.why != "" {
		s.record(journal.Event{Note: &journal.Note{Text: "run again alone, because other scenarios may have disturbed it: " + s.try.why}})
	}
	s.enterPhase("setup")
	s.clock.Go(s.watchTimeout)
	system, err := testbed.Start(s.ctx, testbed.Config{
		Experiment: s.e, Seed: s.seed, Dir: s.dir(), Self: s.o.Self, Without: s.o.Without, Handlers: s.o.Handlers, Hooks: s.hooks(),
	})
	var absent testbed.MissingProgram
	switch {
	case errors.As(err, &absent) && !mustRun():
		s.skipped = err
	case err != nil:
		s.fail(err)
	default:
		s.system = system
		s.noteProxies()
		context.AfterFunc(s.ctx, system.Retire)
		s.o.Meter.set(s.e.ID, s.counts)
		s.stopProbes = s.startProbes()
	}
	s.clock.Go(s.tick)
	s.clock.Go(func() { s.watchdog.Run(s.quit) })
}

func (s *session) hooks() testbed.Hooks {
	return testbed.Hooks{
		Process:   s.serviceChanged,
		Message:   s.recordMessage,
		Call:      s.recordCall,
		Stream:    s.recordStream,
		Trace:     s.trace(),
		Unparsed:  s.noteUnparsed,
		Told:      s.told,
		Authority: func() (*link.CA, string, error) { return s.run.authority.Get(s.run.dir) },
	}
}

func (s *session) recordMessage(f evidence.Event) {
	s.record(journal.Event{At: s.run.journal.Since(f.At), Message: &journal.Message{
		Fault: f.Fault, Link: f.Link, Stage: string(f.Stage), ToServer: f.ToServer, Conn: f.Conn, N: f.Seq, Op: f.Op, Key: f.Key, Bytes: f.Bytes, Detail: f.Detail,
		Request: s.requestNumber(f.Cause),
	}})
}

// requestNumber returns the number of the request that caused a message, with the name of its load if it has one, or ""
// if that is not known.
func (s *session) requestNumber(c evidence.Cause) string {
	if !c.Known {
		return ""
	}
	n := strconv.FormatUint(c.Request, 10)
	if loads := s.e.Loads(); c.Load < len(loads) && loads[c.Load].Name != "" {
		return loads[c.Load].Name + " " + n
	}
	return n
}

func (s *session) recordCall(link string, c message.Call) {
	if c.Op == "" && c.Skipped != "" {
		s.noteUnparsed(link, fmt.Sprintf("no fault on calls can act on a connection of link %q: %s", link, c.Skipped))
	}
	start, sent, end := s.timesOf(c)
	s.aggregator.Call(link, c, start, sent, end)
	if s.e.Effects != nil {
		s.stories.add(link, c, start, end-start)
	}
}

func (s *session) recordStream(link string, c message.Call) {
	start, sent, begun := s.timesOf(c)
	s.aggregator.Stream(link, c, start, sent, begun)
}

// timesOf returns when a call began, was sent to the dependency (0 if it was not), and ended.
func (s *session) timesOf(c message.Call) (start, sent, end time.Duration) {
	if !c.Sent.IsZero() {
		sent = s.run.journal.Since(c.Sent)
	}
	return s.run.journal.Since(c.Start), sent, s.run.journal.Since(c.End)
}

// fail records an error of the runner itself. The scenario becomes inconclusive and nothing more is
// injected.
func (s *session) fail(err error) {
	s.mu.Lock()
	if s.problem == nil {
		s.problem = err
	}
	s.mu.Unlock()
	s.record(journal.Event{Trouble: &journal.Trouble{Text: err.Error()}})
}

// halt prevents further injections because the scenario is no longer a valid experiment. Results
// collected so far are still judged.
func (s *session) halt(err error) {
	s.mu.Lock()
	if s.halted == nil {
		s.halted = err
	}
	s.mu.Unlock()
}

// leaseEnded ends the scenario, which is inconclusive: the runner did not run for so long that its services were killed.
func (s *session) leaseEnded(err error) {
	s.fail(err)
	s.cancel(err)
}

// stopCause returns the reason why the scenario must not continue, or nil.
func (s *session) stopCause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.skipped != nil:
		return s.skipped
	case s.problem != nil:
		return s.problem
	case s.halted != nil:
		return s.halted
	}
	return context.Cause(s.ctx)
}

// mustRun reports whether a missing program is an error rather than a reason to skip the scenario.
func mustRun() bool { return os.Getenv("FIREDRILL_MUST_RUN") != "" }
