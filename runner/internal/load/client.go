package load

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Config says which requests a client sends.
type Config struct {
	Load      *scenarios.Load
	Env       map[string]string // values of the environment variables that requests contain
	KeyPrefix string            // of the idempotency keys; see KeyPrefix
	Seed      uint64            // for the choice of routes, the back-off and trace IDs
	Address   func(service string) (hostPort string)
	Trust     Trust
	Kinds     []Kind                        // of loads that are not HTTP; those that Load needs
	Knows     func(service string) Known    // what clients know of a service besides its address; nil means nothing
	Started   func(n uint64, due time.Time) // called when a request begins; may be nil
	Ended     func(Result)                  // called when it has ended; not called by Try
}

// Known is what clients whose requests are not HTTP know of a service besides its address. Its fields are those of Place.
type Known struct {
	URL     *url.URL // nil means that there is no login
	Framing message.Framing
	Proto   string
}

// Client sends the requests of a load: it fills in the templates, makes the attempts that the retry
// policy allows, and reports the result of each request. Its methods may be called concurrently.
type Client struct {
	Config
	ctx    context.Context
	trace  string // prefix of each request's trace ID; see TracePrefix
	giveUp time.Duration
	pool   *pool
	others *sessions // for loads that are not HTTP

	chains  [][]step // of each route of the mix
	headers []header

	budget *retryBudget

	attempts, wire, retried, stale atomic.Int64
	hedges, overBudget             atomic.Int64
	retryAfter                     atomic.Bool // an answer requested a pause with Retry-After
	mu                             sync.Mutex
	generatorErrors                map[string]int // by reason: requests that the generator itself failed to send
}

// NewClient returns a client. All its requests end with ctx. The caller closes it, unless a Generator
// uses it, which does.
func NewClient(ctx context.Context, cfg Config) *Client {
	c := &Client{
		Config: cfg, ctx: ctx, trace: TracePrefix(cfg.Seed), giveUp: cfg.Load.Attempt(),
		pool: newPool(cfg.Trust, cfg.Load), others: newSessions(cfg), budget: newRetryBudget(cfg.Load.Policy.Budget), generatorErrors: map[string]int{},
	}
	c.parse()
	return c
}

// Close closes the idle connections.
func (c *Client) Close() {
	c.pool.close()
	c.others.close()
}

// patience returns an upper bound on the duration of a request, with some margin.
func (c *Client) patience() time.Duration { return c.Load.Patience(true) + time.Second }

// Route returns the route of request n, the first of a chain.
func (c *Client) Route(n uint64) scenarios.Route { return RouteOf(c.Load, c.Seed, n) }

// RouteOf returns the route of request n of a load, the first of a chain.
func RouteOf(l *scenarios.Load, seed, n uint64) scenarios.Route {
	return l.Mix[choose(l, seed, n)].Steps()[0]
}

// steps returns the steps of request n.
func (c *Client) steps(n uint64) []step { return c.chains[choose(c.Load, c.Seed, n)] }

// choose selects the index of a route in the mix for request n by hash, according to the shares.
func choose(l *scenarios.Load, seed, n uint64) int {
	at := evidence.Draw(seed, n, "route")
	for i, r := range l.Mix {
		if at -= r.Share; at < 0 {
			return i
		}
	}
	return len(l.Mix) - 1
}

// Key returns the idempotency key of request n.
func (c *Client) Key(n uint64) string {
	if !c.Load.Keyed() {
		return ""
	}
	return keyOf(c.KeyPrefix, n)
}

// Do carries out request n.
func (c *Client) Do(n uint64, due time.Time) {
	steps := c.steps(n)
	e := Result{Load: c.Load.Name, Copy: c.Copy(n), N: n, Route: steps[0].Name(), Key: c.Key(n), Due: due, reads: steps[0].reads}
	if c.Started != nil {
		c.Started(n, due)
	}
	ctx := c.ctx
	if within := c.Load.Policy.Within; within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, within)
		defer cancel()
	}
	c.budget.deposit()
	x := c.newTransaction(n, n)
	changed := false // a previous step may have had an effect
	for i, s := range steps {
		c.do(ctx, &e, x, s, i)
		last := &e.Attempts[len(e.Attempts)-1]
		e.Fallback = e.Fallback || last.Outcome == Acknowledged && last.Answer.fallback
		if last.Outcome != Acknowledged || i+1 < len(steps) && !x.keep(s, last) {
			break
		}
		changed = changed || !s.ReadOnly()
	}
	c.summarize(&e, changed)
	c.Ended(e)
}

// do makes the attempts of one step that the policy allows.
func (c *Client) do(ctx context.Context, e *Result, x *transaction, s step, i int) {
	t := retrier{
		retries: c.Load.Retries, policy: c.Load.Policy, budget: c.budget,
		draw:    func(try int) float64 { return evidence.Draw(c.Seed, e.N, "back-off", strconv.Itoa(try)) },
		attempt: func(ctx context.Context) []Attempt { return c.attempt(ctx, x, s, i) },
	}.run(ctx)
	e.Attempts = append(e.Attempts, t.attempts...)
	for _, a := range t.attempts {
		e.Wire += a.wire
		if !a.generatorFailed || a.wire > 0 {
			c.attempts.Add(1)
		}
	}
	e.Unsent = t.attempts[len(t.attempts)-1].generatorFailed
	e.Retries += t.retries
	e.Hedges += t.hedges
	c.retried.Add(int64(t.retries))
	c.hedges.Add(int64(t.hedges))
	c.overBudget.Add(int64(t.overBudget))
}

// account adds to the results what the policy of clients did.
func (c *Client) account(l *journal.Load) {
	l.Hedges, l.OverBudget = int(c.hedges.Load()), int(c.overBudget.Load())
	l.EndsEarly = c.Load.Policy.Hedge > 0 || c.Load.Policy.Within > 0
}

// summarize derives the outcome of a request from its attempts: acknowledged if the last attempt was, ambiguous if
// any attempt was or a previous step changed something, otherwise refused.
func (c *Client) summarize(e *Result, changed bool) {
	e.End = time.Now()
	last := e.Attempts[len(e.Attempts)-1]
	e.Outcome, e.Kind = last.Outcome, last.Kind
	if last.Outcome == Acknowledged {
		e.digest, e.Body, e.Kind = last.Answer.Digest, last.Answer.Body, ""
		return
	}
	e.Fallback, e.OneWay = false, last.unanswered
	switch {
	case c.ctx.Err() != nil: // a further attempt might have succeeded
		e.Kind = Aborted
	case e.Kind == "" && !e.OneWay:
		e.Kind = "status " + strconv.Itoa(last.Status)
	}
	for _, a := range e.Attempts {
		if a.Outcome == Ambiguous || changed {
			e.Outcome = Ambiguous
		}
	}
}

// Try makes one attempt of request n, of its first step if it is a chain. It sends the body of request number body,
// but always with the key of request n. If redirects are followed, it returns the last one.
func (c *Client) Try(n, body uint64) Attempt {
	hops := c.attempt(c.ctx, c.newTransaction(n, body), c.steps(n)[0], 0)
	return hops[len(hops)-1]
}

// OtherBody returns a request number above n whose body differs from that of request n. It returns false if none
// of the next hundred does.
func (c *Client) OtherBody(n uint64) (uint64, bool) {
	s := c.steps(n)[0]
	body := func(number uint64) string { return c.newTransaction(n, number).bodyOf(s) }
	for other := n + 1; other <= n+100; other++ {
		if body(other) != body(n) {
			return other, true
		}
	}
	return 0, false
}

// attempt makes one attempt of a step, and follows its redirects. Each of them is an Attempt; the last one is the
// result.
func (c *Client) attempt(ctx context.Context, x *transaction, s step, i int) []Attempt {
	ctx, cancel := context.WithTimeout(ctx, c.giveUp)
	defer cancel()
	if s.Kind != "" {
		return []Attempt{c.send(ctx, x, s)}
	}
	var all []Attempt
	for t := (target{step: s, index: i, method: s.Method}); ; {
		a, next := c.try(ctx, x, t)
		a.Step = i
		redirected := next != nil && len(all) < scenarios.MostRedirects
		if redirected && (a.Status == http.StatusTemporaryRedirect || a.Status == http.StatusPermanentRedirect) {
			a.Outcome = Refused // the request was not worked on there
		}
		if all = append(all, a); !redirected {
			return all
		}
		t = *next
	}
}

// try sends one request. It returns the target of the redirect to follow, if the answer is one.
func (c *Client) try(ctx context.Context, x *transaction, t target) (a Attempt, next *target) {
	a.At = time.Now()
	wrote, stale, err := c.pool.exchange(ctx, c.Address(c.service(x.n, t.step)), func() (*http.Request, error) { return c.request(ctx, x, t) }, func(resp *http.Response) (err error) {
		a.Status = resp.StatusCode
		x.noteCookies(resp)
		next = c.redirect(t, resp)
		a.Answer, err = c.readAnswer(resp, len(t.step.Keep) > 0)
		return err
	})
	a.Took = time.Since(a.At)
	if wrote {
		a.wire = 1
	}
	c.wire.Add(int64(a.wire))
	c.stale.Add(int64(stale))
	if err != nil {
		c.setError(ctx, &a, err)
		return a, nil
	}
	a.Outcome = outcomes[c.Load.Outcome(t.step.Route, a.Status)]
	return a, next
}

// outcomes maps the outcomes of package scenarios to those of the client.
var outcomes = map[scenarios.Outcome]Outcome{scenarios.Acknowledged: Acknowledged, scenarios.Refused: Refused, scenarios.NotKnown: Ambiguous}

// setError sets the outcome of an attempt that got no answer.
func (c *Client) setError(ctx context.Context, a *Attempt, err error) {
	a.Status, a.Kind, a.Outcome = 0, kindOf(err), Ambiguous
	var generatorErr generatorError
	switch {
	case c.ctx.Err() != nil:
		a.Kind = Aborted
	case errors.Is(context.Cause(ctx), errAcknowledged):
		a.Kind = Cancelled
	case errors.As(err, &generatorErr):
		a.Kind, a.generatorFailed = generatorErr.kind(), true
		if a.wire == 0 {
			a.Outcome = Refused
		}
		c.mu.Lock()
		c.generatorErrors[generatorErr.cause+" ("+generatorErr.advice+")"]++
		c.mu.Unlock()
	case a.Kind == refusedDial:
		a.Outcome = Refused
	}
}

// Body returns the body of request n, of its first step if it is a chain.
func (c *Client) Body(n uint64) string { return c.newTransaction(n, n).bodyOf(c.steps(n)[0]) }

// Element returns the element of a set that request n is about; see scenarios.Element.
func (c *Client) Element(n uint64) string {
	x, s := c.newTransaction(n, n), c.steps(n)[0]
	parts, inPath := scenarios.Element(s.path, s.body)
	text := s.Name() + " body"
	if inPath {
		text = s.Name() + " path"
	}
	var all []string
	for _, p := range parts {
		all = append(all, x.values(n, text).of(p).Text)
	}
	return strings.Join(all, " ")
}
