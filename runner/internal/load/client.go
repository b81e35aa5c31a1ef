package load

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
)

// Config says which requests a client sends.
type Config struct {
	Load      *scenarios.Load
	KeyPrefix string // of the idempotency keys; see KeyPrefix
	Seed      uint64 // for the choice of routes, the back-off and trace IDs
	Address   func(service string) (hostPort string)
	Trust     Trust
	Started   func(n uint64, due time.Time) // called when a request begins; may be nil
	Ended     func(Result)                  // called when it has ended; not called by Try
}

// Client sends the requests of a load: it fills in the templates, makes the attempts that the retry
// policy allows, and reports the result of each request. Its methods may be called concurrently.
type Client struct {
	Config
	ctx    context.Context
	trace  string // prefix of each request's trace ID; see TracePrefix
	giveUp time.Duration
	pool   *pool

	attempts, wire, retried, stale atomic.Int64
	retryAfter                     atomic.Bool // an answer requested a pause with Retry-After
	mu                             sync.Mutex
	generatorErrors                map[string]int // by reason: requests that the generator itself failed to send
}

// maxBody is how much of an answer counts towards its digest.
const maxBody = 1 << 20

// maxShown is the length of the longest body that is kept to show differences. Longer bodies are not
// kept, not even in part, since a truncated secret would not be redacted.
const maxShown = 1 << 10

// NewClient returns a client. All its requests end with ctx. The caller closes it, unless a Generator
// uses it, which does.
func NewClient(ctx context.Context, cfg Config) *Client {
	return &Client{
		Config: cfg, ctx: ctx, trace: TracePrefix(cfg.Seed), giveUp: cfg.Load.Attempt(),
		pool: newPool(cfg.Trust), generatorErrors: map[string]int{},
	}
}

// Close closes the idle connections.
func (c *Client) Close() { c.pool.close() }

// patience returns an upper bound on the duration of a request, with some margin.
func (c *Client) patience() time.Duration { return c.Load.Patience(true) + time.Second }

// Route selects the route of request n by hash, according to the shares of the mix.
func (c *Client) Route(n uint64) scenarios.Route {
	at := evidence.Draw(c.Seed, n, "route")
	for _, r := range c.Load.Mix {
		if at -= r.Share; at < 0 {
			return r
		}
	}
	return c.Load.Mix[len(c.Load.Mix)-1]
}

// Key returns the idempotency key of request n.
func (c *Client) Key(n uint64) string {
	if c.Load.KeyHeader == "" {
		return ""
	}
	return keyOf(c.KeyPrefix, n)
}

// Do carries out request n.
func (c *Client) Do(n uint64, due time.Time) {
	r := c.Route(n)
	e := Result{N: n, Route: r.Name(), Key: c.Key(n), Due: due, reads: !c.Load.Changes(r)}
	if c.Started != nil {
		c.Started(n, due)
	}
	for i := 0; ; i++ {
		a := c.Try(r, n, n)
		e.Attempts = append(e.Attempts, a)
		e.Wire += a.wire
		if !a.generatorFailed || a.wire > 0 {
			c.attempts.Add(1)
		}
		if a.generatorFailed {
			e.Unsent = true
			break
		}
		if a.Outcome == Acknowledged || i >= c.Load.Retries || !ShouldRetry(a) || c.ctx.Err() != nil {
			break
		}
		if !c.backOff(n, i, a) {
			break
		}
		c.retried.Add(1)
	}
	c.summarize(&e)
	c.Ended(e)
}

// summarize derives the outcome of a request from its attempts: acknowledged if the last attempt was,
// ambiguous if any attempt was, otherwise refused.
func (c *Client) summarize(e *Result) {
	e.End = time.Now()
	last := e.Attempts[len(e.Attempts)-1]
	e.Outcome, e.Kind = last.Outcome, last.Kind
	if last.Outcome == Acknowledged {
		e.digest, e.Body, e.Fallback, e.Kind = last.Answer.Digest, last.Answer.Body, last.Answer.fallback, ""
		return
	}
	switch {
	case c.ctx.Err() != nil: // a further attempt might have succeeded
		e.Kind = Aborted
	case e.Kind == "":
		e.Kind = "status " + strconv.Itoa(last.Status)
	}
	for _, a := range e.Attempts {
		if a.Outcome == Ambiguous {
			e.Outcome = Ambiguous
		}
	}
}

// ShouldRetry reports whether a client retries after an attempt: if there was no answer, after 429,
// and after an error that leaves the outcome unknown. It does not retry a refused request or an answer
// below 400, such as a redirect, which would not change.
func ShouldRetry(a Attempt) bool {
	return a.Status == 0 || a.Status == http.StatusTooManyRequests || a.Outcome == Ambiguous && a.Status >= 400
}

// backOff waits between two attempts: between half and all of scenarios.Pause, drawn by hash, or
// longer if Retry-After requests it, up to scenarios.MostRetryAfter. It reports whether it waited to
// the end.
func (c *Client) backOff(n uint64, i int, a Attempt) bool {
	step := scenarios.Pause(i)
	step = step/2 + time.Duration(evidence.Draw(c.Seed, n, "back-off", strconv.Itoa(i))*float64(step/2))
	timer := time.NewTimer(max(step, min(a.Answer.RetryAfter, scenarios.MostRetryAfter)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// Try makes one attempt of request n. It sends the body of request number body, but always with the
// key of request n.
func (c *Client) Try(r scenarios.Route, n, body uint64) Attempt {
	a := Attempt{At: time.Now()}
	ctx, cancel := context.WithTimeout(c.ctx, c.giveUp)
	defer cancel()
	wrote, stale, err := c.pool.exchange(ctx, c.Address(r.Service), func() (*http.Request, error) { return c.request(ctx, r, n, body) }, func(resp *http.Response) (err error) {
		a.Status = resp.StatusCode
		a.Answer, err = c.readAnswer(resp)
		return err
	})
	a.Took = time.Since(a.At)
	if wrote {
		a.wire = 1
	}
	c.wire.Add(int64(a.wire))
	c.stale.Add(int64(stale))
	if err != nil {
		c.setError(&a, err)
		return a
	}
	a.Outcome = outcomes[c.Load.Outcome(r, a.Status)]
	return a
}

// outcomes maps the outcomes of package scenarios to those of the client.
var outcomes = map[scenarios.Outcome]Outcome{scenarios.Acknowledged: Acknowledged, scenarios.Refused: Refused, scenarios.NotKnown: Ambiguous}

// setError sets the outcome of an attempt that got no answer.
func (c *Client) setError(a *Attempt, err error) {
	a.Status, a.Kind, a.Outcome = 0, kindOf(err), Ambiguous
	var generatorErr generatorError
	switch {
	case c.ctx.Err() != nil:
		a.Kind = Aborted
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

func (c *Client) request(ctx context.Context, r scenarios.Route, n, body uint64) (*http.Request, error) {
	fill := func(s string, number uint64) string {
		return strings.NewReplacer("{{n}}", strconv.FormatUint(number, 10), "{{key}}", c.Key(n), "{{seed}}", strconv.FormatUint(c.Seed, 10)).Replace(s)
	}
	text := fill(r.Body, body)
	req, err := http.NewRequestWithContext(ctx, r.Method, c.Trust.URL(c.Address(r.Service), fill(r.Path, n)), strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Traceparent", traceparent(c.trace, n))
	if text != "" {
		req.Header.Set("Content-Type", r.Type)
	}
	if c.Load.KeyHeader != "" {
		req.Header.Set(c.Load.KeyHeader, c.Key(n))
	}
	return req, nil
}

// readAnswer reads an answer to its end.
func (c *Client) readAnswer(resp *http.Response) (Answer, error) {
	defer resp.Body.Close()
	h := sha256.New()
	var begin bytes.Buffer
	if _, err := io.CopyN(io.MultiWriter(h, &begin), resp.Body, maxShown+1); err != nil && !errors.Is(err, io.EOF) {
		return Answer{}, err
	}
	if _, err := io.Copy(h, io.LimitReader(resp.Body, maxBody-maxShown-1)); err != nil {
		return Answer{}, err
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return Answer{}, err
	}
	a := Answer{Digest: hex.EncodeToString(h.Sum(nil)[:8])}
	if begin.Len() <= maxShown {
		a.Body = begin.String()
	}
	if m := c.Load.Marker; m != nil {
		a.fallback = strings.EqualFold(resp.Header.Get(m.Name), m.Value)
	}
	after := resp.Header.Get("Retry-After")
	if s, err := strconv.Atoi(after); err == nil && s >= 0 {
		a.RetryAfter, a.HasRetryAfter = time.Duration(s)*time.Second, true
	} else if _, err := http.ParseTime(after); err == nil {
		a.HasRetryAfter = true
	}
	if a.RetryAfter > 0 {
		c.retryAfter.Store(true)
	}
	return a, nil
}
