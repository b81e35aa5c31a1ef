package load

import (
	"sync"
	"time"
)

// retryBudget limits further attempts to a share of the requests. It is the token bucket of Finagle's RetryBudget
// (com.twitter.finagle.service.RetryBudget) with its usual ttl of 10 s, but without its minRetriesPerSec, which would
// allow more than the share: each request deposits one token, each further attempt withdraws 1/share of them, and both
// are forgotten after about 10 s. Its methods may be called concurrently.
type retryBudget struct {
	cost  float64 // tokens that an attempt takes
	began time.Time

	mu     sync.Mutex
	slots  [budgetSeconds]float64 // deposits less withdrawals of each of the last seconds
	newest int                    // the second of the newest slot, since the beginning
}

const budgetSeconds = 10

// newRetryBudget returns a budget for a share of the requests, or nil, which allows everything, if the share is 0.
func newRetryBudget(share float64) *retryBudget {
	if share == 0 {
		return nil
	}
	return &retryBudget{cost: 1 / share, began: time.Now()}
}

// deposit notes a request.
func (b *retryBudget) deposit() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	*b.slot()++
}

// withdraw reports whether a further attempt may be made, and notes it.
func (b *retryBudget) withdraw() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.slot()
	left := -b.cost + 1e-6 // shares such as 30% are not exact
	for _, tokens := range b.slots {
		left += tokens
	}
	if left < 0 {
		return false
	}
	*now -= b.cost
	return true
}

// slot returns the slot of the current second. Seconds that have passed meanwhile are empty.
func (b *retryBudget) slot() *float64 {
	now := int(time.Since(b.began) / time.Second)
	for ; b.newest < now; b.newest++ {
		if now-b.newest <= budgetSeconds {
			b.slots[(b.newest+1)%budgetSeconds] = 0
		}
	}
	return &b.slots[now%budgetSeconds]
}
