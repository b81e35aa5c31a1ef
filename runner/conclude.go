package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// conclude heals, watches the recovery, ends the load, reads effects and judges. It does so once; an interrupted run is healed and not watched.
func (s *session) conclude() {
	if s.done {
		return
	}
	s.done = true
	if s.system != nil {
		s.release()
		s.startLoad() // a scenario without any action is judged on its baseline
		if err := s.undo(s.lives()); err != nil {
			s.fail(err)
		}
		if s.over() == nil && s.load != nil {
			s.enter("recovery")
			_ = s.pass(s.e.Recovery, nil)
		}
		s.endLoad()
		s.enter("collect")
		s.fold.collects(s.now())
		s.quiesce()
		s.settle()
		s.traffic()
		if s.over() == nil {
			s.effects() // before the probes: what they do to the system is not the load's
			s.probe()
		}
	}
	s.flush(1 << 62)
	s.enter("done")
	close(s.quit)
	s.clock.Wait()
	if s.skipped == nil { // nothing ran: there is nothing to judge
		s.judge()
	}
}

// quiesce waits for messages that are still held or under way, and writes the relays' books.
func (s *session) quiesce() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 10*time.Second)
	defer cancel()
	books := map[string][2]message.Books{}
	for name, r := range s.system.relays {
		to, from, err := r.Quiesce(ctx)
		if err != nil {
			s.fail(err)
		}
		books[name] = [2]message.Books{to, from}
	}
	for name, both := range books {
		for i, b := range both {
			fact := journal.Books{}
			raw, err := json.Marshal(b)
			if err == nil {
				err = json.Unmarshal(raw, &fact)
			}
			if err != nil {
				s.fail(fmt.Errorf("read the books of %s: %w", name, err))
			}
			if fact.Link, fact.ToServer = name, i == 0; fact.ToServer {
				fact.Open, fact.OpenFor = s.open(name, b)
			}
			s.tell(journal.Event{Books: &fact})
		}
	}
	for name, l := range s.system.datagrams {
		loss := l.Loss()
		s.tell(journal.Event{Loss: &journal.Loss{
			Link: name, Known: loss.Known, AtLink: loss.Link, AtServer: loss.Server, Elsewhere: loss.Elsewhere, Unsent: loss.Unsent, Evicted: loss.Evicted,
		}})
	}
}

// open is how many calls of a link, where a check asks how long its callers wait, have not ended, and how long ago the load ended. They are given as long to
// end as the check allows. A call whose connection broke while it was held back is told by nobody, and is not counted.
func (s *session) open(link string, to message.Books) (n int64, waited time.Duration) {
	bound := time.Duration(0)
	for _, c := range s.e.Checks {
		if g, ok := c.Check.(check.GivesUp); ok && g.From+" -> "+g.To == link {
			bound = max(bound, g.Bound())
		}
	}
	for bound > 0 {
		var since time.Duration
		n, since = s.fold.open(link, to.In-to.Collateral)
		if waited = s.now() - since; n == 0 || waited > bound || s.pass(20*time.Millisecond, nil) != nil {
			break
		}
	}
	return n, waited
}

// traffic tells what each link carried; of those of datagrams the books tell.
func (s *session) traffic() {
	for _, l := range s.e.System.Links {
		open := s.system.links[l.Name()]
		if open == nil {
			continue
		}
		c := open.Counters()
		s.tell(journal.Event{Traffic: &journal.Traffic{
			Link: l.Name(), Opened: c.Opened, Live: c.Live, Refused: c.DialErrors, Resets: c.Resets, BytesToServer: c.BytesToServer, BytesToClient: c.BytesToClient,
		}})
	}
}

// probe sends acknowledged keys again, where a check asks about that.
func (s *session) probe() {
	for _, c := range s.e.Checks {
		switch c := c.Check.(type) {
		case check.SameResponse:
			s.again("same key, same body", 0, func(e ended) string { return e.digest })
		case check.KeyReuseRefused:
			s.again("same key, other body", 1, func(ended) string { return strconv.Itoa(c.Status) })
		}
	}
}

func (s *session) again(kind string, shift uint64, want func(ended) string) {
	s.rows.mu.Lock()
	asked := slices.Clone(s.rows.acknowledged)
	s.rows.mu.Unlock()
	asker := newClient(s.ctx, s.e.Load, s.client.run, s.seed, func(service string) string { return s.system.addresses[service] }, nil).trusting(s.system.trust)
	defer asker.close()
	for _, e := range asked {
		p := journal.Probe{Kind: kind, Key: e.key, Want: want(e)}
		var a attempt
		for range 5 { // a probe is a client too, and repeats what did not come through
			if a = asker.try(asker.route(e.n), e.n, e.n+shift); a.status != 0 && a.status != http.StatusServiceUnavailable {
				break
			}
			if s.pass(100*time.Millisecond, nil) != nil {
				return
			}
		}
		p.Status, p.Error = a.status, a.kind
		p.Got = a.answer.digest
		if shift != 0 {
			p.Got = strconv.Itoa(a.status)
		}
		s.tell(journal.Event{Probe: &p})
	}
}

// effects reads what was applied, until two readings in a row are the same.
func (s *session) effects() {
	if s.e.Effects == nil {
		return
	}
	source := s.e.Effects.Method + " " + s.e.Effects.Path
	url := s.system.trust.url(s.system.addresses[s.e.Effects.Service], s.e.Effects.Path)
	fact := &journal.Effects{Source: source}
	var last []journal.Effect
	same := false
	for try := 0; try < 20 && !same; try++ {
		if try > 0 && s.pass(200*time.Millisecond, nil) != nil {
			break
		}
		now, err := readEffects(s.ctx, s.system.trust, s.e.Effects.Method, url)
		if fact.Error = ""; err != nil {
			fact.Error = err.Error()
			continue
		}
		same = try > 0 && slices.Equal(last, now)
		last = now
	}
	if !same && fact.Error == "" {
		fact.Error = "they never stayed the same between two readings"
	}
	for _, e := range last {
		s.event(journal.Event{Effect: &e}, s.e.Effects.Step)
	}
	fact.Count = len(last)
	s.event(journal.Event{Effects: fact}, s.e.Effects.Step)
}

// readEffects reads a JSON array of objects with "key" and "id", bare or as the field "effects" of an object.
func readEffects(ctx context.Context, t trust, method, url string) ([]journal.Effect, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialTLSContext: t.dial}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 256<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	var wrapped struct{ Effects *[]journal.Effect }
	if err := json.Unmarshal(raw, &wrapped); err == nil && wrapped.Effects != nil {
		return *wrapped.Effects, nil
	}
	var list []journal.Effect
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("read a list of effects with \"key\" and \"id\": %w", err)
	}
	return list, nil
}

// judge asks all checks, and those that every scenario is asked.
func (s *session) judge() {
	s.mu.Lock()
	s.frozen = true
	h := s.history.Book().Scenarios[0]
	s.mu.Unlock()
	for _, c := range s.e.Checks {
		s.verdicts = append(s.verdicts, s.ask(c.Check, h, c.Step))
	}
	for _, c := range check.Implied(s.e.Steady) {
		s.ask(c, h, journal.Step{})
	}
}

func (s *session) ask(c check.Check, h *journal.History, step journal.Step) check.Verdict {
	v := check.Ask(c, h)
	s.event(journal.Event{Verdict: &journal.Verdict{
		Check: c.String(), Kind: check.KindOf(c), Outcome: v.Outcome.String(), Observed: v.Observed, Expected: v.Expected,
		Window: v.Window, Reason: v.Reason, Evidence: v.Evidence, Details: v.Details,
	}}, step)
	return v
}

// finish concludes, ends the system, and tells the outcome. It may follow any step, and an interruption.
func (s *session) finish() {
	s.conclude()
	if s.system != nil {
		if err := s.system.stop(context.WithoutCancel(s.ctx)); err != nil {
			s.fail(err)
		}
	}
	end := &journal.End{}
	s.end = end
	interrupted := s.ctx.Err() != nil
	s.cancel(nil)
	s.mu.Lock()
	problem, stopped := s.problem, s.stopped
	s.mu.Unlock()
	switch {
	case s.skipped != nil:
		end.Outcome, end.Reason = "skipped", s.skipped.Error()
	case stopped != nil:
		end.Outcome, end.Reason = "stopped", stopped.Error()
	case interrupted:
		end.Outcome, end.Reason = "interrupted", "interrupted: everything was healed"
		if cause := context.Cause(s.ctx); cause != nil && !errors.Is(cause, context.Canceled) {
			end.Reason = cause.Error() + "; everything was healed"
		}
	case problem != nil:
		end.Outcome, end.Reason = "inconclusive", problem.Error()
	default:
		s.mu.Lock()
		h := s.history.Book().Scenarios[0]
		h.End = end
		end.Outcome = check.Sum(h)
		s.mu.Unlock()
	}
	s.tell(journal.Event{End: end})
}
