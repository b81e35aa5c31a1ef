package shop

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// retrier sends a request again if its answer is late or lost, and uses the first good answer to any attempt, even to one
// that was late. It is for idempotent requests.
type retrier struct {
	maxAttempts int // including the first attempt
	timer       timer
	budget      *budget // nil means no limit
	retries     prometheus.Counter
}

// timer determines when an answer is late.
type timer interface {
	timeout() time.Duration
	answered(took time.Duration)
	expired(timeout time.Duration) // an answer did not arrive within timeout
}

// attempt makes the n-th attempt of a request, counted from 0.
type attempt func(ctx context.Context, n int) (reply, error)

// run makes attempts until an answer arrives that is not a server error (5xx), or no attempt is left. Attempts that are in
// progress when it returns continue until the deadline of ctx, because cancelling them has no benefit.
func (r *retrier) run(ctx context.Context, do attempt) (reply, error) {
	if r.budget != nil {
		r.budget.deposit()
	}
	e := &exchange{retrier: r, answers: make(chan answer, r.maxAttempts)}
	e.start(ctx, do)
	timeout := r.timer.timeout()
	wait := time.NewTimer(timeout)
	defer wait.Stop()
	backingOff := false // waiting to retry after a failure
	for {
		select {
		case a := <-e.answers:
			e.finished++
			switch {
			case a.err == nil, e.finished == e.started && !e.mayRetry():
				return a.reply, a.err
			case e.finished == e.started:
				backingOff = true
				wait.Reset(10 * time.Millisecond << e.started)
			}
		case <-wait.C:
			if !backingOff {
				r.timer.expired(timeout)
			}
			if backingOff || e.mayRetry() {
				r.retries.Inc()
				e.start(ctx, do)
			}
			backingOff = false
			timeout = r.timer.timeout()
			wait.Reset(timeout)
		case <-ctx.Done():
			return reply{}, ctx.Err()
		}
	}
}

// exchange is one request with all its attempts.
type exchange struct {
	*retrier
	answers           chan answer
	started, finished int // attempts
}

type answer struct {
	reply
	err error
}

// start starts another attempt, which ends only at the deadline of ctx.
func (e *exchange) start(ctx context.Context, do attempt) {
	n := e.started
	e.started++
	own := context.WithoutCancel(ctx)
	deadline, bounded := ctx.Deadline()
	go func() {
		if bounded {
			var cancel context.CancelFunc
			own, cancel = context.WithDeadline(own, deadline)
			defer cancel()
		}
		began := time.Now()
		got, err := do(own, n)
		if err == nil && got.status >= http.StatusInternalServerError {
			err = fmt.Errorf("status %d", got.status)
		}
		if err == nil {
			e.timer.answered(time.Since(began))
		}
		e.answers <- answer{got, err}
	}()
}

// mayRetry reports whether another attempt is allowed, and takes it from the budget.
func (e *exchange) mayRetry() bool {
	return e.started < e.maxAttempts && (e.budget == nil || e.budget.withdraw())
}

// fixed is a constant timeout, as from a configuration file.
type fixed time.Duration

func (f fixed) timeout() time.Duration { return time.Duration(f) }
func (fixed) answered(time.Duration)   {}
func (fixed) expired(time.Duration)    {}

// adaptive is a timeout derived from measured response times: their smoothed mean plus four times their smoothed deviation,
// doubled when an answer is late (RFC 6298, sections 2 and 5.5). RFC 6298 excludes the answers to retransmissions, because
// it is not known which transmission they answer. Here it is, so all answers are measured. Concurrent requests share the
// timeout: if several are late at the same time, only the first doubles it.
type adaptive struct {
	mu              sync.Mutex
	current         time.Duration // 0 if nothing was measured yet
	mean, deviation time.Duration
}

const (
	firstTimeout = time.Second
	minTimeout   = 200 * time.Millisecond
	maxTimeout   = 4 * time.Second
	minHeadroom  = 100 * time.Millisecond // above the mean, so that a short stall of the machine causes no retries
)

func (a *adaptive) timeout() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == 0 {
		return firstTimeout
	}
	return a.current
}

func (a *adaptive) answered(took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mean == 0 {
		a.mean, a.deviation = took, took/2
	} else {
		a.deviation += ((took - a.mean).Abs() - a.deviation) / 4
		a.mean += (took - a.mean) / 8
	}
	a.current = min(max(a.mean+max(4*a.deviation, minHeadroom), minTimeout), maxTimeout)
}

func (a *adaptive) expired(timeout time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == 0 {
		a.current = firstTimeout
	}
	if a.current == timeout {
		a.current = min(2*a.current, maxTimeout)
	}
}

// budget limits retries to a fifth of the requests plus ten a second, of which up to a hundred accumulate.
type budget struct {
	mu     sync.Mutex
	credit float64 // retries
	at     time.Time
}

const (
	budgetShare     = 0.2
	budgetPerSecond = 10
	budgetMax       = 100
)

// deposit adds the share of a new request.
func (b *budget) deposit() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accrue()
	b.credit = min(b.credit+budgetShare, budgetMax)
}

// withdraw takes one retry from the budget. It returns false if there is none.
func (b *budget) withdraw() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accrue()
	if b.credit < 1 {
		return false
	}
	b.credit--
	return true
}

// accrue adds the retries for the time since the last call.
func (b *budget) accrue() {
	now := time.Now()
	if b.at.IsZero() {
		b.credit = budgetPerSecond
	} else {
		b.credit = min(b.credit+now.Sub(b.at).Seconds()*budgetPerSecond, budgetMax)
	}
	b.at = now
}
