package shop

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const suppression = "retransmit suppression"

var bulletinProtections = []Protection{
	{suppression, "branch, bulletin", "branches wait before they ask for missing pages, and the bulletin waits for what others miss and sends each page once; without, it sends the whole set for everyone who asks"},
}

// bulletin sends sets of pages to all branches, in datagrams, which may get lost. It does not wait for acknowledgements, of
// which each branch would send as many: a branch that misses pages asks for them.
type bulletin struct {
	*part
	protected protected
	conn      net.PacketConn
	branches  []net.Addr
	resent    prometheus.Counter

	mu     sync.Mutex
	last   uint64                  // number of the last set
	sets   map[uint64]string       // keys of the last sets, which can be sent again
	wanted map[uint64]map[int]bool // by set: the pages to send again, while it waits for what others miss
	timers map[uint64]*time.Timer  // of the sets in wanted
}

// page is a datagram to a branch.
type page struct {
	Set   uint64 `json:"set"` // 1, 2, ...
	Key   string `json:"key"` // of the request
	Page  int    `json:"page"`
	Pages int    `json:"pages"` // of the set
	Text  string `json:"text"`
}

// missing is a datagram to the bulletin.
type missing struct {
	Set   uint64 `json:"set"`
	Pages []int  `json:"pages"` // none: all
}

const (
	pagesOfSet = 20
	keptSets   = 500
	// patience is how long the bulletin waits, after a branch has asked for pages, for what the others miss.
	patience = 60 * time.Millisecond
)

func newBulletin(c config) (*part, error) {
	b := &bulletin{part: newPart(), protected: c.protected, sets: map[uint64]string{}, wanted: map[uint64]map[int]bool{}, timers: map[uint64]*time.Timer{}}
	for addr := range strings.SplitSeq(c.links["branches"], ",") {
		to, err := net.ResolveUDPAddr("udp", addr)
		if err != nil || addr == "" {
			return nil, errors.Join(fmt.Errorf("--branches %q: write addresses, separated by commas", c.links["branches"]), err)
		}
		b.branches = append(b.branches, to)
	}
	var err error
	if b.conn, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	b.resent = b.counter("datagrams_resent_total", "datagrams sent again, to each branch")
	b.routes.HandleFunc("POST /bulletins", b.post)
	var listening sync.WaitGroup
	listening.Go(b.listen)
	b.stop = func() error {
		err := b.conn.Close()
		listening.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, t := range b.timers {
			t.Stop()
		}
		return err
	}
	return b.part, nil
}

// post sends a new set.
func (b *bulletin) post(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		http.Error(w, "Idempotency-Key is missing", http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	b.last++
	set := b.last
	b.sets[set] = key
	delete(b.sets, set-keptSets)
	b.mu.Unlock()
	for n := range pagesOfSet {
		b.send(set, key, n)
	}
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, "{\"set\":%d}\n", set)
}

// send sends a page to every branch. A datagram that cannot be sent is one that gets lost.
func (b *bulletin) send(set uint64, key string, n int) {
	raw, err := json.Marshal(page{Set: set, Key: key, Page: n, Pages: pagesOfSet, Text: fmt.Sprintf("page %d of %s", n+1, key)})
	if err != nil {
		panic(err) // a struct of strings and numbers
	}
	for _, branch := range b.branches {
		_, _ = b.conn.WriteTo(raw, branch)
	}
}

// listen reads what branches miss, until the connection is closed.
func (b *bulletin) listen() {
	buffer := make([]byte, 2048)
	for {
		n, _, err := b.conn.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		var m missing
		if err == nil && json.Unmarshal(buffer[:n], &m) == nil {
			b.asked(m)
		}
	}
}

// asked sends pages again, to all branches, since others may miss them, too. It does so once for all that ask within its
// patience, and a page that several miss is sent once.
func (b *bulletin) asked(m missing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key, kept := b.sets[m.Set]
	if !kept {
		return
	}
	if len(m.Pages) == 0 || !b.protected[suppression] {
		m.Pages = allPages()
	}
	if !b.protected[suppression] {
		b.sendAgain(m.Set, key, m.Pages)
		return
	}
	if b.wanted[m.Set] == nil {
		b.wanted[m.Set] = map[int]bool{}
		b.timers[m.Set] = time.AfterFunc(patience, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			var pages []int
			for n := range b.wanted[m.Set] {
				pages = append(pages, n)
			}
			delete(b.wanted, m.Set)
			delete(b.timers, m.Set)
			b.sendAgain(m.Set, key, pages)
		})
	}
	for _, n := range m.Pages {
		b.wanted[m.Set][n] = true
	}
}

func (b *bulletin) sendAgain(set uint64, key string, pages []int) {
	for _, n := range pages {
		b.resent.Add(float64(len(b.branches)))
		b.send(set, key, n)
	}
}

func allPages() (all []int) {
	for n := range pagesOfSet {
		all = append(all, n)
	}
	return all
}
