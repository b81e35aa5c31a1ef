package link

import "sync"

// group waits for goroutines, and allows more to start while a caller waits. A sync.WaitGroup does not
// allow that when its counter is 0.
type group struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n falls to 0; nil if there is no waiter
}

// Go calls claim and, if that returns true, runs f in a goroutine. Waits that start after the call of
// claim also wait for f.
func (g *group) Go(claim func() bool, f func()) {
	g.mu.Lock()
	g.n++
	g.mu.Unlock()
	if !claim() {
		g.done()
		return
	}
	go func() {
		defer g.done()
		f()
	}()
}

func (g *group) done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n--
	if g.n == 0 && g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
}

// Wait returns when no goroutine is running.
func (g *group) Wait() {
	g.mu.Lock()
	if g.n == 0 {
		g.mu.Unlock()
		return
	}
	if g.idle == nil {
		g.idle = make(chan struct{})
	}
	idle := g.idle
	g.mu.Unlock()
	<-idle
}
