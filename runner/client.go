package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// client is what stands behind each request of the load: it fills in the templates, makes the attempts that the policy asks for, and says how it ended.
type client struct {
	ctx       context.Context
	load      *scenarios.Load
	address   func(service string) string // host:port
	seed      uint64
	run       string // makes keys unique between runs
	giveUp    time.Duration
	transport *http.Transport
	began     func(n uint64, due time.Time) // may be nil
	trust     trust                         // see trusting
	finished  func(ended)

	attempts, wire, retried, repeated atomic.Int64
}

// ended is one request of the load, over.
type ended struct {
	n        uint64
	route    string
	key      string
	due, end time.Time
	attempts []attempt
	outcome  outcome
	fallback bool
	kind     string // of error; "" for success
	digest   string
	wire     int
}

type attempt struct {
	at     time.Time
	took   time.Duration
	status int
	kind   string // of error, where there is no status
	end    outcome
	wrote  int
	answer answer
}

type answer struct {
	digest   string
	fallback bool
	retry    time.Duration
}

type outcome uint8

const (
	ambiguous outcome = iota // it may have happened
	acknowledged
	refused // it did not happen
)

func (o outcome) String() string { return [...]string{"ambiguous", "acknowledged", "refused"}[o] }

// maxBody is how much of an answer is read; what is beyond does not count into its digest.
const maxBody = 1 << 20

func newClient(ctx context.Context, l *scenarios.Load, run string, seed uint64, address func(string) string, finished func(ended)) *client {
	giveUp := l.GiveUp
	if giveUp == 0 {
		giveUp = 10 * time.Second
	}
	return &client{
		ctx: ctx, load: l, address: address, seed: seed, run: run, giveUp: giveUp, finished: finished,
		transport: &http.Transport{MaxIdleConnsPerHost: maxWorkers, IdleConnTimeout: 30 * time.Second, DisableCompression: true},
	}
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// patience is the longest that a request can take.
func (c *client) patience() time.Duration {
	return c.giveUp*time.Duration(1+c.load.Retries) + time.Duration(c.load.Retries)*2*time.Second + time.Second
}

// route draws the kind of request n, by hash.
func (c *client) route(n uint64) scenarios.Route {
	at := evidence.Draw(c.seed, n, "route")
	for _, r := range c.load.Mix {
		if at -= r.Share; at < 0 {
			return r
		}
	}
	return c.load.Mix[len(c.load.Mix)-1]
}

// key is request n's idempotency key.
func (c *client) key(n uint64) string {
	if c.load.KeyHeader == "" {
		return ""
	}
	return fmt.Sprintf("%s-%d", c.run, n)
}

// do carries out request n.
func (c *client) do(n uint64, due time.Time) {
	r := c.route(n)
	e := ended{n: n, route: r.Name(), key: c.key(n), due: due}
	if c.began != nil {
		c.began(n, due)
	}
	for i := 0; ; i++ {
		a := c.try(r, n, n)
		c.attempts.Add(1)
		e.attempts = append(e.attempts, a)
		e.wire += a.wrote
		if a.end == acknowledged || i >= c.load.Retries || !again(a) || c.ctx.Err() != nil {
			break
		}
		if !c.backOff(n, i, a) {
			break
		}
		c.retried.Add(1)
	}
	c.conclude(&e)
	c.finished(e)
}

// conclude sums the attempts up: acknowledged by any, else refused by all, else it may have happened.
func (c *client) conclude(e *ended) {
	e.end = time.Now()
	last := e.attempts[len(e.attempts)-1]
	e.outcome, e.kind = last.end, last.kind
	if last.end == acknowledged {
		e.digest, e.fallback, e.kind = last.answer.digest, last.answer.fallback, ""
		return
	}
	switch {
	case c.ctx.Err() != nil: // a further attempt may have come through
		e.kind = cut
	case e.kind == "":
		e.kind = "status " + strconv.Itoa(last.status)
	}
	for _, a := range e.attempts {
		if a.end == ambiguous {
			e.outcome = ambiguous
		}
	}
}

// again tells whether a client repeats after such an attempt: not when it was told that the request is wrong.
func again(a attempt) bool {
	return a.status == 0 || a.status >= 500 || a.status == http.StatusTooManyRequests || a.status == http.StatusConflict || a.status == http.StatusRequestTimeout
}

// backOff waits between attempts: 50 ms, doubled each time, half of it drawn by hash; a Retry-After is honoured up to a second.
func (c *client) backOff(n uint64, i int, a attempt) bool {
	step := 50 * time.Millisecond * time.Duration(math.Exp2(float64(min(i, 5))))
	step = step/2 + time.Duration(evidence.Draw(c.seed, n, "back-off", strconv.Itoa(i))*float64(step/2))
	timer := time.NewTimer(max(step, min(a.answer.retry, time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// try makes one attempt of request n, with the body of request body.
func (c *client) try(r scenarios.Route, n, body uint64) attempt {
	a := attempt{at: time.Now()}
	ctx, cancel := context.WithTimeout(c.ctx, c.giveUp)
	defer cancel()
	var wrote atomic.Int64
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { wrote.Add(1) }})
	req, err := c.request(ctx, r, n, body)
	if err == nil {
		var resp *http.Response
		if resp, err = c.transport.RoundTrip(req); err == nil {
			a.status = resp.StatusCode
			a.answer, err = c.read(resp)
		}
	}
	a.took = time.Since(a.at)
	a.wrote = int(wrote.Load())
	c.wire.Add(wrote.Load())
	c.repeated.Add(max(0, wrote.Load()-1))
	if err != nil {
		a.status, a.kind, a.end = 0, kindOf(err), ambiguous
		if c.ctx.Err() != nil {
			a.kind = cut
		}
		if a.kind == "refused" {
			a.end = refused
		}
		return a
	}
	a.end = ends(a.status, r.Expect)
	return a
}

func ends(status, expect int) outcome {
	switch {
	case status == expect, expect == 0 && status/100 == 2:
		return acknowledged
	case status == http.StatusRequestTimeout, status == http.StatusConflict:
		return ambiguous
	case status/100 == 4, status == http.StatusServiceUnavailable:
		return refused
	}
	return ambiguous
}

func (c *client) request(ctx context.Context, r scenarios.Route, n, body uint64) (*http.Request, error) {
	fill := func(s string, n uint64) string {
		return strings.NewReplacer("{{n}}", strconv.FormatUint(n, 10), "{{key}}", c.key(n), "{{seed}}", strconv.FormatUint(c.seed, 10)).Replace(s)
	}
	text := fill(r.Body, body)
	// A body that can be read only once, so that net/http cannot send a request a second time by itself (it does so for any request whose body it can have
	// again, when a kept connection breaks); and one that it knows to be in memory, or head and body would go out in two pieces, which gateways treat in ways
	// of their own (HAProxy repeats only what came whole).
	req, err := http.NewRequestWithContext(ctx, r.Method, c.trust.url(c.address(r.Service), fill(r.Path, n)), io.NopCloser(strings.NewReader(text)))
	if err != nil {
		return nil, err
	}
	switch {
	case text != "":
		req.ContentLength = int64(len(text))
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		// An empty body of unknown length would go out chunked. Without one, a key makes net/http repeat; a connection of its own stops that.
		// The same goes for the methods that net/http repeats as they are.
		req.Body, req.Close = http.NoBody, c.load.KeyHeader != "" || r.Method == http.MethodOptions || r.Method == http.MethodTrace
	}
	if text != "" {
		req.Header.Set("Content-Type", r.Type)
	}
	if c.load.KeyHeader != "" {
		req.Header.Set(c.load.KeyHeader, c.key(n))
	}
	return req, nil
}

// read reads an answer to its end.
func (c *client) read(resp *http.Response) (answer, error) {
	defer resp.Body.Close()
	h := sha256.New()
	fmt.Fprintf(h, "%d\n", resp.StatusCode)
	if _, err := io.Copy(h, io.LimitReader(resp.Body, maxBody)); err != nil {
		return answer{}, err
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return answer{}, err
	}
	a := answer{digest: hex.EncodeToString(h.Sum(nil)[:8])}
	if m := c.load.Marker; m != nil {
		a.fallback = strings.EqualFold(resp.Header.Get(m.Name), m.Value)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		a.retry = time.Duration(s) * time.Second
	}
	return a, nil
}

// cut is the kind of error of what the runner itself ended: it was interrupted, or a stop rule acted.
const cut = "cut by the runner"

// kindOf names an error for people.
func kindOf(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(err.Error(), "server closed idle connection"):
		return "closed"
	}
	return "error"
}

// row is the ledger row of a keyed request.
func (e ended) row(since func(time.Time) time.Duration, w journal.Window) *journal.Request {
	r := &journal.Request{Key: e.key, Route: e.route, Due: since(e.due), Window: w, Outcome: e.outcome.String(), Digest: e.digest}
	for _, a := range e.attempts {
		r.Attempts = append(r.Attempts, journal.Attempt{At: since(a.at), Took: a.took, Status: a.status, Error: a.kind})
	}
	return r
}
