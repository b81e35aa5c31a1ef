package process

import "sync"

// listing reads a table of the kernel for several callers at once. Services of a scenario start and end together,
// and each of them looks at the tables every few milliseconds.
type listing[T any] struct {
	read func() T

	mu     sync.Mutex
	latest *reading[T] // nil before the first call
}

type reading[T any] struct {
	begun bool // callers from now on need another one; guarded by listing.mu
	done  chan struct{}
	value T // once done is closed
}

// get returns a reading that began after the call. Callers share it and must not change it.
func (l *listing[T]) get() T {
	l.mu.Lock()
	r := l.latest
	if r != nil && !r.begun {
		l.mu.Unlock()
		<-r.done
		return r.value
	}
	previous := r
	r = &reading[T]{done: make(chan struct{})}
	l.latest = r
	l.mu.Unlock()
	if previous != nil {
		<-previous.done // meanwhile, others join
	}
	l.mu.Lock()
	r.begun = true
	l.mu.Unlock()
	r.value = l.read()
	close(r.done)
	return r.value
}
