package shop

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// resender sends a request again when its answer is late or lost, and takes the first good answer to any of them: an answer that comes after all was
// not waited for in vain. It is for requests that the dependency recognises when they come again.
type resender struct {
	most   int // sends of one request, the first included
	timer  timer
	budget *budget // nil: no bound
	resent prometheus.Counter
}

// timer says when an answer is late.
type timer interface {
	after() time.Duration
	answered(took time.Duration)
	late(after time.Duration) // an answer did not come within after
}

// sender sends a request; n counts from 0.
type sender func(ctx context.Context, n int) (reply, error)

// run sends until an answer comes that is no failure of the dependency (5xx), or nothing is left to try. What is under way when it returns goes on until
// the deadline of ctx: a request cut off half-way helps nobody.
func (r *resender) run(ctx context.Context, send sender) (reply, error) {
	if r.budget != nil {
		r.budget.called()
	}
	e := &exchange{resender: r, answers: make(chan answer, r.most)}
	e.send(ctx, send)
	after := r.timer.after()
	wait := time.NewTimer(after)
	defer wait.Stop()
	pausing := false // before what failed is sent again
	for {
		select {
		case a := <-e.answers:
			e.back++
			switch {
			case a.err == nil, e.back == e.out && !e.may():
				return a.reply, a.err
			case e.back == e.out:
				pausing = true
				wait.Reset(10 * time.Millisecond << e.out)
			}
		case <-wait.C:
			if !pausing {
				r.timer.late(after)
			}
			if pausing || e.may() {
				r.resent.Inc()
				e.send(ctx, send)
			}
			pausing = false
			after = r.timer.after()
			wait.Reset(after)
		case <-ctx.Done():
			return reply{}, ctx.Err()
		}
	}
}

// exchange is one request with all its sends.
type exchange struct {
	*resender
	answers   chan answer
	out, back int
}

type answer struct {
	reply
	err error
}

func (e *exchange) send(ctx context.Context, send sender) {
	n := e.out
	e.out++
	sends := context.WithoutCancel(ctx)
	deadline, bounded := ctx.Deadline()
	go func() {
		if bounded {
			var cancel context.CancelFunc
			sends, cancel = context.WithDeadline(sends, deadline)
			defer cancel()
		}
		began := time.Now()
		got, err := send(sends, n)
		if err == nil && got.status >= http.StatusInternalServerError {
			err = fmt.Errorf("status %d", got.status)
		}
		if err == nil {
			e.timer.answered(time.Since(began))
		}
		e.answers <- answer{got, err}
	}()
}

// may tells whether the request may be sent once more, and pays for it.
func (e *exchange) may() bool {
	return e.out < e.most && (e.budget == nil || e.budget.repeat())
}

// fixed is a time-out that somebody once wrote into a configuration.
type fixed time.Duration

func (f fixed) after() time.Duration { return time.Duration(f) }
func (fixed) answered(time.Duration) {}
func (fixed) late(time.Duration)     {}

// adaptive follows measured response times: their smoothed mean and four times their smoothed deviation, doubled when an answer is late (RFC 6298,
// sections 2 and 5.5). An answer is known to belong to the very send that it answers, so all of them are measurements (RFC 6298 leaves out those of
// requests sent again, for want of that). Many requests share it: of those that are late together, only the first doubles it.
type adaptive struct {
	mu              sync.Mutex
	now             time.Duration // 0: nothing was measured yet
	mean, deviation time.Duration
}

const (
	firstTimeout  = time.Second
	leastTimeout  = 200 * time.Millisecond
	mostTimeout   = 4 * time.Second
	leastHeadroom = 100 * time.Millisecond // above the mean, so that a hiccup of the machine is not lateness
)

func (a *adaptive) after() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now == 0 {
		return firstTimeout
	}
	return a.now
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
	a.now = min(max(a.mean+max(4*a.deviation, leastHeadroom), leastTimeout), mostTimeout)
}

func (a *adaptive) late(after time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now == 0 {
		a.now = firstTimeout
	}
	if a.now == after {
		a.now = min(2*a.now, mostTimeout)
	}
}

// budget bounds how often requests are sent again: for a fifth of them and ten times a second, of which up to a hundred are saved.
type budget struct {
	mu    sync.Mutex
	saved float64
	at    time.Time
}

const (
	budgetShare     = 0.2
	budgetPerSecond = 10
	budgetMost      = 100
)

func (b *budget) called() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accrue()
	b.saved = min(b.saved+budgetShare, budgetMost)
}

// repeat takes one from what is saved, if there is one.
func (b *budget) repeat() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accrue()
	if b.saved < 1 {
		return false
	}
	b.saved--
	return true
}

func (b *budget) accrue() {
	now := time.Now()
	if b.at.IsZero() {
		b.saved = budgetPerSecond
	} else {
		b.saved = min(b.saved+now.Sub(b.at).Seconds()*budgetPerSecond, budgetMost)
	}
	b.at = now
}
