package link

import "sync"

// group waits for goroutines, of which more may begin while somebody waits; a sync.WaitGroup does not allow the first to.
type group struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when n falls to 0; nil while nobody waits
}

// Go runs f where it can claim the right to; who waits from the claim on waits for f too.
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
	if g.n == 0 && g.none != nil {
		close(g.none)
		g.none = nil
	}
}

// Wait returns when none runs.
func (g *group) Wait() {
	g.mu.Lock()
	if g.n == 0 {
		g.mu.Unlock()
		return
	}
	if g.none == nil {
		g.none = make(chan struct{})
	}
	none := g.none
	g.mu.Unlock()
	<-none
}
