package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// conclude heals, watches the recovery, ends the load, reads effects and judges. Only the first call
// has an effect. After an interruption it heals but does not watch the recovery.
func (s *session) conclude() {
	if s.concluded {
		return
	}
	s.concluded = true
	if s.system != nil {
		s.release()
		s.startLoad() // a scenario without any action is judged by its baseline
		s.byHand.Lock()
		s.byHandOver = true
		s.byHand.Unlock()
		if err := s.healAll(s.liveInjections()); err != nil {
			s.fail(err)
		}
		if s.ctx.Err() != nil {
			s.recordHealed()
			s.settled()
		}
		agreed := s.startAgreements()
		if s.stopCause() == nil && s.running() && !s.o.DryRun {
			s.enterPhase("recovery")
			_ = s.sleep(s.e.Recovery, nil)
		}
		s.endLoads("")
		defer saveMemory()()
		s.enterPhase("collect")
		s.stopProbes()
		s.aggregator.EndLoad(s.now())
		s.quiesce()
		s.measureIdleAgain()
		s.recordSettled()
		s.recordTraffic()
		s.noteStandIns()
		agreed()
		if s.ctx.Err() == nil && s.skipped == nil && !s.o.DryRun {
			s.effects() // before the probes, whose effects are not the load's
			s.sumsAfter()
			s.locks()
			s.probe()
		}
		s.awaitExits()
	}
	s.recordStories()
	s.flush(1 << 62)
	s.enterPhase("done")
	close(s.quit)
	s.clock.Wait()
	if s.skipped == nil && !s.o.DryRun { // neither has anything to judge
		s.judge()
	}
}

// awaitExits waits for services that are about to exit. A process that ends closes its sockets first, so that requests fail
// before its exit is known, which is the reason to be given.
func (s *session) awaitExits() {
	for _, svc := range s.system.Services {
		for began := time.Now(); svc.Running() && !svc.Listening() && time.Since(began) < 2*time.Second; {
			if s.sleep(20*time.Millisecond, nil) != nil {
				return
			}
		}
	}
}

// quiesce waits until no message is held back or in transit, and records the accounting of the relays.
func (s *session) quiesce() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 10*time.Second)
	defer cancel()
	all := map[string][2]evidence.Accounts{}
	for name, r := range s.system.Relays {
		to, from, err := r.Quiesce(ctx)
		if err != nil {
			s.fail(err)
		}
		all[name] = [2]evidence.Accounts{to, from}
	}
	for name, both := range all {
		to := journalAccounts(name, both[message.ToServer])
		to.ToServer = true
		to.Open, to.OpenFor = s.openCalls(name, both[message.ToServer], s.system.Relays[name].Unawaited())
		s.record(journal.Event{Accounts: to})
		s.record(journal.Event{Accounts: journalAccounts(name, both[message.ToClient])})
	}
	for name, l := range s.system.Datagrams {
		loss := l.Loss()
		s.record(journal.Event{Loss: &journal.Loss{
			Link: name, Known: loss.Known, AtLink: loss.Link, AtServer: loss.Server, Elsewhere: loss.Elsewhere, Unsent: loss.Unsent, Evicted: loss.Evicted,
		}})
	}
}

// journalAccounts converts the accounting of a link to its journal form.
func journalAccounts(link string, a evidence.Accounts) *journal.Accounts {
	return &journal.Accounts{
		Link: link, Received: a.Received, Copies: a.Copies, Injected: a.Injected, Delivered: a.Delivered, Dropped: a.Dropped,
		Discarded: a.Discarded, HeldBack: a.HeldBack, Collateral: a.Collateral, Pending: a.Pending, Written: a.Written, Wrong: a.Wrong(),
	}
}

// openCalls returns how many calls of a link have not ended, and how long ago the load ended, if a
// check limits how long callers on that link wait. It allows them as long as the check does. A call
// whose connection broke while it was held back produces no event and is not counted, and nor are the
// unawaited messages.
func (s *session) openCalls(link string, to evidence.Accounts, unawaited int64) (n int64, waited time.Duration) {
	bound := time.Duration(0)
	for _, c := range s.e.Checks {
		if n := c.Check.Kind().Needs; n.From+" -> "+n.To == link {
			bound = max(bound, n.Waits)
		}
	}
	for bound > 0 {
		var since time.Duration
		n, since = s.aggregator.OpenCalls(link, to.Received-to.Collateral-unawaited)
		if waited = s.now() - since; n == 0 || waited > bound || s.sleep(20*time.Millisecond, nil) != nil {
			break
		}
	}
	return n, waited
}

// recordTraffic records what each link carried. Links of datagrams are covered by the accounting
// instead.
func (s *session) recordTraffic() {
	for _, l := range s.e.System.Links {
		open := s.system.Links[l.Name()]
		if open == nil {
			continue
		}
		c := open.Counters()
		s.checkLinkLimits(l.Name(), c)
		s.record(journal.Event{Traffic: &journal.Traffic{
			Link: l.Name(), Opened: c.Opened, Live: c.Live, Refused: c.DialErrors, Resets: c.Resets, BytesToServer: c.BytesToServer, BytesToClient: c.BytesToClient,
		}})
	}
}

// judge judges the scenario by the facts recorded so far. Checks of validity are written to the
// journal first, so that readers see them first.
func (s *session) judge() {
	s.mu.Lock()
	s.frozen = true
	h := s.history.Book().Scenarios[0]
	s.mu.Unlock()
	var checks []check.Check
	for _, c := range s.e.Checks {
		checks = append(checks, c.Check)
	}
	implied := check.Implied(s.e.Steady)
	answers, validity := check.Judge(h, checks, implied)
	for i, v := range validity {
		s.recordVerdict(implied[i], v, journal.Step{})
	}
	for i, v := range answers {
		s.recordVerdict(checks[i], v, s.e.Checks[i].Step)
	}
	s.verdicts = answers
}

func (s *session) recordVerdict(c check.Check, v check.Verdict, step journal.Step) {
	s.recordStep(journal.Event{Verdict: &journal.Verdict{
		Check: c.String(), Kind: check.KindOf(c), Outcome: v.Outcome.String(), Withheld: v.Withheld, Finding: v.Finding, Observed: v.Observed, Expected: v.Expected,
		Window: v.Window, Reason: v.Reason, Code: v.Doubt.Code().String(), Evidence: v.Evidence, Details: v.Details,
	}}, step)
}

// finish concludes the scenario, stops the system, and writes the outcome. It may follow any step or
// an interruption.
func (s *session) finish() {
	s.conclude()
	s.mu.Lock()
	halted, timedOut := s.halted, s.timedOut // before services are stopped, since one that exits may cause another to exit
	s.mu.Unlock()
	var stopErr error
	if s.system != nil {
		stopErr = errors.Join(s.system.Stop(context.WithoutCancel(s.ctx)), s.run.redactLogs(s.dir()))
		last := s.counts()
		s.o.Meter.set(s.e.ID, func() Counts { return last })
	}
	end := &journal.End{}
	s.end = end
	interrupted := s.ctx.Err() != nil && timedOut == nil && process.LeaseEnded() == nil
	s.unwatchLease()
	s.cancel(nil)
	s.mu.Lock()
	stopped, problem := s.stopped, s.problem
	s.mu.Unlock()
	switch {
	case s.skipped != nil:
		endWith(end, "skipped", codes.Skipped.Message(s.skipped.Error()))
	case !stopped.None():
		endWith(end, "stopped", stopped.Wrap("%s%s", stopped, s.afterwards()))
	case interrupted:
		why := "interrupted"
		if cause := context.Cause(s.ctx); cause != nil && !errors.Is(cause, context.Canceled) {
			why = cause.Error()
		}
		endWith(end, "interrupted", codes.Interrupted.Message(why+s.afterwards()))
	case s.o.DryRun && timedOut == nil:
		s.endDryRun(end, problem, halted, stopErr)
	default:
		s.mu.Lock()
		history := s.history.Book().Scenarios[0]
		history.End = end
		end.Outcome = check.ScenarioOutcome(history)
		s.mu.Unlock()
		switch {
		case timedOut != nil && end.Outcome != "failed": // an invariant that was violated by then still is
			endWith(end, "inconclusive", codes.TimedOut.Message(timedOut.Error()+s.afterwards()))
		case problem != nil && end.Outcome != "failed": // may be set by a user-defined step after the checks were judged
			endWith(end, "inconclusive", codes.NotStarted.Message(problem.Error()))
		case halted != nil && end.Outcome == "passed": // may also be set after the checks were judged
			endWith(end, "inconclusive", codes.ServiceExited.Message(halted.Error()))
		case stopErr != nil && end.Outcome == "passed":
			endWith(end, "inconclusive", codes.RunnerTrouble.Message(stopErr.Error()))
		case end.Outcome == "inconclusive" && !slices.ContainsFunc(history.Verdicts, func(v journal.Verdict) bool { return v.Outcome != "passed" }):
			endWith(end, end.Outcome, codes.NoCheck.Message("no check was judged, so nothing was proved"))
		}
	}
	s.record(journal.Event{End: end})
	s.settled()
	s.run.leave(s)
}

// endWith ends a scenario that did not pass or fail by its checks alone.
func endWith(end *journal.End, outcome string, why codes.Message) {
	end.Outcome, end.Reason, end.Code = outcome, why.String(), why.Code().String()
}

// afterwards describes what became of the faults of a scenario that ended early.
func (s *session) afterwards() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.placed) == 0:
		return "; no fault had been injected"
	case s.problem != nil:
		return "; " + s.problem.Error()
	case s.verified == "":
		return "; every fault was healed"
	}
	return "; every fault was healed: " + s.verified
}

// checkLinkLimits makes the scenario inconclusive if a link reached a limit of this process or
// machine. The errors that its callers saw were then not caused by the dependency.
func (s *session) checkLinkLimits(name string, c link.Counters) {
	if c.LocalLimits == 0 {
		return
	}
	s.fail(fmt.Errorf("link %q: accept or dial reached a limit of this machine %d times: %s (this process may open %s files: raise ulimit -n)", name, c.LocalLimits, c.LocalLimitError, load.FileLimit()))
}
