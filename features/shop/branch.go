package shop

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// branch receives the sets of pages of a bulletin, on the UDP port of the same number as its address, and asks for the pages
// that it misses. A complete set is an effect.
type branch struct {
	*part
	protected protected
	conn      net.PacketConn
	complete  prometheus.Counter
	asked     prometheus.Counter

	mu   sync.Mutex
	from net.Addr // of the bulletin
	last uint64   // the highest number of a set
	open map[uint64]*openSet
	done []effect
}

// openSet is a set of which pages are missing.
type openSet struct {
	pages map[int]bool // those that are there
	total int          // 0 as long as none is there
	due   time.Time    // when to ask for the others
}

// effect is an entry of a list of effects.
type effect struct {
	Key string `json:"key"`
	ID  string `json:"id"`
}

const (
	// A branch waits so long for the pages of a set before it asks for those that are missing, and then for the answer. All
	// branches wait for a different time, so that most find that another one has asked already.
	leastPatience, mostPatience = 80 * time.Millisecond, 240 * time.Millisecond
	impatience                  = 40 * time.Millisecond // without retransmit suppression
)

func newBranch(c config) (*part, error) {
	conn, err := net.ListenPacket("udp", c.listen)
	if err != nil {
		return nil, err
	}
	b := &branch{part: newPart(), protected: c.protected, conn: conn, open: map[uint64]*openSet{}, done: []effect{}}
	b.complete = b.counter("sets_complete_total", "sets of which all pages have arrived")
	b.asked = b.counter("sets_asked_for_total", "requests for missing pages")
	b.routes.HandleFunc("GET /bulletins", b.list)
	var running sync.WaitGroup
	end := make(chan struct{})
	running.Go(b.listen)
	running.Go(func() {
		tick := time.NewTicker(leastPatience / 4)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case now := <-tick.C:
				b.ask(now)
			}
		}
	})
	b.stop = func() error {
		close(end)
		err := conn.Close()
		running.Wait()
		return err
	}
	return b.part, nil
}

// listen reads pages until the connection is closed.
func (b *branch) listen() {
	buffer := make([]byte, 2048)
	for {
		n, from, err := b.conn.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		var p page
		if err == nil && json.Unmarshal(buffer[:n], &p) == nil && p.Set > 0 && p.Pages > 0 {
			b.receive(p, from)
		}
	}
}

// receive adds a page to its set. A higher number than expected shows that whole sets are missing.
func (b *branch) receive(p page, from net.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.from = from
	if p.Set > keptSets { // the bulletin no longer has older ones, of which a branch that was restarted knows nothing
		b.last = max(b.last, p.Set-keptSets)
	}
	for b.last < p.Set {
		b.last++
		b.open[b.last] = &openSet{pages: map[int]bool{}, due: time.Now().Add(b.wait())}
	}
	maps.DeleteFunc(b.open, func(set uint64, _ *openSet) bool { return set+keptSets <= b.last })
	s := b.open[p.Set]
	if s == nil { // complete
		return
	}
	s.pages[p.Page], s.total = true, p.Pages
	if len(s.pages) < s.total {
		return
	}
	delete(b.open, p.Set)
	b.done = append(b.done, effect{p.Key, fmt.Sprintf("set %d", p.Set)})
	b.complete.Inc()
}

// wait returns how long to wait for pages before asking for them.
func (b *branch) wait() time.Duration {
	if !b.protected[suppression] {
		return impatience
	}
	return leastPatience + rand.N(mostPatience-leastPatience)
}

// ask asks for the pages of the sets that are due.
func (b *branch) ask(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n, s := range b.open {
		if now.Before(s.due) {
			continue
		}
		s.due = now.Add(b.wait())
		m := missing{Set: n}
		for i := range s.total {
			if !s.pages[i] {
				m.Pages = append(m.Pages, i)
			}
		}
		raw, err := json.Marshal(m)
		if err != nil {
			panic(err) // a struct of numbers
		}
		_, _ = b.conn.WriteTo(raw, b.from) // if it gets lost, it asks again
		b.asked.Inc()
	}
}

// list lists the complete sets.
func (b *branch) list(w http.ResponseWriter, _ *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(b.done)
}
