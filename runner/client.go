package runner

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// client sends the requests of the load: it fills in the templates, makes the attempts that the retry
// policy allows, and reports the result of each request.
type client struct {
	ctx     context.Context
	load    *scenarios.Load
	address func(service string) string // host:port
	seed    uint64
	run     string // makes keys unique among runs
	trace   string // prefix of each request's trace ID; see tracePrefix
	giveUp  time.Duration
	pool    *pool
	onStart func(n uint64, due time.Time) // may be nil
	trust   trust                         // see withTrust
	onEnd   func(result)

	attempts, wire, retried, stale atomic.Int64
	retryAfter                     atomic.Bool // an answer requested a pause with Retry-After
	mu                             sync.Mutex
	generatorErrors                map[string]int // by reason: requests that the generator itself failed to send
}

// result is the result of one request of the load.
type result struct {
	n        uint64
	route    string
	key      string
	due, end time.Time
	attempts []attempt
	outcome  outcome
	fallback bool
	reads    bool   // see journal.Request
	kind     string // kind of error; "" for success
	digest   string
	body     string // of the acknowledging answer; see answer
	wire     int
	unsent   bool // the last attempt failed because of the generator itself; see generatorError
}

type attempt struct {
	at              time.Time
	took            time.Duration
	status          int
	kind            string // kind of error, if there is no status
	outcome         outcome
	wire            int
	generatorFailed bool // failed because of the generator itself
	answer          answer
}

type answer struct {
	digest     string // of the body
	body       string // "" if longer than maxShown
	fallback   bool
	retryAfter time.Duration
}

type outcome uint8

const (
	ambiguous outcome = iota // the request may have been applied
	acknowledged
	refused // the request was not applied
)

func (o outcome) String() string { return [...]string{"ambiguous", "acknowledged", "refused"}[o] }

// maxBody is how much of an answer counts towards its digest.
const maxBody = 1 << 20

// maxShown is the length of the longest body that is kept to show differences. Longer bodies are not
// kept, not even in part, since a truncated secret would not be redacted.
const maxShown = 1 << 10

func newClient(ctx context.Context, l *scenarios.Load, run string, seed uint64, address func(string) string, onEnd func(result)) *client {
	return &client{
		ctx: ctx, load: l, address: address, seed: seed, run: run, trace: tracePrefix(seed), giveUp: l.Attempt(), onEnd: onEnd,
		pool: newPool(), generatorErrors: map[string]int{},
	}
}

func (c *client) close() { c.pool.close() }

// patience returns an upper bound on the duration of a request, with some margin.
func (c *client) patience() time.Duration { return c.load.Patience(true) + time.Second }

// route selects the route of request n by hash, according to the shares of the mix.
func (c *client) route(n uint64) scenarios.Route {
	at := evidence.Draw(c.seed, n, "route")
	for _, r := range c.load.Mix {
		if at -= r.Share; at < 0 {
			return r
		}
	}
	return c.load.Mix[len(c.load.Mix)-1]
}

// key returns the idempotency key of request n.
func (c *client) key(n uint64) string {
	if c.load.KeyHeader == "" {
		return ""
	}
	return keyOf(c.run, n)
}

// do carries out request n.
func (c *client) do(n uint64, due time.Time) {
	r := c.route(n)
	e := result{n: n, route: r.Name(), key: c.key(n), due: due, reads: !c.load.Changes(r)}
	if c.onStart != nil {
		c.onStart(n, due)
	}
	for i := 0; ; i++ {
		a := c.try(r, n, n)
		e.attempts = append(e.attempts, a)
		e.wire += a.wire
		if !a.generatorFailed || a.wire > 0 {
			c.attempts.Add(1)
		}
		if a.generatorFailed {
			e.unsent = true
			break
		}
		if a.outcome == acknowledged || i >= c.load.Retries || !shouldRetry(a) || c.ctx.Err() != nil {
			break
		}
		if !c.backOff(n, i, a) {
			break
		}
		c.retried.Add(1)
	}
	c.summarize(&e)
	c.onEnd(e)
}

// summarize derives the outcome of a request from its attempts: acknowledged if the last attempt was,
// ambiguous if any attempt was, otherwise refused.
func (c *client) summarize(e *result) {
	e.end = time.Now()
	last := e.attempts[len(e.attempts)-1]
	e.outcome, e.kind = last.outcome, last.kind
	if last.outcome == acknowledged {
		e.digest, e.body, e.fallback, e.kind = last.answer.digest, last.answer.body, last.answer.fallback, ""
		return
	}
	switch {
	case c.ctx.Err() != nil: // a further attempt might have succeeded
		e.kind = aborted
	case e.kind == "":
		e.kind = "status " + strconv.Itoa(last.status)
	}
	for _, a := range e.attempts {
		if a.outcome == ambiguous {
			e.outcome = ambiguous
		}
	}
}

// shouldRetry reports whether a client retries after an attempt: if there was no answer, after 429,
// and after an error that leaves the outcome unknown. It does not retry a refused request or an answer
// below 400, such as a redirect, which would not change.
func shouldRetry(a attempt) bool {
	return a.status == 0 || a.status == http.StatusTooManyRequests || a.outcome == ambiguous && a.status >= 400
}

// backOff waits between two attempts: between half and all of scenarios.Pause, drawn by hash, or
// longer if Retry-After requests it, up to scenarios.MostRetryAfter. It reports whether it waited to
// the end.
func (c *client) backOff(n uint64, i int, a attempt) bool {
	step := scenarios.Pause(i)
	step = step/2 + time.Duration(evidence.Draw(c.seed, n, "back-off", strconv.Itoa(i))*float64(step/2))
	timer := time.NewTimer(max(step, min(a.answer.retryAfter, scenarios.MostRetryAfter)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// try makes one attempt of request n. It sends the body of request number body, but always with the
// key of request n.
func (c *client) try(r scenarios.Route, n, body uint64) attempt {
	a := attempt{at: time.Now()}
	ctx, cancel := context.WithTimeout(c.ctx, c.giveUp)
	defer cancel()
	wrote, stale, err := c.pool.exchange(ctx, c.address(r.Service), func() (*http.Request, error) { return c.request(ctx, r, n, body) }, func(resp *http.Response) (err error) {
		a.status = resp.StatusCode
		a.answer, err = c.readAnswer(resp)
		return err
	})
	a.took = time.Since(a.at)
	if wrote {
		a.wire = 1
	}
	c.wire.Add(int64(a.wire))
	c.stale.Add(int64(stale))
	if err != nil {
		c.setError(&a, err)
		return a
	}
	a.outcome = outcomes[c.load.Outcome(r, a.status)]
	return a
}

// outcomes maps the outcomes of package scenarios to those of the client.
var outcomes = map[scenarios.Outcome]outcome{scenarios.Acknowledged: acknowledged, scenarios.Refused: refused, scenarios.NotKnown: ambiguous}

// setError sets the outcome of an attempt that got no answer.
func (c *client) setError(a *attempt, err error) {
	a.status, a.kind, a.outcome = 0, kindOf(err), ambiguous
	var generatorErr generatorError
	switch {
	case c.ctx.Err() != nil:
		a.kind = aborted
	case errors.As(err, &generatorErr):
		a.kind, a.generatorFailed = generatorErr.kind(), true
		if a.wire == 0 {
			a.outcome = refused
		}
		c.mu.Lock()
		c.generatorErrors[generatorErr.cause+" ("+generatorErr.advice+")"]++
		c.mu.Unlock()
	case a.kind == refusedDial:
		a.outcome = refused
	}
}

func (c *client) request(ctx context.Context, r scenarios.Route, n, body uint64) (*http.Request, error) {
	fill := func(s string, number uint64) string {
		return strings.NewReplacer("{{n}}", strconv.FormatUint(number, 10), "{{key}}", c.key(n), "{{seed}}", strconv.FormatUint(c.seed, 10)).Replace(s)
	}
	text := fill(r.Body, body)
	req, err := http.NewRequestWithContext(ctx, r.Method, c.trust.url(c.address(r.Service), fill(r.Path, n)), strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Traceparent", traceparent(c.trace, n))
	if text != "" {
		req.Header.Set("Content-Type", r.Type)
	}
	if c.load.KeyHeader != "" {
		req.Header.Set(c.load.KeyHeader, c.key(n))
	}
	return req, nil
}

// readAnswer reads an answer to its end.
func (c *client) readAnswer(resp *http.Response) (answer, error) {
	defer resp.Body.Close()
	h := sha256.New()
	var begin bytes.Buffer
	if _, err := io.CopyN(io.MultiWriter(h, &begin), resp.Body, maxShown+1); err != nil && !errors.Is(err, io.EOF) {
		return answer{}, err
	}
	if _, err := io.Copy(h, io.LimitReader(resp.Body, maxBody-maxShown-1)); err != nil {
		return answer{}, err
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return answer{}, err
	}
	a := answer{digest: hex.EncodeToString(h.Sum(nil)[:8])}
	if begin.Len() <= maxShown {
		a.body = begin.String()
	}
	if m := c.load.Marker; m != nil {
		a.fallback = strings.EqualFold(resp.Header.Get(m.Name), m.Value)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		a.retryAfter = time.Duration(s) * time.Second
		c.retryAfter.Store(true)
	}
	return a, nil
}

// journalRequest returns the journal's record of a keyed request.
func (e result) journalRequest(since func(time.Time) time.Duration, w journal.Window) *journal.Request {
	r := &journal.Request{Key: e.key, Route: e.route, Due: since(e.due), Window: w, Outcome: e.outcome.String(), Digest: e.digest, Reads: e.reads}
	for _, a := range e.attempts {
		r.Attempts = append(r.Attempts, journal.Attempt{At: since(a.at), Took: a.took, Status: a.status, Error: a.kind})
	}
	return r
}
